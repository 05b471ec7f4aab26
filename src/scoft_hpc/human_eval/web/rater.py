"""A rater's way around their pages: welcome, consent, enrolment, the link, the end, withdrawal."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from scoft_hpc.errors import QuotaFullError
from scoft_hpc.human_eval.answers import Rater
from scoft_hpc.human_eval.survey import AFFILIATIONS
from scoft_hpc.human_eval.web.forms import LONGEST, PAYMENT, Fault, Filled, Form, takes
from scoft_hpc.human_eval.web.links import SESSION_AGE, Visit, newcomer
from scoft_hpc.human_eval.web.room import WITHDRAWN, Here, Room, Visitor, path_of, see

router = APIRouter()
SWITCHING = ("/", "/consent")
"""The pages on which a language is chosen."""


@router.get("/")
def welcome(here: Here) -> Response:
    rater = here.rater_if_any()
    places = rater is not None or any(here.room.store.places().values())
    holder = rater.id if rater else ""
    return here.page("welcome.html.j2", holder=holder, rater=rater, places=places, **_languages(here, "/"))


@router.post("/language", openapi_extra=takes("language", "back"))
def choose_language(here: Here, form: Filled) -> Response:
    chosen, back = form.one("language"), form.one("back")
    if chosen not in here.room.catalogues or back not in SWITCHING:
        raise HTTPException(422)
    response = see(back)
    here.keep(response, "language", chosen, SESSION_AGE)
    return response


@router.get("/consent")
def read_consent(here: Here) -> Response:
    if here.rater_if_any():
        return see("/pages")
    return _consent(here, here.visit or newcomer())


@router.post("/consent", openapi_extra=takes("csrf", "agree"))
def give_consent(here: Here, form: Filled) -> Response:
    visit = _visit(here, form)
    if form.one("agree") != "yes":
        return _consent(here, visit, [Fault("agree", "consent.agree.missing")])
    response = see("/join")
    here.keep_visit(response, Visit(visit.id, here.room.consents[here.catalogue.language].version))
    return response


@router.get("/join")
def about_you(here: Here) -> Response:
    if here.rater_if_any():
        return see("/pages")
    visit = here.visit
    if visit is None or not _consented(here.room, visit):
        return see("/consent")
    return _join(here, visit, Form({"blur": ["yes"] if here.room.survey.blur else []}))


@router.post("/join", openapi_extra=takes("csrf", "culture", "affiliation", "own_words", "blur"))
def join(here: Here, form: Filled) -> Response:
    visit = _visit(here, form)
    if not _consented(here.room, visit):
        return see("/consent")
    culture, affiliation = form.one("culture"), form.one("affiliation")
    own_words = form.one("own_words") if affiliation == "described" else ""
    faults = []
    if culture not in here.room.survey.quotas:
        faults.append(Fault("culture", "join.culture.missing"))
    if affiliation not in AFFILIATIONS:
        faults.append(Fault("affiliation", "join.affiliation.missing"))
    if len(own_words) > LONGEST:
        faults.append(Fault("own_words", "join.own_words.hint", {"most": LONGEST}))
    if faults:
        return _join(here, visit, form, faults)
    language, blur = here.catalogue.language, form.one("blur") == "yes"
    try:
        rater = here.room.store.enrol(
            culture, affiliation, own_words, language, visit.consent, blur, rater_id=visit.id
        )
    except QuotaFullError:
        values = {"culture": here.catalogue.culture(culture)}
        return _join(here, visit, form, [Fault("culture", "join.culture.full", values)], status=409)
    response = see("/link")
    here.keep_session(response, rater)
    here.drop(response, "visit")
    return response


@router.get("/resume/{token}")
def resume(here: Here, token: str) -> Response:
    rater = _of_link(here, token)
    present = here.rater_if_any()
    if present and present.id != rater.id:  # or a link in a mail would make one answer as another
        return here.page("resume.html.j2", 409, holder=present.id, token=token)
    return _resumed(here, rater)


@router.post("/resume/{token}", openapi_extra=takes("csrf"))
def resume_in_place_of_another(here: Here, token: str, form: Filled) -> Response:
    present = here.rater()
    here.check(form, present.id)
    rater = _of_link(here, token)
    return _resumed(here, rater)


@router.get("/link")
def own_link(here: Here, saved: str = "") -> Response:
    rater = here.rater()
    begun = bool(here.room.store.answers(rater))
    return here.page(
        "link.html.j2",
        holder=rater.id,
        rater=rater,
        link=here.room.links.resume(rater.id),
        saved=saved == "yes",
        begun=begun,
        languages=list(here.room.catalogues.values()),
    )


@router.post("/settings", openapi_extra=takes("csrf", "language", "blur"))
def settings(here: Here, form: Filled) -> Response:
    rater = here.rater()
    here.check(form, rater.id)
    language = form.one("language") or rater.language
    if language not in here.room.catalogues:
        raise HTTPException(422)
    rater = here.room.store.change(rater, language=language, blur=form.one("blur") == "yes")
    response = see("/link?saved=yes")
    here.keep_session(response, rater)
    return response


@router.post("/leave", openapi_extra=takes("csrf"))
def leave(here: Here, form: Filled) -> Response:
    rater = here.rater_if_any()
    if rater:
        here.check(form, rater.id)
    response = see("/")
    here.drop(response, "session")
    return response


@router.get("/end")
def end(here: Here, payment: str = "") -> Response:
    rater = here.rater()
    return _end(here, rater, payment) if here.room.open_place(rater) is None else see("/pages")


@router.post("/payment", openapi_extra=takes("csrf", "payment"))
def pay(here: Here, form: Filled) -> Response:
    rater = here.rater()
    here.check(form, rater.id)
    if here.room.open_place(rater) is not None:
        return see("/pages")
    code = form.one("payment")
    if not PAYMENT.fullmatch(code):
        return _end(here, rater, "", [Fault("payment", "end.payment.wrong", {"most": 64})], code)
    kept = here.room.store.pay(rater, code)
    return see(f"/end?payment={'kept' if kept else 'taken'}")


@router.get("/withdraw")
def ask_to_withdraw(here: Here) -> Response:
    return here.page("withdraw.html.j2", holder=here.rater().id)


@router.post("/withdraw", openapi_extra=takes("csrf"))
def withdraw(here: Here, form: Filled) -> Response:
    response = see("/withdrawn")
    try:
        rater = here.rater()
    except HTTPException as refusal:
        if refusal.status_code == 410:  # the second of a double click
            return response
        raise
    here.check(form, rater.id)
    here.room.withdraw(rater)
    here.keep(response, "session", WITHDRAWN, SESSION_AGE)
    return response


@router.get("/withdrawn")
def withdrawn(here: Here) -> Response:
    return here.page("withdrawn.html.j2")


def _of_link(here: Visitor, token: str) -> Rater:
    rater_id = here.room.links.resumed(token)
    if rater_id is None:
        raise HTTPException(404, "link")
    rater = here.room.store.rater(rater_id)
    if rater is None:
        raise HTTPException(410)
    return rater


def _resumed(here: Visitor, rater: Rater) -> Response:
    response = see("/pages")
    here.keep_session(response, rater)
    return response


def _visit(here: Visitor, form: Form) -> Visit:
    """Who sends a form before they have enrolled."""
    visit = here.visit
    if visit is None:
        raise HTTPException(401)
    here.check(form, visit.id)
    return visit


def _consented(room: Room, visit: Visit) -> bool:
    """Whether they agreed to a text as it stands now."""
    return visit.consent in [one.version for one in room.consents.values()]


def _languages(here: Visitor, back: str) -> dict[str, Any]:
    return {"languages": list(here.room.catalogues.values()), "back": back}


def _consent(here: Visitor, visit: Visit, faults: list[Fault] | None = None) -> Response:
    response = here.page(
        "consent.html.j2",
        422 if faults else 200,
        holder=visit.id,
        consent=here.room.consents[here.catalogue.language],
        faults=faults or [],
        **_languages(here, "/consent"),
    )
    here.keep_visit(response, visit)
    return response


def _join(
    here: Visitor, visit: Visit, form: Form, faults: list[Fault] | None = None, status: int = 422
) -> Response:
    return here.page(
        "join.html.j2",
        status if faults else 200,
        holder=visit.id,
        cultures=[culture for culture, places in here.room.store.places().items() if places],
        affiliations=AFFILIATIONS,
        form=form,
        most=LONGEST,
        faults=faults or [],
    )


def _end(
    here: Visitor, rater: Rater, payment: str, faults: list[Fault] | None = None, code: str = ""
) -> Response:
    tasks = {task.position: task for task in here.room.tasks(rater)}
    skipped = [(p + 1, path_of(p, tasks[p].questions[0])) for p in sorted(here.room.store.skipped(rater))]
    return here.page(
        "end.html.j2",
        422 if faults else 200,
        holder=rater.id,
        skipped=skipped,
        pages=len(tasks),
        first=path_of(0, tasks[0].questions[0]),
        payment=payment if payment in ("kept", "taken") else "",
        code=code,
        faults=faults or [],
    )
