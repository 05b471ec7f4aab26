"""A study of 25 runs while jobs, nodes, Slurm's daemons and the launcher are killed at random, for two minutes.

    KILL_LOOP_SEED=7 KILL_LOOP_SECONDS=600 python -m pytest tests/slurm/test_kill_loop.py

Every run is done exactly once, by weights bit for bit those of the same study left in peace. The seed is printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from scoft_hpc.errors import INTERRUPTED
from scoft_hpc.launch.slurm import client
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import TRAIN
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read
from slurm.layout import NODES
from slurm.machine import Machine
from slurm.processes import chosen
from waiting import PATIENCE, wait_until

ARGUMENTS = (
    "culture=all",
    "ablation=loss_terms",
    "study=s",
    "threads=1",
    "cluster.lanes=5",
    "save_seconds=1",
    "train.steps=40",
    "data.pairs=8",
    "data.negatives.steps=3",
    "evaluation.steps=3",
    "evaluation.samples=1",
    "wandb.mode=disabled",
)
SEED = int(os.environ["KILL_LOOP_SEED"])
SECONDS = float(os.environ.get("KILL_LOOP_SECONDS", "120"))


class Chaos:
    """What may happen to a cluster, one mishap at a time, and how often it did."""

    def __init__(self, machine: Machine, study: StudyDir, rng: random.Random) -> None:
        self.machine, self.study, self.rng = machine, study, rng
        self.happened: Counter[str] = Counter()
        self.mishaps: list[Callable[[], None]] = [
            self.a_process, self.a_process, self.a_whole_job, self.a_node, self.a_node_with_zombies,
            self.slurmctld, self.slurmdbd, self.the_launcher, self.the_launcher,
        ]  # fmt: skip

    def strike(self) -> None:
        mishap = self.rng.choice(self.mishaps)
        self.happened[mishap.__name__] += 1
        mishap()

    def a_process(self) -> None:
        """Any process of any job: the batch script, srun, the task, or the training itself."""
        if pids := sorted(chosen(self._of_a_job)):
            kill(self.rng.choice(pids))

    def a_whole_job(self) -> None:
        jobs = sorted({job for pid in chosen(self._of_a_job) if (job := job_of(pid))})
        if jobs:
            job = self.rng.choice(jobs)
            for pid in chosen(lambda env: self._of_a_job(env) and env["SLURM_JOB_ID"] == job):
                kill(pid)

    def a_node(self) -> None:
        node = self.rng.choice(NODES)
        self.machine.node_fail(node)
        self._pause()
        self.machine.node_back(node)

    def a_node_with_zombies(self) -> None:
        """Slurm gives the node up, while the processes there go on."""
        node = self.rng.choice(NODES)
        self.machine.node_fail(node, zombies=True)
        self._pause()
        self.machine.node_back(node)

    def slurmctld(self) -> None:
        self.machine.kill("slurmctld")
        self._pause()
        self.machine.start("slurmctld")

    def slurmdbd(self) -> None:
        self.machine.kill("slurmdbd")
        self._pause()
        self.machine.start("slurmdbd")

    def the_launcher(self) -> None:
        launcher = start(self.study)
        time.sleep(self.rng.uniform(0.5, 4.0))
        launcher.kill()
        launcher.communicate()

    def _of_a_job(self, env: dict[str, str]) -> bool:
        return env.get("SLURM_CONF") == str(self.machine.conf) and "SLURM_JOB_ID" in env

    def _pause(self) -> None:
        time.sleep(self.rng.uniform(0.5, 4.0))


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def job_of(pid: int) -> str:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next(
        (variable[13:].decode() for variable in variables if variable.startswith(b"SLURM_JOB_ID=")), ""
    )


def start(study: StudyDir, *more: str) -> subprocess.Popen[str]:
    where = ("cluster=slurm", "device=cpu", f"output={study.path.parent}")
    command = [sys.executable, "-m", "scoft_hpc.sweep", *ARGUMENTS, *where, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sweep(study: StudyDir) -> None:
    """A person types the command again; Slurm may be away, but nothing may surprise them."""
    launcher = start(study)
    out, err = launcher.communicate(timeout=PATIENCE)
    assert launcher.returncode in (0, 3, 4), out + err
    assert "Traceback" not in err, err


def results(study: StudyDir) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in study.runs.glob("*/result.json")}


def at_once(study: StudyDir) -> Counter[str]:
    """How many tasks in the queue hold each run; one that has come to its end does not, while it sends what is lost."""
    try:
        queue = client.queue()
    except client.NoAnswerError:
        return Counter()
    holders: Counter[str] = Counter()
    for one in job_array.read_all(study):
        for task, runs in enumerate(one.tasks if one.stage == TRAIN else ()):
            entry, last = queue.find(one.job_name, one.job, task), one.last(task)
            leaving = last is not None and last.code not in (None, INTERRUPTED)
            holders.update(runs if entry is not None and entry.alive and not leaving else ())
    return holders


@pytest.fixture
def quiet_study(tmp_path: Path) -> StudyDir:
    """The same study in the same packs, which bit for bit asks for: on this machine, a job each, left in peace."""
    command = [
        sys.executable,
        "-m",
        "scoft_hpc.sweep",
        *ARGUMENTS,
        "cluster.jobs=5",
        f"output={tmp_path / 'quiet'}",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return StudyDir(tmp_path / "quiet" / "s")


def test_everything_is_killed_and_every_run_is_done_once(
    cluster: Machine, quiet_study: StudyDir, tmp_path: Path
) -> None:
    study = StudyDir(tmp_path / "loud" / "s")
    chaos = Chaos(cluster, study, random.Random(SEED))
    sweep(study)
    done: dict[str, str] = {}
    end = time.monotonic() + SECONDS
    while time.monotonic() < end or chaos.happened.total() < SECONDS / 20:
        time.sleep(chaos.rng.uniform(1.0, 8.0))
        chaos.strike()
        if chaos.rng.random() < 0.4:
            sweep(study)
        assert max(at_once(study).values(), default=0) <= 1
        now = results(study)
        assert {name: now[name] for name in done} == done  # what is done stays as it was
        done = now
    sys.stdout.write(f"{dict(chaos.happened)}; {len(done)} of 25 done when it ended\n")
    wait_in_peace(study)
    after = results(study)
    assert {name: after[name] for name in done} == done
    planned = [run.run_id for run in read(study).runs]
    assert sorted(after) == sorted(planned) and len(planned) == 25
    calm = {name: json.loads(text) for name, text in results(quiet_study).items()}
    for name, text in after.items():
        assert json.loads(text)["lora_sha256"] == calm[name]["lora_sha256"]
    starts = sum(len(one.attempts) for one in job_array.read_all(study))
    sys.stdout.write(f"{starts} starts of tasks in {len(job_array.read_all(study))} batches\n")


def wait_in_peace(study: StudyDir) -> None:
    """The command is typed every five seconds until all runs are done."""

    def sweep_until_done() -> bool:
        if len(results(study)) < 25:
            sweep(study)
        return len(results(study)) == 25

    def reasons() -> str:
        command = [sys.executable, "-m", "scoft_hpc.why", "s", f"output={study.path.parent}"]
        return f"25 results. {subprocess.run(command, capture_output=True, text=True).stdout}"

    wait_until(sweep_until_done, reasons, pause=5.0)
