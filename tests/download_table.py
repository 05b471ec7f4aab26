"""Tables and pictures to fetch by them, and the way to what came of it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

from PIL import Image

from scoft_hpc.config.command_configs import Download
from scoft_hpc.inputs.download.culture_folders import DownloadResult, fetch
from scoft_hpc.study.interrupt import StopFlag

SETTINGS = Download(jobs=4, tries=3, seconds=0.4, megabytes=0.5)


def picture(seed: int, kind: str = "PNG", size: int = 64) -> bytes:
    rng = hashlib.shake_256(str(seed).encode()).digest(3 * size * size)
    content = io.BytesIO()
    Image.frombytes("RGB", (size, size), rng).save(content, kind)
    return content.getvalue()


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(number: int | str, url: str, country: str = "KR", **more: str) -> dict[str, str]:
    return {
        "__id__": str(number),
        "caption": f"a picture, {number}",
        "category_code": "Food & drink",
        "country_code": country,
        "created_at": "2022-01-01",
        "url": url,
    } | more


def get(
    tmp_path: Path, rows: list[dict[str, str]], settings: Download = SETTINGS, stop: StopFlag | None = None
) -> DownloadResult:
    return fetch(
        write_table(tmp_path / "ccub.csv", rows),
        tmp_path / "root",
        settings,
        None,
        stop or StopFlag(),
        backoff_seconds=0.01,
    )


def metadata(tmp_path: Path, culture: str = "korea") -> list[dict[str, Any]]:
    text = (tmp_path / "root" / culture / "train" / "metadata.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def image(tmp_path: Path, number: int | str, ending: str = "png", culture: str = "korea") -> Path:
    return tmp_path / "root" / culture / "train" / "images" / f"Food_drink-{number}.{ending}"
