"""What each term of the loss adds in the toy world: runs the study and writes docs/toy-results.md.

    python bench/toy_results.py [--seeds 3] [--output outputs]

The study is `ablation=loss_terms` over all cultures, in the settings that ship, whatever comes out. A finished study
is only read, so the page can be written again in seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

from scoft_hpc.results import statistics, study
from scoft_hpc.results.measures import MEASURES
from scoft_hpc.results.statistics import Estimate
from scoft_hpc.results.study import Study
from scoft_hpc.runs.layout import StudyDir

NAME = "toy-results"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "toy-results.md"
STEPS = (("ldm", "base"), ("m", "ldm"), ("mp", "m"), ("mpc", "mp"), ("mpc", "m"), ("mpc", "base"))
SHOWN = ("default_style", "in_style", "subject", "memorization", "diversity")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("outputs"))
    asked = parser.parse_args()
    words = [
        "culture=all",
        "ablation=loss_terms",
        f"seed=[{','.join(map(str, range(asked.seeds)))}]",
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
    config = found.runs[-1].config
    objective, train = config["objective"], config["train"]
    compute = sum(run.seconds or 0 for run in found.runs)
    provenance = found.runs[0].provenance
    return "\n".join(
        [
            "# What each term adds in the toy world",
            "",
            f"{len(found.runs)} runs: {len(found.cultures)} cultures × {len(found.variants)} variants × "
            f"{len(found.seeds)} seeds, {sum(len(run.samples) for run in found.runs)} scored samples, "
            f"{compute / 60:.0f} minutes of computing in all on {os.cpu_count()} {platform.machine()} cores. "
            "Written by `python bench/toy_results.py`, numbers as they came.",
            "",
            f"Settings (`conf/`): {train['steps']} updates of batch {train['batch']}, learning rate {train['lr']:g}, LoRA "
            f"rank {config['lora']['rank']}; total = {objective['w_ldm']:g} L_LDM + {objective['w_m']:g} L_M + "
            f"{objective['w_c']:g} L_C (or L_P), the last on every {objective['every']}th {objective['cadence']}; form "
            f"{objective['form']}, distance {objective['distance']}, gradient {objective['gradient']}, guidance "
            f"{objective['guidance']:g}. The weights and the cadence are the authors'; steps, rate and rank suit the small "
            f"model. torch {provenance.get('torch')}, model {str(provenance.get('model_digest'))[:8]}.",
            "",
            "## The variants",
            "",
            *_table(
                "variant",
                [(v, [statistics.level(found, MEASURES[m], v) for m in SHOWN]) for v in found.variants],
            ),
            "",
            "## What each term adds",
            "",
            "Differences over the same culture, seed, prompt and starting noise. **Bold**: the interval leaves zero out.",
            "",
            *_table(
                "difference",
                [
                    (f"{a} − {b}", [statistics.contrast(found, MEASURES[m], a, b) for m in SHOWN])
                    for a, b in STEPS
                    if {a, b} <= set(found.variants)
                ],
                signed=True,
            ),
            "",
            "Intervals are 95 %, by a bootstrap over cultures widened for small numbers: they say where the mean would lie",
            "for cultures like these five (`results/statistics.py`). No correction is made for the number of comparisons.",
            "",
            "## Culture by culture",
            "",
            "Default style / in style, means over seeds.",
            "",
            *_cultures(found),
            "",
            "## What the numbers mean",
            "",
            *(
                f"- **{MEASURES[m].title}** ({MEASURES[m].arrow or 'neither end is better'}): {MEASURES[m].meaning}"
                for m in SHOWN
            ),
            "",
        ]
    )


def _table(first: str, rows: list[tuple[str, list[Estimate | None]]], signed: bool = False) -> list[str]:
    titles = [f"{MEASURES[m].title} {MEASURES[m].arrow}".strip() for m in SHOWN]
    lines = [f"| {first} | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    return lines + [
        f"| {name} | {' | '.join(_cell(e, signed) for e in estimates)} |" for name, estimates in rows
    ]


def _cell(estimate: Estimate | None, signed: bool) -> str:
    if estimate is None:
        return "–"
    sign = "+" if signed else ""
    value = f"{estimate.value:{sign}.2f}".replace("-", "−")
    if estimate.half is None:
        return value
    bounds = f"{estimate.low:{sign}.2f} … {estimate.high:{sign}.2f}".replace("-", "−")
    return f"**{value}** ({bounds})" if signed and estimate.holds else f"{value} ({bounds})"


def _cultures(found: Study) -> list[str]:
    lines = [f"| culture | {' | '.join(found.variants)} |", "|---" * (len(found.variants) + 1) + "|"]
    for culture in found.cultures:
        cells = []
        for variant in found.variants:
            runs = list(found.of(culture=culture, variant=variant))
            means = [sum(run.metric(m) or 0.0 for run in runs) / len(runs) for m in SHOWN[:2]]
            cells.append(" / ".join(f"{mean:.2f}" for mean in means))
        lines.append(f"| {culture} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
