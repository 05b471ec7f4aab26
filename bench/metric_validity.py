"""How well each metric tracks the truth in the toy world: writes docs/toy-metrics.md from a finished study.

python bench/metric_validity.py outputs/STUDY
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import study
from scoft_hpc.results.formats import number
from scoft_hpc.results.metric_validity import TRUTH, Correlation, MetricValidity, metric_validity
from scoft_hpc.results.study import Study
from scoft_hpc.study.paths import StudyDir

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "toy-metrics.md"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="the directory of a finished study of the toy world")
    read = study.read(StudyDir(parser.parse_args().study.absolute()))
    if not metric_validity(read):
        print(
            f"{read.folder.path} has no run whose truth and metrics are known; score it first.",
            file=sys.stderr,
        )
        return 2
    PAGE.write_text(page(read))
    print(f"written: {PAGE}")
    return 0


def page(read: Study) -> str:
    """The page as Markdown."""
    found = metric_validity(read)
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    return environment.get_template("toy_metrics.md.j2").render(
        study=read,
        truths=[m for m in METRICS.values() if m.group == TRUTH],
        metrics=list(dict.fromkeys(t.metric for t in found)),
        found={(t.metric.name, t.truth.name): t for t in found},
        with_interval=with_interval,
        verdict=verdict,
        runs=max((c.runs for t in found for c in (t.overall,) if c is not None), default=0),
        networks=next((run.scores["networks"] for run in read.runs if "networks" in run.scores), {}),
        samples=max(len(run.samples) for run in read.runs),
    )


def with_interval(correlation: Correlation | None) -> str:
    """Such as `.62 (.31 … .81)`."""
    if correlation is None:
        return "–"
    if correlation.high - correlation.low > 2:  # infinite: nothing tells
        return number(correlation.value)
    return f"{number(correlation.value)} ({number(correlation.low)} … {number(correlation.high)})"


def verdict(found: MetricValidity) -> str:
    """What the average within cultures says: whether the metric orders a culture's runs as this truth does."""
    one = found.within
    if found.expected is None or one is None:
        return "–"
    low, high = sorted((found.expected * one.low, found.expected * one.high))
    return "yes" if low > 0 else "the other way round" if high < 0 else "cannot be told"


if __name__ == "__main__":
    raise SystemExit(main())
