"""Studies on the test cluster: sent by the real command, looked at, waited for and disturbed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scoft_hpc import sweep
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.tracking import study_state
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.job_array import Attempt, JobArray
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.plan_file import read
from scoft_hpc.study.run_status import Status
from slurm.machine import Machine
from waiting import wait_until

PACED = Path(__file__).with_name("paced.py")

REAL = (
    "culture=korea",
    "data.pairs=8",
    "data.negatives.steps=2",
    "evaluation.steps=2",
    "evaluation.samples=1",
    "evaluation.prompts=2",
    "evaluation.neutral=1",
    "device=cpu",
    "threads=1",
)
"""Settings of a run that is real and short."""


class CommandResult(NamedTuple):
    code: int
    text: str


@dataclass
class SlurmStudy:
    """A study on the test cluster. `arguments` are those of the sweep's command line."""

    cluster: Machine
    output: Path
    arguments: tuple[str, ...]

    @property
    def study(self) -> StudyDir:
        return StudyDir(self.output / "study")

    @property
    def all_arguments(self) -> list[str]:
        return [
            "cluster=slurm", "wandb.mode=disabled", "study=study", f"output={self.output}", *self.arguments
        ]  # fmt: skip

    # The command.

    def sweep(self, *more: str) -> CommandResult:
        """The command in this process: what it says, and its exit code."""
        arguments, output = [*self.all_arguments, *more], io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = sweep.main(arguments)
        return CommandResult(code, output.getvalue())

    def command(self, *more: str) -> list[str]:
        """The command as a process's arguments."""
        return [sys.executable, "-m", "scoft_hpc.sweep", *self.all_arguments, *more]

    def start(self, *more: str, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[str]:
        """The command as a process, perhaps under another program."""
        return subprocess.Popen(
            [*before, *self.command(*more)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    # How it stands.

    @property
    def ids(self) -> list[str]:
        return [run.run_id for run in read(self.study).runs]

    @property
    def runs(self) -> list[RunDir]:
        return [self.study.run(name) for name in self.ids]

    def states(self) -> dict[str, RunState]:
        return study_state.read(self.study, self.ids).states

    def state(self) -> RunState:
        """Of a study of one run."""
        (state,) = self.states().values()
        return state

    def batches(self) -> list[JobArray]:
        return job_array.read_all(self.study)

    def attempts(self) -> list[Attempt]:
        """In the order in which they started."""
        started = [
            attempt for one in self.batches() if one.stage == job_array.TRAIN for attempt in one.attempts
        ]
        return sorted(started, key=lambda attempt: attempt.started)

    def living(self) -> list[client.QueueEntry]:
        """The study's jobs in the queue."""
        names = {one.job_name for one in self.batches()}
        return [entry for entry in client.queue().entries if entry.alive and entry.name in names]

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.study.logs.glob("slurm/*.out")))

    def lines(self, name: str) -> list[str]:
        """Of a file that the paced job appends to."""
        path = self.output / name
        return path.read_text().splitlines() if path.exists() else []

    def starts(self) -> Counter[str]:
        """How often the paced job started each run."""
        return Counter(line.split()[0] for line in self.lines("started.txt"))

    # Waiting.

    def wait(self, fact: Callable[[], bool], what: str) -> None:
        def details() -> str:
            queue = self.cluster.run("squeue", "--array", "--states=all", check=False)
            return f"{what}.\n{queue}\n{self.logs()[-3000:]}"

        wait_until(fact, details)

    def wait_done(self) -> None:
        self.wait(lambda: all(run.result.exists() for run in self.runs), "every run's result")

    def wait_idle(self) -> None:
        self.wait(lambda: not self.living(), "the jobs to be gone")

    def wait_step(self, step: int) -> None:
        self.wait(lambda: run_status.step(self.runs[0]) >= step, f"step {step}")

    def wait_saved(self, step: int) -> None:
        """Of a study of one run; its journal may be ahead of what is saved."""
        self.wait(lambda: run_status.progress(self.runs[0]) >= step, f"step {step} to be saved")

    def wait_status(self, *wanted: Status) -> None:
        self.wait(lambda: self.state().status in wanted, f"{[status.value for status in wanted]}")

    def wait_attempts(self, count: int) -> None:
        self.wait(lambda: len(self.attempts()) >= count, f"attempt {count}")

    def wait_starts(self, count: int) -> None:
        """Of the paced job, and of the attempts that run it."""
        self.wait_attempts(count)
        self.wait(lambda: len(self.lines("started.txt")) >= count, f"start {count}")

    # The paced job.

    def order(self, **orders: Any) -> None:
        """Change what the paced job does."""
        path = self.output / "orders.json"
        before = json.loads(path.read_text()) if path.exists() else {"pace": 0.05, "saves": 1}
        new = path.with_name("orders.new")
        new.write_text(json.dumps({**before, **orders}))
        new.replace(path)


def paced(
    cluster: Machine,
    output: Path,
    *arguments: str,
    variants: str = "base",
    runs: int = 1,
    steps: int = 20,
    **orders: Any,
) -> SlurmStudy:
    """A study of `runs` seeds that train nothing: steps of 0.05 s, saved at each, unless ordered otherwise."""
    seeds = ",".join(map(str, range(runs)))
    usual = (
        "culture=korea",
        f"ablation.axes.variant=[{variants}]",
        f"seed=[{seeds}]",
        f"train.steps={steps}",
        f"cluster.python='{sys.executable} {PACED}'",
    )
    study = SlurmStudy(cluster, output, (*usual, *arguments))
    output.mkdir(exist_ok=True)
    study.order(**orders)
    return study


def real(cluster: Machine, output: Path, *arguments: str) -> SlurmStudy:
    return SlurmStudy(cluster, output, (*REAL, *arguments))


def contents(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below, though daemons make and remove some meanwhile."""
    for folder in folders:
        for base, _, names in os.walk(folder):  # passes over what is gone, as rglob does not
            for path in (Path(base) / name for name in names):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file():
                        yield path, path.read_bytes()


def take_node(cluster: Machine, node: str = "w001") -> str:
    """An urgent job that wants the whole node, and preempts what is there."""
    options = [
        "--partition=urgent",
        "--nodes=1",
        "--gpus=v100-32:8",
        f"--nodelist={node}",
        "--output=/dev/null",
    ]
    return cluster.run("sbatch", "--parsable", *options, "--wrap=sleep 3600")


def on(partition: str, node: str = "w001") -> tuple[str, str]:
    """Words that send the jobs to one node of a partition."""
    return f"cluster.partition={partition}", f"cluster.sbatch={{nodelist:{node}}}"
