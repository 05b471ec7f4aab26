"""The survey's answers: once `save` has returned, an answer survives a crash.

A method is one short transaction. Writes of one rater are serialised, and so are enrolments: in SQLite because a write
takes the lock before it reads, in PostgreSQL by locking the rater's or the survey's row.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from sqlalchemy import Connection, RowMapping, delete, select, update

from scoft_hpc.errors import WithdrawnError
from scoft_hpc.human_eval import database, db_schema, enrolment, queries
from scoft_hpc.human_eval.answers import (
    MAX_ID_LENGTH,
    PanelProgress,
    Rater,
    RaterAnswer,
    check,
    check_rater,
    check_text,
)
from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.database import Database, upsert
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey, digest

MAX_POSITION = 1 << 20
"""Greater positions cannot exist, and might not fit into a database integer."""
ID = re.compile(r"[0-9a-f]{32}")


class Store:
    """A survey's answers. Threads may share it; every process opens its own."""

    def __init__(
        self,
        survey: Survey,
        pages: Sequence[Page],
        base: Database,
        clock: Callable[[], float] = time.time,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        """The store of a database whose tables exist; `open` creates both. `clock` and `stopwatch` give seconds."""
        self._survey = survey
        self._pages = {page.id: page for page in pages}
        self._database = base
        self._clock, self._stopwatch = clock, stopwatch
        # In memory only: the database holds no time finer than an hour.
        self._answer_timers: dict[tuple[str, int], float] = {}

    @classmethod
    def open(cls, survey: Survey, pages: Sequence[Page], url: str) -> Store:
        """The store at a SQLAlchemy URL; missing tables are created.

        Raises:
            ConfigError: for SQLite on a network file system, a database that cannot be reached, or one that holds
                the answers of another survey.
        """
        store = cls(survey, pages, Database.at(url))
        with ExitStack() as stack:
            stack.callback(store.close)
            database.claim(store._database, survey, pages, url)
            stack.pop_all()
        return store

    def close(self) -> None:
        self._database.close()

    def places(self) -> Mapping[str, int]:
        """Culture -> free places: finished and active raters occupy one, stale raters do not."""
        with self._database.read() as connection:
            return {
                culture: max(0, quota - len(enrolment.slots(connection, culture, self._hour())))
                for culture, quota in self._survey.quotas.items()
            }

    def enrol(
        self,
        culture: str,
        affiliation: str,
        own_words: str,
        language: str,
        consent: str,
        blur: bool,
        rater_id: str | None = None,
    ) -> Rater:
        """A new rater with all of their tasks; if `rater_id` is enrolled already, that rater unchanged.

        Raises:
            QuotaFullError: if the culture's quota is met. ValueError: for a value that the survey does not have.
        """
        new_id = rater_id or secrets.token_hex(16)
        newcomer = Rater(new_id, 0, culture, affiliation, own_words, language, consent, blur)
        check_rater(newcomer, self._survey)
        if affiliation != "described":
            newcomer = replace(newcomer, own_words="")
        with self._database.write() as connection:
            return enrolment.enrol(connection, self._survey, self._pages.values(), newcomer, self._hour())

    def rater(self, rater_id: str) -> Rater | None:
        """The rater, or None if there is none or they have withdrawn."""
        if not ID.fullmatch(rater_id):
            return None
        with self._database.read() as connection:
            return enrolment.rater(connection, rater_id)

    def change(self, rater: Rater, *, language: str, blur: bool) -> Rater:
        """The rater with another language and blur.

        Raises:
            ValueError: for a language that the survey does not have. WithdrawnError: if they have withdrawn.
        """
        if language not in self._survey.languages:
            raise ValueError(f"the survey has no language {language!r}")
        table = db_schema.raters
        with self._writing(rater) as connection:
            connection.execute(
                update(table).where(table.c.id == rater.id).values(language=language, blur=blur)
            )
        return replace(rater, language=language, blur=blur)

    def tasks(self, rater: Rater) -> tuple[Task, ...]:
        """The rater's sequence, fixed at enrolment; empty if they have withdrawn."""
        query = (
            select(db_schema.tasks)
            .where(db_schema.tasks.c.rater == rater.id)
            .order_by(db_schema.tasks.c.position)
        )
        with self._database.read() as connection:
            return tuple(map(self._task, connection.execute(query).mappings()))

    def answers(self, rater: Rater) -> Mapping[tuple[int, str], RaterAnswer]:
        """(position, question) -> answer, including drafts."""
        query = select(db_schema.answers).where(db_schema.answers.c.rater == rater.id)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        names = RaterAnswer.__dataclass_fields__
        return {
            (row["position"], row["question"]): RaterAnswer(**{name: row[name] for name in names})
            for row in rows
        }

    def skipped(self, rater: Rater) -> frozenset[int]:
        """The positions of the pages that the rater skipped."""
        query = select(db_schema.tasks.c.position).where(
            db_schema.tasks.c.rater == rater.id, db_schema.tasks.c.skipped
        )
        with self._database.read() as connection:
            return frozenset(connection.scalars(query))

    def seen(self, rater: Rater, position: int) -> None:
        """Start the time of the page's first answer; that of each further answer starts with the previous one."""
        self._answer_timers.setdefault((rater.id, position), self._stopwatch())

    def save(self, rater: Rater, position: int, question: str, answer: RaterAnswer) -> None:
        """Store the answer, replacing an earlier one; it is on disk when this returns. Its page is no longer skipped.

        A changed answer keeps the seconds of the first. A draft does not replace a confirmed answer that has ranks, as
        it comes from an older tab.

        Raises:
            ValueError: for an invalid answer (`answers.check`). WithdrawnError: if the rater has withdrawn.
        """
        with self._writing(rater) as connection:
            task = self._one_task(connection, rater, position)
            check(answer, task, question, self._survey)
            key = {"rater": rater.id, "position": position, "question": question}
            table = db_schema.answers
            place = [table.c[name] == value for name, value in key.items()]
            confirmed = select(table.c.seconds, table.c.cannot_judge).where(*place, ~table.c.draft)
            before = connection.execute(confirmed).first()
            if answer.draft and before and not before.cannot_judge:
                return
            seconds = before.seconds if before else answer.seconds or self._since(rater, position)
            row = {**vars(answer), "seconds": seconds}
            row |= {name: dict(row[name]) for name in ("ranks", "ratings", "offended")}
            upsert(connection, table, key, row)
            self._skip(connection, rater, position, False)
        if not answer.draft:
            self._answer_timers[rater.id, position] = self._stopwatch()

    def skip(self, rater: Rater, position: int) -> None:
        """Skip a page: its answers are stored but not analysed, until one is saved again.

        Raises:
            ValueError: if there is no such page. WithdrawnError: if the rater has withdrawn.
        """
        with self._writing(rater) as connection:
            self._one_task(connection, rater, position)
            self._skip(connection, rater, position, True)

    def withdraw(self, rater: Rater) -> None:
        """Delete everything about the rater and count a withdrawal; the second time nothing happens."""
        with self._database.write() as connection:
            n_deleted = connection.execute(
                delete(db_schema.raters).where(db_schema.raters.c.id == rater.id)
            ).rowcount
            if n_deleted:
                table = db_schema.withdrawals
                row = {"count": table.c.count + 1}
                upsert(connection, table, {"culture": rater.culture}, {"count": 1}, row)
        self._database.purge()
        for key in [key for key in list(self._answer_timers) if key[0] == rater.id]:
            self._answer_timers.pop(key, None)

    def pay(self, rater: Rater, payment_id: str) -> bool:
        """Store an id to pay, with nothing that leads to the rater; False if they have given one before.

        Raises:
            ValueError: for an id that cannot be stored. WithdrawnError: if the rater has withdrawn.
        """
        check_text("payment id", payment_id, MAX_ID_LENGTH)
        if not payment_id.strip():
            raise ValueError("payment id: it is empty")
        this_rater = db_schema.raters.c.id == rater.id
        with self._writing(rater) as connection:
            if connection.scalar(select(db_schema.raters.c.paid).where(this_rater)):
                return False
            connection.execute(update(db_schema.raters).where(this_rater).values(paid=True))
            upsert(connection, db_schema.payments, {"id": payment_id.strip()}, {})
        return True

    def payments(self) -> list[str]:
        """The ids to pay, sorted."""
        with self._database.read() as connection:
            return list(connection.scalars(select(db_schema.payments.c.id).order_by(db_schema.payments.c.id)))

    def forget_payments(self) -> int:
        """Delete all payment ids; returns their number."""
        with self._database.write() as connection:
            count = connection.execute(delete(db_schema.payments)).rowcount
        self._database.purge()
        return count

    def changed(self) -> bool:
        """Whether the survey file differs from that of the first rater's enrolment."""
        with self._database.read() as connection:
            return connection.scalar(select(db_schema.survey.c.digest)) != digest(self._survey)

    def progress(self) -> list[PanelProgress]:
        """The progress of each culture, in the survey's order."""
        with self._database.read() as connection:
            return queries.progress(connection, self._survey)

    def participants(self) -> list[Participant]:
        """The raters who have not withdrawn, by number."""
        with self._database.read() as connection:
            return queries.participants(connection)

    def judgements(self) -> list[Judgement]:
        """The confirmed answers about pages that are not skipped, with systems in place of image names."""
        with self._database.read() as connection:
            return queries.judgements(connection, self._pages)

    @contextmanager
    def _writing(self, rater: Rater) -> Iterator[Connection]:
        """A transaction that locks the rater's row and marks the rater as active."""
        this_rater = db_schema.raters.c.id == rater.id
        with self._database.write() as connection:
            active = connection.scalar(select(db_schema.raters.c.active).where(this_rater).with_for_update())
            if active is None:
                raise WithdrawnError("This rater has withdrawn.")
            if active != self._hour():
                connection.execute(update(db_schema.raters).where(this_rater).values(active=self._hour()))
            yield connection

    def _one_task(self, connection: Connection, rater: Rater, position: int) -> Task:
        table = db_schema.tasks
        query = select(table).where(table.c.rater == rater.id, table.c.position == position)
        row = connection.execute(query).mappings().first() if 0 <= position < MAX_POSITION else None
        if row is None:
            raise ValueError(f"there is no page {position}")
        return self._task(row)

    def _task(self, row: RowMapping) -> Task:
        page, kind = self._pages[row["page"]], Kind(row["kind"])
        return Task(row["position"], page, kind, tuple(row["order"]), tuple(row["questions"]))

    def _skip(self, connection: Connection, rater: Rater, position: int, skipped: bool) -> None:
        table = db_schema.tasks
        place = (table.c.rater == rater.id, table.c.position == position, table.c.skipped != skipped)
        connection.execute(update(table).where(*place).values(skipped=skipped))

    def _since(self, rater: Rater, position: int) -> float:
        """Seconds since the page was seen or last answered; 0 if unknown, after a restart."""
        started = self._answer_timers.get((rater.id, position))
        return 0.0 if started is None else self._stopwatch() - started

    def _hour(self) -> int:
        return int(self._clock() // 3600)
