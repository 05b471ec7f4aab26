"""What `doctor` finds out about the place it runs in: findings, and a way to make them side by side in bounded time."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum


class CheckStatus(Enum):
    """`fault` would keep a sweep from running; `note` is worth knowing."""

    ok = "ok"
    note = "note"
    fault = "fault"


@dataclass(frozen=True)
class CheckResult:
    """One line of the table. `advice` is a sentence on what to do, or why nothing needs to be done."""

    check: str
    observed: str
    status: CheckStatus = CheckStatus.ok
    advice: str = ""


Probe = Callable[[], Iterable[CheckResult]]


def run_concurrently(probes: Sequence[tuple[str, Probe]], seconds: float) -> list[CheckResult]:
    """All findings, in the probes' order.

    A probe that is not back after `seconds` (a disk may hang for hours) or that breaks is itself a finding, and
    is left behind.
    """
    observed: dict[str, list[CheckResult]] = {}

    def run(name: str, probe: Probe) -> None:
        try:
            observed[name] = list(probe())
        except Exception as error:
            observed[name] = [_broken(name, f"{type(error).__name__}: {error}")]

    threads = [threading.Thread(target=run, args=each, daemon=True) for each in probes]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    silent = f"no answer within {seconds:.0f} s"
    return [finding for name, _ in probes for finding in observed.get(name, [_broken(name, silent)])]


def _broken(name: str, observed: str) -> CheckResult:
    return CheckResult(name, observed, CheckStatus.note, "this could not be found out; try it by hand.")


@dataclass(frozen=True)
class CommandResult:
    """What a command printed; `code` is None if it does not exist or did not end in time."""

    code: int | None
    output: str
    errors: str

    @property
    def error_message(self) -> str:
        """Its complaint in one line."""
        return " ".join((self.errors or self.output).split())


def run_external(
    *arguments: str, text: str = "", seconds: float = 15.0, environment: Mapping[str, str] | None = None
) -> CommandResult:
    """Run a command that answers soon, with `text` as its input."""
    if shutil.which(arguments[0]) is None:
        return CommandResult(None, "", f"{arguments[0]} is not there")
    try:
        done = subprocess.run(
            arguments, input=text, capture_output=True, text=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired:
        return CommandResult(None, "", f"{arguments[0]} did not answer within {seconds:.0f} s")
    except OSError as error:
        return CommandResult(None, "", f"{arguments[0]} cannot be run: {error.strerror}")
    return CommandResult(done.returncode, done.stdout, done.stderr)
