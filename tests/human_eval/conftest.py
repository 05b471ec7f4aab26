"""A survey of made-up pages, and databases for its answers: SQLite, and a PostgreSQL server for the tests."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey
from surveys import SYSTEMS, pages_of


@pytest.fixture
def pages() -> tuple[Page, ...]:
    return pages_of("china", "korea")


@pytest.fixture
def survey() -> Survey:
    return Survey(title="Images", study="a-study", systems=SYSTEMS, quotas={"china": 3, "korea": 5})


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The folder of a running PostgreSQL's socket; each worker has its own server, which ends with it."""
    programs_found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    programs = programs_found[-1].parent
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    user = None
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = "postgres"
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)

    def run(program: str, *args: str) -> None:
        subprocess.run(
            [programs / program, "-D", folder / "data", *args],
            user=user,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync")
    run(
        "pg_ctl",
        "start",
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-k {folder} -c listen_addresses= -c fsync=off",
    )
    try:
        yield str(folder)
    finally:
        run("pg_ctl", "stop", "-w", "-m", "immediate")
        shutil.rmtree(folder)


@pytest.fixture
def new_postgres(postgres: str) -> str:
    """The URL of a database in which there is nothing."""
    url = f"postgresql://postgres@/postgres?host={postgres}"
    engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/answers.db"
    new_url: str = request.getfixturevalue("new_postgres")
    return new_url
