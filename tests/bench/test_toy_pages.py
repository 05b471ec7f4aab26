"""The pages on the toy world are written from any finished study that has its truths."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import metric_validity
import toy_results

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import study
from scoft_hpc.results.study import Study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study.read(Maker.of(tmp_path_factory.mktemp("finished")).finish().folder)


def test_the_page_on_metrics_has_each_metric_and_the_command(finished: Study) -> None:
    page = metric_validity.page(finished)
    assert "Study: `python -m scoft_hpc.sweep culture=all ablation=loss_terms`" in page
    assert all(metric.title in page for metric in METRICS.values() if metric.by_default)


def test_the_page_on_results_compares_the_terms(finished: Study) -> None:
    page = toy_results.page(finished)
    assert all(f"{variant} − {reference}" in page for variant, reference in toy_results.CONTRASTS)
