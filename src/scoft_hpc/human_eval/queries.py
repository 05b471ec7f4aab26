"""Queries over all raters, for the admin page, the exports and the analysis."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, exists, func, not_, select

from scoft_hpc.human_eval import db_schema
from scoft_hpc.human_eval.answers import PanelProgress
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey


def unfinished() -> ColumnElement[bool]:
    """Whether a rater has a page that is not skipped and lacks a confirmed answer to one of its questions."""
    task, answer = db_schema.tasks, db_schema.answers
    same = (answer.c.rater == task.c.rater, answer.c.position == task.c.position)
    n_confirmed = (
        select(func.count())
        .select_from(answer)
        .where(*same, not_(answer.c.draft))
        .correlate(task)
        .scalar_subquery()
    )
    return exists().where(
        task.c.rater == db_schema.raters.c.id, not_(task.c.skipped), n_confirmed < task.c.asked
    )


def participants(connection: Connection) -> list[Participant]:
    """The raters who have not withdrawn, by number."""
    rater = db_schema.raters.c
    query = select(
        rater.number, rater.culture, rater.affiliation, rater.language, not_(unfinished())
    ).order_by(rater.number)
    return [Participant(*row) for row in connection.execute(query)]


def judgements(connection: Connection, pages: Mapping[str, Page]) -> list[Judgement]:
    """The confirmed answers about pages that are not skipped, by rater, position and question."""
    rater, task, answer = db_schema.raters, db_schema.tasks, db_schema.answers
    joined = answer.join(
        task, (task.c.rater == answer.c.rater) & (task.c.position == answer.c.position)
    ).join(rater, rater.c.id == task.c.rater)
    query = (
        select(rater.c.number, rater.c.culture, task.c.page, task.c.kind, answer)
        .select_from(joined)
        .where(not_(answer.c.draft), not_(task.c.skipped))
        .order_by(rater.c.number, answer.c.position, answer.c.question)
    )
    systems = {page.id: {image.name: image.system for image in page.images} for page in pages.values()}
    judged = []
    for row in connection.execute(query).mappings():
        names = systems[row["page"]]
        ranks = None if row["cannot_judge"] else {names[name]: rank for name, rank in row["ranks"].items()}
        judged.append(
            Judgement(
                rater=row["number"],
                culture=row["culture"],
                page=row["page"],
                position=row["position"],
                kind=Kind(row["kind"]),
                question=row["question"],
                ranks=ranks,
                ratings={names[name]: rating for name, rating in row["ratings"].items()},
                offended=frozenset(names[name] for name in row["offended"]),
                seconds=row["seconds"],
            )
        )
    return judged


def progress(connection: Connection, survey: Survey) -> list[PanelProgress]:
    """The progress of each culture, in the survey's order."""
    raters = participants(connection)
    rater, answer = db_schema.raters.c, db_schema.answers.c
    confirmed = select(rater.culture, answer.seconds).where(rater.id == answer.rater, not_(answer.draft))
    seconds: dict[str, list[float]] = {}
    for culture, duration in connection.execute(confirmed):
        seconds.setdefault(culture, []).append(duration)
    withdrawn: dict[str, int] = {row[0]: row[1] for row in connection.execute(select(db_schema.withdrawals))}
    return [
        PanelProgress(
            culture=culture,
            quota=quota,
            enrolled=sum(member.culture == culture for member in raters),
            finished=sum(member.culture == culture and member.finished for member in raters),
            answers=len(seconds.get(culture, ())),
            withdrawn=withdrawn.get(culture, 0),
            seconds=statistics.median(
                [duration for duration in seconds.get(culture, ()) if duration] or [0.0]
            ),
        )
        for culture, quota in survey.quotas.items()
    ]
