"""What it costs to manage 1,000 runs from a login node, on a real Slurm; writes docs/fleet-numbers.md.

    python bench/fleet.py [--repeat 3]

Brings up the test cluster (Debian's Slurm, as root), takes about five minutes on two cores, and leaves nothing behind
but the page. Each figure stands beside its goal. Beside them, 24 trivial jobs through this and two other launchers.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # the test cluster lives there

import launchers
from launchers import Killed, Undisturbed
from measure import Prompt, Taken

from slurm.machine import Machine, up

PAGE = Path(__file__).resolve().parents[1] / "docs" / "fleet-numbers.md"
STUDY = "loss_terms-all-toy"
SEEDS = f"seed=[{','.join(map(str, range(40)))}]"
THOUSAND = ("culture=all", "ablation=loss_terms", SEEDS, "cluster=slurm", "cluster.partition=GPU-shared")
MEMORY = 200.0
"""MB that a command may hold."""


@dataclass(frozen=True)
class Figure:
    """A command's rounds beside the goal for its seconds; `extra` is a thing counted and its goal."""

    name: str
    goal: float
    rounds: Sequence[Taken]
    extra: str = ""

    @property
    def wall(self) -> float:
        return statistics.median(one.wall for one in self.rounds)

    @property
    def cpu(self) -> float:
        return statistics.median(one.cpu for one in self.rounds)

    @property
    def memory(self) -> float:
        return max(one.memory for one in self.rounds)

    @property
    def verdict(self) -> str:
        late, large = self.wall > self.goal, self.memory > MEMORY
        return "**missed**" if late or large else "met"


@dataclass(frozen=True)
class Row:
    """A launcher's figures; `fault` says why there are none."""

    name: str
    quiet: Undisturbed | None = None
    killed: Killed | None = None
    fault: str = ""


class Fleet:
    """The commands of a study of 1,000 runs, typed at `prompt`; no job of it is let start."""

    def __init__(self, machine: Machine, prompt: Prompt, repeat: int) -> None:
        self._machine, self._prompt, self._repeat = machine, prompt, repeat

    def figures(self) -> Iterator[Figure]:
        """Each with the goal that it is measured against, in the order of a study's life."""
        self._machine.run("scontrol", "update", "partition=GPU-shared", "state=down")
        outputs = [self._prompt.folder / f"plan-{n}" for n in range(self._repeat)]
        yield Figure("plan, in a new output directory", 2, [self._plan(output) for output in outputs])
        yield Figure("plan again", 2, [self._plan(outputs[0]) for _ in outputs])
        yield Figure("submit 1,000 array tasks (one run each)", 5, self._submits(1))
        yield Figure("submit 200 array tasks (packs of five)", 5, self._submits(5))
        output = self._output(5, self._repeat - 1)
        rounds = [self._type("status", "--output", str(output)) for _ in outputs]
        asked = max(one.calls["squeue"] for one in rounds)
        yield Figure("status, all queued", 1, rounds, f"{asked} squeue")
        yield Figure("status --help", 0.3, [self._type("status", "--help") for _ in outputs])
        self._cancel()
        self._finish(output / STUDY)
        words = ("gather", "--output", str(output), "--wandb", "disabled")
        yield Figure("gather, all finished: table, CSV, report", 5, [self._type(*words) for _ in outputs])
        rounds = [self._type("status", "--output", str(output)) for _ in outputs]
        asked = max(one.calls["squeue"] for one in rounds)
        yield Figure("status, all finished", 1, rounds, f"{asked} squeue")
        self._machine.run("scontrol", "update", "partition=GPU-shared", "state=up")

    def _type(self, verb: str, *words: str) -> Taken:
        return self._prompt.run(sys.executable, "-m", f"scoft_hpc.{verb}", *words)

    def _plan(self, output: Path) -> Taken:
        taken = self._type("sweep", *THOUSAND, "cluster.lanes=5", "plan=only", f"output={output}")
        _expect("1000 runs, 1000 to do in 200 packs; nothing was sent", taken)
        return taken

    def _submits(self, lanes: int) -> list[Taken]:
        """Each in a new output folder; the last one's jobs stay in the queue."""
        taken = []
        for number in range(self._repeat):
            self._cancel()
            output = self._output(lanes, number)
            taken.append(self._type("sweep", *THOUSAND, f"cluster.lanes={lanes}", f"output={output}"))
            _expect(f"{1000 // lanes} train tasks", taken[-1])
            held = len(self._machine.run("squeue", "--noheader", "--array").splitlines())
            if held != 5 + 1000 // lanes:
                raise RuntimeError(f"Slurm holds {held} tasks, expected {1000 // lanes} and 5 to prepare")
        return taken

    def _output(self, lanes: int, number: int) -> Path:
        return self._prompt.folder / f"submit-{lanes}-{number}"

    def _cancel(self) -> None:
        self._machine.run("scancel", "--user=root")
        launchers.wait_until(lambda: self._machine.run("squeue", "-h") == "", "the end of all jobs")

    def _finish(self, study: Path) -> None:
        """Give every run the files of the run of its culture and variant in a study of 25 that really ran."""
        words = ("culture=all", "ablation=loss_terms", "study=source", "wandb.mode=disabled", "device=cpu")
        self._type("sweep", *words, f"output={self._prompt.folder}")
        source = self._prompt.folder / "source" / "runs"
        real = {tuple(run.name.split("-")[:2]): run for run in source.iterdir()}
        own = shutil.ignore_patterns("config.yaml", "lease.json")
        for run in (study / "runs").iterdir():
            ran = real[tuple(run.name.split("-")[:2])]
            shutil.copytree(ran, run, ignore=own, copy_function=os.link, dirs_exist_ok=True)


def compare(machine: Machine, prompt: Prompt, repeat: int) -> Iterator[Row]:
    """The three launchers."""
    for make in launchers.launchers(machine, prompt):
        try:
            launcher = make()
        except RuntimeError as error:
            yield Row(launchers.Hydra.name, fault=f"cannot be installed here: {error}")
            continue
        rounds = [launcher.undisturbed() for _ in range(repeat)]
        yield Row(launcher.name, launchers.median(rounds), launcher.killed())


def page(figures: Sequence[Figure], rows: Sequence[Row], slurm: str, repeat: int, load: str) -> str:
    """The page as Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not before: it would count as ours

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("fleet.md.j2").render(
        figures=figures,
        rows=rows,
        memory=MEMORY,
        jobs=launchers.JOBS,
        repeat=repeat,
        slurm=slurm,
        machine=f"{os.cpu_count()} {platform.machine()} cores",
        python=platform.python_version(),
        load=load,
    )


def _expect(words: str, taken: Taken) -> None:
    if words not in " ".join(taken.output.split()):
        raise RuntimeError(f"`{words}` was expected:\n{taken.output}")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, help="rounds of each; the median counts")
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write")
    asked = parser.parse_args()
    began, load = time.monotonic(), _load()
    scratch = Path(tempfile.mkdtemp(prefix="fleet-"))
    scratch.chmod(0o755)  # munged wants everybody to reach its socket
    try:
        machine = up(scratch / "slurm", watched=True)
        try:
            prompt = Prompt(scratch / "home", machine.env)
            figures, rows = [], []
            for figure in Fleet(machine, prompt, asked.repeat).figures():
                figures.append(figure)
                told = (
                    f"{figure.wall:6.2f} s of {figure.goal:g} s, {figure.memory:4.0f} MB of {MEMORY:.0f} MB"
                )
                print(f"{told}  {figure.verdict:10} {figure.name}  {figure.extra}", flush=True)
            for row in compare(machine, prompt, asked.repeat):
                rows.append(row)
                print(row, flush=True)
            slurm = machine.run("sinfo", "--version").split()[-1]
        finally:
            machine.down()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    asked.page.write_text(page(figures, rows, slurm, asked.repeat, f"{load} before, {_load()} after"))
    print(f"written: {asked.page}, after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
