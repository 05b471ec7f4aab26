"""Calls a command in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

Invoke = Callable[..., tuple[int, str, str]]
"""Calls a command with its arguments, and returns what `invoke` does."""


def invoke(
    main: Callable[[Sequence[str]], int], capture: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """The exit code of `main(words)`, and what it printed since this call to stdout and to stderr."""
    capture.readouterr()
    code = main(arguments)
    captured = capture.readouterr()
    return code, captured.out, captured.err
