"""The same 24 trivial jobs through three launchers: how soon they are sent, and what is left when one is killed."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import Prompt, Started, Taken

from slurm.machine import Machine
from slurm.processes import Env, kill_all
from waiting import wait_until

JOBS, VICTIM = 24, 7
SCRIPTS = Path(__file__).resolve().parent / "jobs"
HYDRA = ("hydra-core>=1.3.2,<1.4", "hydra-submitit-launcher")


@dataclass(frozen=True)
class Undisturbed:
    """Seconds from the command to: all sent, the prompt back, all jobs done; and the command's processor seconds."""

    sent: float
    prompt: float
    done: float
    cpu: float


@dataclass(frozen=True)
class Killed:
    """What is left when one job's processes got SIGKILL in mid-sleep.

    Attributes:
        slept: jobs that came to their end, as their own marks tell.
        results: what the launcher gives for it without more commands; `later`: after `remedy`, None without one.
        says: what the command that tells the results says of it.
    """

    slept: int
    results: int
    code: int
    says: str
    remedy: str
    later: int | None


class Launcher:
    """One way to send the jobs; each round has a folder of its own."""

    name = ""

    def __init__(self, machine: Machine, prompt: Prompt) -> None:
        self._machine, self._prompt = machine, prompt
        self._rounds = 0

    def start(self, folder: Path, env: Env) -> Started:
        """Type the command that sends all jobs."""
        raise NotImplementedError

    def outcome(self, folder: Path, sent: Taken, env: Env) -> Killed:
        """What is left when nothing runs any more."""
        raise NotImplementedError

    def undisturbed(self) -> Undisturbed:
        folder, env = self._round()
        started = self.start(folder, env)
        taken = started.finish()
        wait_until(
            lambda: slept(folder) == JOBS,
            lambda: f"{JOBS} jobs of {self.name}; {slept(folder)} came to their end\n{taken.output}",
        )
        last = max(mark.stat().st_mtime for mark in folder.glob("done-*"))
        self._empty()
        return Undisturbed(taken.sent or 0.0, taken.wall, last - started.began, taken.cpu)

    def killed(self) -> Killed:
        folder, env = self._round()
        started = self.start(folder, {**env, "NAP_VICTIM": str(VICTIM)})
        wait_until((folder / f"started-{VICTIM}").exists, f"job {VICTIM} of {self.name} to start")
        kill_all(self._is_victim)
        taken = started.finish()
        self._empty()
        return self.outcome(folder, taken, env)

    def _round(self) -> tuple[Path, Env]:
        self._rounds += 1
        folder = self._prompt.folder / f"{type(self).__name__}-{self._rounds}"
        folder.mkdir()
        return folder, {"NAP_FOLDER": str(folder), "PYTHONPATH": str(SCRIPTS)}

    def _is_victim(self, env: Env) -> bool:
        """A process of the array element that sleeps long: of the first array in this queue."""
        ours = env.get("SLURM_CONF") == str(self._machine.conf) and "SLURM_JOB_ID" in env
        return ours and env.get("SLURM_ARRAY_TASK_ID") == str(VICTIM)

    def _empty(self) -> None:
        wait_until(
            lambda: self._machine.run("squeue", "-h") == "",
            lambda: f"jobs of {self.name} to end:\n{self._machine.run('squeue')}",
        )


class Scoft(Launcher):
    name = "scoft-hpc"

    def start(self, folder: Path, env: Env) -> Started:
        return self._prompt.start(*self._words(folder), **env)

    def outcome(self, folder: Path, sent: Taken, env: Env) -> Killed:
        results, told = self._results(folder), self._status(folder)
        later = None
        if results < JOBS:
            self._prompt.run(*self._words(folder), **env)
            self._empty()
            later = self._results(folder)
        remedy = "the same command again" if later is not None else "an ending job sent it again by itself"
        return Killed(slept(folder), results, sent.code, told, remedy, later)

    def _words(self, folder: Path) -> list[str]:
        seeds = ",".join(map(str, range(JOBS)))
        wrapped = f"{sys.executable} {SCRIPTS / 'through_scoft.py'}"
        study = ["culture=korea", "ablation.axes.variant=[base]", f"seed=[{seeds}]", "study=naps"]
        where = [f"output={folder}", "wandb.mode=disabled", "cluster=slurm", "cluster.lanes=1"]
        how = ["cluster.partition=GPU-shared", "cluster.gpu=v100-32", f"cluster.python='{wrapped}'"]
        return [sys.executable, "-m", "scoft_hpc.sweep", *study, *where, *how]

    def _results(self, folder: Path) -> int:
        return len(list(folder.glob("naps/runs/*/result.json")))

    def _status(self, folder: Path) -> str:
        told = self._prompt.run(sys.executable, "-m", "scoft_hpc.status", "--output", str(folder))
        return next(line for line in told.output.splitlines() if line.startswith("study "))


class Hydra(Launcher):
    name = "Hydra's submitit launcher"

    def __init__(self, machine: Machine, prompt: Prompt, python: Path) -> None:
        super().__init__(machine, prompt)
        self._python = python

    def start(self, folder: Path, env: Env) -> Started:
        launcher = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=GPU-shared"]
        gpu = "+hydra.launcher.additional_parameters.gpus=v100-32:1"
        numbers = f"+number={','.join(map(str, range(JOBS)))}"
        words = ["--multirun", *launcher, gpu, f"hydra.sweep.dir={folder}/multirun", numbers]
        return self._prompt.start(str(self._python), str(SCRIPTS / "through_hydra.py"), *words, **env)

    def outcome(self, folder: Path, sent: Taken, env: Env) -> Killed:
        """The launcher returns all values or raises for one, and then the sweep has none."""
        results = JOBS if sent.code == 0 else 0
        return Killed(
            slept(folder), results, sent.code, _complaint(sent.output), "none: submit all jobs again", None
        )


class Submitit(Launcher):
    name = "plain submitit"

    def start(self, folder: Path, env: Env) -> Started:
        return self._prompt.start(*self._words("send", folder, str(JOBS)), **env)

    def outcome(self, folder: Path, sent: Taken, env: Env) -> Killed:
        """The program that sent has ended; another one collects by the array's number, job by job."""
        words = self._words("collect", folder, sent.last_line, str(JOBS))
        told = self._prompt.run(*words, expected=None, **env)
        results = int(told.last_line.split()[0])
        says = _complaint(told.output)
        return Killed(slept(folder), results, sent.code, says, "none: write a script", None)

    def _words(self, verb: str, folder: Path, *rest: str) -> list[str]:
        return [sys.executable, str(SCRIPTS / "through_submitit.py"), verb, f"{folder}/submitit", *rest]


def slept(folder: Path) -> int:
    return len(list(folder.glob("done-*")))


def _complaint(output: str) -> str:
    """What submitit says of a job without a result, paths left out; else the last line."""
    found = re.search(r"(Job \S+).*?(has not produced any output \(state: \w+\))", output, re.DOTALL)
    return " ".join(found.groups()) if found else (output.strip().splitlines() or [""])[-1]


def median(rounds: Sequence[Undisturbed]) -> Undisturbed:
    """Each figure's median."""
    names = ("sent", "prompt", "done", "cpu")
    return Undisturbed(*(statistics.median(getattr(one, name) for one in rounds) for name in names))


def hydra_python(folder: Path) -> Path:
    """A throw-away environment with Hydra's launcher.

    Raises:
        RuntimeError: if it cannot be installed; says what pip said last.
    """
    python = folder / "hydra" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *HYDRA]
    for words in ([sys.executable, "-m", "venv", str(folder / "hydra")], install):
        done = subprocess.run(words, capture_output=True, text=True, env=dict(os.environ))
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no reason was given"])[-1])
    return python


def launchers(machine: Machine, prompt: Prompt) -> Iterator[Callable[[], Launcher]]:
    """How to make each; Hydra's raises RuntimeError where it cannot be installed."""
    yield lambda: Scoft(machine, prompt)
    yield lambda: Hydra(machine, prompt, hydra_python(prompt.folder))
    yield lambda: Submitit(machine, prompt)
