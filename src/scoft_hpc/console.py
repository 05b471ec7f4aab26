"""What all commands share: program names in usage lines, terminal output, error messages, and exit codes."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from scoft_hpc.errors import ScoftError

if TYPE_CHECKING:
    from rich.console import Console

P = ParamSpec("P")

CTRL_C = 130
"""Exit code of a command that a person stopped."""
BROKEN_PIPE = 141
"""Exit code of a command whose reader has exited, as a shell reports it."""


def program(command: str) -> str:
    """How the command was called: `python -m scoft_hpc.status` or `scoft-hpc status`."""
    as_module = Path(sys.argv[0]).name == f"{command}.py"
    return f"python -m scoft_hpc.{command}" if as_module else f"scoft-hpc {command}"


def console_command(main: Callable[P, int]) -> Callable[P, int]:
    """Make of `main` a command that a user error, Ctrl-C and a closed pipe end with an exit code, not a traceback."""

    @functools.wraps(main)
    def command(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return report_errors(lambda: main(*args, **kwargs))
        except KeyboardInterrupt:
            return CTRL_C

    return command


def report_errors(work: Callable[[], int]) -> int:
    """Return the exit code of `work`. A user error and a closed pipe end without a traceback."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except ScoftError as error:
        print_error(error)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def print_error(error: ScoftError) -> None:
    """Print the message to stderr; if it lists several faults, each is on a line of its own."""
    text = str(error)
    print(f"error:{chr(10) if text.startswith('- ') else ' '}{text}", file=sys.stderr)


def print_stderr(text: str) -> None:
    """Print a line about the output, such as a progress report, that must not mix with it."""
    print(text, file=sys.stderr, flush=True)


def print_now(text: str) -> None:
    """Print a line that is to be read at once, even through a pipe."""
    print(text, flush=True)


def print_line(console: Console, text: str) -> None:
    """Print a line as it is: a path is not wrapped, so that it can be clicked and copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        print_line(console, line)


def log_to_stderr() -> None:
    """Show the package's log from level INFO, and warnings of other packages."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("scoft_hpc").setLevel(logging.INFO)
