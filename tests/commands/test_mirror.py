"""`scoft-hpc mirror` on the command line, and beside a real training that loses the network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scoft_hpc import mirror
from scoft_hpc.study.metrics_log import STEP, MetricsLog
from studies import finish, plan_study, run_of
from waiting import PATIENCE, wait_until
from wandb_server import KEY, WandbServer, serving

SHORT = [
    "culture=korea",
    "variant=mpc",
    "data.pairs=4",
    "data.negatives.steps=2",
    "train.steps=8",
    "evaluation.steps=2",
    "evaluation.samples=1",
    "evaluation.prompts=2",
    "device=cpu",
    "threads=1",
]
LIVE = ["wandb.mode=online", "wandb.live=true", "tensorboard=true", "save_seconds=0.01"]


def train(output: Path, study: str, *arguments: str, **environment: str) -> tuple[str, str]:
    """A run alone, as a process: the digest of its weights, and what it said."""
    command = [
        sys.executable,
        "-m",
        "scoft_hpc.train",
        *SHORT,
        f"study={study}",
        f"output={output}",
        *arguments,
    ]
    ended = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (result,) = output.glob(f"{study}/runs/*/result.json")
    return json.loads(result.read_text())["lora_sha256"], ended.stdout + ended.stderr


def dying(server: WandbServer, rows: int) -> threading.Thread:
    """The server answers nothing any more once it has so many rows of the run."""

    def watch() -> None:
        wait_until(
            lambda: any(len(run.steps) >= rows for run in list(server.runs.values())), f"{rows} rows of a run"
        )
        server.operations.append("dead")
        server.dies_after = "dead"

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_network_that_dies_in_mid_run_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    alone, _ = train(tmp_path, "alone", "wandb.mode=disabled")
    with serving() as server:
        died = dying(server, 1)
        mirrored, printed = train(tmp_path, "live", *LIVE, **server.environment(tmp_path))
        died.join(1)
        assert server.dead, "the run was mirrored, and then the server was gone"
        (run,) = server.runs.values()
    assert mirrored == alone
    assert "W&B did not take" in printed and KEY not in printed
    assert list((tmp_path / "live" / "tensorboard").glob("*/*tfevents*"))
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert run.steps == list(range(1, len(run.steps) + 1))


def test_it_sends_once_or_until_every_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = plan_study(tmp_path, ["korea"])
    run = run_of(study, "korea-mpc")
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "step-00000003.safetensors").touch()
    journal = MetricsLog(run.metrics, 0)
    for step in range(1, 5):
        journal.append({STEP: step, "loss": 1.0})
    journal.close()
    monkeypatch.setattr("os.nice", lambda step: 0)
    arguments = ["korea-mpc", f"output={tmp_path}", "--tensorboard"]
    assert mirror.main([*arguments, "--once"]) == 0
    assert f"curves of a-study go to {study.tensorboard}" in capsys.readouterr().out
    (file,) = study.tensorboard.glob("*/*tfevents*")
    assert file.parent.name == run.run_id
    written = file.read_bytes()
    finish(run)
    assert mirror.main(arguments) == 0
    assert (file.read_bytes(), len(list(file.parent.iterdir()))) == (written, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say where: --wandb online or --tensorboard"),
        (["--wandb", "offline"], "curves go online"),
        (["nothing"], "there is no study"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    plan_study(tmp_path, ["korea"])
    monkeypatch.setattr("os.nice", lambda step: 0)
    assert mirror.main([*arguments, f"output={tmp_path}"]) in (2, 3)
    assert message in capsys.readouterr().err


def test_live_needs_online(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scoft_hpc.train", *SHORT, f"output={tmp_path}", "wandb.live=true"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 2 and "add wandb.mode=online" in ended.stderr
    assert not list(tmp_path.rglob("plan.json"))
