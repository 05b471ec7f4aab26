"""The researcher's page: quotas, progress and payment ids, behind a token. It knows cultures, never a single rater."""

from __future__ import annotations

import csv
import io

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from scoft_hpc.human_eval.spreadsheets import neutral
from scoft_hpc.human_eval.web.forms import Filled, takes
from scoft_hpc.human_eval.web.links import ADMIN_AGE
from scoft_hpc.human_eval.web.room import Here, Visitor, see

router = APIRouter(prefix="/admin")
HOLDER = "admin"
"""Whose forms these are: no rater's id is this word."""


@router.get("")
def overview(here: Here, deleted: str = "") -> Response:
    if not _is_admin(here):
        return here.page("admin_login.html.j2", holder=HOLDER, wrong=False)
    return here.page(
        "admin.html.j2",
        holder=HOLDER,
        progress=here.room.store.progress(),
        places=here.room.store.places(),
        payments=len(here.room.store.payments()),
        address=here.room.links.address,
        deleted=deleted == "yes",
    )


@router.post("/login", openapi_extra=takes("csrf", "token"))
def login(here: Here, form: Filled) -> Response:
    if not here.room.links.opens_admin(form.one("token")):
        return here.page("admin_login.html.j2", 403, holder=HOLDER, wrong=True)
    response = see("/admin")
    here.keep(response, "admin", here.room.links.admin(), ADMIN_AGE, samesite="strict")
    return response


@router.post("/logout", openapi_extra=takes("csrf"))
def logout(here: Here, form: Filled) -> Response:
    _check(here)
    here.check(form, HOLDER)
    response = see("/admin")
    here.drop(response, "admin")
    return response


@router.get("/payments.csv")
def payments(here: Here) -> Response:
    _check(here)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["payment_id"])
    for code in here.room.store.payments():
        writer.writerow([neutral(code)])
    headers = {"Content-Disposition": 'attachment; filename="payments.csv"'}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


@router.post("/payments/forget", openapi_extra=takes("csrf", "sure"))
def forget_payments(here: Here, form: Filled) -> Response:
    _check(here)
    here.check(form, HOLDER)
    if form.one("sure") != "yes":  # which no browser leaves out
        raise HTTPException(422)
    here.room.store.forget_payments()
    return see("/admin?deleted=yes")


def _is_admin(here: Visitor) -> bool:
    return here.room.links.is_admin(here.cookie("admin"))


def _check(here: Visitor) -> None:
    if not _is_admin(here):
        raise HTTPException(403)
