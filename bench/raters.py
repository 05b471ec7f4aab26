"""Two hundred raters at once: how long a page of the survey takes; prints a table.

    python bench/raters.py [--raters 200] [--seconds 60] [--database postgresql://…]

`survey serve` runs as a process of its own on a survey of 512 × 512 images, and so do the users of locust, on the same
machine: each enrols, looks at a page with its images for a while (`THINKING`), answers, and looks at the next.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

GOAL = 300.0
"""Milliseconds within which 95 of 100 pages are there."""
THINKING = (4.0, 12.0)
"""Seconds that a rater takes for a question, at least and at most."""
COMING = 20.0
"""Seconds within which they have all enrolled; what is measured begins after it."""
CULTURES = ("china", "korea")
TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
PICTURE = re.compile(r'src="(/images/[^"]+)"')

if "locust" in sys.modules:  # locust reads this file for its users
    from locust import FastHttpUser, between, task

    class Rater(FastHttpUser):
        wait_time = between(*THINKING)

        def on_start(self) -> None:
            page = self.client.get("/consent", name="consent")
            page = self._send(page, "/consent", {"agree": "yes"}, "consent")
            culture = CULTURES[id(self) // 64 % len(CULTURES)]
            self._send(page, "/join", {"culture": culture, "affiliation": "unsaid"}, "enrol")
            self.seen: set[str] = set()
            self.page = self._open("/pages")

        @task
        def answer(self) -> None:
            path = re.search(r'<form method="post" action="(/pages/[^"]+)"', self.page.text)
            if path is None:  # the end: somebody else begins
                self.client.cookiejar.clear()
                return self.on_start()
            ranks = {f"rank-{i}": str(i) for i in range(1, 5)}
            ratings = {f"rating-{i}": str(i) for i in range(1, 5) if f'name="rating-{i}"' in self.page.text}
            self.page = self._send(
                self.page, path[1], {"do": "save", **ranks, **ratings}, "answer → next page"
            )
            self._look()
            return None

        def _open(self, path: str) -> object:
            self.page = self.client.get(path, name="page")
            self._look()
            return self.page

        def _look(self) -> None:
            for image in PICTURE.findall(self.page.text):
                if image not in self.seen:  # a browser keeps them
                    self.seen.add(image)
                    self.client.get(image, name="image")

        def _send(self, page: object, path: str, fields: dict[str, str], name: str) -> object:
            token = TOKEN.search(page.text)
            with self.client.post(
                path, {"csrf": token[1] if token else "", **fields}, name=name, catch_response=True
            ) as response:
                if response.status_code != 200 or (response.request.url.endswith(path) and "/pages" in path):
                    response.failure(f"{response.status_code} {response.url}")
            return response


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raters", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--database", default="")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = _measure(Path(folder), asked.raters, asked.seconds, asked.database)
    return _tell(rows, asked.raters, asked.seconds, "PostgreSQL" if asked.database else "SQLite")


def _measure(folder: Path, raters: int, seconds: int, database: str) -> list[dict[str, str]]:
    from human_eval.serving import Served
    from scoft_hpc.human_eval.survey import Ethics, Survey
    from surveys import SYSTEMS, create_survey_study, pages_of

    quotas = dict.fromkeys(CULTURES, 100 * raters)
    survey = Survey("Images", "a-study", SYSTEMS, quotas, ethics=Ethics(pilot=True))
    study = create_survey_study(folder, survey, pages_of(*CULTURES, number=24))
    for number, file in enumerate(sorted(study.survey.images.iterdir())):
        _photograph(number).save(file)
    server = Served(study, database or f"sqlite:///{folder}/answers.db")
    server.start()
    try:
        command = [sys.executable, "-m", "locust", "--locustfile", __file__, "--headless", "--only-summary"]
        command += [
            "--users",
            str(raters),
            "--spawn-rate",
            str(raters / COMING),
            "--run-time",
            f"{COMING + seconds:.0f}s",
        ]
        command += ["--host", server.url, "--csv", str(folder / "load"), "--reset-stats"]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        server.stop()
    with (folder / "load_stats.csv").open() as file:
        return list(csv.DictReader(file))


def _photograph(number: int) -> Image.Image:
    """Something of a photograph's size in bytes: blurred noise."""
    noise = np.random.default_rng(number).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2))


def _tell(rows: list[dict[str, str]], raters: int, seconds: int, database: str) -> int:
    table = Table("", "requests", "failed", "a second", "median ms", "95 % ms", "99 % ms")
    for row in rows:
        columns = ("Request Count", "Failure Count", "Requests/s", "50%", "95%", "99%")
        values = (f"{float(row[column]):.0f}" for column in columns)
        table.add_row(row["Name"], *values)
    console = Console()
    console.print(f"{raters} raters for {seconds} s, {database}, {os.cpu_count()} {platform.machine()} cores")
    console.print(table)
    pages = [float(row["95%"]) for row in rows if row["Name"] in ("page", "answer → next page")]
    met = max(pages) < GOAL and all(row["Failure Count"] == "0" for row in rows)
    console.print(f"goal: 95 % of pages within {GOAL:.0f} ms, nothing failed: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
