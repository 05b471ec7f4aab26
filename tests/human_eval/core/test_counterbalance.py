"""Williams designs, and the sequences of sixty raters made of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoft_hpc.human_eval.counterbalance import MIN_PAGES_BEFORE_REPEAT, Task, sequence, williams
from scoft_hpc.human_eval.judgements import Kind
from scoft_hpc.human_eval.survey import Survey
from surveys import SYSTEMS, pages_of

SURVEY = Survey("Images", "a-study", SYSTEMS, {"korea": 60})


def sequences(survey: Survey, pages: int, raters: int = 60) -> list[tuple[Task, ...]]:
    drawn = pages_of("korea", number=pages, systems=survey.systems)
    return [sequence(survey, drawn, slot) for slot in range(raters)]


@pytest.mark.parametrize("k", range(2, 9))
def test_each_stands_in_each_place_and_follows_each_other_equally_often(k: int) -> None:
    rows = williams(k)
    assert len(set(rows)) == len(rows) == (k if k % 2 == 0 else 2 * k)
    assert all(sorted(row) == list(range(k)) for row in rows)
    times = len(rows) // k
    places = Counter((place, thing) for row in rows for place, thing in enumerate(row))
    assert places == {(place, thing): times for place in range(k) for thing in range(k)}
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert follows == {(a, b): times for a in range(k) for b in range(k) if a != b}


def test_one_thing_has_one_order() -> None:
    assert set(williams(1)) == {(0,)}


@pytest.mark.parametrize(
    ("pages", "pages_per_rater"), [(24, 12), (20, 12), (12, 12), (7, 5), (5, 12), (1, 1)]
)
def test_no_page_is_ever_ahead_of_another_by_more_than_one_rater(pages: int, pages_per_rater: int) -> None:
    seen: Counter[str] = Counter({page.id: 0 for page in pages_of("korea", number=pages)})
    for tasks in sequences(replace(SURVEY, pages=pages_per_rater, attention=0), pages):
        page_ids = [task.page.id for task in tasks]
        assert len(set(page_ids)) == len(page_ids) == min(pages_per_rater, pages)
        seen.update(page_ids)
        assert max(seen.values()) - min(seen.values()) <= 1


@pytest.mark.parametrize("systems", [SYSTEMS, SYSTEMS[:3], SYSTEMS[:2]])
def test_images_and_questions_go_through_their_design(systems: tuple[str, ...]) -> None:
    """24 pages of which a rater sees twelve: thirty raters a page, each image in each place as often as can be."""
    rows = len(williams(len(systems)))
    raters = 4 * rows  # each page's raters go twice through the design
    survey = replace(SURVEY, systems=systems, attention=0)
    places: Counter[tuple[str, int, str]] = Counter()
    follows: Counter[tuple[str, str, str]] = Counter()
    for tasks in sequences(survey, 24, raters):
        for task in tasks:
            systems_in_order = [name.rpartition("-")[2] for name in task.order]
            places.update((task.page.id, place, system) for place, system in enumerate(systems_in_order))
            follows.update((task.page.id, *pair) for pair in pairwise(systems_in_order))
    assert set(places.values()) == {2 * rows // len(systems)}
    assert len(follows) == 24 * len(systems) * (len(systems) - 1)
    assert set(follows.values()) == {2 * rows // len(systems)}
    question_orders = Counter(tasks[0].questions for tasks in sequences(survey, 24))
    assert len(question_orders) == 4
    assert set(question_orders.values()) == {15}
    assert all(len({task.questions for task in tasks}) == 1 for tasks in sequences(survey, 24))


def test_the_places_of_pages_are_balanced() -> None:
    """All raters see the same twelve pages: in sixty raters each page stands five times in each place."""
    places = Counter(
        (task.position, task.page.id)
        for tasks in sequences(replace(SURVEY, attention=0), 12)
        for task in tasks
    )
    assert set(places.values()) == {5}
    assert len(places) == 144


def test_no_order_goes_with_another() -> None:
    """All raters see the same twelve pages: sixteen of them meet each layout of a page with each order of questions."""
    layouts: dict[str, set[tuple[object, ...]]] = {}
    places: dict[tuple[str, int], set[tuple[str, ...]]] = {}
    for slot, tasks in enumerate(sequences(replace(SURVEY, attention=0), 12, 48)):
        for task in tasks:
            places.setdefault((task.page.id, task.position), set()).add(task.order)
            if slot < 16:
                layouts.setdefault(task.page.id, set()).add((task.order, task.questions))
    assert {len(met) for met in layouts.values()} == {16}
    assert {len(met) for met in places.values()} == {4}


def test_each_rater_sees_different_prompts_as_far_as_there_are() -> None:
    for tasks in sequences(replace(SURVEY, pages=5, attention=0), 20):
        # A hand may take the end of one deck and another's start.
        assert len({task.page.prompt for task in tasks}) >= 4


@given(
    pages=st.integers(1, 30),
    pages_per_rater=st.integers(1, 16),
    attention=st.integers(0, 4),
    slot=st.integers(0, 40),
)
def test_attention_pages_are_far_from_what_they_repeat_and_laid_out_otherwise(
    pages: int, pages_per_rater: int, attention: int, slot: int
) -> None:
    n_pages = min(pages, pages_per_rater)
    survey = replace(SURVEY, pages=pages_per_rater, attention=min(attention, pages_per_rater))
    tasks = sequence(survey, pages_of("korea", number=pages), slot)
    assert [task.position for task in tasks] == list(range(n_pages + survey.attention))
    first = {task.page.id: task for task in tasks if task.kind is Kind.regular}
    repeats = [task for task in tasks if task.kind is not Kind.regular]
    assert len(first) == n_pages
    assert len(repeats) == survey.attention
    kinds = Counter(task.kind for task in repeats)
    assert abs(kinds[Kind.repeat] - kinds[Kind.reversed]) <= 1
    for task in repeats:
        source = first[task.page.id]
        between = [t for t in tasks[source.position + 1 : task.position] if t.kind is Kind.regular]
        assert len(between) >= min(MIN_PAGES_BEFORE_REPEAT, n_pages - 1)
        assert task.order != source.order
        assert sorted(task.order) == sorted(source.order)
    if survey.attention <= n_pages - MIN_PAGES_BEFORE_REPEAT:
        assert len({task.page.id for task in repeats}) == len(repeats)


def test_both_kinds_come_first_for_half_of_the_raters() -> None:
    kinds = Counter(
        next(task.kind for task in tasks if task.kind is not Kind.regular)
        for tasks in sequences(replace(SURVEY, attention=1), 24)
    )
    assert kinds == {Kind.repeat: 30, Kind.reversed: 30}


def test_a_sequence_follows_from_the_seed_and_the_slot() -> None:
    assert sequences(SURVEY, 24, 5) == sequences(SURVEY, 24, 5)
    assert sequences(SURVEY, 24, 5) != sequences(replace(SURVEY, seed=1), 24, 5)
