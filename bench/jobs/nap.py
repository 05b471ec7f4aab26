"""The trivial job that every launcher is given: it sleeps for a second.

Environment: NAP_FOLDER, where it leaves its marks; NAP_VICTIM, the number of the job that sleeps long when it is first
started, so that it can be killed in its sleep.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

SECONDS, LONG_SECONDS = 1.0, 60.0


def nap(number: int) -> int:
    """Sleep; `started-<number>` and `done-<number>` tell how far it came."""
    folder = Path(os.environ["NAP_FOLDER"])
    started = folder / f"started-{number}"
    victim = os.environ.get("NAP_VICTIM") == str(number) and not started.exists()
    started.touch()
    time.sleep(LONG_SECONDS if victim else SECONDS)
    (folder / f"done-{number}").touch()
    return number
