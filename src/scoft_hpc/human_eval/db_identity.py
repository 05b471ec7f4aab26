"""Whose answers a database holds: it belongs to one survey's pages and questions from its first rater on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval import database, db_schema
from scoft_hpc.human_eval.database import Database
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey, digest


def claim_database(base: Database, survey: Survey, pages: Sequence[Page], url: str) -> None:
    """Make the missing tables, and the database this survey's.

    Raises:
        ConfigError: if it cannot be reached or written, or another survey's raters are in it.
    """
    try:
        with base.write() as connection:
            database.make_tables(connection)
            is_claimed = _claim(connection, survey, pages)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ConfigError(
            f"the survey's database {database.without_password(url)} cannot be used: {reason}. Start or repair it, or "
            f"name another with database=URL or ${database.VARIABLE}."
        ) from None
    if not is_claimed:
        raise ConfigError(
            f"the database {database.without_password(url)} holds answers to another survey, or to other pages or "
            "questions; expected an empty one or this survey's. Name another with database=URL or "
            f"${database.VARIABLE}, or restore the pages.json and the questions that its raters answered."
        )


def _claim(connection: Connection, survey: Survey, pages: Sequence[Page]) -> bool:
    """Whether the database is this survey's; while there are no raters it becomes so."""
    names = sorted(image.name for page in pages for image in page.images)
    identity = "/".join([survey.study, *sorted(question.name for question in survey.questions), *names])
    row = {"identity": hashlib.sha256(identity.encode()).hexdigest(), "digest": digest(survey)}
    stored = connection.scalar(select(db_schema.survey.c.identity).with_for_update())
    if stored is None:
        connection.execute(insert(db_schema.survey).values(id=1, last_number=0, **row))
    elif not connection.scalar(select(func.count()).select_from(db_schema.raters)):
        connection.execute(update(db_schema.survey).values(row))
    else:
        return bool(stored == row["identity"])
    return True
