"""docs/report.png: the report of a finished study, shortened, as chromium shows it.

    python bench/report_picture.py outputs/loss_terms-all-toy

Shown are the head, the first measures, and the samples of the first cultures with all variants; the rest is left out.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from scoft_hpc.results import study
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page as report
from scoft_hpc.study.paths import StudyDir

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "report.png"
WIDTH = 1040
SHORTENED = """
    nav, footer, .notice, summary, details:not(.between), section:not(#variants, #samples), #variants > p,
    #variants tbody:nth-of-type(n+2), .grid:nth-of-type(n+3) { display: none !important; }
    body { padding-block: 2rem; }
    section { margin-top: 2rem; }
"""


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
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(report.render(findings(study.read(StudyDir(asked.study)))))
        _photograph(path, asked.to, browser)
    print(f"written: {asked.to}")
    return 0


def _photograph(path: Path, to: Path, browser: str) -> None:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH, "height": 600}, color_scheme="light")
        page.goto(path.as_uri())
        page.add_style_tag(content=SHORTENED)
        page.evaluate("document.querySelectorAll('.between').forEach(one => one.open = true)")
        page.evaluate("document.querySelectorAll('img').forEach(one => one.loading = 'eager')")
        page.wait_for_function("[...document.images].every(one => one.complete)")
        page.screenshot(path=to, full_page=True)
        opened.close()


if __name__ == "__main__":
    sys.exit(main())
