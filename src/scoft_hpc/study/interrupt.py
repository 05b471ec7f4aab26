"""Interruption: a flag that a signal sets, and that the work checks at points from which it can be continued."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(Exception):  # noqa: N818 (not an error)
    """The work was interrupted; its state is saved, and the same command continues it."""


class StopFlag:
    """The flag. A signal's handler only sets it: saving inside a handler could meet a half-done step."""

    requested = False

    def raise_if_set(self) -> None:
        """Raise Interrupted if the stop was requested."""
        if self.requested:
            raise Interrupted

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Within the block, the signals that end a job set the flag and do nothing else."""

        def set_flag(number: int, frame: FrameType | None) -> None:
            self.requested = True

        before = {number: signal.signal(number, set_flag) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
