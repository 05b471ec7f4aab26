"""The mirror beside the jobs as a real process: it sends while they run, ends when they do, and is never in the way."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from launch.launcher import Launcher, alive
from waiting import wait_until
from wandb_server import KEY, WandbServer


def mirrors(launcher: Launcher) -> set[int]:
    """The study's mirror and its wandb service."""
    commands = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            commands[int(path.name)] = (path / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
    mirror = {
        pid
        for pid, arguments in commands.items()
        if "scoft_hpc.mirror" in arguments
        and any(str(launcher.study.path) in argument for argument in arguments)
    }
    service = {
        pid
        for pid, arguments in commands.items()
        if "--pid" in arguments and arguments[arguments.index("--pid") + 1] in map(str, mirror)
    }
    return {pid for pid in mirror | service if alive(pid)}


@pytest.mark.slow
def test_curves_arrive_while_the_jobs_run(tmp_path: Path, wandb_server: WandbServer) -> None:
    launcher = Launcher(tmp_path, LIVE="yes", CHECKPOINTS="yes", HOLD="20")
    wait_until(
        lambda: any(run.steps and run.state == "running" for run in list(wandb_server.runs.values())),
        "rows of a running run",
    )
    assert any(not run.ended for run in launcher.runs())
    watching = mirrors(launcher)
    assert len(watching) == 2
    launcher.go()
    code, output = launcher.end()
    assert code == 0 and launcher.states() == {"done": 4}, output
    assert not any(map(alive, watching))
    assert all(run.steps == list(range(1, len(run.steps) + 1)) for run in wandb_server.runs.values()), (
        "each row once"
    )
    assert list(launcher.study.tensorboard.glob("*/*tfevents*"))
    log = (launcher.study.logs / "mirror.log").read_text()
    assert log.startswith("mirror: curves of study go to W&B, project scoft-hpc and ") and KEY not in log


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["none", "hangs"])
def test_ctrl_c_ends_the_mirror_too(tmp_path: Path, wandb_server: WandbServer, fault: str) -> None:
    wandb_server.pause = 60.0 if fault == "hangs" else 0.0
    launcher = Launcher(tmp_path, LIVE="yes", CHECKPOINTS="yes", HOLD="20")
    wait_until(lambda: len(launcher.workers()) == 2 and launcher.has_passed(2), "two jobs and step 3")
    wait_until(lambda: len(mirrors(launcher)) == 2, "the mirror and its service")
    watching, workers = mirrors(launcher), launcher.workers()
    os.killpg(launcher.process.pid, signal.SIGINT)
    code, output = launcher.end()
    assert code == 130, output
    wait_until(lambda: not any(map(alive, watching | workers | mirrors(launcher))), "the end of all")
    assert set(launcher.states()) == {"planned"}


@pytest.mark.slow
def test_a_killed_mirror_changes_nothing(tmp_path: Path, wandb_server: WandbServer) -> None:
    launcher = Launcher(tmp_path, LIVE="yes", CHECKPOINTS="yes", HOLD="20")
    wait_until(lambda: mirrors(launcher), "the mirror")
    for pid in mirrors(launcher):
        with contextlib.suppress(ProcessLookupError):  # wandb's service ends by itself
            os.kill(pid, signal.SIGKILL)
    launcher.go()
    code, output = launcher.end()
    assert code == 0 and launcher.states() == {"done": 4}, output
