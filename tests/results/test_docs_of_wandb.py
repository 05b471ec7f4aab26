"""Every command of docs/wandb.md does what it says, against a server on this machine; long ones are shortened."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from results.study_maker import Maker
from scoft_hpc import sweep
from waiting import PATIENCE
from wandb_server import serving

PAGE = (Path(__file__).parents[2] / "docs" / "wandb.md").read_text()
COMMANDS = list(
    dict.fromkeys(re.findall(r"^ {4}python -m (scoft_hpc\.\S.*?)(?: +#.*)?$", PAGE, re.MULTILINE))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With one small study, all done."""
    path = tmp_path_factory.mktemp("reader")
    Maker.of(path / "outputs", cultures=("korea",), variants=("ldm",), seeds=(0,)).finish()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_command(line: str, folder: Path) -> None:
    module, *rest = shlex.split(line)
    if module == "scoft_hpc.sweep":
        arguments = [*rest, "plan=only", f"output={folder / 'planned'}"]
        assert sweep.main(arguments) == 0
        return
    with serving() as server:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **server.environment(folder)}
        ended = subprocess.run(
            [sys.executable, "-m", module, *rest],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr and "note:" not in ended.stdout
    if "gather --wandb online" in line:
        assert len(server.runs) == 2
    if "--tensorboard" in line:
        assert list(folder.glob("outputs/*/tensorboard/*/*tfevents*"))


def test_all_commands_are_found() -> None:
    assert len(COMMANDS) == PAGE.count("    python -m scoft_hpc.") > 7
