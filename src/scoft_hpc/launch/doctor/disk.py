"""Probes of the disk that a study is written to: free space, quota, speed, and whether renames and locks work."""

from __future__ import annotations

import errno
import fcntl
import getpass
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.config.validation import require_writable
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus, run_external
from scoft_hpc.study.filesystem import SHARED, Mount, mount_of, nearest_folder

GB = 10**9
MIN_FREE_BYTES, LOW_FREE_BYTES = GB // 2, 10 * GB
"""Free bytes below which a study cannot be written, and below which it may become tight."""

TEST_BYTES, TEST_SECONDS = 256 * 2**20, 5.0
"""The speed is measured until this much is written, or this much time has passed."""

SLOW_BYTES_PER_SECOND = 50e6
"""Bytes a second below which saving is felt: an adapter of rank 64 with its AdamW state has about 100 MB."""

NODE_LOCAL = ("LOCAL", "TMPDIR", "SLURM_TMPDIR")
"""Variables that sites name a node's own disk with."""


def output_disk(output: Path, shared: bool) -> Iterator[CheckResult]:
    """Findings on the disk below `output`; `shared`: other machines must see it.

    What is written for that lies in a folder of its own and is removed again.
    """
    try:
        require_writable(output)
    except ConfigError as error:
        yield CheckResult("output", str(output), CheckStatus.fault, str(error))
        return
    folder = nearest_folder(output)
    mount = mount_of(folder, Path("/proc/self/mounts"))
    yield _place(folder, mount, shared)
    yield _free_space(folder)
    yield from _quota(folder, mount)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".doctor-") as scratch:
        yield _speed(Path(scratch))
        yield _names(Path(scratch))
        yield _locks(Path(scratch), mount)


def _place(folder: Path, mount: Mount, shared: bool) -> CheckResult:
    observed = f"{folder} on {mount.kind}"
    variable = next((name for name in NODE_LOCAL if _below(folder, os.environ.get(name))), None)
    if variable:
        why = f"${variable} is this node's own and is emptied after the job"
    elif any(_below(folder, name) for name in ("/tmp", "/var/tmp", "/dev/shm")):
        why = "this folder is usually each node's own and emptied now and then"
    elif mount.kind not in SHARED:
        why = f"a disk of type {mount.kind} is usually one machine's own"
    else:
        return CheckResult("output", observed)
    if not shared:
        return CheckResult("output", observed)
    advice = f"{why}; the jobs' nodes must see it. Choose a shared one: output=$PROJECT/outputs"
    return CheckResult("output", observed, CheckStatus.note, advice)


def _below(folder: Path, name: str | None) -> bool:
    return bool(name) and folder.resolve().is_relative_to(Path(str(name)).resolve())


def _free_space(folder: Path) -> CheckResult:
    free = shutil.disk_usage(folder).free
    observed = f"{free / GB:,.1f} GB free"
    if free < MIN_FREE_BYTES:
        advice = f"free at least {LOW_FREE_BYTES / GB:.0f} GB in {folder}."
        return CheckResult("free space", observed, CheckStatus.fault, advice)
    if free < LOW_FREE_BYTES:
        advice = "a run of Stable Diffusion keeps about 0.3 GB; a study of hundreds needs more than is free."
        return CheckResult("free space", observed, CheckStatus.note, advice)
    return CheckResult("free space", observed)


@dataclass(frozen=True)
class Quota:
    """`used` and `most` in kB."""

    used: float
    most: float


def read_quota(text: str) -> list[Quota]:
    """The space limits in what `lfs quota -q` or `quota -w` prints: filesystem, kB used, soft limit, hard limit, …

    A long file system's name stands on a line of its own.
    """
    observed = []
    for line in text.splitlines():
        numbers = re.match(r"\s*(?:\D\S*\s+)?(\d+)\*?\s+(\d+)\s+(\d+)\s", line)
        if numbers:
            used, soft, hard = map(float, numbers.groups())
            if most := soft or hard:
                observed.append(Quota(used, most))
    return observed


def _quota(folder: Path, mount: Mount) -> Iterator[CheckResult]:
    """The fullest of the user's and the folder's group's quotas, where the disk has a command that tells them."""
    if mount.kind == "lustre":
        owners = (("-u", getpass.getuser()), ("-g", str(folder.stat().st_gid)))
        text = "\n".join(
            run_external("lfs", "quota", "-q", *owner, str(mount.point)).output for owner in owners
        )
    else:
        text = run_external("quota", "-w", "-f", str(mount.point)).output
    limits = read_quota(text)
    if not limits:
        return
    full = max(limits, key=lambda quota: quota.used / quota.most)
    share = full.used / full.most
    observed = f"{full.used / 1e6:,.1f} of {full.most / 1e6:,.1f} GB used"
    status = CheckStatus.fault if share >= 1 else CheckStatus.note if share >= 0.9 else CheckStatus.ok
    advice = "" if status is CheckStatus.ok else "remove what is not needed, or choose another output=DIR."
    yield CheckResult("quota", observed, status, advice)


def _speed(scratch: Path) -> CheckResult:
    block, written, started = os.urandom(2**20), 0, time.monotonic()
    with (scratch / "speed").open("wb") as file:
        while written < TEST_BYTES and time.monotonic() - started < TEST_SECONDS:
            for _ in range(8):
                written += file.write(block)
            file.flush()
            os.fsync(file.fileno())
    speed = written / (time.monotonic() - started)
    observed = f"{speed / 1e6:,.0f} MB/s ({written / 2**20:.0f} MB with fsync)"
    if speed < SLOW_BYTES_PER_SECOND:
        advice = "saving will be slow here; save_seconds=600 saves less often, another disk does better."
        return CheckResult("write speed", observed, CheckStatus.note, advice)
    return CheckResult("write speed", observed)


def _names(scratch: Path) -> CheckResult:
    """Whether a rename replaces in one step, and whether a hard link is refused where the name exists."""
    old, new, link = scratch / "old", scratch / "new", scratch / "link"
    old.write_text("old")
    new.write_text("new")
    new.replace(old)
    if old.read_text() != "new" or new.exists():
        advice = "a rename must replace, or a torn file could pass for a whole one. Choose another disk."
        return CheckResult("names", "a rename does not replace", CheckStatus.fault, advice)
    try:
        os.link(old, link)
        os.link(old, link)
    except FileExistsError:
        return CheckResult("names", "rename replaces, hard links are exclusive")
    except OSError as error:
        observed = f"rename replaces; no hard links ({errno.errorcode.get(error.errno or 0, 'unknown')})"
        advice = "leases are made with O_EXCL instead; nothing to change."
        return CheckResult("names", observed, CheckStatus.note, advice)
    advice = "two processes could both own a run here. Choose another disk."
    return CheckResult("names", "a hard link replaces an existing name", CheckStatus.fault, advice)


def _locks(scratch: Path, mount: Mount) -> CheckResult:
    with (scratch / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            observed = f"flock is refused ({errno.errorcode.get(error.errno or 0, 'unknown')})"
        else:
            local = {"localflock", "local_lock=flock", "local_lock=all", "nolock"} & set(mount.options)
            observed = f"flock holds on this node only ({', '.join(local)})" if local else ""
    if not observed:
        return CheckResult("locks", "flock is there")
    advice = "this suite needs none; keep databases such as SQLite off this disk."
    return CheckResult("locks", observed, CheckStatus.note, advice)
