"""What reaches W&B's offline files, read back with W&B's own reader; no network is used, and none is needed."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.study_maker import Maker
from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.results import study, table
from scoft_hpc.results.wandb_sync import publish
from scoft_hpc.study import lease
from scoft_hpc.study.paths import StudyDir
from waiting import PATIENCE, wait_until

KEY = "0123456789abcdef0123456789abcdef01234567"
OFFLINE, ONLINE = Wandb(), Wandb(mode=WandbMode.online)


def send(maker: Maker, settings: Wandb = OFFLINE) -> list[str]:
    loaded = study.read(maker.folder)
    return publish.publish(loaded, table.rows(loaded), settings)


def logs(maker: Maker) -> dict[str, Path]:
    """The offline folders by run id, without the mark of the plan."""
    folders = maker.folder.wandb.glob("offline-run-*")
    return {path.name.split("-", 3)[3].rpartition("-")[0]: path for path in folders}


def inspect(path: Path, *flags: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", *flags, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    if "--summary" in flags:
        return [json.loads(done.stdout)]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def published(finished: Maker, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    maker = replace(finished, folder=StudyDir(tmp_path_factory.mktemp("published") / finished.folder.name))
    shutil.copytree(finished.folder.path, maker.folder.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_API_KEY", KEY)
        assert send(maker) == []
    return maker


@pytest.mark.slow
def test_a_run_is_published_whole(published: Maker) -> None:
    config = published.find("mexico", "mpc", 1)
    run_id = published.run(config).run_id
    (summary,) = inspect(logs(published)[run_id], "--summary")
    assert (summary["name"], summary["project"]) == (run_id, "scoft-hpc")
    assert re.fullmatch(rf"{run_id}-[0-9a-f]{{6}}", summary["run_id"])
    assert (summary["state"], summary["exit_code"], summary["step"]) == ("finished", 0, 20)
    assert set(summary["tags"]) == {"mexico", "mpc", "loss_terms"}
    assert summary["config"]["objective"]["w_c"] == 0.05
    assert (summary["config"]["culture"], summary["config"]["seed"]) == ("mexico", 1)
    scores = json.loads(published.run(config).scores.read_text())["metrics"]
    for name, metric in scores.items():
        assert summary["summary"][name] == pytest.approx(metric["value"])
    assert summary["summary"]["seconds/total"] == pytest.approx(8.25)

    records = inspect(logs(published)[run_id])
    (run,) = (record["run"] for record in records if record["type"] == "run")
    assert (run["run_group"], run["job_type"]) == ("loss_terms", "mpc")
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(row["_step"], row["trainer/step"]) for row in history] == [(i, i) for i in range(1, 21)]
    assert ["loss_c" in row for row in history] == [i % 10 == 0 for i in range(1, 21)]
    steps = [record["metric"] for record in records if record["type"] == "metric"]
    assert {"glob_name": "*", "step_metric": "trainer/step"}.items() <= steps[-1].items()


@pytest.mark.slow
def test_base_and_summary(published: Maker) -> None:
    base = published.run(published.find("korea", "base", 0)).run_id
    records = inspect(logs(published)[base])
    assert not [record for record in records if record["type"] == "history"]

    (summary,) = inspect(logs(published)["loss_terms-summary"], "--summary")
    assert summary["config"] == {
        "cultures": ["korea", "mexico"],
        "seeds": [0, 1],
        "variants": ["base", "ldm", "m", "mp", "mpc"],
    }
    assert summary["summary"]["results"]["nrows"] == 20
    assert summary["summary"]["grid/korea"]["_type"] == "image-file"
    assert 0 <= summary["summary"]["default_style/mpc"] < summary["summary"]["default_style/base"] <= 1
    (file,) = logs(published)["loss_terms-summary"].glob("files/media/table/*.json")
    content = json.loads(file.read_text())
    assert content["columns"][:5] == ["study", "culture", "variant", "seed", "run_id"]
    assert [row[4] for row in content["data"]] == [
        published.run(config).run_id for config in published.configs
    ]


def test_nothing_private_is_stored(published: Maker) -> None:
    assert list(logs(published)) != []
    for path in published.folder.wandb.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    run_id = published.run(published.configs[0]).run_id
    text = json.dumps(inspect(logs(published)[run_id]))
    for private in (socket.gethostname() + '"', sys.executable, "argv", "executable", "git"):
        assert private not in text


def test_publishing_twice_changes_nothing(published: Maker) -> None:
    def state() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in published.folder.wandb.rglob("*")}

    before = state()
    assert send(published) == []
    assert {k: v for k, v in state().items() if k != str(published.folder.wandb)} == {
        k: v for k, v in before.items() if k != str(published.folder.wandb)
    }


def test_environment_is_put_back(published: Maker) -> None:
    assert not [name for name in os.environ if name.startswith("WANDB_") and name.endswith("_DIR")]
    assert "WANDB_SILENT" not in os.environ


@pytest.mark.slow
def test_only_what_changed_is_published_again(tmp_path: Path) -> None:
    maker = Maker.of(tmp_path, cultures=("korea",), seeds=(0,))
    first, last = maker.configs[:2], maker.configs[-1]
    maker.finish(*first)
    maker.fail(last)
    assert send(maker) == []
    before = logs(maker)
    assert set(before) == {*(maker.run(config).run_id for config in (*first, last)), "loss_terms-summary"}
    run_id = maker.run(last).run_id
    (failed,) = inspect(before[run_id], "--summary")
    assert (failed["exit_code"], failed["summary"]["status"], failed["step"]) == (1, "failed", 7)
    assert failed["summary"]["failure"] == "the loss became NaN"

    maker.run(last).failure.unlink()
    maker.finish(last)
    second = int(time.time())
    wait_until(lambda: int(time.time()) > second, "the next second, by which wandb names its folders")
    assert send(maker) == []
    after = logs(maker)
    assert {name for name in after if after[name] != before.get(name)} == {run_id, "loss_terms-summary"}
    assert len(list(maker.folder.wandb.glob("offline-run-*"))) == 4, "an unsynced earlier state is replaced"
    (done,) = inspect(after[run_id], "--summary")
    assert (done["exit_code"], done["summary"]["status"], done["step"]) == (0, "done", 20)


def test_disabled_writes_nothing(copied: Maker) -> None:
    assert send(copied, Wandb(mode=WandbMode.disabled)) == []
    assert not copied.folder.wandb.exists()


@pytest.mark.slow
def test_dead_network_is_told_and_can_be_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    maker = Maker.of(tmp_path, cultures=("korea",), variants=("base", "ldm"), seeds=(0,)).finish()
    with socket.socket() as closed:  # bound but not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        start = time.monotonic()
        (note,) = send(maker, ONLINE)
        assert time.monotonic() - start < 85  # by itself wandb waits for 90
    assert "3 of the study's runs" in note
    assert "--wandb online" in note
    assert KEY not in capfd.readouterr().err + note
    assert not (maker.folder.wandb / "published.json").exists()
    assert send(maker) == []
    assert len(logs(maker)) == 3


def test_no_key_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    maker = Maker.of(tmp_path, cultures=("korea",), variants=("base",), seeds=(0,)).finish()
    (note,) = send(maker, ONLINE)
    assert "key" in note.lower()


def test_online_needs_no_offline_copy(tmp_path: Path) -> None:
    """What is online already is not written offline again."""
    maker = Maker.of(tmp_path, cultures=("korea",), variants=("base",), seeds=(0,)).finish()
    assert send(maker) == []
    ledger = maker.folder.wandb / "published.json"
    assert len(json.loads(ledger.read_text())) == 2
    ledger.write_text(ledger.read_text().replace('"offline"', '"online"'))
    for path in logs(maker).values():
        shutil.rmtree(path)
    assert send(maker) == []
    assert logs(maker) == {}


def test_broken_ledger_publishes_anew(tmp_path: Path) -> None:
    maker = Maker.of(tmp_path, cultures=("korea",), variants=("base",), seeds=(0,)).finish()
    maker.folder.wandb.mkdir()
    (maker.folder.wandb / "published.json").write_text("{")
    assert send(maker) == []
    assert len(json.loads((maker.folder.wandb / "published.json").read_text())) == 2


def test_one_publisher_at_a_time(copied: Maker) -> None:
    held = lease.Lease.acquire(copied.folder.wandb / "lease.json")
    (note,) = send(copied)
    held.release()
    assert "another process publishes this study" in note
    assert logs(copied) == {}
