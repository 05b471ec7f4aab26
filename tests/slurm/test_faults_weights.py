"""Real training that is interrupted on the cluster ends in the same weights, bit for bit, as training that is not."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoft_hpc.config import compose
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.execute import execute
from scoft_hpc.retry import main as retry
from scoft_hpc.study import run_status
from scoft_hpc.study.paths import RunDir
from scoft_hpc.study.run_status import Status
from scoft_hpc.training import checkpoint
from slurm.machine import Machine
from slurm.studies_on_slurm import REAL, SlurmStudy, contents, on, real, take_node

STEPS = 90
ARGUMENTS = (f"train.steps={STEPS}", "save_seconds=1.0")
SECRET = "s3cr3t-" * 6
MEGABYTES = 8


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights' hash of the same run, done here and in one go."""
    output = tmp_path_factory.mktemp("undisturbed")
    config: RunConfig = compose.compose("train", [*REAL, *ARGUMENTS, "variant=mpc", f"output={output}"])
    run = RunDir(output / "study" / "runs" / "one")
    run.path.mkdir(parents=True)
    run.config.write_text(compose.dump(config))
    assert execute([run.path]) == 0
    return str(run_status.result(run)["lora_sha256"])


def one_run(cluster: Machine, output: Path, *arguments: str) -> SlurmStudy:
    return real(cluster, output, "ablation.axes.variant=[mpc]", *ARGUMENTS, *arguments)


@pytest.mark.parametrize("fault", ["preempted", "node failed"])
def test_interrupted_training_ends_in_the_same_weights(
    cluster: Machine, tmp_path: Path, undisturbed: str, fault: str
) -> None:
    study = one_run(cluster, tmp_path, *(on("preempt") if fault == "preempted" else ()))
    assert study.sweep().code == 0
    study.wait_step(10)
    study.wait(lambda: run_status.progress(study.runs[0]) > 0, "a save")
    if fault == "preempted":
        urgent = take_node(cluster)
        study.wait(lambda: study.state().status is Status.queued, "being queued again")
        cluster.run("scancel", urgent)
    else:
        cluster.node_fail(study.attempts()[0].host)
    study.wait_done()
    study.wait_idle()
    _, second = study.attempts()
    assert second.restart == 1
    assert all(0 < progress < STEPS for progress in second.progress.values())
    assert run_status.result(study.runs[0])["lora_sha256"] == undisturbed


def test_training_makes_what_a_preparation_that_never_ran_has_not(cluster: Machine, tmp_path: Path) -> None:
    """It waits for the preparation's end, good or bad, and then looks at the artifact itself."""
    study = real(cluster, tmp_path, "ablation.axes.variant=[ldm]", "train.steps=2")
    cluster.run("scontrol", "update", "partition=GPU-shared", "state=down")
    try:
        assert study.sweep().code == 0
        prepare, _ = study.batches()
        cluster.run("scancel", f"{prepare.job}_0")
    finally:
        cluster.run("scontrol", "update", "partition=GPU-shared", "state=up")
    study.wait_done()
    study.wait_idle()
    assert [len(one.attempts) for one in study.batches()] == [0, 1]
    assert list((tmp_path / "cache").glob("korea-*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A study's folder on a disk of its own."""
    folder = tmp_path / "study"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "scoft-test", str(folder)], check=True
    )
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def filled(ballast: Path) -> bool:
    """Leave space on its disk for logs and none for weights, whatever a save takes or gives back meanwhile."""
    spare = shutil.disk_usage(ballast.parent).free - 64 * 1024
    if spare > 0:
        with contextlib.suppress(OSError), ballast.open("ab") as file:
            file.write(bytes(spare))
    return True


def test_a_full_disk_leaves_the_last_save_one_clear_message_and_a_run_that_goes_on_when_there_is_room(
    cluster: Machine, tmp_path: Path, small_disk: Path, undisturbed: str
) -> None:
    study = one_run(cluster, tmp_path)
    assert study.sweep().code == 0
    study.wait(lambda: run_status.progress(study.runs[0]) > 0, "a save")
    ballast = small_disk / "ballast"
    study.wait(lambda: filled(ballast) and not study.living(), "the job's end")
    (run,) = study.runs
    failure = run_status.failure(run)
    assert failure is not None and failure["cause"] == "disk"
    assert f"{run.checkpoints}/step-" in failure["message"]
    assert "No space left on device; it needs " in failure["message"]
    assert "MB are free on its disk" in failure["message"]
    assert checkpoint.read_valid(run.checkpoints)
    assert "Traceback" not in study.logs()
    assert "1 run failed (1 disk)" in study.sweep().text
    assert not study.living(), "nothing is tried again while the disk is full"
    ballast.unlink()
    assert retry(["study=study", f"output={tmp_path}"]) == 0
    study.wait_done()
    study.wait_idle()
    _, second = study.attempts()
    assert all(0 < progress < STEPS for progress in second.progress.values())
    assert run_status.result(run)["lora_sha256"] == undisturbed


def test_secrets_are_in_no_file_of_the_study_nor_of_slurm(
    cluster: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole study, prepared, trained, gathered and logged offline, with the keys in the person's environment."""
    for name in ("WANDB_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    study = real(cluster, tmp_path, "train.steps=4")
    arguments = [argument for argument in study.command() if argument != "wandb.mode=disabled"]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    study.wait_done()
    study.wait_idle()
    assert study.study.results.exists() and list(study.study.wandb.iterdir())
    files = {path: SECRET.encode() in content for path, content in contents(tmp_path, cluster.folder)}
    assert any("job" in path.name for path in files if path.is_relative_to(cluster.folder))
    assert len(files) > 100
    assert not [path for path, holds in files.items() if holds]
    assert SECRET not in process.stdout + process.stderr
