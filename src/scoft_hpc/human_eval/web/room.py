"""What all pages share: the survey as it is served, and whoever asks for a page."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from scoft_hpc.errors import WithdrawnError
from scoft_hpc.human_eval.answers import Rater
from scoft_hpc.human_eval.orders import Task
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web import catalogue
from scoft_hpc.human_eval.web.catalogue import Catalogue
from scoft_hpc.human_eval.web.consent import Consent, consent
from scoft_hpc.human_eval.web.forms import Form
from scoft_hpc.human_eval.web.links import SESSION_AGE, VISIT_AGE, Links, Visit

HERE = Path(__file__).parent
WITHDRAWN = "withdrawn"
"""What a session's cookie holds after its rater has withdrawn, so that their old tabs can say so."""
REMEMBERED = 1024
"""So many raters' tasks are kept in memory; they never change."""


class Room:
    """The survey as it is served; one a process."""

    def __init__(self, store: Store, survey: Survey, images: Path, links: Links) -> None:
        self.store, self.survey, self.images, self.links = store, survey, images, links
        self.catalogues: dict[str, Catalogue] = catalogue.load(survey.languages)
        self.consents: dict[str, Consent] = {
            name: consent(one, survey) for name, one in self.catalogues.items()
        }
        self.questions = {question.name: question for question in survey.questions}
        self.style = (HERE / "style.css").read_bytes()
        self.icon = (HERE / "icon.svg").read_bytes()
        self.style_version = hashlib.sha256(self.style).hexdigest()[:12]
        self.tasks = lru_cache(REMEMBERED)(self._tasks)
        self.templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )

    def _tasks(self, rater: Rater) -> tuple[Task, ...]:
        """Raises WithdrawnError: if the rater has withdrawn, since they were looked for."""
        found = self.store.tasks(rater)
        if not found:
            raise WithdrawnError("This rater has withdrawn.")
        return found

    def withdraw(self, rater: Rater) -> None:
        """Delete all that is known of the rater, here too."""
        self.store.withdraw(rater)
        self.tasks.cache_clear()

    def open_place(self, rater: Rater) -> tuple[int, str] | None:
        """The rater's first (position, question) that is neither answered nor skipped."""
        answers, skipped = self.store.answers(rater), self.store.skipped(rater)
        for place in screens(self.tasks(rater)):
            if place[0] not in skipped and (place not in answers or answers[place].draft):
                return place
        return None


@dataclass(frozen=True)
class Visitor:
    """Whoever asks: their cookies, and their language."""

    request: Request
    room: Room

    def cookie(self, name: str) -> str:
        return self.request.cookies.get(self.room.links.cookie(name), "")

    @cached_property
    def catalogue(self) -> Catalogue:
        chosen = self.cookie("language")
        if chosen not in self.room.catalogues:
            header = self.request.headers.get("accept-language", "")
            chosen = catalogue.negotiated(header, list(self.room.catalogues))
        return self.room.catalogues[chosen]

    @property
    def visit(self) -> Visit | None:
        return self.room.links.visiting(self.cookie("visit"))

    def rater_if_any(self) -> Rater | None:
        rater_id = self.room.links.rater(self.cookie("session"))
        return self.room.store.rater(rater_id) if rater_id else None

    def rater(self) -> Rater:
        """Whose session it is.

        Raises:
            HTTPException: 401 where it is nobody's, 410 where its rater has withdrawn.
        """
        cookie = self.cookie("session")
        rater_id = self.room.links.rater(cookie)
        if rater_id is None:
            raise HTTPException(410 if cookie == WITHDRAWN else 401)
        rater = self.room.store.rater(rater_id)
        if rater is None:
            raise HTTPException(410)
        return rater

    def check(self, form: Form, holder: str) -> None:
        """Raises HTTPException, 403, unless the form was given to the holder of this id."""
        if not self.room.links.owns(holder, form.one("csrf")):
            raise HTTPException(403)

    def page(self, template: str, status: int = 200, holder: str = "", **content: Any) -> HTMLResponse:
        """A page in the visitor's language; `holder` is the id that its forms belong to."""
        text = self.room.templates.get_template(template).render(
            say=self.catalogue.say,
            words=self.catalogue,
            survey=self.room.survey,
            style_version=self.room.style_version,
            csrf=self.room.links.form(holder),
            **content,
        )
        return HTMLResponse(text, status)

    def keep(
        self,
        response: Response,
        name: str,
        value: str,
        age: int,
        samesite: Literal["lax", "strict"] = "lax",
    ) -> None:
        links = self.room.links
        response.set_cookie(
            links.cookie(name), value, max_age=age, httponly=True, samesite=samesite, secure=links.secure
        )

    def drop(self, response: Response, name: str) -> None:
        links = self.room.links
        response.delete_cookie(links.cookie(name), httponly=True, samesite="lax", secure=links.secure)

    def keep_session(self, response: Response, rater: Rater) -> None:
        self.keep(response, "session", self.room.links.session(rater.id), SESSION_AGE)
        self.keep(response, "language", rater.language, SESSION_AGE)

    def keep_visit(self, response: Response, visit: Visit) -> None:
        self.keep(response, "visit", self.room.links.visit(visit), VISIT_AGE)


def see(path: str) -> RedirectResponse:
    """What a form that did its work answers: a page to see, which may be loaded again without harm."""
    return RedirectResponse(path, 303)


async def visitor(request: Request) -> Visitor:
    return Visitor(request, request.app.state.room)


Here = Annotated[Visitor, Depends(visitor)]


def screens(tasks: Sequence[Task]) -> list[tuple[int, str]]:
    """All (position, question) of a rater, in their order."""
    return [(task.position, question) for task in tasks for question in task.questions]


def path_of(position: int, question: str) -> str:
    return f"/pages/{position + 1}/{question}"
