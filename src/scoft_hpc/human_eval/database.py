"""The database of the answers: a SQLite file on a local disk, or PostgreSQL. A URL's password is never printed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval import db_schema
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey, digest
from scoft_hpc.study.filesystem import SHARED, mount_of, nearest_folder
from scoft_hpc.study.paths import SurveyDir

VARIABLE = "SCOFT_SURVEY_DATABASE"
"""Environment variable with the database's URL; the command line has precedence."""

MOUNTS = Path("/proc/self/mounts")
BUSY_SECONDS = 30
CONNECTIONS = 20
ADVISORY_LOCK_ID = 5_101_051
"""PostgreSQL's advisory lock under which tables are created; any number will do."""
EXPECTED = "expected sqlite:////local/disk/answers.db or postgresql://USER:PASSWORD@HOST/NAME"
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "sqlite": "sqlite"}


class Database:
    """A database's connections; a `write` block's changes are on disk when it has ended."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(write=True)
        # SQLite has one writer at a time, and its busy wait sleeps for longer than a write takes: threads queue here.
        self._queue = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    @classmethod
    def at(cls, url: str, mounts: Path = MOUNTS) -> Database:
        """The database at a URL, not connected yet; `mounts` lists the mounted file systems.

        Raises:
            ConfigError: for a URL of another kind, or SQLite in memory or on a network file system.
        """
        place = parse(url)
        create = partial(create_engine, place, pool_size=CONNECTIONS, hide_parameters=True)
        if place.get_backend_name() != "sqlite":
            options = {"options": "-c synchronous_commit=on", "connect_timeout": 10}
            return cls(create(pool_pre_ping=True, connect_args=options))
        _check_disk(Path(str(place.database)), mounts)
        engine = create(connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return cls(engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that takes SQLite's write lock before it reads; in PostgreSQL, lock the rows that it reads."""
        with self._queue, self._writer.begin() as connection:
            yield connection

    def purge(self) -> None:
        """Truncate SQLite's log, so that deleted rows are gone; while another connection reads, as far as possible."""
        if self._engine.dialect.name == "sqlite":
            with self._queue:
                connection = self._engine.raw_connection()
                try:
                    connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    connection.close()

    def close(self) -> None:
        self._engine.dispose()


def claim(database: Database, survey: Survey, pages: Sequence[Page], url: str) -> None:
    """Create the missing tables and make the database this survey's: from its first rater on it belongs to its pages.

    Raises:
        ConfigError: if it cannot be reached or written, or another survey's raters are in it.
    """
    try:
        with database.write() as connection:
            _create_tables(connection)
            is_claimed = _claim(connection, survey, pages)
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise ConfigError(
            f"the survey's database {without_password(url)} cannot be used: {reason}. Start or repair it, or "
            f"name another with database=URL or ${VARIABLE}."
        ) from None
    if not is_claimed:
        raise ConfigError(
            f"the database {without_password(url)} holds answers to another survey, or to other pages or "
            "questions; expected an empty one or this survey's. Name another with database=URL or "
            f"${VARIABLE}, or restore the pages.json and the questions that its raters answered."
        )


def _claim(connection: Connection, survey: Survey, pages: Sequence[Page]) -> bool:
    """Whether the database is this survey's; it becomes so while there are no raters."""
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


def _create_tables(connection: Connection) -> None:
    """Create the tables that are missing; two processes may do so at once."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK_ID})"))
    db_schema.metadata.create_all(connection)


def upsert(
    connection: Connection,
    table: Table,
    key: dict[str, Any],
    row: dict[str, Any],
    instead: dict[str, Any] | None = None,
) -> None:
    """Insert the row; if its key exists, update it with the row's values, or with `instead`, if there are any."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(**key, **row)
    values = row if instead is None else instead
    if values:
        connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))
    else:
        connection.execute(statement.on_conflict_do_nothing(index_elements=list(key)))


def url_of(folder: SurveyDir, setting: str | None = None) -> str:
    """The URL of the setting, else of the environment, else of the survey's SQLite file."""
    return setting or os.environ.get(VARIABLE) or f"sqlite:///{folder.database.absolute()}"


def exists(url: str) -> bool:
    """Whether the database exists; False if opening it would create a SQLite file."""
    place = parse(url)
    return place.get_backend_name() != "sqlite" or Path(str(place.database)).exists()


def parse(url: str) -> URL:
    """The URL with SQLAlchemy's name of our driver.

    Raises:
        ConfigError: if it is not a URL of SQLite or PostgreSQL.
    """
    try:
        place = make_url(url)
        backend = place.get_backend_name()
    except (ArgumentError, ValueError):
        raise ConfigError(f"the survey's database is not given as a URL: {EXPECTED}.") from None
    if backend not in DRIVERS:
        raise ConfigError(f"the survey's database cannot be {backend}: {EXPECTED}.")
    if backend == "sqlite" and place.database in (None, "", ":memory:"):
        raise ConfigError(f"SQLite in memory forgets every answer: {EXPECTED}.")
    return place.set(drivername=DRIVERS[backend])


def without_password(url: str) -> str:
    """The URL, safe to print."""
    return parse(url).render_as_string(hide_password=True)


def _check_disk(file: Path, mounts: Path) -> None:
    """Create the file if it is missing, on a local disk and readable by its owner only.

    Raises:
        ConfigError: if it would lie on a network file system, or cannot be written.
    """
    folder = nearest_folder(file.resolve().parent)
    mount = mount_of(folder, mounts)
    if mount.kind in SHARED:
        raise ConfigError(
            f"the survey's database {file} would lie on {mount.kind}, a network file system ({mount.point}), where "
            f"SQLite loses answers; expected a local disk, database=sqlite:////local/disk/answers.db, or PostgreSQL, "
            f"database=postgresql://USER:PASSWORD@HOST/NAME (or the same in ${VARIABLE})."
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigError(
            f"the survey's database {file} cannot be written: {error.strerror}. Expected a writable folder with free "
            f"space; name another file with database=sqlite:////local/disk/answers.db or ${VARIABLE}."
        ) from None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions of its own
    cursor = connection.cursor()
    # secure_delete: a withdrawn rater's answers leave no trace in free pages.
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in (*pragmas, f"busy_timeout={BUSY_SECONDS}000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
