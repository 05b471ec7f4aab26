"""How a rater gets a place: a number in the survey, a slot of their culture, and with it a sequence of pages.

An enrolment holds the lock of the survey's one row, so that no place is given twice.
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
"""A rater who has not finished and gave no answer for so long leaves the place to another; they may still come back."""


def enrol(connection: Connection, survey: Survey, pages: Iterable[Page], newcomer: Rater, hour: int) -> Rater:
    """Give the newcomer, whose number is not known yet, a place; who is enrolled already stays as they are.

    Args:
        hour: the present one, since 1970.

    Raises:
        QuotaFullError: if the culture's quota is met.
    """
    number = 1 + int(connection.scalar(select(db_schema.survey.c.last_number).with_for_update()) or 0)
    if enrolled := rater(connection, newcomer.id):
        return enrolled
    used_slots = slots(connection, newcomer.culture, hour)
    if len(used_slots) >= survey.quotas[newcomer.culture]:
        raise QuotaFullError(f"{newcomer.culture}: there are as many raters as are wanted.")
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
    """None: there is none, or they have withdrawn."""
    columns = [db_schema.raters.c[name] for name in Rater.__dataclass_fields__]
    row = connection.execute(select(*columns).where(db_schema.raters.c.id == rater_id)).mappings().first()
    return None if row is None else Rater(**row)


def slots(connection: Connection, culture: str, hour: int) -> set[int]:
    """The slots of the culture's raters who count: finished ones, and those who answered lately."""
    table = db_schema.raters
    late = table.c.active < hour - STALE_HOURS
    counts = or_(not_(late), not_(queries.unfinished()))
    return set(connection.scalars(select(table.c.slot).where(table.c.culture == culture, counts)))


def _row(of: Rater, task: Task) -> dict[str, object]:
    return {
        "rater": of.id,
        "position": task.position,
        "page": task.page.id,
        "kind": task.kind.value,
        "order": list(task.order),
        "questions": list(task.questions),
        "asked": len(task.questions),
        "skipped": False,
    }
