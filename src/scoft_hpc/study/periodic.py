"""Something small done over and over beside the work: a lease renewed, a display drawn."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from scoft_hpc.study.lease import Lease

RENEWAL_SECONDS = 60.0


@contextlib.contextmanager
def run_periodically(action: Callable[[], object], seconds: float) -> Iterator[None]:
    """While the block runs, call `action` every `seconds` in a thread of its own; the last call ends with the block."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(seconds):
            action()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def hold(lease: Path) -> Iterator[None]:
    """Own the lease during the block, in which it is renewed.

    Raises:
        RunError: as `Lease.acquire`.
    """
    with Lease.acquire(lease) as held, run_periodically(held.renew, RENEWAL_SECONDS):
        yield
