"""The whole analysis: deterministic, honest with few raters, and read again as it was written."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

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


def text(found: SurveyResults) -> str:
    console = Console(width=80, highlight=False, record=True, file=io.StringIO())
    command.show(console, found)
    console.file.close()
    return console.export_text()


def some(simulated: Simulated, raters: set[int], **changes: object) -> SurveyResults:
    """The analysis of some raters' answers."""
    who = [one for one in simulated.people if one.rater in raters]
    said = [replace(one, **changes) for one in simulated.said if one.rater in raters]  # type: ignore[arg-type]
    return analyse(simulated.survey, who, said)


def test_the_same_answers_give_the_same_bytes_in_any_order(simulated: Simulated, tmp_path: Path) -> None:
    few = {1, 2, 3}
    once = some(simulated, few)
    survey, who = simulated.survey, [one for one in simulated.people if one.rater in few]
    again = analyse(survey, who, [one for one in reversed(simulated.said) if one.rater in few])
    for name, found in (("a", once), ("b", again)):
        survey_results.write(tmp_path / name, found)
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text()
    other = analyse(replace(survey, seed=1), who, [one for one in simulated.said if one.rater in few])
    assert other != once, "the seed decides what is drawn"
    assert other.table("culture").results[0].mean_rank == once.table("culture").results[0].mean_rank


def test_what_is_written_is_read_again(simulated: Simulated, tmp_path: Path) -> None:
    folder, notes = SurveyDir(tmp_path), []
    survey_results.write(folder.results, simulated.found)
    assert survey_results.read(folder, notes) == simulated.found
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
    ("raters", "words"), [(set(), "no answers"), ({1}, "1 rater, "), ({1, 2}, "2 raters, ")]
)
def test_few_raters_are_told_of_in_words(simulated: Simulated, raters: set[int], words: str) -> None:
    found = some(simulated, raters)
    assert "is undecided" in primary_sentence(found.primary)
    assert words in primary_sentence(found.primary)
    assert words.split(",")[0] in text(found)
    assert not any(table.results for table in found.by_culture("culture")), (
        "a culture of so few is not told of alone"
    )
    for one in found.table("culture").results:
        assert one.worth.has_interval == (len(raters) > 1)


def test_of_two_raters_nobody_says_which_system_is_the_best(simulated: Simulated) -> None:
    """Their resamples are four, and two who agree would be sure."""
    assert {one.best for one in some(simulated, {1, 2}).table("culture").results} == {None}
    assert None not in {one.best for one in some(simulated, {1, 2, 3}).table("culture").results}


def test_in_means_over_all_cultures_each_counts_alike(simulated: Simulated) -> None:
    """Eleven raters of one culture put mpc first and base last, two of another the other way round."""
    up = {system: 4 - k for k, system in enumerate(SYSTEMS)}
    down = {system: 1 + k for k, system in enumerate(SYSTEMS)}
    who = [one for one in simulated.people if one.culture == "china" or one.rater in (12, 13)]
    said = [
        replace(one, ranks=ranks, ratings={s: 6 - r for s, r in ranks.items()}, offended=offended)
        for one in simulated.said
        if one.rater in {one.rater for one in who}
        for ranks, offended in [(up, frozenset()) if one.culture == "china" else (down, frozenset({"mpc"}))]
    ]
    rules = replace(simulated.survey, exclusion=Exclusion(-1.0, 0.0, 0.0))
    results = {one.system: one for one in analyse(rules, who, said).table("culture").results}
    assert [results[s].mean_rank for s in SYSTEMS] == pytest.approx([2.5] * 4)
    assert results["mpc"].worth.value == pytest.approx(results["base"].worth.value, abs=1e-6)
    assert [results[s].rating for s in SYSTEMS] == pytest.approx([3.5] * 4)
    assert results["mpc"].offence_rate == pytest.approx(0.5)
    assert results["mpc"].rank_shares == pytest.approx((0.5, 0, 0, 0, 0, 0, 0.5))


def test_a_raters_skill_is_told_of_where_the_culture_is(simulated: Simulated) -> None:
    assert some(simulated, {1, 2, 3, 4}).skills == (), "below `small`"
    assert [one.rater for one in some(simulated, {1, 2, 3, 4, 5}).skills] == [1, 2, 3, 4, 5]


def test_votes_are_weighted_from_three_raters_on(simulated: Simulated) -> None:
    assert some(simulated, {1, 2}).votes == (), "two cannot tell who of them is good"
    assert {one.system for one in some(simulated, {1, 2, 3}).votes} == set(SYSTEMS)


def test_people_who_prefer_the_reference_are_said_to(simulated: Simulated) -> None:
    down = {system: 1 + k for k, system in enumerate(SYSTEMS)}
    found = some(simulated, set(range(1, 9)), ranks=down)
    assert primary_sentence(found.primary).startswith(
        "People prefer base to mpc (representation of the culture): mpc won 0 %"
    )


def test_one_culture_is_enough(simulated: Simulated) -> None:
    found = some(simulated, set(range(1, 12)))
    assert "People prefer mpc to base" in primary_sentence(found.primary)
    assert [table.culture for table in found.by_culture("culture") if table.results] == ["china"]


def test_nobody_can_judge(simulated: Simulated) -> None:
    found = some(simulated, set(range(1, 52)), ranks=None, ratings={})
    assert "no answers" in primary_sentence(found.primary)
    assert found.table("match").n_cannot_judge > 0
    assert found.skills == () and found.votes == ()
    text(found)


@pytest.mark.slow
def test_everybody_is_unanimous(simulated: Simulated) -> None:
    ranks = {system: 4 - k for k, system in enumerate(SYSTEMS)}
    found = some(simulated, set(range(1, 16)), ranks=ranks)
    table = found.table("culture")
    assert table.agreement == survey_results.IntervalEstimate(pytest.approx(1.0))
    assert [one.mean_rank for one in table.results] == [4, 3, 2, 1]
    assert found.primary.test.wins is not None and found.primary.test.wins.value == 1
    assert (found.primary.test.wins.low or 0) > 0.9
    assert "prefer mpc" in text(found)


def test_all_of_it_is_ties(simulated: Simulated) -> None:
    found = some(simulated, set(range(1, 16)), ranks=dict.fromkeys(SYSTEMS, 1))
    assert "every comparison was a tie" in primary_sentence(found.primary)
    assert found.table("culture").agreement is None
    assert {one.mean_rank for one in found.table("culture").results} == {2.5}
    text(found)


@pytest.mark.slow
def test_a_system_that_no_page_shows_has_no_line(simulated: Simulated) -> None:
    said = [
        replace(one, ranks=one.ranks and {s: r for s, r in one.ranks.items() if s != "base"}, ratings={})
        for one in simulated.said
        if one.rater < 8
    ]
    found = analyse(simulated.survey, simulated.people[:7], said)
    assert [one.system for one in found.table("culture").results] == ["m", "mp", "mpc"]
    assert all(one.p is None for one in found.tests)
    assert "is undecided" in primary_sentence(found.primary)
    text(found)


def test_a_raters_affiliation_can_decide(simulated: Simulated) -> None:
    rules = replace(simulated.survey, exclusion=Exclusion(affiliations=("lived",)))
    found = analyse(rules, simulated.people, simulated.said)
    assert found.analysed == 0
    assert found.excluded["affiliation"] == 51
    assert "Without exclusions" in text(found)


def test_the_terminal_tells_the_primary_comparison_first(simulated: Simulated) -> None:
    lines = text(simulated.found).split()
    assert " ".join(lines[:5]) == "People prefer mpc to base"
    assert max(map(len, text(simulated.found).splitlines())) <= 80


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
@given(said=st.lists(judgements, max_size=12, unique_by=lambda j: (j.rater, j.page, j.kind, j.question)))
def test_whatever_is_answered_the_results_are_sound(simulated: Simulated, said: list[Judgement]) -> None:
    rules = replace(simulated.survey, exclusion=Exclusion(-1.0, 0.0, 0.0), small=1)
    found = analyse(rules, simulated.people, said)
    json.dumps(found.tests[0].__dict__, default=str)
    text(found)
    for table in found.tables:
        for one in table.results:
            assert 1 <= one.mean_rank <= 4
            assert sum(one.rank_shares) == pytest.approx(1)
            assert 0 < one.first.value < 1
            assert one.first.low is None or one.first.low <= one.first.value <= (one.first.high or 0)
