"""What each term of the loss adds in the toy world: runs the study and writes docs/toy-results.md.

    python bench/toy_results.py [--output outputs]

The study is `sweep=paper` with the settings that ship; its results are written unedited. A finished study is only read,
so the page can be written again in seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results import study
from scoft_hpc.results.findings import findings
from scoft_hpc.results.inference import compare
from scoft_hpc.results.statistics import Estimate, of_difference, paired, values
from scoft_hpc.results.study import Study
from scoft_hpc.study.paths import StudyDir

NAME = "paper"
HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "toy-results.md"
CONTRASTS = (("ldm", "base"), ("m", "ldm"), ("mp", "m"), ("mpc", "mp"), ("mpc", "m"), ("mpc", "base"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    words = [f"sweep={NAME}", f"output={asked.output}"]
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

    results = findings(found)
    family = {
        (m.name, one, other): paired(values(found, m, one), values(found, m, other))
        for m in results.measures
        for one, other in CONTRASTS
    }
    bounds = {m.name: of_difference(m) for m in results.measures}
    compared = compare(family, bounds={key: bounds[key[0]] for key in family})

    def level(measure: MetricSpec, variant: str) -> str:
        return _with_interval(results.of(variant, measure.name).level, results.digits(measure.name))

    def contrast(measure: MetricSpec, variant: str, reference: str) -> str:
        comparison = compared.get((measure.name, variant, reference))
        if comparison is None:
            return "–"
        text = _with_interval(comparison.difference, results.digits(measure.name), "+")
        return f"**{text}**" if comparison.holds else text

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
        measures=results.measures,
        contrasts=CONTRASTS,
        level=level,
        contrast=contrast,
        culture_mean=culture_mean,
    )


def _with_interval(estimate: Estimate | None, digits: int, sign: str = "") -> str:
    if estimate is None:
        return "–"
    text = f"{estimate.value:{sign}.{digits}f}"
    if estimate.half is not None:
        text += f" ({estimate.low:{sign}.{digits}f} … {estimate.high:{sign}.{digits}f})"
    return text.replace("-", "−")


if __name__ == "__main__":
    raise SystemExit(main())
