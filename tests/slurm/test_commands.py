"""The commands for a person, against a real queue: looking, following, cancelling and sending again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from invoke import invoke
from scoft_hpc import cancel, logs, retry, status, why
from scoft_hpc.config.compose import compose
from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.sweep import sweep
from slurm.machine import Machine
from slurm.studies_on_slurm import paced
from waiting import wait_until

ARGUMENTS = ("culture=[korea,mexico]", "ablation.axes.variant=[base,ldm]", "cluster=slurm", "cluster.lanes=2")
WAITING = "cluster.sbatch.begin=now+1hour"

Call = Callable[..., str]


@pytest.fixture
def study(cluster: Machine, tmp_path: Path) -> StudyDir:
    return StudyDir(tmp_path / "s")


def send(study: StudyDir, *more: str) -> None:
    given = {argument.partition("=")[0] for argument in more}
    arguments = [argument for argument in ARGUMENTS if argument.partition("=")[0] not in given]
    arguments += ["device=cpu", "threads=1", "study=s", f"output={study.path.parent}", *more]
    assert sweep(compose("sweep", arguments), arguments) == 0


@pytest.fixture
def call(study: StudyDir, capsys: pytest.CaptureFixture[str]) -> Call:
    """What a command prints, to either stream; it must end with 0."""

    def tell(verb: ModuleType, *arguments: str) -> str:
        code, out, err = invoke(verb.main, capsys, f"output={study.path.parent}", *arguments)
        assert code == 0
        return out + err

    return tell


def runs(call: Call, *arguments: str) -> dict[str, dict[str, Any]]:
    entries = json.loads(call(status, "--json", *arguments))["runs"]
    return {f"{run['culture']} {run['variant']}": run for run in entries}


def test_waiting_jobs_are_told_cancelled_and_sent_again(
    cluster: Machine, study: StudyDir, call: Call
) -> None:
    send(study, WAITING)
    prepare, train = job_array.read_all(study)
    assert {run["status"] for run in runs(call).values()} == {"queued"}
    assert "4 runs, 4 queued" in call(status) and "4 waiting (" in call(status)
    assert "it waits: " in call(why, "korea-ldm")
    assert "waits in the queue" in call(logs, "korea-ldm")

    text = call(cancel, "korea-ldm", "--yes")
    assert "The packs' other runs stop too: korea-base" in text and "cancelled 2 runs in 1 job" in text
    pending = cluster.run(
        "squeue", "--array", "--noheader", "--states=PENDING", "--format=%j %K"
    ).splitlines()
    assert sorted(pending) == sorted([f"{prepare.job_name} 1", f"{train.job_name} 1"])
    runs_by_name = runs(call)
    assert {name for name, run in runs_by_name.items() if run["cause"] == "cancelled"} == {
        "korea base",
        "korea ldm",
    }
    assert "2 cancelled, 2 queued" in call(status)
    assert "lost, cancelled" in call(why) and "manual action required" in call(why)

    assert "nothing to retry" in call(retry, "culture=mexico")
    assert "2 runs in 1 pack" in call(retry, "state=cancelled", "cluster.minutes=17")
    again = job_array.read_all(study)[-1]
    assert (again.stage, again.minutes, again.tasks) == ("train", 17, train.tasks[:1])
    assert {run["status"] for run in runs(call).values()} == {"queued"}
    call(cancel, "--yes")
    assert cluster.run("squeue", "--array", "--noheader", "--states=PENDING") == ""
    assert "nothing to cancel" in call(cancel, "--yes")


def test_a_cancelled_job_has_saved_and_a_retried_one_is_followed_to_its_end(
    cluster: Machine, tmp_path: Path, call: Call
) -> None:
    sent = paced(cluster, tmp_path, variants="ldm,mpc", hold=[0], pace=0.3, saves=0)
    assert sent.sweep().code == 0
    wait_until(lambda: runs(call)["korea ldm"]["step"] >= 5, "step 5")
    text = call(status)
    assert "running" in text and "1 job running" in text and "left" in text
    assert runs(call)["korea ldm"]["eta_seconds"] > 0
    call(cancel, "--yes")
    wait_until(lambda: runs(call)["korea ldm"]["cause"] == "cancelled", "the cancellation in status")
    ldm, mpc = sent.runs
    saved = run_status.progress(ldm)
    assert saved >= 5, "the job did not save before it ended"
    assert "cancelled (CANCELLED)" in call(why, "korea-ldm")
    sent.order(hold=[], pace=0.001)
    call(retry)
    text = call(logs, "korea-ldm", "-f")
    assert f"{ldm.run_id} goes on from step {saved}" in text and text.endswith(f"{ldm.run_id}: done.\n")
    assert f"from what was saved ({saved}): came to its end" in call(why, "korea-ldm")
    call(status, "--watch")
    assert ldm.result.exists() and mpc.result.exists(), "it stays until every run has ended"


def test_a_silent_controller_keeps_nobody_from_looking(cluster: Machine, study: StudyDir, call: Call) -> None:
    send(study, WAITING)
    cluster.stop("slurmctld")
    text = call(status)
    assert "note: Slurm does not answer" in text and "4 queued" in text
    cluster.start("slurmctld")
    assert "note: " not in call(status) and "4 waiting" in call(status)
