"""One owner per run: a lease as a file, correct on file systems without working locks.

The file is written and then hard-linked into place: that fails if the name exists, on Lustre and NFS too. The owner
touches it while it lives. A lease whose process is known to be dead (same machine), or which was not renewed for
LEASE_SECONDS, is stale and may be taken over. A lease is acquired and released under a lock of the same kind that is
held for milliseconds, so that exactly one of many processes acquires it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from scoft_hpc.errors import RunError
from scoft_hpc.study import atomic

LEASE_SECONDS = 600.0
"""How long a lease lasts after its last renewal, where the state of the owner's process is not known."""

LOCK_TIMEOUT_SECONDS = 30.0
"""How long to wait for the lock; an older lock of an unknown process is stale."""

JOB, RESTART = "SCOFT_JOB", "SCOFT_RESTART"
"""Environment variables with which a Slurm job gives its process the job's id and its number of restarts."""

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)


@dataclass(frozen=True)
class Owner:
    """The process that holds a lease.

    `machine`, `boot` and `namespace` (of process ids) determine whether `pid` is meaningful on this machine; `started`
    distinguishes the process from a later one of the same pid. `job` and `restart`: of the array task.
    """

    token: str
    host: str
    machine: str
    boot: str
    namespace: str
    user: str
    pid: int
    started: str
    since: float
    job: str = ""
    restart: int = 0

    @classmethod
    def me(cls) -> Self:
        pid = os.getpid()
        started, now = _process_start(pid) or "", time.time()
        job, restart = os.environ.get(JOB, ""), int(os.environ.get(RESTART) or 0)
        return cls(secrets.token_hex(8), *_this_machine(), user(), pid, started, now, job, restart)

    def __str__(self) -> str:
        job = f"job {self.job}, " if self.job else ""
        return f"{self.user}@{self.host}, {job}process {self.pid}"

    def supersedes(self, other: Owner) -> bool:
        """Whether `other` is an earlier start of this very job: Slurm has ended it."""
        return bool(self.job) and self.job == other.job and self.restart > other.restart


class Lease:
    """Ownership of one run, from `acquire` to `release`, or to the end of a `with` block."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.owner = path, owner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()

    @classmethod
    def acquire(cls, path: Path, wait_seconds: float = LOCK_TIMEOUT_SECONDS + 1) -> Self:
        """Become the owner.

        Raises:
            RunError: if another process is, which it names, or if the lease cannot be written.
        """
        me = Owner.me()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path, me, wait_seconds) as now:
                holder = live_owner(path, now)
                if holder is not None and me.supersedes(holder):
                    holder = None
                if holder is None:
                    atomic.write_json(path, asdict(me))
        except OSError as error:
            raise RunError(
                f"{path} cannot be written: {error.strerror}. A run needs a folder of its own."
            ) from None
        if holder is not None:
            raise RunError(
                f"{path.parent.name} is being worked on by {holder} since {time.ctime(holder.since)}; "
                f"one run has one owner. Wait for it, or stop that process and start again."
            )
        return cls(path, me)

    def is_held(self) -> bool:
        """Whether the lease was not taken over: a superseded owner must not publish."""
        holder = owner(self.path)
        return holder is not None and holder.token == self.owner.token

    def renew(self) -> bool:
        """Renew the lease; False if another process has it. I/O errors are ignored: the next renewal tries again."""
        try:
            if not self.is_held():
                return not self.path.exists()
            os.utime(self.path)
        except OSError:
            pass
        return True

    def release(self) -> None:
        """Give the lease up; a file that cannot be removed now expires."""
        with contextlib.suppress(OSError, RunError), _locked(self.path, self.owner):
            if self.is_held():
                self.path.unlink(missing_ok=True)


def revoke(path: Path, expected: Owner) -> bool:
    """Remove the lease of an owner that Slurm reports as ended; False if it has another owner by now.

    If the process is alive after all, it notices at its next renewal and publishes nothing.
    """
    with _locked(path, Owner.me()):
        if owner(path) != expected:
            return False
        path.unlink(missing_ok=True)
    return True


def owner(path: Path) -> Owner | None:
    """The owner that the file names, alive or not; None if there is no file, or not a whole one."""
    for _ in range(3):
        try:
            return Owner(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            return None
        except OSError as error:
            if error.errno != errno.ESTALE:
                return None
    return None


def live_owner(path: Path, now: float | None = None, lease: float = LEASE_SECONDS) -> Owner | None:
    """The owner, if its lease is valid; `now`: the time by the file system's clock, if known."""
    try:
        touched = path.stat().st_mtime
    except OSError:
        return None
    holder = owner(path)
    running = None if holder is None else _running(holder)
    if running is None:  # of another machine, or an unreadable file: its age decides
        running = abs((time.time() if now is None else now) - touched) < lease
    return (holder or Owner("", "unknown", "", "", "", "unknown", 0, "", touched)) if running else None


@contextlib.contextmanager
def _locked(path: Path, me: Owner, wait_seconds: float = LOCK_TIMEOUT_SECONDS + 1) -> Iterator[float]:
    """Hold the lease's lock, after waiting so long for it at most; yield the time by the file system's clock."""
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + wait_seconds
    while True:
        created, now = _create(lock, me)
        if created:
            break
        with contextlib.suppress(OSError):
            _break_stale(lock, now)
        if time.monotonic() > deadline:
            raise RunError(
                f"{lock} is held by {owner(lock) or 'another process'}; start again when it has ended."
            )
        time.sleep(0.01)
    try:
        yield now
    finally:
        holder = owner(lock)
        if holder is not None and holder.token == me.token:
            lock.unlink(missing_ok=True)


def _break_stale(lock: Path, now: float) -> None:
    stale = owner(lock)
    if live_owner(lock, now, LOCK_TIMEOUT_SECONDS) is not None:
        return
    aside = lock.with_name(f"{lock.name}.{secrets.token_hex(6)}.stale")
    lock.rename(aside)
    if owner(aside) != stale:  # another process broke it before the rename, and this is a new lock
        with contextlib.suppress(FileExistsError):
            os.link(aside, lock)
    aside.unlink()


def _create(path: Path, me: Owner) -> tuple[bool, float]:
    """Link a fully written file into place, so that readers never see a part of it.

    Returns:
        Whether there was none, and the time by the file system's clock.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}.tmp")
    text = json.dumps(asdict(me))
    try:
        temporary.write_text(text)
        now = temporary.stat().st_mtime
        try:
            os.link(temporary, path)
        except FileExistsError:  # also if the link was made and the server's answer was lost
            return temporary.stat().st_nlink == 2, now
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _create_whole(path, text), now
    finally:
        temporary.unlink(missing_ok=True)
    return True, now


def _create_whole(path: Path, text: str) -> bool:
    """For file systems without hard links; a reader may see the file before its text, and treats it as valid."""
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _running(holder: Owner) -> bool | None:
    """Whether the owner's process is alive; None if this machine cannot know."""
    host, machine, boot, namespace = _this_machine()
    if (holder.host, holder.machine) != (host, machine):
        return None
    if holder.boot != boot:
        return False if machine else None  # rebooted since, or another machine of the same name
    if holder.namespace != namespace:
        return None
    started = _process_start(holder.pid)
    return None if started == "" else started == holder.started


def _process_start(pid: int) -> str | None:
    """The start time of a living process in clock ticks since boot; None if there is none, "" if it is hidden."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


@functools.cache
def _this_machine() -> tuple[str, str, str, str]:
    """This machine, as an owner's host, machine, boot and namespace."""
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(Path("/proc/self/ns/pid").readlink())
    boot = _text("/proc/sys/kernel/random/boot_id")
    return socket.gethostname(), _text("/etc/machine-id"), boot, namespace


def user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container the user id may have no name
        return str(os.getuid())


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return ""
