"""Live W&B and TensorBoard sync in a process of its own, whose failures leave the jobs alone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from scoft_hpc.config.schema import RunConfig, WandbMode
from scoft_hpc.study.paths import StudyDir

MODULE = "scoft_hpc.mirror"
LAST_SECONDS = 10.0
"""How long a mirror may take to send the rest once the jobs have ended."""
STOPPED_SECONDS = 5.0
"""The same where a person waits for the prompt."""


class LiveSyncProcess:
    """The process, or none where none was asked for."""

    def __init__(self, process: subprocess.Popen[bytes] | None) -> None:
        self.process = process

    def end(self, seconds: float) -> None:
        """Let it send the rest, and kill it after `seconds`."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(seconds)
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def live_sync(
    study: StudyDir, config: RunConfig, runs: Sequence[str] = (), log: Path | None = None
) -> Iterator[LiveSyncProcess]:
    """A mirror of these runs, or all, if `config` asks for one; it prints to `log` and is gone after the block."""
    mirror = LiveSyncProcess(None)
    if wanted := _arguments(config):
        # Not even a disk that is full may keep the jobs from their work.
        with contextlib.suppress(OSError):
            mirror = LiveSyncProcess(_start([f"study={study.path.absolute()}", *runs, *wanted], log))
    try:
        yield mirror
    finally:
        mirror.end(0.0)


def _arguments(config: RunConfig) -> list[str]:
    """The mirror's flags; none where there is nothing to mirror to."""
    if not (config.wandb.live or config.tensorboard):
        return []
    mode = WandbMode.online if config.wandb.live else WandbMode.disabled
    return ["--wandb", mode.name, *(["--tensorboard"] if config.tensorboard else [])]


def _start(arguments: Sequence[str], log: Path | None) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C reaches it only through `end`."""
    with contextlib.ExitStack() as files:
        out = files.enter_context(log.open("ab")) if log else None
        return subprocess.Popen(
            [sys.executable, "-u", "-m", MODULE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if out else None,
            start_new_session=True,
        )
