"""The views of a rater's pages: a question about a page's images, and the images."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from scoft_hpc.human_eval.answers import RATINGS, Rater, RaterAnswer
from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.judgements import Kind
from scoft_hpc.human_eval.web import forms
from scoft_hpc.human_eval.web.context import Context, RequestContext, path_of, question_positions, redirect
from scoft_hpc.human_eval.web.forms import LETTERS, OFFENCE, FormBody, FormError, answer_fields, form_schema
from scoft_hpc.human_eval.web.headers import CACHE_FOREVER

router = APIRouter()
MAX_IMAGES = len(LETTERS)
EMPTY_ANSWER = RaterAnswer({}, {}, {}, draft=True)


@dataclass(frozen=True)
class Screen:
    """A question of one of a rater's pages."""

    rater: Rater
    task: Task
    question: str

    @property
    def place(self) -> tuple[int, str]:
        return self.task.position, self.question

    @property
    def is_reversed(self) -> bool:
        return self.task.kind is Kind.reversed


@router.get("/pages")
def next_page(context: Context) -> Response:
    """The first question that is neither answered nor skipped."""
    place = context.app.first_open_question(context.rater())
    return redirect("/end" if place is None else path_of(*place))


@router.get("/pages/{number}/{question}")
def show(context: Context, number: str, question: str, shown: str = "", missing: str = "") -> Response:
    screen = _screen(context, number, question)
    context.app.store.seen(screen.rater, screen.task.position)
    answers = context.app.store.answers(screen.rater)
    answer = answers.get(screen.place, EMPTY_ANSWER)
    faults = forms.missing(answer, screen.task) if missing and answer.draft else []
    return _page(context, screen, answers, answer, forms.image_letters(shown), faults)


@router.post("/pages/{number}/{question}", openapi_extra=form_schema(*answer_fields(MAX_IMAGES)))
def submit(context: Context, number: str, question: str, form: FormBody) -> Response:
    screen = _screen(context, number, question)
    context.check(form, screen.rater.id)
    answer, faults = forms.answer(form, screen.task, question, _rates(context, screen))
    do, uncovered = form.value("do") or "save", forms.image_letters(form.values("shown"))
    match do:
        case "save":
            _save(context, screen, answer)
            if faults:  # a browser sends no such form
                answers = context.app.store.answers(screen.rater)
                return _page(context, screen, answers, answer, uncovered, faults, 422)
            if answer.draft:  # redirect, as browsers cannot go back to a page that answered a form
                return redirect(f"{path_of(*screen.place)}{_query(uncovered, missing='yes')}")
            return redirect(_neighbour_path(context, screen, 1, uncovered))
        case "cannot":
            _save(context, screen, replace(answer, ranks={}, ratings={}, cannot_judge=True, draft=False))
            return redirect(_neighbour_path(context, screen, 1, uncovered))
        case "skip":
            context.app.store.skip(screen.rater, screen.task.position)
            return redirect(_next_page_path(context, screen))
        case "back":
            _save_unconfirmed(context, screen, answer)
            return redirect(_neighbour_path(context, screen, -1, uncovered))
        case _:
            if answer.draft and (before := _confirmed(context, screen)) and before.ranks:
                answer = before  # the form is of an old tab with fewer ranks
            _save_unconfirmed(context, screen, forms.move_image(answer, screen.task, do))
            return redirect(f"{path_of(*screen.place)}{_query(uncovered)}#{do}")


@router.get("/images/{name}")
def image(context: Context, name: str) -> Response:
    """An image of the rater's pages; headers are the same for every system's images."""
    rater = context.rater()
    if not any(name in task.order for task in context.app.tasks(rater)):
        raise HTTPException(404)
    try:
        content = (context.app.images / name).read_bytes()
    except OSError:
        raise HTTPException(404) from None
    return Response(content, media_type="image/png", headers={"Cache-Control": CACHE_FOREVER})


def _screen(context: RequestContext, number: str, question: str) -> Screen:
    rater = context.rater()
    tasks = context.app.tasks(rater)
    position = int(number) - 1 if re.fullmatch("[1-9][0-9]{0,3}", number) else len(tasks)
    if position >= len(tasks) or question not in tasks[position].questions:
        raise HTTPException(404)
    return Screen(rater, tasks[position], question)


def _rates(context: RequestContext, screen: Screen) -> bool:
    """Whether the screen has ratings: not with a reversed question, as ratings are never reversed."""
    return context.app.survey.rate and not screen.is_reversed


def _save(context: RequestContext, screen: Screen, answer: RaterAnswer) -> None:
    context.app.store.save(screen.rater, screen.task.position, screen.question, answer)


def _save_unconfirmed(context: RequestContext, screen: Screen, answer: RaterAnswer) -> None:
    """Store what another button than `save` has sent: as a draft, unless it completely changes a confirmed answer."""
    confirmed = _confirmed(context, screen)
    if confirmed and confirmed.cannot_judge and not answer.ranks:
        _save(context, screen, replace(answer, ratings={}, cannot_judge=True, draft=False))
    elif answer.ranks or answer.ratings or answer.offended:
        is_complete = answer.ranks.keys() == set(screen.task.order)
        _save(context, screen, replace(answer, draft=not (confirmed and is_complete)))


def _confirmed(context: RequestContext, screen: Screen) -> RaterAnswer | None:
    answer = context.app.store.answers(screen.rater).get(screen.place)
    return None if answer is None or answer.draft else answer


def _neighbour_path(context: RequestContext, screen: Screen, step: int, uncovered: str) -> str:
    """The path of the screen `step` screens after this one; after the last, of the first open question."""
    places = question_positions(context.app.tasks(screen.rater))
    index = max(0, places.index(screen.place) + step)
    if index >= len(places):
        return "/pages"
    position, question = places[index]
    return path_of(position, question) + (_query(uncovered) if position == screen.task.position else "")


def _next_page_path(context: RequestContext, screen: Screen) -> str:
    after = screen.task.position + 1
    tasks = context.app.tasks(screen.rater)
    return path_of(after, tasks[after].questions[0]) if after < len(tasks) else "/pages"


def _query(uncovered: str, **more: str) -> str:
    parameters = {**({"shown": uncovered} if uncovered else {}), **more}
    return f"?{urlencode(parameters)}" if parameters else ""


def _page(
    context: RequestContext,
    screen: Screen,
    answers: Mapping[tuple[int, str], RaterAnswer],
    answer: RaterAnswer,
    uncovered: str,
    faults: list[FormError],
    status: int = 200,
) -> Response:
    task, rater = screen.task, screen.rater
    tasks = context.app.tasks(rater)
    skipped = context.app.store.skipped(rater)
    places = question_positions(tasks)
    done = [p for p in places if p[0] in skipped or (p in answers and not answers[p].draft)]
    return context.page(
        "task.html.j2",
        status,
        form_owner=rater.id,
        task=task,
        path=path_of(*screen.place),
        wording=context.catalogue.wording(
            context.app.questions[screen.question],
            context.catalogue.culture(task.page.culture),
            screen.is_reversed,
        ),
        is_reversed=screen.is_reversed,
        answer=answer,
        blur=rater.blur,
        uncovered=uncovered,
        rates=range(RATINGS[0], RATINGS[1] + 1) if _rates(context, screen) else (),
        offence=screen.question == OFFENCE,
        skipped=task.position in skipped,
        letters=LETTERS,
        max_length=forms.MAX_TEXT_LENGTH,
        page=task.position + 1,
        pages=len(tasks),
        number=task.questions.index(screen.question) + 1,
        first=places[0] == screen.place,
        done=len(done),
        all=len(places),
        faults=faults,
    )
