"""A rater's pages: a question about the images of one page, and the images."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from scoft_hpc.human_eval.answers import RATINGS, Given, Rater
from scoft_hpc.human_eval.judgements import Kind
from scoft_hpc.human_eval.orders import Task
from scoft_hpc.human_eval.web import forms
from scoft_hpc.human_eval.web.forms import LETTERS, OFFENCE, Fault, Filled, answer_fields, takes
from scoft_hpc.human_eval.web.headers import KEPT
from scoft_hpc.human_eval.web.room import Here, Visitor, path_of, screens, see

router = APIRouter()
MOST_PICTURES = len(LETTERS)
NOTHING = Given({}, {}, {}, draft=True)


@dataclass(frozen=True)
class Screen:
    """One question of one page of a rater."""

    rater: Rater
    task: Task
    question: str

    @property
    def place(self) -> tuple[int, str]:
        return self.task.position, self.question

    @property
    def turned(self) -> bool:
        return self.task.kind is Kind.reversed


@router.get("/pages")
def next_page(here: Here) -> Response:
    """The first question that is neither answered nor skipped."""
    place = here.room.open_place(here.rater())
    return see("/end" if place is None else path_of(*place))


@router.get("/pages/{number}/{question}")
def show(here: Here, number: str, question: str, shown: str = "", missing: str = "") -> Response:
    screen = _screen(here, number, question)
    here.room.store.seen(screen.rater, screen.task.position)
    answers = here.room.store.answers(screen.rater)
    given = answers.get(screen.place, NOTHING)
    faults = forms.missing(given, screen.task) if missing and given.draft else []
    uncovered = "".join(letter for letter in LETTERS if letter in shown)
    return _page(here, screen, answers, given, uncovered, faults)


@router.post("/pages/{number}/{question}", openapi_extra=takes(*answer_fields(MOST_PICTURES)))
def answer(here: Here, number: str, question: str, form: Filled) -> Response:
    screen = _screen(here, number, question)
    here.check(form, screen.rater.id)
    given, faults = forms.answer(form, screen.task, question, _rates(here, screen))
    do, shown = form.one("do") or "save", forms.shown(form)
    match do:
        case "save":
            _save(here, screen, given)
            if faults:  # which no browser sends
                answers = here.room.store.answers(screen.rater)
                return _page(here, screen, answers, given, shown, faults, 422)
            if given.draft:  # seen, not answered at once: a browser could not come back to that page
                return see(f"{path_of(*screen.place)}{_query(shown, missing='yes')}")
            return see(_beside(here, screen, 1, shown))
        case "cannot":
            _save(here, screen, replace(given, ranks={}, ratings={}, cannot_judge=True, draft=False))
            return see(_beside(here, screen, 1, shown))
        case "skip":
            here.room.store.skip(screen.rater, screen.task.position)
            return see(_after_page(here, screen))
        case "back":
            _save_unconfirmed(here, screen, given)
            return see(_beside(here, screen, -1, shown))
        case _:
            if given.draft and (before := _confirmed(here, screen)) and before.ranks:
                given = before  # an old tab sends fewer ranks than there are
            _save_unconfirmed(here, screen, forms.moved(given, screen.task, do))
            return see(f"{path_of(*screen.place)}{_query(shown)}#{do}")


@router.get("/images/{name}")
def image(here: Here, name: str) -> Response:
    """An image of the rater's own pages; every answer has the same headers, whatever drew it."""
    rater = here.rater()
    if not any(name in task.order for task in here.room.tasks(rater)):
        raise HTTPException(404)
    try:
        content = (here.room.images / name).read_bytes()
    except OSError:
        raise HTTPException(404) from None
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers={"Cache-Control": KEPT})


def _screen(here: Visitor, number: str, question: str) -> Screen:
    rater = here.rater()
    tasks = here.room.tasks(rater)
    position = int(number) - 1 if re.fullmatch("[1-9][0-9]{0,3}", number) else len(tasks)
    if position >= len(tasks) or question not in tasks[position].questions:
        raise HTTPException(404)
    return Screen(rater, tasks[position], question)


def _rates(here: Visitor, screen: Screen) -> bool:
    """Ratings keep their direction, so a question that is turned round does not ask for them."""
    return here.room.survey.rate and not screen.turned


def _save(here: Visitor, screen: Screen, given: Given) -> None:
    here.room.store.save(screen.rater, screen.task.position, screen.question, given)


def _save_unconfirmed(here: Visitor, screen: Screen, given: Given) -> None:
    """Keep what a button other than the one to save has sent: as a draft, unless it changes a confirmed answer."""
    confirmed = _confirmed(here, screen)
    if confirmed and confirmed.cannot_judge and not given.ranks:
        _save(here, screen, replace(given, ratings={}, cannot_judge=True, draft=False))
    elif given.ranks or given.ratings or given.offended:
        whole = given.ranks.keys() == set(screen.task.order)
        _save(here, screen, replace(given, draft=not (confirmed and whole)))


def _confirmed(here: Visitor, screen: Screen) -> Given | None:
    given = here.room.store.answers(screen.rater).get(screen.place)
    return None if given is None or given.draft else given


def _beside(here: Visitor, screen: Screen, step: int, shown: str) -> str:
    """The path of the screen before or after this one; past the last, what is still open."""
    places = screens(here.room.tasks(screen.rater))
    other = max(0, places.index(screen.place) + step)
    if other >= len(places):
        return "/pages"
    position, question = places[other]
    return path_of(position, question) + (_query(shown) if position == screen.task.position else "")


def _after_page(here: Visitor, screen: Screen) -> str:
    after = screen.task.position + 1
    tasks = here.room.tasks(screen.rater)
    return path_of(after, tasks[after].questions[0]) if after < len(tasks) else "/pages"


def _query(shown: str, **more: str) -> str:
    words = {**({"shown": shown} if shown else {}), **more}
    return f"?{urlencode(words)}" if words else ""


def _page(
    here: Visitor,
    screen: Screen,
    answers: Mapping[tuple[int, str], Given],
    given: Given,
    shown: str,
    faults: list[Fault],
    status: int = 200,
) -> Response:
    task, rater = screen.task, screen.rater
    tasks = here.room.tasks(rater)
    skipped = here.room.store.skipped(rater)
    places = screens(tasks)
    done = [p for p in places if p[0] in skipped or (p in answers and not answers[p].draft)]
    return here.page(
        "task.html.j2",
        status,
        holder=rater.id,
        task=task,
        path=path_of(*screen.place),
        wording=here.catalogue.wording(
            here.room.questions[screen.question], here.catalogue.culture(task.page.culture), screen.turned
        ),
        turned=screen.turned,
        given=given,
        blur=rater.blur,
        shown=shown,
        rates=range(RATINGS[0], RATINGS[1] + 1) if _rates(here, screen) else (),
        offence=screen.question == OFFENCE,
        skipped=task.position in skipped,
        letters=LETTERS,
        longest=forms.LONGEST,
        page=task.position + 1,
        pages=len(tasks),
        number=task.questions.index(screen.question) + 1,
        first=places[0] == screen.place,
        done=len(done),
        all=len(places),
        faults=faults,
    )
