"""All findings of a study, as its readers ask for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import study
from scoft_hpc.results.findings import Findings, findings
from scoft_hpc.results.power import components, cultures_needed, seeds_needed
from scoft_hpc.results.statistics import level, mean, paired, values
from scoft_hpc.results.table import columns
from scoft_hpc.study import atomic


@pytest.fixture(scope="module")
def study_findings(finished: Maker) -> Findings:
    return findings(study.read(finished.folder))


def test_every_measure_is_described_and_is_a_column_of_the_results() -> None:
    assert columns()[7:] == list(METRICS)
    for name, measure in METRICS.items():
        assert measure.name == name
        assert measure.min_effect > 0
        assert measure.bounds[0] < measure.bounds[1]
        assert measure.meaning.endswith(".")
    for narrow in ("title", "short"):
        assert len({getattr(m, narrow) for m in METRICS.values()}) == len(METRICS)
    groups = [m.group for m in METRICS.values()]
    assert sorted(groups, key=groups.index) == groups  # a group stands together


def test_levels_comparisons_and_references(study_findings: Findings) -> None:
    assert study_findings.measures == list(METRICS.values())
    assert study_findings.references == ["base", "ldm"]
    measure = METRICS["default_style"]
    one = study_findings.of("mpc", "default_style")
    assert one.level == level(study_findings.study, measure, "mpc")
    assert list(one.against) == ["base", "ldm"]
    for reference, compared in one.against.items():
        pairs = paired(
            values(study_findings.study, measure, "mpc"), values(study_findings.study, measure, reference)
        )
        assert compared.difference == mean(pairs, bounds=(-1.0, 1.0))
        assert (compared.over, compared.units) == ("cultures", 2)
    assert list(study_findings.of("ldm", "default_style").against) == ["base"]
    assert study_findings.of("base", "default_style").against == {}


def test_of_several_arms_of_a_reference_the_first_is_it(finished: Maker) -> None:
    read = study.read(finished.folder)
    names = {"base": "base prompting=asked", "ldm": "base prompting=named", "m": "ldm"}
    runs = (replace(run, variant=names.get(run.variant, run.variant)) for run in read.runs)
    assert findings(replace(read, runs=tuple(runs))).references == ["base prompting=asked", "ldm"]


def test_a_reference_has_one_family_for_the_correction(study_findings: Findings) -> None:
    """The smallest p of a family is multiplied by how many there are."""
    for reference, variants in (("base", 4), ("ldm", 3)):
        family = [
            compared
            for v in study_findings.variants
            for m in study_findings.measures
            if (compared := study_findings.of(v, m.name).against.get(reference)) and compared.p is not None
        ]
        least = min(family, key=lambda compared: compared.p or 0.0)
        assert len(family) <= variants * len(METRICS)
        assert least.corrected == pytest.approx(min(1.0, len(family) * (least.p or 0.0)))


def test_the_best_is_the_best_of_its_end(study_findings: Findings) -> None:
    for measure in study_findings.measures:
        means = {v: study_findings.of(v, measure.name).level for v in study_findings.variants}
        best = [v for v in study_findings.variants if study_findings.of(v, measure.name).best]
        distance = {v: mean.value for v, mean in means.items() if mean is not None}
        if measure.direction == "undirected":
            assert best == []
            continue
        if measure.direction == "target_half":
            distance = {v: abs(value - 0.5) for v, value in distance.items()}
        extreme = (max if measure.direction == "higher" else min)(distance.values())
        assert best == [v for v in study_findings.variants if distance[v] == extreme]


def test_a_culture_alone_speaks_of_its_seeds(study_findings: Findings) -> None:
    estimate = study_findings.by_culture("korea", "mpc", "kid")
    runs = [run.metric("kid") for run in study_findings.study.of(culture="korea", variant="mpc")]
    assert estimate is not None
    assert estimate.value == pytest.approx(np.mean([value for value in runs if value is not None]))
    assert (estimate.cultures, estimate.runs, estimate.samples) == (1, 2, 2)
    assert study_findings.by_culture("atlantis", "mpc", "kid") is None


def test_what_more_it_takes(study_findings: Findings) -> None:
    """Seeds where they can be enough, else cultures; distances of no fixed scale by a share of the reference's."""
    pairs = [values(study_findings.study, METRICS["kid"], v) for v in ("mpc", "base")]
    base = study_findings.of("base", "kid").level
    assert base is not None
    assert study_findings.worth("base", "kid") == pytest.approx(0.2 * base.value)
    needed, spread = study_findings.needed("mpc", "base", "kid"), components(paired(*pairs))
    assert needed in (seeds_needed(spread, 0.2 * base.value), cultures_needed(spread, 0.2 * base.value))
    assert study_findings.worth("base", "default_style") == 0.1
    assert study_findings.worth("base", "neutral_kid") is None  # of nothing, there is no share
    assert study_findings.needed("mpc", "base", "neutral_kid") is None


def test_digits_tell_the_variants_apart(study_findings: Findings) -> None:
    assert [study_findings.digits(name) for name in ("default_style", "clip_score", "fid")] == [2, 3, 1]


def test_warnings_are_passed_on_with_the_variants_that_they_are_of(study_findings: Findings) -> None:
    assert study_findings.warnings("kid") == []
    assert study_findings.warnings("fid") == ["FID of 6 images is biased beyond use."]
    doubted = deepcopy(study_findings.study.runs)
    for run in doubted:
        if run.variant in ("mp", "mpc"):
            run.scores["metrics"]["kid"]["warning"] = "Judged by its own network."
    warned = findings(replace(study_findings.study, runs=doubted))
    assert warned.warnings("kid") == ["mp, mpc: Judged by its own network."]


def test_half_a_study_and_none(make: Callable[..., Maker]) -> None:
    """Measures without a value are left out; a variant without a run has no level; references are what there is."""
    maker = make(variants=("m", "mpc"))
    nothing = findings(study.read(maker.folder))
    assert nothing.measures == []
    assert nothing.references == ["m"]
    maker.finish(maker.find("korea", "mpc", 0))
    run = maker.run(maker.find("korea", "mpc", 0))
    scores = json.loads(run.scores.read_text())
    del scores["metrics"]["kid"]
    atomic.write_json(run.scores, scores)
    partial = findings(study.read(maker.folder))
    assert "kid" not in [m.name for m in partial.measures]
    assert partial.of("m", "clip_score").level is None
    alone = partial.of("mpc", "clip_score")
    assert alone.level is not None
    assert (alone.against, alone.best) == ({}, False)
    assert partial.needed("mpc", "m", "clip_score") is None
    assert partial.digits("clip_score") == 2


def test_runs_that_different_networks_judged_are_told_of(copied: Maker) -> None:
    loaded = findings(study.read(copied.folder))
    assert loaded.warnings("kid") == []
    loaded.study.runs[3].scores["networks"]["features"] = {"name": "dino", "digest": "d" * 16}
    (warning,) = loaded.warnings("kid")
    assert (
        "different networks: dino (dddddddd), toy (nnnnnnnn)" in warning and "scoft_hpc.evaluate" in warning
    )
    assert loaded.warnings("cmmd") == [], "another network's"
    assert loaded.warnings("in_style") == []
