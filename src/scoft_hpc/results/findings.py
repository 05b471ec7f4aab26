"""What a study found: every variant under every measure, compared with the baselines, computed once for all readers.

The terminal's tables, the report, the exports and W&B all take their numbers from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results import formats, inference, power, statistics
from scoft_hpc.results.inference import Comparison
from scoft_hpc.results.power import SampleSize
from scoft_hpc.results.statistics import Estimate
from scoft_hpc.results.study import BASE, Study

REFERENCES = (BASE, "ldm")
"""The variants that others are compared with: the base, and plain fine-tuning."""


@dataclass(frozen=True)
class VariantResult:
    """One variant under one measure, pooled over cultures and seeds.

    Attributes:
        variant: its name.
        level: its mean; None where nothing is scored.
        against: reference variant -> the paired comparison with it; without an entry where no pair is there, and of a
            reference with a later one: `ldm` against `base` says it. Holm's correction is over all measures and
            variants that are compared with that reference.
        differs: whether it differs from the first reference after Holm's correction; None where it is not compared.
        best: whether no other variant has a better mean; never where neither end is better, or where it is alone.
    """

    variant: str
    level: Estimate | None
    against: Mapping[str, Comparison]
    differs: bool | None
    best: bool


@dataclass(frozen=True)
class Findings:
    """All findings of a study.

    Attributes:
        measures: those that some run has a value of.
        references: `base` and `ldm` where the study has them, else its first variant.
    """

    study: Study
    measures: list[MetricSpec]
    variants: list[str]
    cultures: list[str]
    references: list[str]

    def of(self, variant: str, measure: str) -> VariantResult:
        return self._table[variant, measure]

    def by_culture(self, culture: str, variant: str, measure: str) -> Estimate | None:
        """A variant's mean in one culture; its interval speaks of other seeds, or of other samples of a single run."""
        return statistics.level(self.study, METRICS[measure], variant, culture=culture)

    def needed(self, variant: str, reference: str, measure: str) -> SampleSize | None:
        """What more it takes to see a difference of `worth` between two variants: seeds, or cultures where no number
        of seeds is enough; None where the study cannot tell how far its runs lie apart."""
        spec = METRICS[measure]
        pairs = statistics.paired(
            *(statistics.values(self.study, spec, name) for name in (variant, reference))
        )
        worth = self.worth(reference, measure)
        return power.needed(power.components(pairs), worth) if pairs and worth else None

    def worth(self, reference: str, measure: str) -> float | None:
        """The difference from `reference` that is worth seeing; None where there is no level to measure it by."""
        level = self.of(reference, measure).level
        return (METRICS[measure].min_effect_at(level.value) or None) if level is not None else None

    def digits(self, measure: str) -> int:
        """Decimals that tell the variants' means apart."""
        levels = (self.of(variant, measure).level for variant in self.variants)
        return formats.decimals(level.value for level in levels if level is not None)

    def warnings(self, measure: str) -> list[str]:
        """Why the measure should not be trusted as it stands, as the runs say it, and of which variants."""
        runs_of: dict[str, dict[str, None]] = {}
        for run in self.study.runs:
            if warning := run.scores.get("metrics", {}).get(measure, {}).get("warning"):
                runs_of.setdefault(str(warning), {})[run.variant] = None
        everywhere = len(self.variants)
        texts = [
            text if len(of) == everywhere else f"{', '.join(of)}: {text}" for text, of in runs_of.items()
        ]
        return texts + self._judges(measure)

    def _judges(self, measure: str) -> list[str]:
        """That the runs were judged by different networks, whose numbers do not compare."""
        network = METRICS[measure].embedder
        digests = {
            (judge["name"], judge["digest"])
            for run in self.study.runs
            if run.metric(measure) is not None and (judge := run.scores.get("networks", {}).get(network))
        }
        if len(digests) < 2:
            return []
        named = ", ".join(f"{name} ({digest[:8]})" for name, digest in sorted(digests))
        return [f"Runs were judged by different networks: {named}. Score them again: scoft_hpc.evaluate."]

    @cached_property
    def _table(self) -> dict[tuple[str, str], VariantResult]:
        others = {
            r: [v for v in self.variants if v not in self.references[: i + 1]]
            for i, r in enumerate(self.references)
        }
        comparisons = {
            r: inference.comparisons(self.study, self.measures, others[r], r) for r in self.references
        }
        table = {}
        for measure in self.measures:
            levels = {v: statistics.level(self.study, measure, v) for v in self.variants}
            best = _best(measure, levels)
            for variant, level in levels.items():
                key = (measure.name, variant)
                against = {r: by_name[key] for r, by_name in comparisons.items() if key in by_name}
                compared = against.get(self.references[0])
                differs = None if compared is None else compared.holds
                table[variant, measure.name] = VariantResult(
                    variant, level, against, differs, variant in best
                )
        return table


def findings(study: Study) -> Findings:
    """What the study's files say so far; nothing is computed before it is asked for."""
    variants = study.variants
    return Findings(
        study=study,
        measures=[m for m in METRICS.values() if any(run.metric(m.name) is not None for run in study.runs)],
        variants=variants,
        cultures=study.cultures,
        references=_references(variants) or variants[:1],
    )


def _references(variants: Sequence[str]) -> list[str]:
    """Of several arms of one name, such as `base prompting=asked` and `base prompting=named`, the first."""
    firsts = {variant.split(" ")[0]: variant for variant in reversed(variants)}
    return [firsts[name] for name in REFERENCES if name in firsts]


def _best(measure: MetricSpec, levels: Mapping[str, Estimate | None]) -> set[str]:
    badness_of = {
        variant: badness
        for variant, level in levels.items()
        if level is not None and (badness := measure.loss_of(level.value)) is not None
    }
    return (
        {v for v, badness in badness_of.items() if badness == min(badness_of.values())}
        if len(badness_of) > 1
        else set()
    )
