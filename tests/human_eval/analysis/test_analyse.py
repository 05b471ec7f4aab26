"""The whole analysis: deterministic, careful with few raters, and unchanged by writing and reading."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from human_eval.analysis.simulated_survey import Simulated
from scoft_hpc.human_eval.analysis import command
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.judgements import Judgement, Kind
from scoft_hpc.human_eval.survey import Exclusion
from scoft_hpc.results import survey_results
from scoft_hpc.results.survey_results import SurveyResults
from scoft_hpc.results.survey_text import primary_sentence
from scoft_hpc.study.paths import SurveyDir
from surveys import SYSTEMS


def text(results: SurveyResults) -> str:
    console = Console(width=80, highlight=False, record=True, file=io.StringIO())
    command.show(console, results)
    console.file.close()
    return console.export_text()


def analyse_subset(simulated: Simulated, raters: set[int], **changes: Any) -> SurveyResults:
    """The analysis of some raters' answers."""
    participants = [item for item in simulated.participants if item.rater in raters]
    judgements = [replace(item, **changes) for item in simulated.judgements if item.rater in raters]
    return analyse(simulated.survey, participants, judgements)


def test_the_same_answers_give_the_same_bytes_in_any_order(simulated: Simulated, tmp_path: Path) -> None:
    few = {1, 2, 3}
    first = analyse_subset(simulated, few)
    survey, participants = simulated.survey, [item for item in simulated.participants if item.rater in few]
    repeated = analyse(
        survey, participants, [item for item in reversed(simulated.judgements) if item.rater in few]
    )
    for name, results in (("a", first), ("b", repeated)):
        survey_results.write(tmp_path / name, results)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    other = analyse(
        replace(survey, seed=1), participants, [item for item in simulated.judgements if item.rater in few]
    )
    assert other != first, "the seed decides what is drawn"
    assert other.table("culture").results[0].mean_rank == first.table("culture").results[0].mean_rank


def test_what_is_written_is_read_again(simulated: Simulated, tmp_path: Path) -> None:
    folder, notes = SurveyDir(tmp_path), []
    survey_results.write(folder.results, simulated.results)
    assert survey_results.read(folder, notes) == simulated.results
    assert notes == []


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"version": 99}', '{"version": 1}', '{"version": 1, "title": 3}', "\xff"],
)
def test_a_broken_or_newer_file_is_a_note(tmp_path: Path, content: str) -> None:
    folder = SurveyDir(tmp_path)
    notes: list[str] = []
    assert survey_results.read(folder, notes) is None
    assert notes == []
    folder.results.write_bytes(content.encode("latin-1"))
    assert survey_results.read(folder, notes) is None
    assert len(notes) == 1
    assert "results.json" in notes[0]


@pytest.mark.parametrize(
    ("raters", "phrase"), [(set(), "no answers"), ({1}, "1 rater, "), ({1, 2}, "2 raters, ")]
)
def test_few_raters_are_described_in_words(simulated: Simulated, raters: set[int], phrase: str) -> None:
    results = analyse_subset(simulated, raters)
    assert "is undecided" in primary_sentence(results.primary)
    assert phrase in primary_sentence(results.primary)
    assert phrase.split(",")[0] in text(results)
    assert not any(table.results for table in results.by_culture("culture")), (
        "a culture of so few is not told of alone"
    )
    for result in results.table("culture").results:
        assert result.worth.has_interval == (len(raters) > 1)


def test_two_raters_decide_no_best_system(simulated: Simulated) -> None:
    """Their resamples are four, and two who agree would be sure."""
    assert {result.best for result in analyse_subset(simulated, {1, 2}).table("culture").results} == {None}
    assert None not in {
        result.best for result in analyse_subset(simulated, {1, 2, 3}).table("culture").results
    }


def test_in_means_over_all_cultures_each_counts_alike(simulated: Simulated) -> None:
    """Eleven raters of one culture put mpc first and base last, two of another the other way round."""
    up = {system: 4 - k for k, system in enumerate(SYSTEMS)}
    down = {system: 1 + k for k, system in enumerate(SYSTEMS)}
    participants = [
        item for item in simulated.participants if item.culture == "china" or item.rater in (12, 13)
    ]
    judgements = [
        replace(item, ranks=ranks, ratings={s: 6 - r for s, r in ranks.items()}, offended=offended)
        for item in simulated.judgements
        if item.rater in {item.rater for item in participants}
        for ranks, offended in [(up, frozenset()) if item.culture == "china" else (down, frozenset({"mpc"}))]
    ]
    rules = replace(simulated.survey, exclusion=Exclusion(-1.0, 0.0, 0.0))
    results = {
        item.system: item for item in analyse(rules, participants, judgements).table("culture").results
    }
    assert [results[s].mean_rank for s in SYSTEMS] == pytest.approx([2.5] * 4)
    assert results["mpc"].worth.value == pytest.approx(results["base"].worth.value, abs=1e-6)
    assert [results[s].rating for s in SYSTEMS] == pytest.approx([3.5] * 4)
    assert results["mpc"].offence_rate == pytest.approx(0.5)
    assert results["mpc"].rank_shares == pytest.approx((0.5, 0, 0, 0, 0, 0, 0.5))


def test_skills_are_reported_for_cultures_that_are_reported(simulated: Simulated) -> None:
    assert analyse_subset(simulated, {1, 2, 3, 4}).skills == (), "below `small`"
    assert [skill.rater for skill in analyse_subset(simulated, {1, 2, 3, 4, 5}).skills] == [1, 2, 3, 4, 5]


def test_votes_are_weighted_from_three_raters_on(simulated: Simulated) -> None:
    assert analyse_subset(simulated, {1, 2}).votes == (), "two cannot tell who of them is good"
    assert {vote.system for vote in analyse_subset(simulated, {1, 2, 3}).votes} == set(SYSTEMS)


def test_a_preference_for_the_reference_is_reported(simulated: Simulated) -> None:
    down = {system: 1 + k for k, system in enumerate(SYSTEMS)}
    results = analyse_subset(simulated, set(range(1, 9)), ranks=down)
    assert primary_sentence(results.primary).startswith(
        "People prefer base to mpc (representation of the culture): mpc won 0 %"
    )


def test_one_culture_is_enough(simulated: Simulated) -> None:
    results = analyse_subset(simulated, set(range(1, 12)))
    assert "People prefer mpc to base" in primary_sentence(results.primary)
    assert [table.culture for table in results.by_culture("culture") if table.results] == ["china"]


def test_nobody_can_judge(simulated: Simulated) -> None:
    results = analyse_subset(simulated, set(range(1, 52)), ranks=None, ratings={})
    assert "no answers" in primary_sentence(results.primary)
    assert results.table("match").n_cannot_judge > 0
    assert results.skills == () and results.votes == ()
    text(results)


@pytest.mark.slow
def test_everybody_is_unanimous(simulated: Simulated) -> None:
    ranks = {system: 4 - k for k, system in enumerate(SYSTEMS)}
    results = analyse_subset(simulated, set(range(1, 16)), ranks=ranks)
    table = results.table("culture")
    assert table.agreement == survey_results.IntervalEstimate(pytest.approx(1.0))
    assert [result.mean_rank for result in table.results] == [4, 3, 2, 1]
    assert results.primary.test.wins is not None and results.primary.test.wins.value == 1
    assert (results.primary.test.wins.low or 0) > 0.9
    assert "prefer mpc" in text(results)


def test_all_of_it_is_ties(simulated: Simulated) -> None:
    results = analyse_subset(simulated, set(range(1, 16)), ranks=dict.fromkeys(SYSTEMS, 1))
    assert "every comparison was a tie" in primary_sentence(results.primary)
    assert results.table("culture").agreement is None
    assert {result.mean_rank for result in results.table("culture").results} == {2.5}
    text(results)


@pytest.mark.slow
def test_a_system_that_no_page_shows_has_no_line(simulated: Simulated) -> None:
    judgements = [
        replace(item, ranks=item.ranks and {s: r for s, r in item.ranks.items() if s != "base"}, ratings={})
        for item in simulated.judgements
        if item.rater < 8
    ]
    results = analyse(simulated.survey, simulated.participants[:7], judgements)
    assert [item.system for item in results.table("culture").results] == ["m", "mp", "mpc"]
    assert all(item.p is None for item in results.tests)
    assert "is undecided" in primary_sentence(results.primary)
    text(results)


def test_a_raters_affiliation_can_decide(simulated: Simulated) -> None:
    rules = replace(simulated.survey, exclusion=Exclusion(affiliations=("lived",)))
    results = analyse(rules, simulated.participants, simulated.judgements)
    assert results.analysed == 0
    assert results.excluded["affiliation"] == 51
    assert "Without exclusions" in text(results)


def test_the_terminal_shows_the_primary_comparison_first(simulated: Simulated) -> None:
    lines = text(simulated.results).split()
    assert " ".join(lines[:5]) == "People prefer mpc to base"
    assert max(map(len, text(simulated.results).splitlines())) <= 80


judgements = st.builds(
    Judgement,
    rater=st.integers(1, 4),
    culture=st.just("china"),
    page=st.sampled_from(["p0", "p1"]),
    position=st.just(0),
    kind=st.sampled_from(Kind),
    question=st.sampled_from(["match", "culture"]),
    ranks=st.none() | st.dictionaries(st.sampled_from(SYSTEMS), st.integers(1, 4), max_size=4),
    ratings=st.dictionaries(st.sampled_from(SYSTEMS), st.integers(1, 5), max_size=4),
    offended=st.frozensets(st.sampled_from(SYSTEMS), max_size=2),
    seconds=st.floats(0, 60),
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(answers=st.lists(judgements, max_size=12, unique_by=lambda j: (j.rater, j.page, j.kind, j.question)))
def test_whatever_is_answered_the_results_are_sound(simulated: Simulated, answers: list[Judgement]) -> None:
    rules = replace(simulated.survey, exclusion=Exclusion(-1.0, 0.0, 0.0), small=1)
    results = analyse(rules, simulated.participants, answers)
    json.dumps(results.tests[0].__dict__, default=str)
    text(results)
    for table in results.tables:
        for result in table.results:
            assert 1 <= result.mean_rank <= 4
            assert sum(result.rank_shares) == pytest.approx(1)
            assert 0 < result.first.value < 1
            assert result.first.low is None or result.first.low <= result.first.value <= (
                result.first.high or 0
            )
