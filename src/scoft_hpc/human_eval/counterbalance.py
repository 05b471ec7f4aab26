"""Counterbalanced sequences of pages, images and questions, which follow from the survey's seed.

Raters of a culture have a *slot*, from 0. Pages are dealt to the slots from one deck after another, each holding every
page of the culture once, so that the numbers of raters of two pages never differ by more than one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from scoft_hpc.human_eval.judgements import Kind
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey

MIN_PAGES_BEFORE_REPEAT = 3
"""Pages between a page and its repeat if the sequence is long enough."""

ATTENTION_KINDS = (Kind.repeat, Kind.reversed)


@dataclass(frozen=True)
class Task:
    """One page of a rater's sequence.

    Attributes:
        position: in the sequence, from 0.
        order: the images' names in the order of the layout.
        questions: the questions' names in their order.
    """

    position: int
    page: Page
    kind: Kind
    order: tuple[str, ...]
    questions: tuple[str, ...]


def williams(k: int) -> list[tuple[int, ...]]:
    """Orders of 0…k-1 in which each number is in each place, and directly follows each other number, equally often.

    There are k for an even k and 2k for an odd k (E. J. Williams, Aust. J. Sci. Res. A 2, 1949).
    """
    zigzag = [(step + 1) // 2 if step % 2 else -step // 2 for step in range(k)]
    rows = [tuple((place + start) % k for place in zigzag) for start in range(k)]
    return rows if k % 2 == 0 else rows + [row[::-1] for row in rows]


def sequence(survey: Survey, pages: Sequence[Page], slot: int) -> tuple[Task, ...]:
    """The tasks of the rater in a slot; `pages` are those of their culture.

    A page's images go through the Williams design over the raters of the page, questions and pages over the slots.
    Attention pages come at least `MIN_PAGES_BEFORE_REPEAT` pages after the page that they repeat, with the images in
    another order.
    """
    dealt = _pages_of_slot(survey, pages, slot)
    rng = random.Random(f"{survey.seed}/{pages[0].culture}/attention/{slot}")
    layouts = williams(len(survey.systems))
    rows = [(turn + pages.index(page)) % len(layouts) for page, turn in dealt]
    sequence_rows = [(page, Kind.regular, row) for (page, _), row in zip(dealt, rows, strict=True)]
    for kind, source, after in reversed(_attention(survey.attention, len(dealt), slot, rng)):
        row = (rows[source] + rng.randrange(1, len(layouts))) % len(layouts)
        sequence_rows.insert(after + 1, (dealt[source][0], kind, row))
    names = [question.name for question in survey.questions]
    questions = tuple(names[i] for i in _row(williams(len(names)), slot))
    return tuple(
        Task(position, page, kind, tuple(page.images[i].name for i in layouts[row]), questions)
        for position, (page, kind, row) in enumerate(sequence_rows)
    )


def _row(rows: Sequence[tuple[int, ...]], slot: int) -> tuple[int, ...]:
    """Each row once per `len(rows)` slots, starting elsewhere each time, so that it is not tied to certain layouts."""
    return rows[(slot + slot // len(rows)) % len(rows)]


def _pages_of_slot(survey: Survey, pages: Sequence[Page], slot: int) -> list[tuple[Page, int]]:
    """The pages of a slot in their order, each with the number of raters to whom it was dealt before."""
    size = min(survey.pages, len(pages))
    hand: list[tuple[Page, int]] = []
    remaining: list[Page] = []
    turn = -1
    for _ in range(slot + 1):
        hand = []
        while len(hand) < size:
            if not remaining:
                turn += 1
                remaining = _shuffled_pages(
                    pages, random.Random(f"{survey.seed}/{pages[0].culture}/deck/{turn}")
                )
                dealt = [page for page, _ in hand]
                remaining.sort(key=dealt.__contains__)  # no rater gets a page twice
            hand.append((remaining.pop(0), turn))
    hand.sort(key=lambda item: pages.index(item[0]))
    return [hand[i] for i in _row(williams(size), slot)]


def _shuffled_pages(pages: Sequence[Page], rng: random.Random) -> list[Page]:
    """All pages in random order, a page of every prompt before a second page of any."""
    by_prompt: dict[str, list[Page]] = {}
    for page in rng.sample(pages, len(pages)):
        by_prompt.setdefault(page.prompt, []).append(page)
    rounds = zip_longest(*by_prompt.values())
    return [
        page
        for round_pages in rounds
        for page in rng.sample(round_pages, len(round_pages))
        if page is not None
    ]


def _attention(wanted: int, pages: int, slot: int, rng: random.Random) -> list[tuple[Kind, int, int]]:
    """(kind, place of the repeated page, place after which it is inserted), sorted by the last."""
    early = max(1, pages - MIN_PAGES_BEFORE_REPEAT)
    sources = [place for _ in range(-(-wanted // early)) for place in rng.sample(range(early), early)]
    repeats = []
    for number, source in enumerate(sources[:wanted]):
        after = rng.randrange(min(source + MIN_PAGES_BEFORE_REPEAT, pages - 1), pages)
        repeats.append((ATTENTION_KINDS[(slot + number) % 2], source, after))
    return sorted(repeats, key=lambda repeat: repeat[2])
