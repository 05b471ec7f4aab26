"""Saves and leases on a disk that breaks at any system call, or lacks one; by strace, so the calls are real."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scoft_hpc.study.lease import Lease
from scoft_hpc.training import checkpoint

SAVER = """
import os, sys
from pathlib import Path
import torch
from scoft_hpc.study import atomic
from scoft_hpc.training import checkpoint
atomic.STALE_PAUSES = (0.0, 0.0)
tensors = {"a": torch.full((3000,), 3.0), "b": torch.zeros(7)}
for line in sys.stdin:
    folder = Path(line.strip())
    pid = os.fork()
    if pid == 0:
        os.read(os.open(folder.parent / "go", os.O_RDONLY), 1)
        try:
            checkpoint.write(folder, 3, tensors, {"lane": "korea"})
        except OSError as error:
            (folder.parent / "said").write_text(str(error))
            os._exit(1)
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
"""For each folder that is named on its input, a child that saves when `go` is opened: torch is loaded but once."""

RACE = """
import sys, time
from pathlib import Path
from scoft_hpc.errors import RunError
from scoft_hpc.study import job_array
from scoft_hpc.study.lease import Lease
while time.time() < float(sys.argv[2]):
    pass
for i in range(20):
    try:
        Lease.acquire(Path(sys.argv[1]) / str(i) / "lease.json")
        print(i)
    except RunError:
        pass
print("job", job_array.record_job(Path(sys.argv[1]), int(sys.argv[3])))
sys.stdout.flush()
sys.stdin.readline()
"""
"""Takes what it can of 20 leases and records a job's number, at the same moment as others; holds on until told."""

OWNER = """
import sys
from pathlib import Path
from scoft_hpc.study import lease
print(lease.owner(Path(sys.argv[1])))
"""

pytestmark = pytest.mark.strace

WRITING = {"write", "ftruncate", "renameat", "chmod", "fsync", "rename"}


@dataclass
class Saver:
    process: subprocess.Popen[str]

    def calls(self, folder: Path) -> list[str]:
        """An undisturbed save's system calls in order, as `fsync 1`, `fsync 2`: which of its kind."""
        trace = folder.parent / "trace"
        assert self.save(folder, "-f", "-o", str(trace)) == 0
        names = re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE)
        names = names[names.index("read") + 1 : names.index("exit_group")]
        seen: Counter[str] = Counter()
        calls = []
        for name in names:
            seen[name] += 1
            calls.append(f"{name} {seen[name]}")
        return calls

    def broken(self, folder: Path, call: str, fault: str) -> int:
        """Save with `fault` injected at one of `calls`."""
        name, _, nth = call.partition(" ")
        return self.save(folder, "-f", "-o", "/dev/null", "-e", f"inject={name}:{fault}:when={nth}")

    def save(self, folder: Path, *tracing: str) -> int:
        """Save step 3 under strace; the exit code, negative for the signal that killed it."""
        assert self.process.stdin is not None
        go = folder.parent / "go"
        if not go.exists():
            os.mkfifo(go)
        self.process.stdin.write(f"{folder}\n")
        self.process.stdin.flush()
        pid = self._answer()
        with subprocess.Popen(["strace", *tracing, "-p", pid], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            assert "attached" in (line := tracer.stderr.readline()), line
            gate = os.open(go, os.O_RDWR)  # so it opens, whether or not the child lives to read
            os.write(gate, b"!")
            code = int(self._answer())
            os.close(gate)
            return code

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def saver() -> Iterator[Saver]:
    command = [sys.executable, "-c", SAVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Saver(process)


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3000,), float(step)), "b": torch.zeros(7)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of the steps 1 and 2."""
    for step in (1, 2):
        checkpoint.write(tmp_path / "checkpoints", step, tensors(step), {"lane": "korea"})
    return tmp_path / "checkpoints"


def assert_sound(folder: Path) -> set[int]:
    """Every checkpoint that has its name verifies and holds what was saved; the steps."""
    sound = checkpoint.read_valid(folder)
    assert len(sound) == len(checkpoint.existing(folder))
    for step, state in sound.items():
        assert all(torch.equal(state.tensors[name], value) for name, value in tensors(step).items())
    return set(sound)


def assert_next_save_works(folder: Path, step: int) -> None:
    checkpoint.write(folder, step, tensors(step), {"lane": "korea"})
    assert max(assert_sound(folder)) == step
    assert len(list(folder.iterdir())) == checkpoint.MAX_CHECKPOINTS, "something is left of the broken save"


def again(folder: Path) -> None:
    """As before the save that was broken."""
    for path in folder.iterdir():
        path.unlink()
    for step in (1, 2):
        checkpoint.write(folder, step, tensors(step), {"lane": "korea"})


@pytest.mark.slow
def test_killed_at_any_system_call_of_a_save_a_verified_checkpoint_exists_and_the_next_save_works(
    saver: Saver, folder: Path
) -> None:
    calls = saver.calls(folder)
    assert {f"{name} 1" for name in WRITING | {"unlink"}} <= set(calls)
    newest = []
    for call in calls:
        again(folder)
        code = saver.broken(folder, call, "signal=KILL")
        steps = assert_sound(folder)
        assert (code, 2 in steps) == (-signal.SIGKILL, True), f"killed at {call}"
        newest.append(max(steps))
        assert_next_save_works(folder, 4)
    assert newest == sorted(newest) and set(newest) == {2, 3}


@pytest.mark.parametrize("fault", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_disk_that_refuses_any_call_of_a_save_leaves_the_last_checkpoint_and_one_clear_message(
    saver: Saver, folder: Path, fault: str
) -> None:
    for call in writing(saver, folder):
        again(folder)
        assert saver.broken(folder, call, f"error={fault}") == 1
        assert 2 in assert_sound(folder), f"refused at {call}"
        message = (folder.parent / "said").read_text()
        assert str(folder / "step-00000003.safetensors") in message
        assert os.strerror(getattr(errno, fault)) in message
        assert "it needs 0.0 MB" in message and "MB are free" in message
        assert_next_save_works(folder, 4)


def test_a_stale_file_handle_at_any_call_of_a_save_is_tried_again(saver: Saver, folder: Path) -> None:
    for call in writing(saver, folder):
        again(folder)
        assert saver.broken(folder, call, "error=ESTALE") == 0, f"stale at {call}"
        assert assert_sound(folder) == {2, 3}


def test_a_disk_that_stays_stale_is_told_after_a_few_tries(saver: Saver, folder: Path) -> None:
    assert saver.save(folder, "-f", "-o", "/dev/null", "-e", "inject=renameat:error=ESTALE") == 1
    assert "Stale file handle" in (folder.parent / "said").read_text()
    assert assert_sound(folder) == {1, 2}


def writing(saver: Saver, folder: Path) -> list[str]:
    return [call for call in saver.calls(folder) if call.partition(" ")[0] in WRITING]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["EPERM", "EOPNOTSUPP", None])
def test_of_many_takers_one_wins_each_claim_with_or_without_hard_links(
    tmp_path: Path, fault: str | None
) -> None:
    """No flock in any case; without links, exclusive creation."""
    tracing = ["strace", "-f", "-o", "/dev/null", "-e", f"inject=link,linkat:error={fault}"] if fault else []
    start = str(time.time() + 2)
    takers = [
        subprocess.Popen(
            [*tracing, sys.executable, "-c", RACE, str(tmp_path), start, str(100 + number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    won, jobs = [], set()
    for taker in takers:
        assert taker.stdout is not None
        while not (line := taker.stdout.readline()).startswith("job"):
            assert line, "a taker broke off"
            won.append(int(line))
        jobs.add(line)
    for taker in takers:
        taker.communicate("go\n")
        assert taker.returncode == 0
    assert sorted(won) == list(range(20))
    assert len(jobs) == 1, "two arrays stand for one batch"


@pytest.mark.parametrize(("times", "read"), [(2, True), (3, False)])
def test_a_claim_that_the_file_server_lost_track_of_is_read_again(
    tmp_path: Path, times: int, read: bool
) -> None:
    hold = Lease.acquire(tmp_path / "lease.json")
    fault = f"inject=openat:error=ESTALE:when=1..{times}"
    tracing = ["strace", "-o", "/dev/null", "-P", str(hold.path), "-e", "trace=openat", "-e", fault]
    command = [*tracing, sys.executable, "-c", OWNER, str(hold.path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == (f"{hold.owner}\n" if read else "None\n")
