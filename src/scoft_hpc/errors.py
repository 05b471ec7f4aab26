"""Errors that a user can cause or encounter, each with the exit code of the command that it ends.

    ScoftError
    ├── ConfigError   2   a setting is unknown, of the wrong type, or does not fit another
    ├── DataError     2   a culture's directory, row or image cannot be used
    ├── LaunchError   3   a study cannot be planned, written or submitted
    ├── RunError      4   a run failed in training, sampling or scoring
    └── RatingError   5   a survey cannot be drawn or answered in its current state
        ├── QuotaFullError     a culture's quota of raters is full
        └── WithdrawnError     the rater has withdrawn

A message has three parts: what was found, what was expected (with the options), and what to do next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar

Value = TypeVar("Value")


class ScoftError(Exception):
    """Base of the tree; `exit_code` is what the command returns to the shell."""

    exit_code = 1

    @classmethod
    def from_messages(cls, faults: Iterable[str]) -> Self:
        """One error that lists all `faults`, one per line."""
        lines = list(faults)
        return cls(lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines))


def collect(faults: list[str], function: Callable[..., Value], *args: Any, **more: Any) -> Value | None:
    """What `function` returns; or None, with what it found wrong added to `faults`."""
    try:
        return function(*args, **more)
    except ScoftError as error:
        faults += [line.removeprefix("- ") for line in str(error).splitlines()]
        return None


class ConfigError(ScoftError):
    exit_code = 2


class DataError(ScoftError):
    exit_code = 2


class LaunchError(ScoftError):
    exit_code = 3


class RunError(ScoftError):
    exit_code = 4


class RatingError(ScoftError):
    exit_code = 5


class QuotaFullError(RatingError):
    pass


class WithdrawnError(RatingError):
    pass


INTERRUPTED = 75
"""Exit code of a job that was interrupted, saved its state and can be continued (sysexits' EX_TEMPFAIL)."""
HANDLED_EXIT_CODES = (0, RunError.exit_code, INTERRUPTED)
"""Exit codes of a job that came to its own end and has recorded the reason of every failure."""
