"""Metrics compared with raters, from a study's files; the command; and the report's section."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

import simulated_surveys
from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.human_eval import database, pages, survey_yaml
from scoft_hpc.human_eval.analysis import metric_agreement
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.analysis.rankings import select_rankings
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.human_eval.demo import simulation
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Ethics, Question, Survey
from scoft_hpc.results import markdown, study
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page as report
from scoft_hpc.results.study import Study
from scoft_hpc.results.survey_text import primary_sentence
from surveys import SYSTEMS, pages_from

CULTURES = ("korea", "mexico", "china")


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Three cultures, four systems, one seed, for a survey."""
    return Maker.of(
        tmp_path_factory.mktemp("asked"),
        cultures=CULTURES,
        variants=SYSTEMS,
        seeds=(0,),
        prompts=4,
        samples=1,
    ).finish()


@pytest.fixture(scope="module")
def survey_pages(maker: Maker) -> tuple[Page, ...]:
    return pages_from(study.read(maker.folder), SYSTEMS)


@pytest.fixture(scope="module")
def survey(maker: Maker) -> Survey:
    quotas = dict(zip(CULTURES, (7, 7, 2), strict=True))
    return Survey(
        "Asked",
        maker.folder.name,
        SYSTEMS,
        quotas,
        ethics=Ethics(pilot=True),
        questions=(Question("match"), Question("culture")),
        pages=4,
        attention=1,
        languages=("en",),
    )


@pytest.fixture(scope="module")
def answered_study(maker: Maker, survey_pages: tuple[Page, ...], survey: Survey) -> Iterator[Study]:
    """The study after raters have answered through the store and `survey results` has run."""
    folder = maker.folder.survey
    folder.path.mkdir(exist_ok=True)
    survey_yaml.write(folder.file, survey)
    pages.write(folder.pages, survey.study, survey_pages)
    true = simulated_surveys.true_worths(SYSTEMS, CULTURES, [q.name for q in survey.questions], apart=3.0)
    store = Store.open(survey, survey_pages, database.url_of(folder))
    for number, (culture, quota) in enumerate(survey.quotas.items()):
        for k in range(quota):
            rater = store.enrol(culture, "member", "", "en", "v1", False)
            person = simulation.SimulatedRater(
                10 * number + k + 1, culture, true.worths[culture], offence_rate=0.3
            )
            for task in store.tasks(rater):
                systems = {image.name: image.system for image in task.page.images}
                for question in task.questions:
                    answer = person.answer(systems, question, task.kind, task.page.id)
                    store.save(rater, task.position, question, answer)
    store.close()
    from scoft_hpc.human_eval.analysis.command import results

    assert results(CommandArgs(maker.folder, CULTURES, {})) == 0
    yield study.read(maker.folder)


@pytest.mark.slow
def test_the_results_are_read_with_the_study(answered_study: Study, survey: Survey) -> None:
    results = answered_study.survey_results
    assert results is not None and answered_study.notes == ()
    assert results.raters == 16
    assert "prefer mpc to base" in primary_sentence(results.primary)
    assert [len(results.table("culture", culture).results) for culture in CULTURES] == [4, 4, 0]
    assert (answered_study.folder.survey.exports / "answers.csv").exists()


@pytest.mark.slow
def test_repeated_results_are_the_same_bytes(
    answered_study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    from scoft_hpc.human_eval.analysis.command import results

    before = answered_study.folder.survey.results.read_bytes()
    assert results(CommandArgs(answered_study.folder, CULTURES, {})) == 0
    assert answered_study.folder.survey.results.read_bytes() == before
    output = capsys.readouterr().out
    assert output.split()[:5] == ["People", "prefer", "mpc", "to", "base"]
    assert "Metrics compared with people" in output
    assert str(answered_study.folder.report) in output


def test_metrics_correlate_as_scipy_says(answered_study: Study) -> None:
    assert answered_study.survey_results is not None
    agreement = next(
        t
        for t in answered_study.survey_results.metric_agreement
        if (t.question, t.metric) == ("culture", "kid")
    )
    goodness = metric_agreement.system_goodness(answered_study, METRICS["kid"])
    worth = {
        (table.culture, s.system): s.worth.value
        for table in answered_study.survey_results.by_culture("culture")
        for s in table.results
    }
    x, y = [goodness[point] for point in worth], list(worth.values())
    assert agreement.points == 8
    assert agreement.overall is not None and agreement.within is not None and agreement.pairs is None
    assert agreement.overall.value == pytest.approx(spearmanr(x, y).statistic)
    assert agreement.kendall == pytest.approx(kendalltau(x, y).statistic)
    halves = [spearmanr(x[:4], y[:4]).statistic, spearmanr(x[4:], y[4:]).statistic]
    assert agreement.within.value == pytest.approx(np.mean(halves))


def test_a_metric_that_orders_as_raters_do_agrees_on_every_pair(
    answered_study: Study, survey_pages: tuple[Page, ...]
) -> None:
    true = simulated_surveys.true_worths(SYSTEMS, ("korea",), ("culture",), apart=30.0)
    person = simulation.SimulatedRater(1, "korea", true.worths["korea"], skill=9.0, abstain_rate=0.0)
    judgements = list(
        simulated_surveys.judge_regular(person, [p.id for p in survey_pages if p.culture == "korea"], true)
    )
    rankings = select_rankings(judgements, SYSTEMS, "culture")
    knows = {(p.id, s): float(SYSTEMS.index(s)) for p in survey_pages for s in SYSTEMS}
    tally = metric_agreement.count_agreements(rankings, knows)
    assert tally.won.tolist() == tally.total.tolist() == [6 * 4]
    opposite = metric_agreement.count_agreements(rankings, {key: -value for key, value in knows.items()})
    assert opposite.won.tolist() == [0]
    flat = metric_agreement.count_agreements(rankings, dict.fromkeys(knows, 1.0))
    assert flat.won.tolist() == [12]
    values = metric_agreement.image_goodness(answered_study, METRICS["clip_score"], survey_pages)
    assert set(values) == set(knows)
    assert metric_agreement.image_goodness(answered_study, METRICS["kid"], survey_pages) == {}


def test_of_one_culture_the_interval_is_over_raters(
    answered_study: Study, survey_pages: tuple[Page, ...], survey: Survey
) -> None:
    true = simulated_surveys.true_worths(SYSTEMS, ("korea",), ("culture",), apart=2.0)
    everybody = simulation.draw_raters(true.worths, {"korea": 8})
    participants, judgements = simulated_surveys.survey_of(true, everybody, pages=4, pool=4)
    one_culture = replace(survey, quotas={"korea": 8}, questions=(Question("culture"),))
    results = analyse(one_culture, participants, judgements, answered_study, survey_pages)
    agreements = [t for t in results.metric_agreement if t.question == "culture" and t.overall is not None]
    assert agreements
    for agreement in agreements:
        assert (
            agreement.overall is not None
            and agreement.overall.low is not None
            and agreement.overall.high is not None
        )
        assert agreement.overall.low <= agreement.overall.value <= agreement.overall.high


def test_the_report_and_its_markdown_tell_it(answered_study: Study) -> None:
    html, text = answered_study.folder.report.read_text(), answered_study.folder.markdown.read_text()
    for document in (html, text):
        assert "What people say" in document
        assert "prefer mpc to base" in document
        assert "too few raters (2)" in document
    assert 'id="ratings"' in html
    assert html.count("<svg") > 4
    assert html == report.render(findings(answered_study))
    assert text == markdown.render(findings(answered_study))


def test_the_report_escapes_what_a_survey_says(answered_study: Study) -> None:
    assert answered_study.survey_results is not None
    hostile = '<script>alert("x")</script>'
    panels = (
        replace(answered_study.survey_results.panels[0], culture=hostile),
        *answered_study.survey_results.panels[1:],
    )
    tables = tuple(
        replace(t, culture=hostile) if t.culture == "korea" else t
        for t in answered_study.survey_results.tables
    )
    results = replace(answered_study.survey_results, panels=panels, tables=tables)
    html = report.render(findings(replace(answered_study, survey_results=results)))
    assert hostile not in html
    assert html.count("<script>") == 1


def test_a_survey_file_that_changed_is_reported_as_changed(
    maker: Maker, answered_study: Study, survey: Survey, capsys: pytest.CaptureFixture[str]
) -> None:
    from scoft_hpc.human_eval.analysis.command import results

    fixed = "fixed before the first answer"
    assert fixed in answered_study.folder.report.read_text()
    file = answered_study.folder.survey.file
    contents = {
        path: path.read_bytes()
        for path in (
            file,
            answered_study.folder.survey.results,
            answered_study.folder.report,
            answered_study.folder.markdown,
        )
    }
    survey_yaml.write(file, replace(survey, exclusion=replace(survey.exclusion, consistency=0.99)))
    try:
        assert results(CommandArgs(answered_study.folder, CULTURES, {})) == 0
        html, text = answered_study.folder.report.read_text(), answered_study.folder.markdown.read_text()
    finally:
        for path, content in contents.items():
            path.write_bytes(content)
    assert fixed not in html and "fixed beforehand:" not in html
    for document in (html, text):
        assert "The survey file has changed since the first rater came" in document
        assert "Without exclusions: " in document


def test_without_a_survey_the_report_has_no_chapter(answered_study: Study) -> None:
    assert 'id="ratings"' not in report.render(findings(replace(answered_study, survey_results=None)))
    assert "What people say" not in markdown.render(findings(replace(answered_study, survey_results=None)))


def test_a_broken_results_file_is_a_note_and_the_study_is_read(answered_study: Study, tmp_path: Path) -> None:
    import shutil

    from scoft_hpc.study.paths import StudyDir

    copy = StudyDir(tmp_path / answered_study.name)
    shutil.copytree(answered_study.folder.path, copy.path)
    content = json.loads(copy.survey.results.read_text())
    copy.survey.results.write_text(json.dumps({**content, "tables": 3}))
    read = study.read(copy)
    assert read.survey_results is None
    assert any("survey results" in note for note in read.notes)


def test_results_without_answers_are_refused(maker: Maker, answered_study: Study, tmp_path: Path) -> None:
    from scoft_hpc.errors import RatingError
    from scoft_hpc.human_eval.analysis.command import results

    nowhere = f"sqlite:///{tmp_path / 'none.db'}"
    with pytest.raises(RatingError, match="no answers yet"):
        results(CommandArgs(maker.folder, CULTURES, {"database": nowhere}))
    assert survey_yaml.read(maker.folder.survey.file).title == "Asked"
