"""The command: results of a study at any time, in words a person may type."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from results.study_maker import Maker
from scoft_hpc import gather as command
from scoft_hpc.config.schema import WandbMode
from scoft_hpc.errors import LaunchError
from scoft_hpc.results import terminal
from scoft_hpc.results.gather import gather
from scoft_hpc.study.paths import StudyDir
from waiting import PATIENCE


@pytest.fixture
def small(tmp_path: Path) -> Maker:
    return Maker.of(tmp_path, cultures=("korea",), variants=("base", "ldm"), seeds=(0,)).finish()


def test_everything_is_written(copied: Maker) -> None:
    gathered = gather(copied.folder, WandbMode.disabled)
    assert len(gathered.rows) == 20
    assert gathered.notes == []
    with gathered.study.folder.results.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 20
    assert gathered.study.folder.report.read_text().endswith("</html>\n")
    for path in (copied.folder.parquet, copied.folder.latex, copied.folder.markdown):
        assert path.stat().st_size > 1000


@pytest.mark.slow
def test_planned_mode_is_the_default(small: Maker) -> None:
    gather(small.folder)
    assert len(list(small.folder.wandb.glob("offline-run-*"))) == 3


def test_half_a_study_is_gathered(make: Callable[..., Maker]) -> None:
    maker = make()
    maker.finish(maker.configs[0])
    maker.fail(maker.configs[2])
    torn = maker.run(maker.configs[4])
    maker.train(maker.configs[4], 5)
    torn.metrics.write_text(torn.metrics.read_text()[:-9])
    torn.scores.write_text("{")
    gathered = gather(maker.folder, WandbMode.disabled)
    statuses = [row.status for row in gathered.rows]
    assert (statuses.count("done"), statuses.count("failed"), statuses.count("planned")) == (1, 1, 18)
    assert len(gathered.notes) == 1


def test_unwritable_folder_is_said(small: Maker) -> None:
    small.folder.results.mkdir()  # a folder in the file's place: also root cannot write there
    with pytest.raises(LaunchError, match="cannot be written"):
        gather(small.folder, WandbMode.disabled)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["--output", "{output}", "--wandb", "disabled"],
        ["loss_terms", "--output", "{output}", "--wandb", "disabled"],
        ["study=loss_terms", "output={output}", "wandb.mode=disabled"],
        ["{output}/loss_terms", "wandb.mode=disabled"],
    ],
)
def test_words(small: Maker, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    output = str(small.folder.path.parent)
    assert command.main([argument.format(output=output) for argument in arguments]) == 0
    printed = capsys.readouterr().out
    assert printed.count(" done ") >= 2
    assert str(small.folder.report) in printed
    assert small.folder.report.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there are: loss_terms."),
        (["loss_term"], "did you mean loss_terms?"),
        (["wandb=offline"], "study, output, wandb.mode"),
        (["wandb.mode=live"], "offline, online, disabled"),
        (["one", "two"], "expected one study"),
        (["../loss_terms/.."], "there is no study"),
    ],
)
def test_mistakes_are_explained(
    small: Maker, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([*arguments, f"output={small.folder.path.parent}"]) in (2, 3)
    assert message in capsys.readouterr().err


def test_no_study_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"output={tmp_path}"]) == LaunchError.exit_code
    assert "sweep" in capsys.readouterr().err


def test_failures_and_notes_are_shown(make: Callable[..., Maker], capsys: pytest.CaptureFixture[str]) -> None:
    maker = make()
    maker.fail(maker.configs[2], "the loss became [bold]NaN")
    maker.run(maker.configs[2]).scores.write_text("{")
    terminal.show(gather(maker.folder, WandbMode.disabled))
    printed = capsys.readouterr().out
    assert f"{maker.run(maker.configs[2]).run_id} failed: the loss became [bold]NaN" in printed
    assert "note: " in printed


def test_latest_study_is_the_default(make: Callable[..., Maker], capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("older", "newer"):
        folder: StudyDir = make(name=name).folder
    assert command.main([f"output={folder.path.parent}", "wandb.mode=disabled"]) == 0
    assert str(folder.report) in capsys.readouterr().out


@pytest.mark.slow
def test_no_torch_and_no_wandb_are_loaded_to_read(small: Maker) -> None:
    """A login node answers fast: torch is never loaded, wandb only where something is to be published."""
    code = (
        "import sys; from scoft_hpc.gather import main; "
        f"code = main(['output={small.folder.path.parent}', 'wandb.mode=disabled']); "
        "loaded = {'torch', 'wandb', 'hydra', 'diffusers', 'submitit'} & set(sys.modules); "
        "print(loaded, file=sys.stderr); raise SystemExit(code or len(loaded - {'hydra'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
