"""What a person submits by hand, from `sbatch/`, each on a real Slurm: it runs, saves when warned, and continues."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from sbatch.hub import serving
from scoft_hpc.config import compose
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import build_plan
from scoft_hpc.study.paths import StudyDir
from slurm.machine import Machine
from waiting import wait_until

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "sbatch"
BASE = ROOT / "src/scoft_hpc/inputs/toy/assets/base"
TINY = [
    "train.steps=2", "evaluation.steps=2", "evaluation.samples=1", "data.pairs=4", "data.negatives.steps=2",
    "device=cpu",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the person types: an empty folder, with the Python of these tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHON", sys.executable)
    return tmp_path


def submit(cluster: Machine, *arguments: str) -> str:
    """The job's number."""
    return cluster.run("sbatch", "--parsable", *arguments)


def outcome(cluster: Machine, job: str, folder: Path) -> str:
    """Wait for the job's end; its state and exit code, with several for an array, as `COMPLETED 0:0`."""

    def log() -> str:
        return "\n".join(path.read_text() for path in sorted(folder.glob("*.out")))

    wait_until(
        lambda: not cluster.run("squeue", "--noheader", "--jobs", job, check=False).strip(),
        lambda: f"the end of job {job}. {log()}",
    )
    state = "scontrol", "--oneliner", "show", "job", job
    lines = [
        dict(field.split("=", 1) for field in line.split() if "=" in field)
        for line in cluster.run(*state).splitlines()
    ]
    outcomes = {f"{line['JobState']} {line['ExitCode']}" for line in lines}
    assert len(outcomes) == 1, log()
    return outcomes.pop() if outcomes == {"COMPLETED 0:0"} else f"{outcomes.pop()}\n{log()}"


def test_debug_takes_one_run_to_its_result_and_then_shows_it(cluster: Machine, folder: Path) -> None:
    arguments = [str(TEMPLATES / "debug.sbatch"), "culture=korea", *TINY]
    assert outcome(cluster, submit(cluster, *arguments), folder) == "COMPLETED 0:0"
    (result,) = folder.glob("outputs/*/runs/korea-mpc-s0-*/result.json")
    assert json.loads(result.read_text())["steps"] == 2
    written = result.stat().st_mtime
    assert outcome(cluster, submit(cluster, *arguments), folder) == "COMPLETED 0:0"
    assert result.stat().st_mtime == written
    assert all("korea" in log.read_text() for log in folder.glob("scoft-debug-*.out"))


def test_run_saves_when_warned_starts_again_and_obeys_scancel(cluster: Machine, folder: Path) -> None:
    endless = [
        "culture=korea",
        "variant=ldm",
        "study=long",
        *TINY[1:],
        "train.steps=1000000",
        "save_seconds=1000",
    ]
    job = submit(cluster, str(TEMPLATES / "run.sbatch"), *endless)

    def log() -> str:
        return (folder / f"scoft-run-{job}.out").read_text()

    def steps() -> list[int]:
        texts = [path.read_text() for path in folder.glob("outputs/long/runs/*/metrics.jsonl")]
        return [int(step) for text in texts for step in re.findall(r'"trainer/step": (\d+).*\n', text)]

    def state() -> str:
        return cluster.run("squeue", "--noheader", "--jobs", job, "--format", "%T", check=False)

    wait_until(lambda: len(steps()) > 3, lambda: f"step 4. {log()}")
    cluster.run("scancel", "--signal=USR2", job)  # as Slurm does before the time limit, by --signal
    wait_until(lambda: "saved before the time limit; starting again" in log(), lambda: f"the save. {log()}")
    saved = len(steps())
    assert list(folder.glob("outputs/long/runs/*/checkpoints/*"))
    with cluster.hurrying():
        wait_until(lambda: state() == "RUNNING" and len(steps()) > saved, lambda: f"the next start. {log()}")
    assert "Restarts=1 " in cluster.run("scontrol", "show", "job", job)
    steps_of_both = steps()  # once: it trains on
    assert steps_of_both == sorted(set(steps_of_both))  # it went on from where it was
    cluster.run("scancel", job)
    assert outcome(cluster, job, folder).startswith("CANCELLED")
    assert cluster.run("squeue", "--noheader") == ""


def test_array_takes_every_run_of_a_plan_to_its_result(cluster: Machine, folder: Path) -> None:
    arguments = ["culture=korea", "study=by-hand", *TINY]
    plan = build_plan(compose.compose("sweep", arguments), arguments)
    plan_store.write(StudyDir(plan.output / plan.study), plan)
    submitted = ["--array=0-1", str(TEMPLATES / "array.sbatch"), "outputs/by-hand"]
    assert outcome(cluster, submit(cluster, *submitted), folder) == "COMPLETED 0:0"
    results = {
        path.parent.name: path.stat().st_mtime for path in folder.glob("outputs/by-hand/runs/*/result.json")
    }
    assert set(results) == {run.run_id for run in plan.runs} and len(results) == 5
    again = submit(cluster, *submitted)
    assert outcome(cluster, again, folder) == "COMPLETED 0:0"
    assert all("nothing is missing" in log.read_text() for log in folder.glob(f"scoft-array-{again}_*.out"))


def test_array_without_a_plan_says_what_it_expects(cluster: Machine, folder: Path) -> None:
    output = outcome(
        cluster, submit(cluster, "--array=0-1", str(TEMPLATES / "array.sbatch"), "outputs/no"), folder
    )
    assert output.startswith("FAILED 2:0") and "expected a study's folder" in output


def test_prepare_fetches_weights_that_a_run_then_uses(
    cluster: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sbatch").symlink_to(TEMPLATES)  # it is typed in the checkout
    monkeypatch.setenv("HF_HOME", str(folder / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # as a site's profile sets it
    with serving(BASE, "someone/small-model") as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        arguments = [
            "--partition=GPU-shared",
            str(TEMPLATES / "prepare.sbatch"),
            "weights",
            "someone/small-model",
            "model",
        ]
        assert outcome(cluster, submit(cluster, *arguments), folder) == "COMPLETED 0:0"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no one answers there
    debug = [str(TEMPLATES / "debug.sbatch"), "culture=korea", "variant=base", *TINY, "model.path=model"]
    assert outcome(cluster, submit(cluster, *debug), folder) == "COMPLETED 0:0"
    assert list(folder.glob("outputs/*/runs/korea-base-*/result.json"))


def test_no_log_holds_a_secret(cluster: Machine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "c" * 40
    monkeypatch.setenv("WANDB_API_KEY", secret)
    arguments = [str(TEMPLATES / "debug.sbatch"), "culture=korea", "variant=base", *TINY]
    assert outcome(cluster, submit(cluster, *arguments), folder) == "COMPLETED 0:0"
    for base, _, names in os.walk(folder):
        assert not [name for name in names if secret.encode() in (Path(base) / name).read_bytes()]
