"""Debian's chromium, for the tests that look at pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from groups import BROWSERS

ARGUMENTS = ["--no-sandbox"]
"""Tests run as root, as whom it has no sandbox."""


def program() -> str:
    """The path of an installed one; tests in the group `browser` run only where there is one."""
    return next(path for name in BROWSERS if (path := shutil.which(name)))


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        yield opened
        opened.close()
