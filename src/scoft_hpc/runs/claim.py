"""One owner a run: an atomic claim with a lease, correct on file systems without working locks.

The claim is a written file hard-linked into place, which fails if the name exists, on Lustre too. The owner touches
it while it lives. A claim whose process is known dead (same machine), or which nobody has touched for a lease
(another machine), is stale and may be taken over; taking over moves the old file aside first, which one taker
alone can do.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from scoft_hpc.errors import RunError

LEASE_SECONDS = 600.0
"""How long a silent owner on another machine keeps its claim."""


@dataclass(frozen=True)
class Owner:
    """Who holds a claim; `boot` and `started` tell a process from a later one of the same pid."""

    token: str
    host: str
    user: str
    pid: int
    boot: str
    started: str
    since: float

    @classmethod
    def me(cls) -> Self:
        return cls(
            token=secrets.token_hex(8),
            host=socket.gethostname(),
            user=getpass.getuser(),
            pid=os.getpid(),
            boot=_boot(),
            started=_process_start(os.getpid()) or "",
            since=time.time(),
        )

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}"


class Claim:
    """The hold on one run, from `take` to `release`."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.owner = path, owner

    @classmethod
    def take(cls, path: Path) -> Self:
        """Become the owner, or raise RunError that names the one who is."""
        me = Owner.me()
        for _ in range(3):
            if _create(path, me):
                return cls(path, me)
            holder = alive(path)
            if holder is not None:
                raise RunError(
                    f"{path.parent.name} is being worked on by {holder} since {time.ctime(holder.since)}; "
                    f"one run has one owner. Wait for it, or stop that process and start again."
                )
            _set_aside(path)
        raise RunError(f"{path} could not be claimed: others took it first. Start again.")

    def held(self) -> bool:
        """Whether the run is still ours: a superseded owner must not publish."""
        holder = owner(self.path)
        return holder is not None and holder.token == self.owner.token

    def beat(self) -> None:
        """Renew the lease."""
        if self.held():
            os.utime(self.path)

    def release(self) -> None:
        if self.held():
            self.path.unlink(missing_ok=True)


def owner(path: Path) -> Owner | None:
    """Who is written in the claim, alive or not; None where there is no whole claim."""
    try:
        return Owner(**json.loads(path.read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def alive(path: Path) -> Owner | None:
    """The owner, if it still counts as working."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    holder = owner(path)
    if holder is not None and holder.host == socket.gethostname():
        here = holder.boot == _boot() and _process_start(holder.pid) == holder.started
        return holder if here else None
    # An unreadable claim is one that is being written, or the remains of a crash: the lease decides.
    return (holder or Owner("", "unknown", "unknown", 0, "", "", 0.0)) if age < LEASE_SECONDS else None


def _create(path: Path, me: Owner) -> bool:
    """Link a fully written file into place: a claim is never seen half written."""
    temporary = path.with_name(f".{path.name}.{me.token}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(me), file)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _set_aside(path: Path) -> None:
    stale = path.with_name(f".{path.name}.{secrets.token_hex(6)}.stale")
    try:
        path.rename(stale)
    except FileNotFoundError:
        return
    if alive(stale) is not None:  # somebody claimed it anew between our look and our rename: give it back
        try:
            os.link(stale, path)
        except FileExistsError:
            pass
    stale.unlink(missing_ok=True)


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def _process_start(pid: int) -> str | None:
    """The start time of a living process in clock ticks since boot; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self").exists() else ""
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]
