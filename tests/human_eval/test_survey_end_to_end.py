"""A survey from end to end: `survey make`, `serve`, two raters with a browser each, one of which is killed half-way and
whose rater continues with the personal link, `results`, and the report's section."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, sync_playwright

from browsers import ARGUMENTS, program
from human_eval.serving import Served
from results.study_maker import Maker
from scoft_hpc.results import survey_results
from waiting import ANSWER_PATIENCE, PATIENCE

QUESTIONS = 4
PAGES = 3


@pytest.fixture
def study(tmp_path: Path) -> Maker:
    return Maker.of(tmp_path / "outputs", "a-study", variants=("base", "m", "mp", "mpc"), steps=1).finish()


def survey(study: Maker, verb: str, *args: str) -> str:
    command = [sys.executable, "-m", "scoft_hpc.survey", verb, f"--output={study.folder.path.parent}", *args]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


class Person:
    """A rater with a browser, a process that can be killed."""

    def __init__(self, playwright: Playwright, address: str, profile: Path) -> None:
        self._profile = profile
        self._context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program(),
            args=ARGUMENTS,
            base_url=address,
            java_script_enabled=False,
        )
        self._context.set_default_timeout(ANSWER_PATIENCE * 1000)
        self.page: Page = self._context.pages[0]

    def join(self, culture: str) -> str:
        """Through all that comes before the first question; the personal link."""
        page = self.page
        page.goto("/")
        page.locator("a.button.primary").click()
        page.locator("#agree").check()
        page.locator("form[action='/consent'] button.primary").click()
        page.locator(f"input[name=culture][value={culture}]").check()
        page.locator("input[name=affiliation][value=member]").check()
        page.locator("input[name=blur]").uncheck()
        page.locator("form[action='/join'] button.primary").click()
        link = page.locator("#link").input_value()
        page.goto("/pages")
        return link

    def answer(self) -> None:
        """By the pictures' names: always alike, and the other way round where the question is turned."""
        page = self.page
        names = [image.get_attribute("src") or "" for image in page.locator(".picture img").all()]
        best = sorted(names, reverse=page.locator("h1.turned").count() > 0)
        for i, name in enumerate(names, 1):
            page.locator(f"input[name=rank-{i}][value='{1 + best.index(name)}']").check()
        with page.expect_navigation():
            page.locator("button.primary[value=save]").click()

    def rate(self, most: int | None = None) -> int:
        """Answer to the end, or so many questions; how many were answered."""
        done = 0
        while "/pages/" in self.page.url and done != most:
            self.answer()
            done += 1
        return done

    def kill(self) -> None:
        """SIGKILL to the browser's own process, as the phone's battery does it."""
        results = subprocess.run(
            ["pgrep", "--full", f"user-data-dir={self._profile}"], capture_output=True, text=True
        )
        for process in map(int, results.stdout.split()):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:  # its children go with it
                continue

    def close(self) -> None:
        self._context.close()


@pytest.mark.browser
def test_two_raters_one_of_whose_browsers_is_killed(study: Maker, tmp_path: Path) -> None:
    output = survey(study, "make", "pilot=true", "raters=2", f"pages={PAGES}", "culture=korea")
    assert "survey.yaml" in output
    file = study.folder.survey.file
    file.write_text(file.read_text().replace("  seconds: 2.0", "  seconds: 0"))  # these people take no time
    server = Served(study.folder, f"sqlite:///{study.folder.survey.database}")
    server.start()
    screens = (PAGES + 2) * QUESTIONS
    try:
        with sync_playwright() as playwright:
            first = Person(playwright, server.url, tmp_path / "first")
            first.join("korea")
            second = Person(playwright, server.url, tmp_path / "second")
            link = second.join("korea")
            half = second.rate(screens // 2)
            second.kill()
            assert first.rate() == screens
            first.close()
            third = Person(playwright, server.url, tmp_path / "third")
            third.page.goto(link)
            assert third.rate() == screens - half
            third.page.wait_for_url("**/end")
            third.close()
        assert server.stop() == 0
    finally:
        server.kill()
    assert "Representation of the culture" in survey(study, "results")
    results = survey_results.read(study.folder.survey, [])
    assert results is not None
    assert (results.raters, results.analysed, results.consistency) == (2, 2, (1.0, 1.0, 1.0))
    assert [results.table(question, "korea").raters for question in results.questions] == [2] * QUESTIONS
    assert results.table("culture").rankings == 2 * PAGES
    report = study.folder.report.read_text()
    assert "What people say" in report
