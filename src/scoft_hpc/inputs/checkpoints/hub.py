"""Weights that are on this machine already: a file, a folder, or a snapshot in the local Hugging Face cache.

Nothing is downloaded. The cache's layout is huggingface_hub's: `models--OWNER--NAME` with `refs/<branch or tag>`, which
holds a commit, `snapshots/<commit>/`, whose files link to `blobs/`, and `*.incomplete` blobs of interrupted downloads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.errors import ConfigError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_repository(value: str) -> bool:
    """Whether a setting's value is a hub id OWNER/NAME: a path that exists comes first."""
    return HUB_ID.fullmatch(value) is not None and not Path(value).exists()


def locate(value: str, setting: str, command: str, revision: str | None = None) -> Path:
    """The absolute path of an existing file or folder, or the snapshot of a hub id OWNER/NAME in the local cache.

    Args:
        value: what the setting says; an existing path comes before a hub id.
        setting: the setting's name, and command: the command line that downloads `value`, for messages.
        revision: of a hub id: a branch, a tag or a commit; None: main.

    Raises:
        ConfigError: if there is no such path, and no such snapshot.
    """
    try:
        path = Path(value).expanduser().absolute()
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user who does not exist
        raise ConfigError(f"{setting}={value} cannot be read: {error}") from None
    if exists:
        return path
    if not HUB_ID.fullmatch(value):
        raise ConfigError(
            f"{setting}={value}: {path} does not exist. Expected a file, a folder, or a hub id OWNER/NAME that has "
            f"been downloaded."
        )
    repository = cache() / f"models--{value.replace('/', '--')}"
    wanted = revision or "main"
    reference = repository / "refs" / wanted
    commit = reference.read_text().strip() if reference.is_file() else wanted
    snapshot = repository / "snapshots" / commit
    if snapshot.is_dir():
        return snapshot
    refs = repository / "refs"
    names = ", ".join(sorted(str(path.relative_to(refs)) for path in refs.rglob("*") if path.is_file()))
    other = f" at revision {wanted} (it has {names})" if names else ""
    raise ConfigError(
        f"{setting}={value}: neither a folder here nor in the download cache {cache()}{other}"
        f"{incomplete_downloads(snapshot)}. Nothing is downloaded in a run. Where there is a network: {command}"
    )


def download_command(
    value: str, revision: str | None, include: Sequence[str], folder: Path | None = None
) -> str:
    """The command line that downloads a hub id into the cache, or a model unknown by name into `folder`."""
    on_hub = is_repository(value)
    parts = ["hf download", value if on_hub else "OWNER/NAME"]
    if revision is not None:
        parts.append(f"--revision {revision}")
    parts += [f'--include "{name}"' for name in include]
    if folder is not None and not on_hub:
        parts.append(f"--local-dir {folder}")
    return f"`{' '.join(parts)}`"


def incomplete_downloads(folder: Path) -> str:
    """A clause for a message that names the unfinished downloads of a folder or a snapshot; empty if there are none."""
    where = folder.parents[1] / "blobs" if folder.parent.name == "snapshots" else folder
    if not where.is_dir():
        return ""
    names = sorted(str(path.relative_to(where)) for path in where.rglob("*.incomplete"))
    return f"; an incomplete download: {', '.join(names)}" if names else ""


def cache() -> Path:
    """The local Hugging Face cache, where huggingface_hub itself looks."""
    env = os.environ
    user = env.get("XDG_CACHE_HOME") or "~/.cache"
    home = env.get("HF_HOME") or f"{user}/huggingface"
    folder = env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.expandvars(folder)).expanduser().absolute()
