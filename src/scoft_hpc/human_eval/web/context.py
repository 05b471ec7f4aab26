"""The served survey and the context of a request, which all views share."""

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
from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web import i18n
from scoft_hpc.human_eval.web.consent import Consent, consent
from scoft_hpc.human_eval.web.forms import SubmittedForm
from scoft_hpc.human_eval.web.i18n import Catalogue
from scoft_hpc.human_eval.web.rater_sessions import (
    ENROLMENT_SECONDS,
    SESSION_SECONDS,
    EnrolmentSession,
    SessionSigner,
)

WEB_DIR = Path(__file__).parent
WITHDRAWN = "withdrawn"
"""The session cookie's value after its rater has withdrawn, so that old tabs can say so."""
MAX_CACHED_RATERS = 1024
"""Raters whose tasks are cached in memory; tasks never change."""


class SurveyApp:
    """The served survey; one per process."""

    def __init__(self, store: Store, survey: Survey, images: Path, signer: SessionSigner) -> None:
        self.store, self.survey, self.images, self.signer = store, survey, images, signer
        self.catalogues: dict[str, Catalogue] = i18n.load(survey.languages)
        self.consents: dict[str, Consent] = {
            language: consent(catalogue, survey) for language, catalogue in self.catalogues.items()
        }
        self.questions = {question.name: question for question in survey.questions}
        self.style = (WEB_DIR / "style.css").read_bytes()
        self.icon = (WEB_DIR / "icon.svg").read_bytes()
        self.style_version = hashlib.sha256(self.style).hexdigest()[:12]
        self.tasks = lru_cache(MAX_CACHED_RATERS)(self._tasks)
        self.templates = Environment(
            loader=FileSystemLoader(WEB_DIR / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )

    def _tasks(self, rater: Rater) -> tuple[Task, ...]:
        """Raises WithdrawnError: if the rater has withdrawn in the meantime."""
        tasks = self.store.tasks(rater)
        if not tasks:
            raise WithdrawnError("This rater has withdrawn.")
        return tasks

    def withdraw(self, rater: Rater) -> None:
        """Delete everything about the rater, including cached tasks."""
        self.store.withdraw(rater)
        self.tasks.cache_clear()

    def first_open_question(self, rater: Rater) -> tuple[int, str] | None:
        """The rater's first (position, question) that is neither answered nor skipped."""
        answers, skipped = self.store.answers(rater), self.store.skipped(rater)
        for place in question_positions(self.tasks(rater)):
            if place[0] not in skipped and (place not in answers or answers[place].draft):
                return place
        return None


@dataclass(frozen=True)
class RequestContext:
    """A request with its cookies and its language."""

    request: Request
    app: SurveyApp

    def cookie(self, name: str) -> str:
        return self.request.cookies.get(self.app.signer.cookie(name), "")

    @cached_property
    def catalogue(self) -> Catalogue:
        chosen = self.cookie("language")
        if chosen not in self.app.catalogues:
            header = self.request.headers.get("accept-language", "")
            chosen = i18n.negotiate_language(header, list(self.app.catalogues))
        return self.app.catalogues[chosen]

    @property
    def visit(self) -> EnrolmentSession | None:
        return self.app.signer.read_enrolment(self.cookie("visit"))

    def rater_if_any(self) -> Rater | None:
        rater_id = self.app.signer.rater(self.cookie("session"))
        return self.app.store.rater(rater_id) if rater_id else None

    def rater(self, form: SubmittedForm | None = None) -> Rater:
        """The rater of the session, who must be the one to whom the form was issued.

        Raises:
            HTTPException: 401 without a session, 410 if its rater has withdrawn, 403 for another's form.
        """
        cookie = self.cookie("session")
        rater_id = self.app.signer.rater(cookie)
        if rater_id is None:
            raise HTTPException(410 if cookie == WITHDRAWN else 401)
        rater = self.app.store.rater(rater_id)
        if rater is None:
            raise HTTPException(410)
        if form is not None:
            self.check(form, rater.id)
        return rater

    def check(self, form: SubmittedForm, form_owner: str) -> None:
        """Raises HTTPException: 403, unless the form was issued to this id."""
        if not self.app.signer.owns_form(form_owner, form.value("csrf")):
            raise HTTPException(403)

    def page(self, template: str, status: int = 200, form_owner: str = "", **content: Any) -> HTMLResponse:
        """A page in the visitor's language; its forms are issued to the id `form_owner`."""
        text = self.app.templates.get_template(template).render(
            translate=self.catalogue.translate,
            catalogue=self.catalogue,
            languages=list(self.app.catalogues.values()),
            survey=self.app.survey,
            style_version=self.app.style_version,
            csrf=self.app.signer.form(form_owner),
            **content,
        )
        return HTMLResponse(text, status)

    def set_cookie(
        self,
        response: Response,
        name: str,
        value: str,
        age: int,
        samesite: Literal["lax", "strict"] = "lax",
    ) -> None:
        signer = self.app.signer
        response.set_cookie(
            signer.cookie(name), value, max_age=age, httponly=True, samesite=samesite, secure=signer.secure
        )

    def delete_cookie(self, response: Response, name: str) -> None:
        signer = self.app.signer
        response.delete_cookie(signer.cookie(name), httponly=True, samesite="lax", secure=signer.secure)

    def set_session_cookies(self, response: Response, rater: Rater) -> None:
        self.set_cookie(response, "session", self.app.signer.session(rater.id), SESSION_SECONDS)
        self.set_cookie(response, "language", rater.language, SESSION_SECONDS)

    def set_enrolment_cookie(self, response: Response, visit: EnrolmentSession) -> None:
        self.set_cookie(response, "visit", self.app.signer.visit(visit), ENROLMENT_SECONDS)


def redirect(path: str) -> RedirectResponse:
    """303 See Other after a successful form, so that a reload does not send the form again."""
    return RedirectResponse(path, 303)


async def request_context(request: Request) -> RequestContext:
    return RequestContext(request, request.app.state.survey_app)


Context = Annotated[RequestContext, Depends(request_context)]


def question_positions(tasks: Sequence[Task]) -> list[tuple[int, str]]:
    """Every (position, question) of a rater, in order."""
    return [(task.position, question) for task in tasks for question in task.questions]


def path_of(position: int, question: str) -> str:
    return f"/pages/{position + 1}/{question}"
