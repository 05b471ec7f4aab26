"""Being told to stop: a flag that a signal sets and that work looks at where it can be continued."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(Exception):  # noqa: N818 (it is no error)
    """Work was told to stop; all that was done is saved and the same command continues."""


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

        def heed(number: int, frame: FrameType | None) -> None:
            self.requested = True

        before = {number: signal.signal(number, heed) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
