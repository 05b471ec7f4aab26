"""Interruption: a flag that a signal sets, and that the work checks at points from which it can be continued."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


@contextlib.contextmanager
def handle_signals(handler: Callable[[int], object]) -> Iterator[None]:
    """Within the block, the signals that end a job call `handler` with their number and do nothing else."""
    before = {number: signal.signal(number, lambda number, _: handler(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


class Interrupted(BaseException):
    """The work was interrupted; its state is saved, and the same command continues it.

    Not an Exception, as KeyboardInterrupt is none: what catches the errors of a run must not catch its interruption.
    """


class StopFlag:
    """The flag. A signal's handler only sets it: saving inside a handler could meet a half-done step."""

    requested = False

    def raise_if_set(self) -> None:
        """Raise Interrupted if the stop was requested."""
        if self.requested:
            raise Interrupted

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:
        """Within the block, the signals that end a job set the flag and do nothing else."""

        def set_flag(number: int) -> None:
            self.requested = True

        return handle_signals(set_flag)
