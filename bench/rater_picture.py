"""docs/rater.png: a page of a survey as a rater sees it in chromium, with ranks given.

    python bench/rater_picture.py outputs/loss_terms-all-toy

The study has a survey with a place left, as `python -m scoft_hpc.survey demo` leaves it; the rater withdraws at once.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "rater.png"
WIDTH = 1040
RANKS = (3, 1, 2, 2)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="the study's folder")
    parser.add_argument("--to", type=Path, default=PICTURE)
    asked = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium was not found; apt-get install chromium")
    words = [asked.study.name, f"output={asked.study.absolute().parent}", "port=0"]
    command = [sys.executable, "-u", "-m", "scoft_hpc.survey", "serve", *words]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        sync_playwright() as playwright,
    ):
        assert server.stdout is not None
        address = next(found[1] for line in server.stdout if (found := re.match(r"raters\s+(\S+)", line)))
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH, "height": 600}, base_url=address, locale="en")
        _rate(page)
        page.screenshot(path=asked.to, full_page=True)
        page.goto("/withdraw")
        page.locator("form[action='/withdraw'] button").click()
        page.wait_for_url("**/withdrawn")
        opened.close()
        server.terminate()
    print(f"written: {asked.to}")
    return 0


def _rate(page: Page) -> None:
    page.goto("/consent")
    page.locator("#agree").check()
    page.locator("form[action='/consent'] button.primary").click()
    page.locator("input[name=culture]").first.check()
    page.locator("input[name=affiliation][value=unsaid]").check()
    page.locator("input[name=blur]").uncheck()
    page.locator("form[action='/join'] button.primary").click()
    page.wait_for_url("**/link")
    page.goto("/pages")
    for i, rank in enumerate(RANKS, 1):
        page.locator(f"input[name=rank-{i}][value='{rank}']").check()
        page.locator(f"input[name=rating-{i}][value='{6 - rank}']").check()


if __name__ == "__main__":
    raise SystemExit(main())
