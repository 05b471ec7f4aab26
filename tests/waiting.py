"""Waits for what another thread, process or daemon is about to do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

Value = TypeVar("Value")

PATIENCE = 1800.0
"""Seconds after which a wait is taken for a hang: a loaded machine may be ten times slower than one at rest."""

ANSWER_PATIENCE = 300.0
"""The same for a server's answer or end, and for a change of a page."""


def wait_until(
    condition: Callable[[], Value],
    what: str | Callable[[], str],
    timeout: float = PATIENCE,
    *,
    pause: float = 0.05,
    process: subprocess.Popen[Any] | None = None,
) -> Value:
    """The condition's value as soon as it is true.

    Args:
        condition: asked again and again; what it raises is raised.
        what: is waited for, for the error's message; a function is called only for that.
        timeout: seconds.
        pause: seconds between two looks; more after one that took longer, so that looking takes half a core at most.
        process: the one that brings the condition about: its end is an error too.

    Raises:
        TimeoutError: if it does not become true, with `what` and the last value.
        ChildProcessError: if the process ends first.
    """
    end = time.monotonic() + timeout
    while True:
        ended = process is not None and process.poll() is not None  # before the last look
        begun = time.monotonic()
        value = condition()
        if value:
            return value
        text = what() if callable(what) and (ended or begun > end) else what
        if ended:
            raise ChildProcessError(f"the process ended before {text} (last value: {value!r})")
        if begun > end:
            raise TimeoutError(f"waited {timeout:g} s for {text} (last value: {value!r})")
        time.sleep(max(pause, time.monotonic() - begun))
