"""One owner a run: an atomic lease with a lease, correct on file systems without working locks.

The lease is a written file, hard-linked into place: that fails if the name exists, on Lustre and NFS too. The owner
touches it while it lives. A lease whose process is known to be dead (same machine), or which nobody has touched for
a lease, is stale and may be taken over. Taking and releasing happen under a lock of the same kind that is held for
milliseconds, so that of many takers one alone wins.
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
"""How long a silent owner of whom nothing else is known keeps its lease."""

LOCK_TIMEOUT_SECONDS = 30.0
"""How long to wait for the lock; a lock that is older and of an unknown process is nobody's."""

JOB, RESTART = "SCOFT_JOB", "SCOFT_RESTART"
"""Environment variables by which a queue's job tells its process what it is called, and how often it was started."""

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV)


@dataclass(frozen=True)
class Owner:
    """Who holds a lease.

    `machine`, `boot` and `namespace` (of process ids) tell whether `pid` means anything here; `started` tells the
    process from a later one of the same pid. `job` and `restart` name the queue's task that the process works for.
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
        """Whether `other` is an earlier start of this very job: the queue has given up on it, so may we."""
        return bool(self.job) and self.job == other.job and self.restart > other.restart


class Lease:
    """The hold on one run, from `take` to `release`."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path, self.owner = path, owner

    @classmethod
    def acquire(cls, path: Path) -> Self:
        """Become the owner.

        Raises:
            RunError: naming the one who is, or why the lease cannot be written.
        """
        me = Owner.me()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path, me) as now:
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
        """Whether the run is still ours: a superseded owner must not publish."""
        holder = owner(self.path)
        return holder is not None and holder.token == self.owner.token

    def renew(self) -> bool:
        """Renew the lease; False if it is another's by now. What a troubled disk swallows the next beat makes up."""
        try:
            if not self.is_held():
                return not self.path.exists()
            os.utime(self.path)
        except OSError:
            pass
        return True

    def release(self) -> None:
        """Let others take the run; what cannot be removed now expires with its lease."""
        with contextlib.suppress(OSError, RunError), _locked(self.path, self.owner):
            if self.is_held():
                self.path.unlink(missing_ok=True)


def revoke(path: Path, judged: Owner) -> bool:
    """Take the lease from an owner of whom it is known elsewhere that it is gone; False if it has another by now.

    Should it be alive all the same, it finds out at its next look and publishes nothing.
    """
    with _locked(path, Owner.me()):
        if owner(path) != judged:
            return False
        path.unlink(missing_ok=True)
    return True


def owner(path: Path) -> Owner | None:
    """Who is written in the lease, alive or not; None where there is no whole lease."""
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
    """The owner, if it still counts as working; `now` is the file system's clock, if that is known better."""
    try:
        touched = path.stat().st_mtime
    except OSError:
        return None
    holder = owner(path)
    running = None if holder is None else _running(holder)
    if running is None:  # of another machine, or a lease that cannot be read: the lease decides
        running = abs((time.time() if now is None else now) - touched) < lease
    return (holder or Owner("", "unknown", "", "", "", "unknown", 0, "", touched)) if running else None


@contextlib.contextmanager
def _locked(path: Path, me: Owner) -> Iterator[float]:
    """Hold the lease's lock; yields the time by the file system's clock."""
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS + 1
    while True:
        made, now = _create(lock, me)
        if made:
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
    judged = owner(lock)
    if live_owner(lock, now, LOCK_TIMEOUT_SECONDS) is not None:
        return
    aside = lock.with_name(f"{lock.name}.{secrets.token_hex(6)}.stale")
    lock.rename(aside)
    if owner(aside) != judged:  # another broke it between our look and our rename, and this is a new one
        with contextlib.suppress(FileExistsError):
            os.link(aside, lock)
    aside.unlink()


def _create(path: Path, me: Owner) -> tuple[bool, float]:
    """Link a fully written file into place, so that it is never seen half written.

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
        except FileExistsError:  # also where the server's answer to our own link was lost
            return temporary.stat().st_nlink == 2, now
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return _create_whole(path, text), now
    finally:
        temporary.unlink(missing_ok=True)
    return True, now


def _create_whole(path: Path, text: str) -> bool:
    """For file systems without hard links; a reader may see the file before its text, and gives it the lease."""
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _running(holder: Owner) -> bool | None:
    """Whether the owner's process lives; None if that cannot be known from here."""
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
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may know no name for the number
        return str(os.getuid())


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return ""
