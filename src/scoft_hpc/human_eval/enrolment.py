"""Enrolment: a rater gets a number in the survey and a slot of their culture, which decides their sequence of pages.

An enrolment locks the survey's only row, so that no place is assigned twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, insert, not_, or_, select, update

from scoft_hpc.errors import QuotaFullError
from scoft_hpc.human_eval import counterbalance, db_schema, queries
from scoft_hpc.human_eval.answers import Rater
from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey

STALE_HOURS = 48
"""An unfinished rater who gave no answer for so long frees the place for another; they may still return."""


def enrol(connection: Connection, survey: Survey, pages: Iterable[Page], newcomer: Rater, hour: int) -> Rater:
    """Assign a number and a slot to the newcomer; a rater who is enrolled already is returned unchanged.

    Args:
        hour: the current hour since 1970.

    Raises:
        QuotaFullError: if the culture's quota is met.
    """
    number = 1 + int(connection.scalar(select(db_schema.survey.c.last_number).with_for_update()) or 0)
    if enrolled := rater(connection, newcomer.id):
        return enrolled
    used_slots = slots(connection, newcomer.culture, hour)
    if len(used_slots) >= survey.quotas[newcomer.culture]:
        raise QuotaFullError(f"{newcomer.culture}: the quota of raters is met.")
    slot = next(slot for slot in range(len(used_slots) + 1) if slot not in used_slots)
    enrolled_rater = replace(newcomer, number=number)
    connection.execute(update(db_schema.survey).values(last_number=number))
    connection.execute(
        insert(db_schema.raters).values(**vars(enrolled_rater), slot=slot, active=hour, paid=False)
    )
    culture_pages = [page for page in pages if page.culture == enrolled_rater.culture]
    rows = [_row(enrolled_rater, task) for task in counterbalance.sequence(survey, culture_pages, slot)]
    connection.execute(insert(db_schema.tasks), rows)
    return enrolled_rater


def rater(connection: Connection, rater_id: str) -> Rater | None:
    """The rater, or None if there is none or they have withdrawn."""
    columns = [db_schema.raters.c[name] for name in Rater.__dataclass_fields__]
    row = connection.execute(select(*columns).where(db_schema.raters.c.id == rater_id)).mappings().first()
    return None if row is None else Rater(**row)


def slots(connection: Connection, culture: str, hour: int) -> set[int]:
    """The slots of the culture's finished and active raters."""
    table = db_schema.raters
    is_active = table.c.active >= hour - STALE_HOURS
    counts = or_(is_active, not_(queries.unfinished()))
    return set(connection.scalars(select(table.c.slot).where(table.c.culture == culture, counts)))


def _row(rater: Rater, task: Task) -> dict[str, object]:
    return {
        "rater": rater.id,
        "position": task.position,
        "page": task.page.id,
        "kind": task.kind.value,
        "order": list(task.order),
        "questions": list(task.questions),
        "asked": len(task.questions),
        "skipped": False,
    }
