"""Commands as a person types them, each with its time, its memory and the calls of Slurm that it makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

COUNTED = ("sbatch", "squeue", "sacct")


@dataclass(frozen=True)
class Taken:
    """What a command took and gave.

    Attributes:
        wall: seconds until the prompt is back; cpu: of the processor, with its children.
        memory: MB that its largest process held. That is an upper bound: a child counts from its parent's size.
        sent: seconds until Slurm had accepted the first array; None if none was sent.
        calls: how often each command of Slurm was called.
    """

    wall: float
    cpu: float
    memory: float
    code: int
    output: str
    sent: float | None
    calls: dict[str, int]

    @property
    def last_line(self) -> str:
        return (self.output.strip().splitlines() or [""])[-1]


@dataclass(frozen=True)
class Started:
    """A command that runs."""

    process: subprocess.Popen[bytes]
    output: Path
    calls: Path
    began: float

    def finish(self) -> Taken:
        """Wait for its end."""
        _, status, used = os.wait4(self.process.pid, 0)
        wall = time.time() - self.began
        self.process.returncode = os.waitstatus_to_exitcode(status)
        lines = [line.split() for line in self.calls.read_text().splitlines()]
        sent = [float(at) - self.began for name, at in lines if name == "sbatch"]
        return Taken(
            wall,
            used.ru_utime + used.ru_stime,
            used.ru_maxrss * 1024 / 1e6,
            self.process.returncode,
            self.output.read_text(errors="replace"),
            min(sent, default=None),
            {name: sum(line[0] == name for line in lines) for name in COUNTED},
        )


class Prompt:
    """A prompt in `folder` whose `sbatch`, `squeue` and `sacct` note each call, at its end, and do the real thing."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self._commands = folder / "bin"
        self._commands.mkdir(parents=True)
        for name in COUNTED:
            real = shutil.which(name, path=env["PATH"])
            script = self._commands / name
            script.write_text(
                f'#!/bin/sh\n{real} "$@"\ncode=$?\necho {name} $(date +%s.%N) >> "$CALLS"\nexit $code\n'
            )
            script.chmod(0o755)
        self._env = {**os.environ, **env, "PATH": f"{self._commands}:{env['PATH']}", "COLUMNS": "120"}

    def start(self, *words: str, **env: str) -> Started:
        number = len(list(self.folder.glob("*.calls")))
        output, calls = self.folder / f"{number}.out", self.folder / f"{number}.calls"
        calls.touch()
        began = time.time()
        with output.open("wb") as file:
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self._env, **env, "CALLS": str(calls)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return Started(process, output, calls, began)

    def run(self, *words: str, expected: int | None = 0, **env: str) -> Taken:
        """A command from start to end.

        Raises:
            RuntimeError: with its output, if it ends with another code than `expected`; None: any will do.
        """
        taken = self.start(*words, **env).finish()
        if expected is not None and taken.code != expected:
            raise RuntimeError(f"{' '.join(words)} ended with {taken.code}:\n{taken.output}")
        return taken
