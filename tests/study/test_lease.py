"""One owner a run, whoever races, dies, reboots or sits on another machine. The processes are real."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scoft_hpc.errors import RunError
from scoft_hpc.study import lease
from scoft_hpc.study.lease import Lease, Owner

HOLD = """
import sys, time
from pathlib import Path
from scoft_hpc.study.lease import Lease
Lease.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""

RACE = """
import sys, time
from pathlib import Path
from scoft_hpc.errors import RunError
from scoft_hpc.study.lease import Lease
while time.time() < float(sys.argv[2]):
    pass
for i in range(int(sys.argv[3])):
    try:
        Lease.acquire(Path(sys.argv[1]) / str(i) / "lease.json")
        print(i)
    except RunError:
        pass
print("end", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "lease.json"


@pytest.fixture
def other(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A living process that holds the lease."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def _written(path: Path, owner: Owner, age: float = 0.0) -> None:
    """A lease of `owner`, last touched `age` seconds ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(owner)))
    touched = time.time() - age
    os.utime(path, (touched, touched))


def test_take_and_release(path: Path) -> None:
    mine = Lease.acquire(path)
    assert mine.is_held()
    owner = lease.live_owner(path)
    assert owner is not None
    assert owner.pid == os.getpid()
    mine.release()
    assert lease.live_owner(path) is None
    assert list(path.parent.iterdir()) == [], "nothing is left behind"


def test_second_taker_is_told_who(path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(RunError, match=rf"process {other.pid} since .*Wait for it, or stop that process"):
        Lease.acquire(path)


def test_killed_owner_is_taken_over_at_once(path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert lease.owner(path) is not None
    assert lease.live_owner(path) is None
    assert Lease.acquire(path).is_held()


def test_zombie_is_dead(path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)  # not waited for: its entry stays in the table of processes
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert lease.live_owner(path) is None


def test_pid_used_again_is_another_process(path: Path) -> None:
    _written(path, replace(Owner.me(), started="1"))
    assert lease.live_owner(path) is None


@pytest.mark.slow
@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "over a dead owner's leases"])
def test_race_has_one_winner_each(tmp_path: Path, stale: bool) -> None:
    count, racers = 12, 4
    if stale:
        for i in range(count):
            _written(tmp_path / str(i) / "lease.json", replace(Owner.me(), started="1"))
    command = [sys.executable, "-c", RACE, str(tmp_path), str(time.time() + 0.7), str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(racers)]
    won: list[int] = []
    for process in processes:
        assert process.stdout is not None
        while (line := process.stdout.readline()) != "end\n":
            assert line, "a racer broke off"
            won.append(int(line))
    assert all(lease.live_owner(tmp_path / str(i) / "lease.json") for i in range(count))
    for process in processes:
        process.communicate("go\n")
    assert sorted(won) == list(range(count))


def test_superseded_owner_knows(path: Path) -> None:
    mine = Lease.acquire(path)
    _written(path, replace(Owner.me(), token="another"))
    assert not mine.is_held()
    before = path.stat().st_mtime_ns
    mine.renew()
    mine.release()
    assert path.stat().st_mtime_ns == before, "the other's lease is neither renewed nor removed"


def test_claim_that_vanished_is_not_held(path: Path) -> None:
    mine = Lease.acquire(path)
    path.unlink()
    assert not mine.is_held()
    mine.renew()
    mine.release()


def test_another_machine_keeps_its_claim_for_a_lease(path: Path) -> None:
    elsewhere = replace(Owner.me(), host="node7", machine="f00")
    _written(path, elsewhere, age=lease.LEASE_SECONDS - 30)
    assert lease.live_owner(path) == elsewhere
    with pytest.raises(RunError, match="@node7"):
        Lease.acquire(path)
    _written(path, elsewhere, age=lease.LEASE_SECONDS + 30)
    assert lease.live_owner(path) is None
    assert Lease.acquire(path).is_held()


def test_beat_renews_the_lease(path: Path) -> None:
    mine = Lease.acquire(path)
    os.utime(path, (1, 1))
    mine.renew()
    assert time.time() - path.stat().st_mtime < 60


def test_time_in_the_future_does_not_hold_for_ever(path: Path) -> None:
    _written(path, replace(Owner.me(), host="node7"), age=-10 * lease.LEASE_SECONDS)
    assert lease.live_owner(path) is None


def test_this_machine_rebooted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_this_machine", lambda: ("host", "machine", "boot 2", "pid:[1]"))
    before = Owner("t", "host", "machine", "boot 1", "pid:[1]", "user", os.getpid(), "1", 0.0)
    _written(path, before)
    assert lease.live_owner(path) is None


@pytest.mark.parametrize(
    "difference", [{"namespace": "pid:[2]"}, {"machine": "", "boot": "2"}, {"machine": "2"}]
)
def test_process_that_cannot_be_seen_from_here_has_its_lease(path: Path, difference: dict[str, str]) -> None:
    owner = replace(Owner.me(), started="1", **difference)
    if difference.get("machine") == "":  # two machines of one name that have no id
        owner = replace(owner, host="localhost")
    _written(path, owner)
    assert lease.live_owner(path) == owner


def test_hidden_process_has_its_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc can hide other users' processes; that such a process cannot be signalled tells that it is there."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    _written(path, replace(Owner.me(), pid=2**22 + 1, started="1"))  # above the highest pid there can be
    assert lease.live_owner(path) is None
    monkeypatch.setattr(os, "kill", refuse)
    assert lease.live_owner(path) is not None


@pytest.mark.parametrize("text", ["", '{"token": "x"', "[]", '{"other": 1}'])
def test_unreadable_claim_has_its_lease(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    assert lease.owner(path) is None
    assert lease.live_owner(path) is not None
    os.utime(path, (1, 1))
    assert Lease.acquire(path).is_held()


def test_lock_of_a_killed_taker_is_broken(path: Path) -> None:
    lock = path.with_name(f".{path.name}.lock")
    _written(lock, replace(Owner.me(), started="1"))
    assert Lease.acquire(path).is_held()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_lock_that_never_ends_is_told(path: Path) -> None:
    lock = path.with_name(f".{path.name}.lock")
    _written(lock, Owner.me())
    with pytest.raises(RunError, match=rf"is held by .*process {os.getpid()}"):
        Lease.acquire(path, wait_seconds=0.1)
    assert lock.exists()


def test_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    mine = Lease.acquire(path)
    assert mine.is_held()
    with pytest.raises(RunError, match="being worked on"):
        Lease.acquire(path)
    mine.release()
    assert list(path.parent.iterdir()) == []


def test_lost_answer_of_the_file_server(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS: the link was made, its answer got lost, and asked again the server says that it exists."""
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    assert Lease.acquire(path, wait_seconds=0.1).is_held()


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RunError, match=r"lease\.json cannot be written"):
        Lease.acquire(tmp_path / "run" / "lease.json")


def test_user_without_a_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert Owner.me().user == str(os.getuid())
