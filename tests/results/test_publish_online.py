"""Publishing to a server with wandb's own client: what arrives, what is said where it does not, and that it heals."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from results.study_maker import Maker
from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.results import study, table
from scoft_hpc.results.wandb_sync import publish
from scoft_hpc.results.wandb_sync.session import WandbTimeouts
from scoft_hpc.study.lease import Lease
from wandb_server import KEY, WandbServer

ONLINE = Wandb(mode=WandbMode.online)
STEPS = list(range(1, 21))
AT_ONCE = WandbTimeouts(pauses=())


def send(maker: Maker, settings: Wandb = ONLINE, timeouts: WandbTimeouts = AT_ONCE) -> list[str]:
    loaded = study.read(maker.folder)
    return publish.publish(loaded, table.rows(loaded), settings, timeouts)


def ledger(maker: Maker) -> dict[str, Any]:
    path = maker.folder.wandb / "published.json"
    return json.loads(path.read_text()) if path.exists() else {}


def contents(server: WandbServer) -> dict[str, Any]:
    """All that lies there, and how often each run was opened."""
    return {run.name: (run.steps, run.summary, run.state, sorted(run.files)) for run in server.runs.values()}


@pytest.fixture
def server(wandb_server: WandbServer) -> WandbServer:
    return wandb_server


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """A base and a trained run, both done."""
    study_maker = Maker.of(tmp_path / "outputs", cultures=("korea",), variants=("base", "ldm"), seeds=(0,))
    return study_maker.finish()


@pytest.mark.slow
def test_all_arrives_once_however_often_it_is_sent(
    maker: Maker, server: WandbServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.pause = 0.02
    assert send(maker) == []
    run = server.run("korea-ldm")
    assert (run.entity, run.project, run.state) == ("somebody", "scoft-hpc", "finished")
    assert (run.fields["displayName"], run.fields["groupName"]) == (
        maker.run(maker.configs[1]).run_id,
        "loss_terms",
    )
    assert run.steps == [row["trainer/step"] for row in run.history] == STEPS
    assert run.config["train"]["lr"] == 1e-4
    scores = json.loads(maker.run(maker.configs[1]).scores.read_text())["metrics"]
    assert all(run.summary[name] == pytest.approx(metric["value"]) for name, metric in scores.items())
    assert server.run("korea-base").steps == []
    summary = server.run("loss_terms-summary")
    assert summary.summary["results"]["nrows"] == 2
    assert {name.split("/")[1] for name in summary.files if name.startswith("media/")} == {"images", "table"}
    assert set(ledger(maker)) == {run.fields["displayName"] for run in server.runs.values()}

    before, opened = contents(server), server.operations.count("UpsertBucket")
    assert send(maker) == []
    assert server.operations.count("UpsertBucket") == opened
    (maker.folder.wandb / "published.json").unlink()
    assert send(maker) == [], "what is there is found there"
    assert (contents(server), server.operations.count("UpsertBucket")) == (before, opened)
    assert len(ledger(maker)) == 3

    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    printed = capfd.readouterr()
    assert KEY not in printed.out + printed.err
    assert not list(maker.folder.wandb.glob("*run-*")), "what has arrived is not kept twice"
    assert sorted(path.name for path in maker.folder.path.iterdir()) == [
        "plan.json",
        "runs",
        "sync",
        "wandb",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no stream", ": 0 of 20 rows; last step none of 20; the summary lacks status, "),
        ("no uploads", "2 of 2 files did not arrive (media/table/results_"),
        ("torn", ": 12 of 20 rows; last step 12 of 20; the summary lacks status, "),
    ],
)
def test_what_did_not_arrive_is_said_and_sent_later(
    maker: Maker, server: WandbServer, fault: str, message: str
) -> None:
    if fault == "no stream":
        server.stream_status = 404
    elif fault == "no uploads":
        server.upload_status = 403
    else:
        server.max_lines = 12
    notes = send(maker)
    assert message in "\n".join(notes)
    assert "The same command sends what is missing" in notes[0]
    missing = {note.split()[0] for note in notes}
    assert set(ledger(maker)).isdisjoint(missing) and len(missing) + len(ledger(maker)) == 3

    server.stream_status, server.upload_status, server.max_lines = 200, 200, None
    assert send(maker) == []
    assert len(ledger(maker)) == len(server.runs) == 3
    assert server.run("korea-ldm").steps == STEPS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "message"),
    [((5, 6), ": 18 of 20 rows. The"), ((19, 20), ": 18 of 20 rows; last step 18 of 20. The")],
    ids=["in the middle", "before a summary that arrived"],
)
def test_what_cannot_be_mended_is_published_beside(
    maker: Maker, server: WandbServer, lost: tuple[int, ...], message: str
) -> None:
    server.drops = lambda step: step in lost
    (note,) = send(maker)
    assert message in note
    server.drops = lambda step: False
    (note,) = send(maker)
    spoiled, whole = sorted(name for name in server.runs if name.startswith("korea-ldm"))
    assert whole == f"{spoiled}-2" and whole in note and "delete" in note
    assert server.runs[whole].steps == STEPS
    assert send(maker) == []
    assert len(server.runs) == 4


@pytest.mark.slow
def test_a_server_that_dies_is_told_and_the_rest_follows(maker: Maker, server: WandbServer) -> None:
    quick = WandbTimeouts(init_seconds=2.0, finish_seconds=2.0, api_seconds=2, pauses=())
    server.dies_after = "CreateRunFiles"
    (note,) = send(maker, timeouts=quick)
    assert "W&B did not take" in note and "--wandb online" in note and KEY not in note
    assert len(ledger(maker)) < 3
    server.dies_after = None
    assert send(maker) == []
    assert server.run("korea-ldm").steps == STEPS


@pytest.mark.slow
def test_what_was_synced_by_hand_is_found_and_completed(maker: Maker, server: WandbServer) -> None:
    assert send(maker, Wandb()) == []
    for folder in maker.folder.wandb.glob("offline-run-*ldm*"):
        subprocess.run([sys.executable, "-m", "wandb", "sync", str(folder)], check=True, capture_output=True)
    assert server.run("korea-ldm").steps == STEPS
    assert send(maker) == []
    assert len(server.runs) == len(ledger(maker)) == 3
    assert server.run("korea-ldm").steps == STEPS


@pytest.mark.slow
def test_a_retried_run_goes_on_where_its_failure_was_published(tmp_path: Path, server: WandbServer) -> None:
    maker = Maker.of(tmp_path / "outputs", cultures=("korea",), variants=("ldm",), seeds=(0,))
    maker.fail(maker.configs[0])
    assert send(maker) == []
    run = server.run("korea-ldm")
    assert (run.state, run.steps[-1], run.summary["failure"]) == ("failed", 7, "the loss became NaN")
    maker.run(maker.configs[0]).failure.unlink()
    maker.finish()
    assert send(maker) == []
    assert (run.state, run.steps, run.summary["status"]) == ("finished", STEPS, "done")

    other = Maker.of(tmp_path / "elsewhere", "another", cultures=("korea",), variants=("ldm",), seeds=(0,))
    shutil.copytree(maker.folder.runs, other.folder.runs)
    assert send(other) == []
    assert len([name for name in server.runs if name.startswith("korea-ldm")]) == 2, "each study has its own"


@pytest.mark.slow
def test_a_run_that_is_being_mirrored_is_left_alone(maker: Maker, server: WandbServer) -> None:
    run_id = maker.run(maker.configs[1]).run_id
    held = Lease.acquire(maker.folder.sync_lease(run_id))
    (note,) = send(maker)
    held.release()
    assert note.startswith(f"{run_id} was left alone") and len(server.runs) == len(ledger(maker)) == 2
    assert send(maker) == []
    assert server.run("korea-ldm").steps == STEPS
