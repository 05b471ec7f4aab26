"""Submitted forms: read with checks of size, type and characters, and parsed into an answer and its errors.

No other module reads request bodies.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request
from starlette.requests import ClientDisconnect

from scoft_hpc.human_eval.answers import RATINGS, RaterAnswer
from scoft_hpc.human_eval.counterbalance import Task

MAX_FORM_BYTES = 64 * 1024
"""The longest reasons of eight images take half of it."""
MAX_FORM_FIELDS = 64
TYPE = "application/x-www-form-urlencoded"
MAX_TEXT_LENGTH = 500
"""Characters of a text that a rater writes."""
PAYMENT = re.compile(r"[A-Za-z0-9._-]{1,64}")
LETTERS = "ABCDEFGH"
OFFENCE = "offence"
"""The question under which raters can mark images that offend them."""


@dataclass(frozen=True)
class FormError:
    """An error of a form: the id of the field, and the key of the message with the values for its placeholders."""

    at: str
    key: str
    values: Mapping[str, object] = field(default_factory=dict)


class SubmittedForm:
    """The fields of a form with their values."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields
        self.names = fields.keys()

    def value(self, name: str) -> str:
        """The value of a field, or "" without the field.

        Raises:
            HTTPException: 422, if it has several values.
        """
        values = self._fields.get(name, ("",))
        if len(values) != 1:
            raise HTTPException(422)
        return values[0].replace("\r\n", "\n").strip()

    def values(self, name: str) -> Sequence[str]:
        return self._fields.get(name, ())


async def read(request: Request) -> SubmittedForm:
    """The request's form.

    Raises:
        HTTPException: 415 for another type, 413 if it is too large, 400 if it is not UTF-8 or contains NUL.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != TYPE:
        raise HTTPException(415)
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413)
    except ClientDisconnect:
        raise HTTPException(400) from None
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise HTTPException(400) from None
    if any("\0" in text for name, values in fields.items() for text in (name, *values)):
        raise HTTPException(400)
    return SubmittedForm(fields)


FormBody = Annotated[SubmittedForm, Depends(read)]


def form_schema(*names: str) -> dict[str, Any]:
    """The fields of a form as an OpenAPI schema."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in names}}
    return {"requestBody": {"content": {TYPE: {"schema": schema}}}}


def answer_fields(images: int) -> tuple[str, ...]:
    """The field names of the form of a question about this number of images."""
    per_image = ("rank", "rating", "offended", "reason")
    return ("csrf", "do", "shown", *(f"{name}-{i}" for i in range(1, images + 1) for name in per_image))


def answer(form: SubmittedForm, task: Task, question: str, rate: bool) -> tuple[RaterAnswer, list[FormError]]:
    """The form's answer to `question`, a draft if a rank is missing or wrong; and the form's errors.

    Raises:
        HTTPException: 422, for a field that the page does not have.
    """
    if not form.names <= set(answer_fields(len(task.order))):
        raise HTTPException(422)
    faults: list[FormError] = []
    ranks = _numbers(form, task, "rank", (1, len(task.order)), faults)
    ratings = _numbers(form, task, "rating", RATINGS, faults) if rate else {}
    offended = _offended(form, task, faults) if question == OFFENCE else {}
    return RaterAnswer(
        ranks, ratings, offended, draft=ranks.keys() != set(task.order) or bool(faults)
    ), faults


def missing(answer: RaterAnswer, task: Task) -> list[FormError]:
    """An error per rank that is missing before the answer can be confirmed."""
    unranked = [i for i, name in enumerate(task.order) if name not in answer.ranks]
    return [FormError(f"rank-{i + 1}", "task.rank.missing", {"letter": LETTERS[i]}) for i in unranked]


def image_letters(texts: Container[str]) -> str:
    """The letters of images among the texts, sorted, such as those of uncovered images."""
    return "".join(letter for letter in LETTERS if letter in texts)


def move_image(answer: RaterAnswer, task: Task, move: str) -> RaterAnswer:
    """The answer with an image moved by a rank: `up-2` swaps the second image with those of the next better rank.

    Images without a rank first get the free ranks in the order of the layout.

    Raises:
        HTTPException: 422, for a move that the page does not have.
    """
    match = re.fullmatch(r"(up|down)-([1-8])", move)
    if match is None or int(match[2]) > len(task.order):
        raise HTTPException(422)
    image, last = task.order[int(match[2]) - 1], len(task.order)
    ranks = dict(answer.ranks)
    if ranks.keys() != set(task.order):
        free = iter(rank for rank in range(1, last + 1) if rank not in answer.ranks.values())
        ranks = {name: ranks[name] if name in ranks else next(free) for name in task.order}
    old = ranks[image]
    new = min(last, max(1, old + (-1 if match[1] == "up" else 1)))
    ranks = {name: old if rank == new else rank for name, rank in ranks.items()}
    return replace(answer, ranks={**ranks, image: new})


def _numbers(
    form: SubmittedForm, task: Task, what: str, span: tuple[int, int], faults: list[FormError]
) -> dict[str, int]:
    numbers = {}
    for i, name in enumerate(task.order, 1):
        value = form.value(f"{what}-{i}")
        if re.fullmatch("[1-9]", value) and int(value) <= span[1]:
            numbers[name] = int(value)
        elif value:
            values = {"letter": LETTERS[i - 1], "most": span[1]}
            faults.append(FormError(f"{what}-{i}", f"task.{what}.wrong", values))
    return numbers


def _offended(form: SubmittedForm, task: Task, faults: list[FormError]) -> dict[str, str]:
    offended = {}
    for i, name in enumerate(task.order, 1):
        reason = form.value(f"reason-{i}")
        if len(reason) > MAX_TEXT_LENGTH:
            values = {"letter": LETTERS[i - 1], "most": MAX_TEXT_LENGTH}
            faults.append(FormError(f"reason-{i}", "task.reason.long", values))
        if form.value(f"offended-{i}"):
            offended[name] = reason[:MAX_TEXT_LENGTH]
    return offended
