#!/usr/bin/env bash
# Install what groups of tests need, from Debian's or Ubuntu's packages: tools/install_test_services.sh [GROUP ...]
# Without a group: all of them. Where apt-get or the right to use it is missing, this only says so: the tests then
# leave those groups out and name them, or fail under REQUIRE_ALL=1.
set -euo pipefail

declare -A packages=(
    [slurm]="slurm-wlm slurmdbd munge mariadb-server"
    [browser]="chromium fonts-dejavu-core"
    [postgres]="postgresql"
    [strace]="strace"
)
groups=("$@")
[ $# -gt 0 ] || groups=(slurm browser postgres strace)
wanted=""
for group in "${groups[@]}"; do
    [ -n "${packages[$group]:-}" ] || { echo "error: no group $group; the groups are ${!packages[*]}" >&2; exit 2; }
    wanted="$wanted ${packages[$group]}"
done

missing=""
for package in $wanted; do
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get > /dev/null; then
    echo "note: no apt-get here, so these were not installed:$missing"
    exit 0
fi
root=()
if [ "$(id -u)" -ne 0 ]; then
    root=(sudo --non-interactive)
    if ! "${root[@]}" true 2> /dev/null; then
        echo "note: no right to install packages here, so these were not installed:$missing"
        exit 0
    fi
fi

# The tests start daemons of their own: the packages' services must stay down.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"${root[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" > /dev/null
    "${root[@]}" chmod +x "$policy"
fi
"${root[@]}" apt-get update -qq || { sleep 10 && "${root[@]}" apt-get update -qq; }
# shellcheck disable=SC2086  # a list of words
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
