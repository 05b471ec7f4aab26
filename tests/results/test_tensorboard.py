"""Event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from results.event_files import read, series
from results.study_maker import Maker
from scoft_hpc import gather as command
from scoft_hpc.config.schema import WandbMode
from scoft_hpc.results import study, tensorboard
from scoft_hpc.results.gather import gather
from scoft_hpc.study.lease import Lease
from waiting import PATIENCE


def state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    study_maker = Maker.of(tmp_path, cultures=("korea",), variants=("base", "mpc"), seeds=(0,))
    return study_maker.finish()


def test_curves_and_measures_are_written_once(maker: Maker) -> None:
    tensorboard.write(study.read(maker.folder))
    run = maker.run(maker.find("korea", "mpc", 0))
    folder = maker.folder.tensorboard / run.run_id
    events = read(folder)
    rows = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    for name in ("loss", "loss_c", "grad_norm", "seconds"):
        present = [row for row in rows if row[name] is not None]
        steps, values = series(events, name)
        assert steps == [row["trainer/step"] for row in present], name
        assert values == pytest.approx([row[name] for row in present]), name
    scores = json.loads(run.scores.read_text())["metrics"]
    for name, metric in scores.items():
        steps, values = series(events, f"measures/{name}")
        assert steps == [20] and values == pytest.approx([metric["value"]])
    plugin = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    settings = HParamsPluginData.FromString(plugin.content).session_start_info.hparams
    assert plugin.plugin_name == "hparams"
    assert {name: value.string_value or value.number_value for name, value in settings.items()} == {
        "culture": "korea",
        "variant": "mpc",
        "seed": 0,
    }
    base = maker.folder.tensorboard / maker.run(maker.find("korea", "base", 0)).run_id
    assert all(tag.startswith(("measures/", "_hparams_")) for tag in read(base).Tags()["tensors"])

    before = state(maker.folder.tensorboard)
    assert len(before) == 4
    tensorboard.write(study.read(maker.folder))
    assert state(maker.folder.tensorboard) == before


def test_only_what_is_missing_is_added_also_to_a_torn_file(tmp_path: Path) -> None:
    maker = Maker.of(tmp_path, cultures=("korea",), variants=("ldm",), seeds=(0,))
    (config,) = maker.configs
    maker.fail(config)
    folder = maker.folder.tensorboard / maker.run(config).run_id
    tensorboard.write(study.read(maker.folder))
    assert series(read(folder), "loss")[0] == list(range(1, 8))
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    maker.run(config).failure.unlink()
    maker.finish()
    tensorboard.write(study.read(maker.folder))
    events = read(folder)
    assert series(events, "loss")[0] == list(range(1, 21))
    assert series(events, "measures/diversity")[0] == [20]


def test_what_a_mirror_writes_just_now_is_left_to_it(maker: Maker) -> None:
    run_id = maker.run(maker.configs[0]).run_id
    held = Lease.acquire(maker.folder.sync_lease(run_id))
    tensorboard.write(study.read(maker.folder))
    held.release()
    assert {path.name for path in maker.folder.tensorboard.iterdir()} == {maker.run(maker.configs[1]).run_id}


@pytest.fixture
def without_the_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where only the core is installed: an entry of None is what `find_spec` and imports take for that."""
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    yield


@pytest.mark.usefixtures("without_the_package")
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    maker: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "pip install 'scoft-hpc[tensorboard]'"
    arguments = [f"output={maker.folder.path.parent}", "wandb.mode=disabled"]
    assert command.main([*arguments, "--tensorboard"]) == 2
    assert line in capsys.readouterr().err
    (note,) = gather(maker.folder, WandbMode.disabled, events=True).notes
    assert line in note and maker.folder.report.exists()


@pytest.mark.slow
def test_words_and_no_torch(maker: Maker) -> None:
    code = (
        "import sys; from scoft_hpc.gather import main; "
        f"code = main(['output={maker.folder.path.parent}', 'wandb.mode=disabled', 'tensorboard=true']); "
        "raise SystemExit(code or len({'torch', 'tensorflow', 'wandb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    assert len(list(maker.folder.tensorboard.iterdir())) == 2
    assert command.main([f"output={maker.folder.path.parent}", "tensorboard=perhaps"]) == 2
