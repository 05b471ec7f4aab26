"""The web application of a survey: routes, headers and error pages. It needs no JavaScript.

Endpoints are plain functions, which FastAPI runs in threads: each is a few short transactions.
"""

from __future__ import annotations

import logging
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import exc
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scoft_hpc.errors import WithdrawnError
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web import admin_views, enrolment_views, question_views
from scoft_hpc.human_eval.web.context import Context, RequestContext, SurveyApp
from scoft_hpc.human_eval.web.headers import CACHE_FOREVER, HEADERS, SecurityHeaders
from scoft_hpc.human_eval.web.rater_sessions import SessionSigner

LOG = logging.getLogger(__name__)
ERROR_STATUS = {
    RequestValidationError: 422,
    WithdrawnError: 410,
    exc.OperationalError: 503,
    exc.TimeoutError: 503,
}
"""Errors that have a page of their own -> HTTP status."""


def create(store: Store, survey: Survey, images: Path, secret: bytes, address: str) -> FastAPI:
    """The application.

    Args:
        images: the folder of the images, which have opaque names.
        secret: signs links, sessions and forms.
        address: the URL that raters use, such as https://survey.example.org.

    Raises:
        ConfigError: for a language of the survey that has no catalogue.
    """
    app = FastAPI(
        title=survey.title,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # it would redirect to the host and scheme that the request names
    )
    app.state.survey_app = SurveyApp(store, survey, images, SessionSigner(secret, address))
    app.include_router(enrolment_views.router)
    app.include_router(question_views.router)
    app.include_router(admin_views.router)
    app.get("/style.css")(style)
    app.get("/icon.svg")(icon)
    app.add_middleware(SecurityHeaders, secure=app.state.survey_app.signer.secure)
    for error in (HTTPException, *ERROR_STATUS, Exception):
        app.add_exception_handler(error, refuse)
    return app


def style(context: Context) -> Response:
    return Response(context.app.style, media_type="text/css", headers={"Cache-Control": CACHE_FOREVER})


def icon(context: Context) -> Response:
    return Response(context.app.icon, media_type="image/svg+xml", headers={"Cache-Control": CACHE_FOREVER})


def refuse(request: Request, error: Exception) -> Response:
    """An error page in the visitor's language that says what to do."""
    status = _status(error)
    if status == 503:
        LOG.error(
            "the survey's database does not answer: %s", getattr(error, "orig", error)
        )  # names no rater
    context = RequestContext(request, request.app.state.survey_app)
    key = "link" if isinstance(error, HTTPException) and error.detail == "link" else str(status)
    if f"refused.{key}" not in context.catalogue.messages:
        key = "400" if status < 500 else "500"
    known = status in (400, 403, 404, 405, 413, 415, 422) and bool(context.cookie("session"))
    response = context.page("refused.html.j2", status, key=key, known=known)
    response.headers.update(getattr(error, "headers", None) or {})
    if status == 500:  # Starlette sends it outside of all middleware
        response.headers.update({**HEADERS, "Cache-Control": "no-store"})
    return response


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    return next((status for kind, status in ERROR_STATUS.items() if isinstance(error, kind)), 500)
