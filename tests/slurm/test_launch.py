"""Sending a study to the real queue: what is sent, in which arrays, at what price; and that it is sent once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from scoft_hpc.config.compose import compose
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import PREPARE, TRAIN
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.sweep import sweep
from slurm.machine import Machine
from waiting import PATIENCE

Sweep = Callable[..., int]

ARGUMENTS = (
    "culture=[korea,mexico]",
    "ablation=loss_terms",
    "cluster=slurm",
    "cluster.lanes=5",
    "cluster.sbatch.begin=now+1hour",  # the jobs wait: what is looked at is the queue
    "study=s",
    "device=cpu",
)


@pytest.fixture
def study(cluster: Machine, tmp_path: Path) -> StudyDir:
    return StudyDir(tmp_path / "s")


def send(study: StudyDir, *more: str) -> int:
    changed = {argument.partition("=")[0] for argument in more}
    arguments = [argument for argument in ARGUMENTS if argument.partition("=")[0] not in changed]
    arguments += [f"output={study.path.parent}", *more]
    return sweep(compose("sweep", arguments), arguments)


def queue(cluster: Machine, form: str = "%j %K %t") -> list[str]:
    return sorted(cluster.run("squeue", "--array", "--noheader", "--format", form).splitlines())


def test_packs_become_array_tasks_that_wait_for_the_cultures(
    cluster: Machine, study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(study) == 0
    output = capsys.readouterr().out
    prepare, train = job_array.read_all(study)
    assert (prepare.stage, train.stage) == (PREPARE, TRAIN)
    assert len(prepare.tasks) == len(train.tasks) == 2
    assert Counter(len(task) for task in train.tasks) == {5: 2}
    assert train.sbatch_options["dependency"] == f"afterany:{prepare.job}"
    assert queue(cluster) == sorted(f"{one.job_name} {n} PD" for one in (prepare, train) for n in (0, 1))
    assert (
        "10 runs in 2 packs" in output
        and "GPU-hours" in output
        and "SU" in output
        and "sent: 2 prepare" in output
    )


def test_the_same_command_sends_nothing_again(
    cluster: Machine, study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    send(study)
    before = queue(cluster)
    capsys.readouterr()
    assert send(study) == 0
    assert queue(cluster) == before and len(before) == 4
    assert "nothing to send: 10 runs still in the queue" in capsys.readouterr().out


def test_what_was_cancelled_is_sent_again_and_nothing_else(cluster: Machine, study: StudyDir) -> None:
    send(study)
    prepare, train = job_array.read_all(study)
    cluster.run("scancel", f"{train.job}_1")
    send(study)
    *_, again = job_array.read_all(study)
    assert again.tasks == (train.tasks[1],)
    assert again.sbatch_options["dependency"] == f"afterany:{prepare.job}"  # still being prepared: not twice
    assert len(queue(cluster)) == 4


def test_plan_only_and_a_small_budget_send_nothing(
    cluster: Machine, study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(study, "plan=only") == 0
    assert "SU" in capsys.readouterr().out
    arguments = [*ARGUMENTS, f"output={study.path.parent}", "budget.su=0.001"]
    ended = run(arguments)
    assert ended.returncode == 3 and "budget.su=0.001 is not enough" in ended.stderr
    assert queue(cluster) == [] and job_array.read_all(study) == []


def test_a_refusal_is_told_and_leaves_nothing_behind(cluster: Machine, study: StudyDir) -> None:
    arguments = [*ARGUMENTS, f"output={study.path.parent}", "cluster.account=nobody"]
    ended = run(arguments)
    assert ended.returncode == 3 and "Traceback" not in ended.stderr
    assert "Slurm refused" in ended.stderr and "account" in ended.stderr and "doctor" in ended.stderr
    assert queue(cluster) == []
    send(study)  # and the next one, with sound settings, is not held up
    assert len(queue(cluster)) == 4


def test_arrays_are_split_below_slurms_limit_and_throttled(cluster: Machine, study: StudyDir) -> None:
    send(study, "cluster.lanes=1", "cluster.max_array=4", "cluster.jobs=2")
    arrays = [one for one in job_array.read_all(study) if one.stage == TRAIN]
    assert [len(one.tasks) for one in arrays] == [4, 4, 2]
    assert len({run for one in arrays for task in one.tasks for run in task}) == 10
    scripts = [path.read_text() for path in (study.logs / "slurm").glob("*_submission.sh")]
    assert sum("--array=0-3%2" in text for text in scripts) == 2


def test_runs_with_other_resources_land_in_other_arrays(cluster: Machine, study: StudyDir) -> None:
    axes = "{variant: [mpc], train.steps: [80, 40000]}"
    send(study, f"ablation.axes={axes}", "cluster.lanes=1")
    limits = {one.minutes for one in job_array.read_all(study) if one.stage == TRAIN}
    assert len(limits) > 1
    assert {line.split()[1] for line in queue(cluster, "%j %l") if TRAIN in line} == {
        slurm_time(minutes) for minutes in limits
    }


def test_the_job_holds_a_path_and_nothing_else(cluster: Machine, study: StudyDir) -> None:
    send(study)
    (text,) = {
        line
        for path in (study.logs / "slurm").glob("*_submission.sh")
        for line in path.read_text().splitlines()
        if line.startswith("srun") and TRAIN in line
    }
    assert text.endswith(f"-m scoft_hpc.job {job_array.folder_of(study, job_array.read_all(study)[1].name)}")
    assert not list(study.path.rglob("*.pkl"))
    assert {run["study"] for run in configs(study)} == {"s"}


def configs(study: StudyDir) -> list[dict[str, object]]:
    return [run["config"] for run in json.loads(study.plan.read_text())["runs"]]


def run(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scoft_hpc.sweep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def slurm_time(minutes: int) -> str:
    days, rest = divmod(minutes, 1440)
    hours, rest = divmod(rest, 60)
    clock = f"{hours:02d}:{rest:02d}:00" if days else f"{hours}:{rest:02d}:00" if hours else f"{rest}:00"
    return f"{days}-{clock}" if days else clock
