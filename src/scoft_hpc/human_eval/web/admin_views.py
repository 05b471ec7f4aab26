"""The researcher's page, behind a token: quotas, progress by culture and payment ids, without any single rater."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from scoft_hpc.human_eval.spreadsheets import csv_text
from scoft_hpc.human_eval.web.context import Context, RequestContext, redirect
from scoft_hpc.human_eval.web.forms import FormBody, form_schema
from scoft_hpc.human_eval.web.rater_sessions import ADMIN_SECONDS

router = APIRouter(prefix="/admin")
ADMIN_FORM_OWNER = "admin"
"""The id to which the page's forms are issued; no rater has it."""


@router.get("")
def overview(context: Context, deleted: str = "") -> Response:
    if not _is_admin(context):
        return context.page("admin_login.html.j2", form_owner=ADMIN_FORM_OWNER, wrong=False)
    return context.page(
        "admin.html.j2",
        form_owner=ADMIN_FORM_OWNER,
        progress=context.app.store.progress(),
        places=context.app.store.places(),
        payments=len(context.app.store.payments()),
        address=context.app.signer.address,
        deleted=deleted == "yes",
    )


@router.post("/login", openapi_extra=form_schema("csrf", "token"))
def login(context: Context, form: FormBody) -> Response:
    if not context.app.signer.is_admin_token(form.value("token")):
        return context.page("admin_login.html.j2", 403, form_owner=ADMIN_FORM_OWNER, wrong=True)
    response = redirect("/admin")
    context.set_cookie(response, "admin", context.app.signer.admin(), ADMIN_SECONDS, samesite="strict")
    return response


@router.post("/logout", openapi_extra=form_schema("csrf"))
def logout(context: Context, form: FormBody) -> Response:
    _check(context)
    context.check(form, ADMIN_FORM_OWNER)
    response = redirect("/admin")
    context.delete_cookie(response, "admin")
    return response


@router.get("/payments.csv")
def payments(context: Context) -> Response:
    _check(context)
    text = csv_text(["payment_id"], ({"payment_id": code} for code in context.app.store.payments()))
    headers = {"Content-Disposition": 'attachment; filename="payments.csv"'}
    return Response(text, media_type="text/csv", headers=headers)


@router.post("/payments/forget", openapi_extra=form_schema("csrf", "sure"))
def forget_payments(context: Context, form: FormBody) -> Response:
    _check(context)
    context.check(form, ADMIN_FORM_OWNER)
    if form.value("sure") != "yes":  # browsers always send it
        raise HTTPException(422)
    context.app.store.forget_payments()
    return redirect("/admin?deleted=yes")


def _is_admin(context: RequestContext) -> bool:
    return context.app.signer.is_admin(context.cookie("admin"))


def _check(context: RequestContext) -> None:
    if not _is_admin(context):
        raise HTTPException(403)
