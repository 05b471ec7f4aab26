"""What each term of the loss adds in the toy world: runs the study and writes docs/toy-results.md.

    python bench/toy_results.py [--seeds 3] [--output outputs]

The study is `ablation=loss_terms` over all cultures in the settings that ship, whatever comes out. A finished study
is only read, so that the page can be written again in seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scoft_hpc.results import statistics, study
from scoft_hpc.results.measures import MEASURES, Measure
from scoft_hpc.results.statistics import Estimate
from scoft_hpc.results.study import Study
from scoft_hpc.runs.layout import StudyDir

NAME = "toy-results"
HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "toy-results.md"
CONTRASTS = (("ldm", "base"), ("m", "ldm"), ("mp", "m"), ("mpc", "mp"), ("mpc", "m"), ("mpc", "base"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    seeds = ",".join(map(str, range(asked.seeds)))
    words = [
        "culture=all",
        "ablation=loss_terms",
        f"seed=[{seeds}]",
        f"study={NAME}",
        f"output={asked.output}",
    ]
    code = subprocess.run([sys.executable, "-m", "scoft_hpc.sweep", *words]).returncode
    if code == 0:
        PAGE.write_text(page(study.read(StudyDir(asked.output.absolute() / NAME))))
        print(f"written: {PAGE}")
    return code


def page(found: Study) -> str:
    """The page as Markdown."""

    def culture_mean(measure: str, culture: str, variant: str) -> str:
        values = [run.metric(measure) for run in found.of(culture=culture, variant=variant)]
        return f"{sum(v for v in values if v is not None) / len(values):.2f}"

    def level(measure: Measure, variant: str) -> str:
        return _told(statistics.level(found, measure, variant))

    def contrast(measure: Measure, variant: str, reference: str) -> str:
        estimate = statistics.contrast(found, measure, variant, reference)
        text = _told(estimate, "+")
        return (
            f"**{text}**" if estimate is not None and estimate.half is not None and estimate.holds else text
        )

    config, provenance = found.runs[-1].config, found.runs[0].provenance
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("toy_results.md.j2").render(
        runs=found.runs,
        cultures=found.cultures,
        variants=found.variants,
        seeds=found.seeds,
        samples=sum(len(run.samples) for run in found.runs),
        minutes=round(sum(run.seconds or 0 for run in found.runs) / 60),
        machine=f"{os.cpu_count()} {platform.machine()} cores",
        train=config["train"],
        lora=config["lora"],
        objective=config["objective"],
        torch=provenance["torch"],
        model=provenance["model_digest"][:8],
        measures=list(MEASURES.values()),
        contrasts=CONTRASTS,
        level=level,
        contrast=contrast,
        culture_mean=culture_mean,
    )


def _told(estimate: Estimate | None, sign: str = "") -> str:
    if estimate is None:
        return "–"
    text = f"{estimate.value:{sign}.2f}"
    if estimate.half is not None:
        text += f" ({estimate.low:{sign}.2f} … {estimate.high:{sign}.2f})"
    return text.replace("-", "−")


if __name__ == "__main__":
    raise SystemExit(main())
