"""Groups of tests that need something which a machine may lack: a program, or root.

A test is in a group if it uses the group's fixture or carries a marker of its name. Where something is missing, the
group is left out and the last lines of the test run say so; with REQUIRE_ALL=1 in the environment it is an error.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slurm.machine import PROGRAMS as SLURM_PROGRAMS
from slurm.machine import SEARCH_PATH

INSTALL = "tools/install_test_services.sh"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
POSTGRES_PROGRAMS = "/usr/lib/postgresql/*/bin/initdb"


@dataclass(frozen=True)
class Group:
    """Tests with one marker.

    Attributes:
        fixture: tests that use it are in the group; others carry the marker themselves.
        missing: what this machine lacks for them, as a sentence without a full stop; empty if nothing.
        enable: the command after which they run.
    """

    name: str
    fixture: str | None
    missing: Callable[[], str]
    enable: str


def _without(*programs: str, path: str | None = None) -> str:
    absent = [program for program in programs if shutil.which(program, path=path) is None]
    return f"{', '.join(absent)} not found" if absent else ""


def _slurm() -> str:
    return _without(*SLURM_PROGRAMS, path=SEARCH_PATH) or ("" if os.geteuid() == 0 else "needs root")


def _browser() -> str:
    return "" if any(shutil.which(name) for name in BROWSERS) else f"none of {', '.join(BROWSERS)} found"


def _postgres() -> str:
    installed = any(Path("/").glob(POSTGRES_PROGRAMS.removeprefix("/")))
    return "" if installed else f"no {POSTGRES_PROGRAMS}"


GROUPS = (
    Group("slurm", "machine", _slurm, f"sudo {INSTALL} slurm && sudo make test"),
    Group("browser", "browser", _browser, f"sudo {INSTALL} browser"),
    Group("postgres", "postgres", _postgres, f"sudo {INSTALL} postgres"),
    Group("strace", None, lambda: _without("strace"), f"sudo {INSTALL} strace"),
)
