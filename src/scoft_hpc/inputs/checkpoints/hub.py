"""Weights that are on this machine already: a file, a folder, or a snapshot in the local Hugging Face cache.

Nothing is downloaded. The cache's layout is huggingface_hub's: `models--OWNER--NAME` with `refs/<branch or tag>`, which
holds a commit, `snapshots/<commit>/`, whose files link to `blobs/`, and `*.incomplete` blobs of broken-off downloads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.errors import ConfigError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find(
    given: str,
    setting: str,
    *,
    revision: str | None = None,
    needs: Sequence[str] = (),
    patterns: Sequence[str] = (),
) -> Path:
    """The absolute path of an existing file or folder, or the snapshot of a hub id OWNER/NAME in the local cache.

    Args:
        given: what the setting says; an existing path comes before a hub id.
        setting: the setting's name, for messages.
        revision: of a hub id: a branch, a tag or a commit; None: main.
        needs: names below the folder that must be there.
        patterns: what the line that gets a hub id asks for; `needs` where there are none.

    Raises:
        ConfigError: if there is no such path, or something it needs is not (or not wholly) there.
    """
    try:
        path = Path(given).expanduser().absolute()
        there = path.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user who does not exist
        raise ConfigError(f"{setting}={given} cannot be read: {error}") from None
    if not there:
        if not HUB_ID.fullmatch(given):
            raise ConfigError(
                f"{setting}={given}: {path} does not exist. Expected a file, a folder, or a hub id OWNER/NAME "
                f"that has been downloaded."
            )
        path = _snapshot(given, setting, revision, patterns or needs)
    if path.is_file() and needs:
        raise ConfigError(f"{setting}={given} is a file; expected a folder with {', '.join(needs)}.")
    if missing := [name for name in needs if not (path / name).exists()]:
        raise ConfigError(
            f"{setting}={given}: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not in {path}"
            f"{broken_off(path)}. Get what is missing where there is a network: "
            f"{download(given, revision, patterns or needs, path)}"
        )
    return path


def download(given: str, revision: str | None, patterns: Sequence[str], folder: Path | None = None) -> str:
    """The line that gets a hub id into the cache, or a model unknown by name into `folder`."""
    words = ["hf download"]
    on_hub = HUB_ID.fullmatch(given) and not Path(given).exists()
    words.append(given if on_hub else "OWNER/NAME")
    if revision is not None:
        words.append(f"--revision {revision}")
    words += [f'--include "{name}"' for name in patterns]
    if folder is not None and not on_hub:
        words.append(f"--local-dir {folder}")
    return f"`{' '.join(words)}`"


def broken_off(folder: Path) -> str:
    """A clause for a message that names the unfinished downloads of a folder or a snapshot; empty if there are none."""
    where = folder.parents[1] / "blobs" if folder.parent.name == "snapshots" else folder
    if not where.is_dir():
        return ""
    found = sorted(str(path.relative_to(where)) for path in where.rglob("*.incomplete"))
    return f"; a download was broken off: {', '.join(found)}" if found else ""


def cache() -> Path:
    """The local Hugging Face cache, where huggingface_hub itself looks."""
    env = os.environ
    user = env.get("XDG_CACHE_HOME") or "~/.cache"
    home = env.get("HF_HOME") or f"{user}/huggingface"
    given = env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(given)).expanduser().absolute()


def _snapshot(given: str, setting: str, revision: str | None, patterns: Sequence[str]) -> Path:
    repository = cache() / f"models--{given.replace('/', '--')}"
    wanted = revision or "main"
    reference = repository / "refs" / wanted
    commit = reference.read_text().strip() if reference.is_file() else wanted
    snapshot = repository / "snapshots" / commit
    if snapshot.is_dir():
        return snapshot
    refs = repository / "refs"
    found = ", ".join(sorted(str(path.relative_to(refs)) for path in refs.rglob("*") if path.is_file()))
    other = f" at revision {wanted} (it has {found})" if found else ""
    raise ConfigError(
        f"{setting}={given}: neither a folder here nor in the download cache {cache()}{other}"
        f"{broken_off(snapshot)}. Nothing is downloaded in a run. Where there is a network: "
        f"{download(given, revision, patterns)}"
    )
