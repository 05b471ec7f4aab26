"""BENCHMARKS.md: the latest results of the scripts in this directory, each with its machine and date."""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).resolve().parent
FOUND = HERE / "measured"
PAGE = HERE.parent / "BENCHMARKS.md"


def record(name: str, **found: Any) -> None:
    """Store the results of a script in `measured/<name>.json`, and write the page again from all stored results."""
    FOUND.mkdir(exist_ok=True)
    about = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "torch": torch.__version__}
    (FOUND / f"{name}.json").write_text(json.dumps(about | found, indent=1) + "\n")
    write()


def write() -> None:
    found = {path.stem: json.loads(path.read_text()) for path in sorted(FOUND.glob("*.json"))}
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    PAGE.write_text(environment.get_template("benchmarks.md.j2").render(found=found))
    print(f"written: {PAGE}")


def machine() -> str:
    """The GPU, or the processor and its cores."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} {platform.machine()} cores ({_processor()})"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
