"""Hydra's own flags, through a real process with a real command in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoft_hpc.config.compose import options as options_of

COMMAND = """
import sys
from scoft_hpc.config.compose import command
def task(config, words):
    print("ran", config.culture, config.variant.name, config.seed)
    return 7 if config.seed == 13 else 0
raise SystemExit(command(sys.argv.pop(1), task))
"""


def _run(cwd: Path, *arguments: str, line: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"COMP_LINE": line} if line else {})}
    arguments = (sys.executable, "-c", COMMAND, *arguments)
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_cfg_job(tmp_path: Path) -> None:
    done = _run(tmp_path, "train", "--cfg", "job", "variant=m", "data.root=~/x")
    assert done.returncode == 0, done.stderr
    assert "\nvariant: m\n" in done.stdout
    assert "root: ~/x\n" in done.stdout
    assert "hydra" not in done.stdout
    assert "ran korea" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "sweep"])
def test_help_is_short_and_lists_the_groups(tmp_path: Path, name: str) -> None:
    done = _run(tmp_path, name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python -m scoft_hpc.{name} " in done.stdout
    assert "objective: official, triplet" in done.stdout
    assert "ablation: " in done.stdout
    assert "--cfg job" in done.stdout
    assert len(done.stdout.splitlines()) < 25


@pytest.mark.slow
def test_multirun_runs_each_and_makes_no_folders_of_its_own(tmp_path: Path) -> None:
    done = _run(tmp_path, "train", "--multirun", "variant=m,mp", "seed=1,13")
    assert done.stdout.splitlines() == [f"ran korea {v} {s}" for v in ("m", "mp") for s in (1, 13)], (
        done.stderr
    )
    assert done.returncode == 7, "the worst of the runs' codes"
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -m scoft_hpc.train objective=", "objective=official objective=triplet"),
        ("/venv/bin/python3.12 -m scoft_hpc.train culture=korea vari", "variant="),
        ("scoft-hpc train objective.grad", "objective.gradient="),
        ("scoft-hpc sweep sweep=", "sweep=paper sweep=smoke sweep=tune"),
    ],
)
def test_tab_completion(tmp_path: Path, line: str, expected: str) -> None:
    name = "sweep" if " sweep " in line else "train"
    done = _run(tmp_path, name, "-sc", "query=bash", line=line)
    assert done.stdout.split() == expected.split(), done.stderr


@pytest.mark.slow
def test_mistakes_beside_a_flag(tmp_path: Path) -> None:
    done = _run(tmp_path, "train", "--cfg", "job", "cultur=korea", "--seed=3")
    assert done.returncode == 2
    assert "`--seed=3`: settings have no dashes; write seed=VALUE." in done.stderr
    assert "there is no setting `cultur`; did you mean culture" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_flag_no_hydra(tmp_path: Path) -> None:
    done = _run(tmp_path, "train", "seed=13")
    assert (done.returncode, done.stdout) == (7, "ran korea mpc 13\n")
    assert list(tmp_path.iterdir()) == []


def test_mistake_is_no_traceback(tmp_path: Path) -> None:
    done = _run(tmp_path, "sweep", "ablation=x")
    assert done.returncode == 2
    assert done.stdout == ""
    options = ", ".join(options_of("ablation"))
    assert done.stderr == f"error: `ablation=x`: ablation is one of {options}.\n"


@pytest.mark.slow
def test_torch_is_not_loaded() -> None:
    program = """
import sys
from scoft_hpc.config import compose, identity, validation
from scoft_hpc.inputs import data_root, dataset
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.study import atomic, interrupt, lease, metrics_log, paths, provenance, run_status
compose.compose("sweep", [])
raise SystemExit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    """As in `scoft-hpc sweep --help | true`."""
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "scoft_hpc.sweep", "--help"]
    ended = subprocess.run(arguments, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")
