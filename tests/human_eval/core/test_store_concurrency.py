"""Many raters at once, the same rater twice, and processes that are killed: on both databases."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text

from scoft_hpc.errors import QuotaFullError, WithdrawnError
from scoft_hpc.human_eval.answers import Rater, RaterAnswer
from scoft_hpc.human_eval.database import parse
from scoft_hpc.human_eval.store import Store
from surveys import pages_of
from waiting import PATIENCE

from .writer import SURVEY

WRITER = Path(__file__).with_name("writer.py")
PAGES = pages_of("china", "korea")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(SURVEY, PAGES, url)
    yield opened
    opened.close()


def enrol(store: Store, culture: str = "korea") -> Rater | None:
    try:
        return store.enrol(culture, "member", "", "en", "v1", True)
    except QuotaFullError:
        return None


def start(url: str, rater: Rater, rounds: int) -> subprocess.Popen[str]:
    """A writer that is ready and waits for a line."""
    tests = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *filter(None, sys.path)])}
    command = [sys.executable, str(WRITER), url, rater.id, str(rounds)]
    started = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def rows(url: str, question: str) -> list[tuple[object, ...]]:
    engine = create_engine(parse(url), poolclass=NullPool)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(question))]


def test_thirty_at_once_never_overshoot_the_quota(store: Store, url: str) -> None:
    other = Store.open(SURVEY, PAGES, url)  # as a second process would have it
    with ThreadPoolExecutor(30) as threads:
        enrolled = list(threads.map(lambda i: enrol((store, other)[i % 2], "china"), range(30)))
    raters = [rater for rater in enrolled if rater]
    assert sorted(rater.number for rater in raters) == [1, 2, 3]
    assert store.places()["china"] == other.places()["china"] == 0
    assert rows(url, "SELECT slot FROM raters ORDER BY slot") == [(0,), (1,), (2,)]
    assert {len(store.tasks(rater)) for rater in raters} == {14}
    other.close()


def test_one_answer_saved_by_many_at_once_is_stored_once(store: Store, url: str) -> None:
    rater, other = enrol(store), Store.open(SURVEY, PAGES, url)
    assert rater is not None
    task = store.tasks(rater)[0]
    together = threading.Barrier(8)

    def save(number: int) -> None:
        together.wait()
        answer = RaterAnswer(dict.fromkeys(task.order, 1 + number % 4), {}, {}, seconds=1.0)
        (store, other)[number % 2].save(rater, 0, "match", answer)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(save, range(8)))
    assert len(store.judgements()) == 1
    assert rows(url, "SELECT count(*) FROM answers") == [(1,)]
    with pytest.raises(Exception, match=r"(?i)unique"):
        rows(url, f"INSERT INTO answers SELECT * FROM answers WHERE rater = '{rater.id}' RETURNING rater")
    other.close()


def test_who_withdraws_while_others_save_leaves_nothing_behind(store: Store, url: str) -> None:
    rater, other = enrol(store), Store.open(SURVEY, PAGES, url)
    assert rater is not None
    tasks, saved, refused = store.tasks(rater), threading.Event(), []

    def save(number: int) -> None:
        """Until it is refused, so that the rater surely withdraws in its midst."""
        try:
            for task in cycle(tasks):
                answer = RaterAnswer(dict.fromkeys(task.order, 1), {}, {})
                (store, other)[number % 2].save(rater, task.position, task.questions[number], answer)
                saved.set()
        except WithdrawnError:
            refused.append(number)

    with ThreadPoolExecutor(5) as threads:
        futures = [threads.submit(save, number) for number in range(4)]
        saved.wait()
        store.withdraw(rater)
        for future in futures:
            future.result()
    assert sorted(refused) == [0, 1, 2, 3]
    for table in ("raters", "tasks", "answers"):
        assert rows(url, f"SELECT count(*) FROM {table}") == [(0,)]
    assert [item.withdrawn for item in store.progress()] == [0, 1]
    other.close()


@pytest.mark.slow
def test_two_processes_write_and_nothing_is_lost_or_doubled(store: Store, url: str) -> None:
    raters = [enrol(store), enrol(store)]
    writers = [start(url, rater, 1) for rater in raters if rater]
    for writer in writers:
        go(writer)
    for writer in writers:
        assert writer.communicate(timeout=PATIENCE)[0].count("\n") == 14 * 4
        assert writer.returncode == 0
    assert len(store.judgements()) == 2 * 14 * 4
    assert all(item.finished for item in store.participants())


@pytest.mark.slow
def test_a_killed_writer_loses_no_answer_that_was_acknowledged(store: Store, url: str) -> None:
    rater = enrol(store)
    assert rater is not None
    acknowledged: dict[tuple[int, str], int] = {}
    for lines in (1, 17, 60):
        with start(url, rater, 1000) as writer:
            assert writer.stdout is not None
            go(writer)
            lines_read = [writer.stdout.readline() for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.readlines()  # `communicate` would lose what is read already
        lines_read += [line for line in rest if line.endswith("\n")]
        for line in lines_read:
            position, question, rank = line.split()
            acknowledged[int(position), question] = int(rank)
        stored = {key: set(answer.ranks.values()) for key, answer in store.answers(rater).items()}
        ahead = {key for key, ranks in stored.items() if ranks != {acknowledged.get(key)}}
        assert acknowledged.keys() <= stored.keys()
        assert len(ahead) <= 1  # one may have been kept that nobody heard of
        acknowledged |= {key: stored[key].pop() for key in ahead}
    store.save(rater, 0, "match", RaterAnswer({}, {}, {}, cannot_judge=True))  # and it goes on at once


def test_two_processes_may_open_an_empty_database_at_once(url: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        opened = list(threads.map(lambda _: Store.open(SURVEY, PAGES, url), range(6)))
    assert rows(url, "SELECT id FROM survey") == [(1,)]
    for store in opened:
        store.close()
