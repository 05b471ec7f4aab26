"""The README's study on a cluster that cuts it short, against the same study on this machine.

All its runs at full length, with one sample per prompt.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.job_array import PREPARE, TRAIN, JobArray
from scoft_hpc.study.paths import StudyDir
from slurm.machine import Machine
from waiting import PATIENCE, wait_until

ARGUMENTS = (
    "culture=all",
    "ablation=loss_terms",
    "study=s",
    "threads=1",
    "cluster.lanes=13",
    "evaluation.samples=1",
)
"""The same packs and threads here and there: then the same arithmetic, to the last bit."""


def sweep(output: Path, *arguments: str) -> StudyDir:
    command = [sys.executable, "-m", "scoft_hpc.sweep", *ARGUMENTS, f"output={output}", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return StudyDir(output / "s")


def table(study: StudyDir) -> list[dict[str, str]]:
    """results.csv without how long a run took."""
    with study.results.open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


def training(study: StudyDir) -> JobArray:
    (array,) = [one for one in job_array.read_all(study) if one.stage == TRAIN]
    return array


def test_the_default_study_survives_a_time_limit_and_ends_in_the_same_table(
    cluster: Machine, tmp_path: Path
) -> None:
    interrupted = sweep(tmp_path / "there", "cluster=slurm", "device=cpu", "cluster.warn_seconds=200")
    prepare, train = job_array.read_all(interrupted)
    assert prepare.stage == PREPARE and len(prepare.tasks) == 5
    assert sorted(map(len, train.tasks)) == [12, 13]
    trained = [interrupted.run(run) for run in train.tasks[0] if "base" not in run]
    wait_until(lambda: any(run_status.step(run) > 3 for run in trained), "the first steps")
    caches = [path.name for path in (tmp_path / "there" / "cache").iterdir()]
    assert (
        sum(not name.startswith("negatives-") for name in caches) == 5
    )  # each culture was prepared, once, before
    # Slurm rounds up to whole minutes: in 120 to 180 s, so that it warns at once, and there is time to save.
    cluster.expire(f"{train.job}_0", 120)
    wait_until(
        lambda: any(a.task == 0 and a.code == 75 for a in training(interrupted).attempts),
        "the time limit",
    )
    cluster.run(
        "scontrol", "update", f"jobid={train.job}_0", "TimeLimit=30"
    )  # its next start keeps the limit else
    wait_until(lambda: all(interrupted.run(run).ended for task in train.tasks for run in task), "every run")
    wait_until(lambda: not cluster.run("squeue", "--noheader"), "the end of its jobs")  # after their runs'
    assert interrupted.results.exists() and interrupted.report.exists()  # the last job made them
    attempts = [attempt for attempt in training(interrupted).attempts if attempt.task == 0]
    *cut_short, last = attempts
    assert cut_short and {(one.code, one.cause) for one in cut_short} == {(75, "time limit")}
    assert (last.code, last.restart) == (0, len(cut_short))
    assert max(last.progress.values()) > 0  # it went on from a save
    reference = sweep(tmp_path / "here")
    assert len(table(interrupted)) == 25
    assert table(interrupted) == table(reference)
