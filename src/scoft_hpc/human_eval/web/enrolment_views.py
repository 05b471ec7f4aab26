"""The views before and after a rater's pages: welcome, consent, enrolment, personal link, end and withdrawal."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from scoft_hpc.errors import QuotaFullError
from scoft_hpc.human_eval.answers import Rater
from scoft_hpc.human_eval.survey import AFFILIATIONS
from scoft_hpc.human_eval.web.context import WITHDRAWN, Context, RequestContext, SurveyApp, path_of, redirect
from scoft_hpc.human_eval.web.forms import (
    MAX_TEXT_LENGTH,
    PAYMENT,
    FormBody,
    FormError,
    SubmittedForm,
    form_schema,
)
from scoft_hpc.human_eval.web.rater_sessions import SESSION_SECONDS, EnrolmentSession, new_enrolment

router = APIRouter()
LANGUAGE_PAGES = ("/", "/consent")
"""The pages with a choice of languages."""


@router.get("/")
def welcome(context: Context) -> Response:
    rater = context.rater_if_any()
    places = rater is not None or any(context.app.store.places().values())
    form_owner = rater.id if rater else ""
    return context.page("welcome.html.j2", form_owner=form_owner, rater=rater, places=places, back="/")


@router.post("/language", openapi_extra=form_schema("language", "back"))
def choose_language(context: Context, form: FormBody) -> Response:
    chosen, back = form.value("language"), form.value("back")
    if chosen not in context.app.catalogues or back not in LANGUAGE_PAGES:
        raise HTTPException(422)
    response = redirect(back)
    context.set_cookie(response, "language", chosen, SESSION_SECONDS)
    return response


@router.get("/consent")
def read_consent(context: Context) -> Response:
    if context.rater_if_any():
        return redirect("/pages")
    return _consent(context, context.visit or new_enrolment())


@router.post("/consent", openapi_extra=form_schema("csrf", "agree"))
def give_consent(context: Context, form: FormBody) -> Response:
    visit = _visit(context, form)
    if form.value("agree") != "yes":
        return _consent(context, visit, [FormError("agree", "consent.agree.missing")])
    response = redirect("/join")
    version = context.app.consents[context.catalogue.language].version
    context.set_enrolment_cookie(response, EnrolmentSession(visit.id, version))
    return response


@router.get("/join")
def about_you(context: Context) -> Response:
    if context.rater_if_any():
        return redirect("/pages")
    visit = context.visit
    if visit is None or not _consented(context.app, visit):
        return redirect("/consent")
    return _join(context, visit, SubmittedForm({"blur": ["yes"] if context.app.survey.blur else []}))


@router.post("/join", openapi_extra=form_schema("csrf", "culture", "affiliation", "own_words", "blur"))
def join(context: Context, form: FormBody) -> Response:
    visit = _visit(context, form)
    if not _consented(context.app, visit):
        return redirect("/consent")
    culture, affiliation = form.value("culture"), form.value("affiliation")
    own_words = form.value("own_words") if affiliation == "described" else ""
    faults = []
    if culture not in context.app.survey.quotas:
        faults.append(FormError("culture", "join.culture.missing"))
    if affiliation not in AFFILIATIONS:
        faults.append(FormError("affiliation", "join.affiliation.missing"))
    if len(own_words) > MAX_TEXT_LENGTH:
        faults.append(FormError("own_words", "join.own_words.hint", {"most": MAX_TEXT_LENGTH}))
    if faults:
        return _join(context, visit, form, faults)
    language, blur = context.catalogue.language, form.value("blur") == "yes"
    try:
        rater = context.app.store.enrol(
            culture, affiliation, own_words, language, visit.consent, blur, rater_id=visit.id
        )
    except QuotaFullError:
        values = {"culture": context.catalogue.culture(culture)}
        return _join(context, visit, form, [FormError("culture", "join.culture.full", values)], status=409)
    response = redirect("/link")
    context.set_session_cookies(response, rater)
    context.delete_cookie(response, "visit")
    return response


@router.get("/resume/{token}")
def resume(context: Context, token: str) -> Response:
    rater = _of_link(context, token)
    present = context.rater_if_any()
    if present and present.id != rater.id:  # or a link in an e-mail would make a rater answer as another
        return context.page("resume.html.j2", 409, form_owner=present.id, token=token)
    return _resumed(context, rater)


@router.post("/resume/{token}", openapi_extra=form_schema("csrf"))
def resume_in_place_of_another(context: Context, token: str, form: FormBody) -> Response:
    context.rater(form)
    return _resumed(context, _of_link(context, token))


@router.get("/link")
def own_link(context: Context, saved: str = "") -> Response:
    rater = context.rater()
    return context.page(
        "link.html.j2",
        form_owner=rater.id,
        rater=rater,
        link=context.app.signer.resume_link(rater.id),
        saved=saved == "yes",
        begun=bool(context.app.store.answers(rater)),
    )


@router.post("/settings", openapi_extra=form_schema("csrf", "language", "blur"))
def settings(context: Context, form: FormBody) -> Response:
    rater = context.rater(form)
    language = form.value("language") or rater.language
    if language not in context.app.catalogues:
        raise HTTPException(422)
    rater = context.app.store.change(rater, language=language, blur=form.value("blur") == "yes")
    response = redirect("/link?saved=yes")
    context.set_session_cookies(response, rater)
    return response


@router.post("/leave", openapi_extra=form_schema("csrf"))
def leave(context: Context, form: FormBody) -> Response:
    rater = context.rater_if_any()
    if rater:
        context.check(form, rater.id)
    response = redirect("/")
    context.delete_cookie(response, "session")
    return response


@router.get("/end")
def end(context: Context, payment: str = "") -> Response:
    rater = context.rater()
    is_complete = context.app.first_open_question(rater) is None
    return _end(context, rater, payment) if is_complete else redirect("/pages")


@router.post("/payment", openapi_extra=form_schema("csrf", "payment"))
def pay(context: Context, form: FormBody) -> Response:
    rater = context.rater(form)
    if context.app.first_open_question(rater) is not None:
        return redirect("/pages")
    code = form.value("payment")
    if not PAYMENT.fullmatch(code):
        return _end(context, rater, "", [FormError("payment", "end.payment.wrong", {"most": 64})], code)
    is_saved = context.app.store.pay(rater, code)
    return redirect(f"/end?payment={'saved' if is_saved else 'repeated'}")


@router.get("/withdraw")
def ask_to_withdraw(context: Context) -> Response:
    return context.page("withdraw.html.j2", form_owner=context.rater().id)


@router.post("/withdraw", openapi_extra=form_schema("csrf"))
def withdraw(context: Context, form: FormBody) -> Response:
    response = redirect("/withdrawn")
    try:
        rater = context.rater(form)
    except HTTPException as refusal:
        if refusal.status_code == 410:  # the second click of a double click
            return response
        raise
    context.app.withdraw(rater)
    context.set_cookie(response, "session", WITHDRAWN, SESSION_SECONDS)
    return response


@router.get("/withdrawn")
def withdrawn(context: Context) -> Response:
    return context.page("withdrawn.html.j2")


def _of_link(context: RequestContext, token: str) -> Rater:
    rater_id = context.app.signer.rater_of_link(token)
    if rater_id is None:
        raise HTTPException(404, "link")
    rater = context.app.store.rater(rater_id)
    if rater is None:
        raise HTTPException(410)
    return rater


def _resumed(context: RequestContext, rater: Rater) -> Response:
    response = redirect("/pages")
    context.set_session_cookies(response, rater)
    return response


def _visit(context: RequestContext, form: SubmittedForm) -> EnrolmentSession:
    """The enrolment session that sent the form."""
    visit = context.visit
    if visit is None:
        raise HTTPException(401)
    context.check(form, visit.id)
    return visit


def _consented(app: SurveyApp, visit: EnrolmentSession) -> bool:
    """Whether they consented to a current version of the text."""
    return visit.consent in [consent.version for consent in app.consents.values()]


def _consent(context: RequestContext, visit: EnrolmentSession, faults: Sequence[FormError] = ()) -> Response:
    response = context.page(
        "consent.html.j2",
        422 if faults else 200,
        form_owner=visit.id,
        consent=context.app.consents[context.catalogue.language],
        faults=faults,
        back="/consent",
    )
    context.set_enrolment_cookie(response, visit)
    return response


def _join(
    context: RequestContext,
    visit: EnrolmentSession,
    form: SubmittedForm,
    faults: Sequence[FormError] = (),
    status: int = 422,
) -> Response:
    return context.page(
        "join.html.j2",
        status if faults else 200,
        form_owner=visit.id,
        cultures=[culture for culture, places in context.app.store.places().items() if places],
        affiliations=AFFILIATIONS,
        form=form,
        most=MAX_TEXT_LENGTH,
        faults=faults,
    )


def _end(
    context: RequestContext, rater: Rater, payment: str, faults: Sequence[FormError] = (), code: str = ""
) -> Response:
    tasks = {task.position: task for task in context.app.tasks(rater)}
    skipped = [(p + 1, path_of(p, tasks[p].questions[0])) for p in sorted(context.app.store.skipped(rater))]
    return context.page(
        "end.html.j2",
        422 if faults else 200,
        form_owner=rater.id,
        skipped=skipped,
        pages=len(tasks),
        first=path_of(0, tasks[0].questions[0]),
        payment=payment if payment in ("saved", "repeated") else "",
        code=code,
        faults=faults,
    )
