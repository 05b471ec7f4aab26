"""The tables of a survey's database, the same in SQLite and PostgreSQL.

Nothing here reveals who a rater is or when they answered: the only times are whole hours, by which abandoned places are
found. Payment ids are in a table that no other table refers to, sorted by id.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()

survey = Table(
    "survey",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("identity", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("last_number", Integer, nullable=False),
)
"""One row: which pages and questions the answers are about, the survey file's digest when the first rater began, and
the last rater's number. Its lock serialises enrolments."""

raters = Table(
    "raters",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("culture", String(200), nullable=False, index=True),
    Column("slot", Integer, nullable=False),
    Column("affiliation", String(20), nullable=False),
    Column("own_words", Text, nullable=False),
    Column("language", String(35), nullable=False),
    Column("consent", String(100), nullable=False),
    Column("blur", Boolean, nullable=False),
    Column("active", Integer, nullable=False, comment="hour of the last answer, since 1970"),
    Column("paid", Boolean, nullable=False, default=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("rater", String(32), ForeignKey("raters.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("page", String(64), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("order", JSON, nullable=False),
    Column("questions", JSON, nullable=False),
    Column("asked", Integer, nullable=False, comment="the number of questions"),
    Column("skipped", Boolean, nullable=False, default=False),
)

answers = Table(
    "answers",
    metadata,
    Column("rater", String(32), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("question", String(64), primary_key=True),
    Column("ranks", JSON, nullable=False),
    Column("ratings", JSON, nullable=False),
    Column("offended", JSON, nullable=False),
    Column("cannot_judge", Boolean, nullable=False),
    Column("draft", Boolean, nullable=False),
    Column("seconds", Float, nullable=False),
    ForeignKeyConstraint(["rater", "position"], ["tasks.rater", "tasks.position"], ondelete="CASCADE"),
)

withdrawals = Table(
    "withdrawals",
    metadata,
    Column("culture", String(200), primary_key=True),
    Column("count", Integer, nullable=False),
)

payments = Table(
    "payments",
    metadata,
    Column("id", String(200), primary_key=True),
    sqlite_with_rowid=False,  # row ids would reveal the order, and so the rater
)
