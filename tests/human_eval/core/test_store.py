"""The store on both databases: what it stores, refuses and deletes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from scoft_hpc.errors import ConfigError, QuotaFullError, WithdrawnError
from scoft_hpc.human_eval.answers import Rater, RaterAnswer
from scoft_hpc.human_eval.counterbalance import Task, sequence
from scoft_hpc.human_eval.database import Database, parse
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from surveys import pages_of


@pytest.fixture
def store(survey: Survey, pages: tuple[Page, ...], url: str) -> Iterator[Store]:
    opened = Store.open(survey, pages, url)
    yield opened
    opened.close()


def enrol(store: Store, culture: str = "korea", **values: Any) -> Rater:
    defaults = {"affiliation": "member", "own_words": "", "language": "en", "consent": "v1", "blur": True}
    return store.enrol(culture, **{**defaults, **values})


def ranked(task: Task, *ranks: int, **more: Any) -> RaterAnswer:
    """Ranks in the survey's order of systems, 1 to 4 by default."""
    names = [image.name for image in task.page.images]
    return RaterAnswer(dict(zip(names, ranks or (1, 2, 3, 4), strict=True)), {}, {}, **more)


def finish(store: Store, rater: Rater) -> None:
    for task in store.tasks(rater):
        for question in task.questions:
            store.save(rater, task.position, question, ranked(task, seconds=9.0))


def test_a_rater_gets_the_sequence_of_the_first_free_slot(
    store: Store, survey: Survey, pages: tuple[Page, ...]
) -> None:
    raters = [enrol(store) for _ in range(3)]
    assert [rater.number for rater in raters] == [1, 2, 3]
    assert len({rater.id for rater in raters}) == 3
    korea = [page for page in pages if page.culture == "korea"]
    assert [store.tasks(rater) for rater in raters] == [sequence(survey, korea, slot) for slot in range(3)]
    store.withdraw(raters[1])
    heir = enrol(store)
    assert heir.number == 4
    assert store.tasks(heir) == sequence(survey, korea, 1)


def test_a_rater_is_found_by_the_id_alone_and_can_change_language_and_blur(store: Store) -> None:
    rater = enrol(store, affiliation="described", own_words="my <b>grandmother</b>; DROP TABLE raters --")
    assert store.rater(rater.id) == rater
    assert store.rater("0" * 32) is None
    for invalid_id in ("' OR 1=1 --", "\0", "", "x" * 10**6, "\ud800", rater.id.upper() + "\n"):
        assert store.rater(invalid_id) is None
    changed = store.change(rater, language="ar", blur=False)
    assert changed == replace(rater, language="ar", blur=False) == store.rater(rater.id)
    with pytest.raises(ValueError, match="no language 'xx'"):
        store.change(rater, language="xx", blur=True)


def test_own_words_are_stored_only_with_the_affiliation_described(store: Store) -> None:
    assert enrol(store, affiliation="unsaid", own_words="typed and taken back").own_words == ""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"culture": "atlantis"}, "no culture 'atlantis'"),
        ({"affiliation": "king"}, "no affiliation 'king'"),
        ({"language": "tlh"}, "no language 'tlh'"),
        ({"own_words": "x" * 2001}, "at most 2000"),
        ({"own_words": "nul\0"}, "letters only"),
        ({"own_words": "half \ud83d"}, "letters only"),
        ({"consent": "x" * 101}, "at most 100"),
    ],
)
def test_a_rater_whom_the_survey_does_not_ask_for_is_refused(
    store: Store, values: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        enrol(store, **values)
    assert store.participants() == []


def test_an_answer_replaces_the_one_before_and_systems_are_put_back(store: Store) -> None:
    rater = enrol(store)
    task = store.tasks(rater)[0]
    first, second = task.order[:2]
    answer = RaterAnswer(dict.fromkeys(task.order, 1), {first: 5}, {second: "a reason"}, seconds=7.5)
    store.save(rater, 0, "match", ranked(task, 1, 1, 2, 4, seconds=3.0))
    for _ in range(2):
        store.save(rater, 0, "match", answer)
    assert store.answers(rater) == {(0, "match"): replace(answer, seconds=3.0)}  # the time of the first stays
    systems = {image.name: image.system for image in task.page.images}
    assert store.judgements() == [
        Judgement(
            rater=1,
            culture="korea",
            page=task.page.id,
            position=0,
            kind=Kind.regular,
            question="match",
            ranks=dict.fromkeys(systems.values(), 1),
            ratings={systems[first]: 5},
            offended=frozenset({systems[second]}),
            seconds=3.0,
        )
    ]


def test_drafts_and_skipped_pages_are_not_analysed_and_cannot_judge_has_no_ranks(store: Store) -> None:
    rater = enrol(store)
    tasks = store.tasks(rater)
    store.save(rater, 0, "match", RaterAnswer({tasks[0].order[0]: 2}, {}, {}, draft=True, seconds=4.0))
    store.save(rater, 1, "match", RaterAnswer({}, {}, {}, cannot_judge=True))
    store.save(rater, 2, "match", ranked(tasks[2]))
    store.skip(rater, 2)
    store.skip(rater, 2)
    assert store.skipped(rater) == {2}
    assert [(judgement.position, judgement.ranks) for judgement in store.judgements()] == [(1, None)]
    store.save(rater, 2, "match", ranked(tasks[2]))
    assert store.skipped(rater) == frozenset()
    assert [judgement.position for judgement in store.judgements()] == [1, 2]
    store.skip(rater, 2)
    store.save(rater, 2, "culture", ranked(tasks[2]))  # an answer that was acknowledged counts
    assert store.skipped(rater) == frozenset()
    store.save(rater, 0, "match", ranked(tasks[0], seconds=8.0))
    assert store.answers(rater)[0, "match"] == ranked(tasks[0], seconds=8.0)


def test_a_draft_takes_the_place_of_no_ranks_that_were_confirmed(store: Store) -> None:
    rater = enrol(store)
    task = store.tasks(rater)[0]
    draft = RaterAnswer({task.order[0]: 2}, {}, {}, draft=True, seconds=1.0)
    store.save(rater, 0, "match", ranked(task, seconds=3.0))
    store.save(rater, 0, "match", draft)
    assert store.answers(rater)[0, "match"] == ranked(task, seconds=3.0)
    store.save(rater, 0, "culture", RaterAnswer({}, {}, {}, cannot_judge=True, seconds=2.0))
    store.save(rater, 0, "culture", draft)  # who could not judge begins to
    assert store.answers(rater)[0, "culture"] == replace(draft, seconds=2.0)


def test_a_repeat_counts_for_the_page_that_it_repeats(store: Store) -> None:
    rater = enrol(store)
    tasks = store.tasks(rater)
    repeat = next(task for task in tasks if task.kind is Kind.reversed)
    store.save(rater, repeat.position, "offence", ranked(repeat, 4, 3, 2, 1))
    (judged,) = store.judgements()
    assert (judged.page, judged.kind) == (repeat.page.id, Kind.reversed)
    assert judged.ranks == {"base": 4, "m": 3, "mp": 2, "mpc": 1}  # as given


def test_seconds_are_measured_from_the_first_sight_and_then_from_the_answer_before(
    survey: Survey, pages: tuple[Page, ...], url: str
) -> None:
    now = [100.0]
    Store.open(survey, pages, url).close()
    store = Store(survey, pages, Database.at(url), stopwatch=lambda: now[0])
    rater = enrol(store)
    task = store.tasks(rater)[0]
    store.save(rater, 1, "match", ranked(store.tasks(rater)[1]))  # never seen, as after a restart
    for moment in (100.0, 103.0):  # the page is looked at twice
        now[0] = moment
        store.seen(rater, 0)
    now[0] = 107.0
    store.save(rater, 0, "match", RaterAnswer({}, {}, {}, draft=True))
    now[0] = 110.0
    store.save(rater, 0, "match", ranked(task))
    now[0] = 114.5
    store.save(rater, 0, "culture", ranked(task))
    store.save(rater, 0, "match", ranked(task, 4, 3, 2, 1))
    seconds = {key: answer.seconds for key, answer in store.answers(rater).items()}
    assert seconds == {(0, "match"): 10.0, (0, "culture"): 4.5, (1, "match"): 0.0}
    assert store.progress()[1].seconds == 7.25
    store.close()


def test_invalid_answers_are_refused_and_not_stored(store: Store, survey: Survey) -> None:
    rater = enrol(store)
    tasks = store.tasks(rater)
    complete, name = ranked(tasks[0]), tasks[0].order[0]
    other = next(task for task in tasks if task.page != tasks[0].page)
    refused = [
        (99, "match", complete, "no page 99"),
        (-1, "match", complete, "no page -1"),
        (10**30, "match", complete, "no page 1000"),
        (0, "\0", complete, "has no question"),
        (0, "beauty", complete, "has no question 'beauty'"),
        (0, "match", ranked(other), "no such image"),
        (0, "match", RaterAnswer({name: 1}, {}, {}), "ranks every image"),
        (0, "match", replace(complete, ranks={**complete.ranks, name: 5}), "from 1 to 4, not 5"),
        (0, "match", replace(complete, ranks={**complete.ranks, name: 0}), "from 1 to 4, not 0"),
        (0, "match", replace(complete, ranks={**complete.ranks, name: True}), "whole number"),
        (0, "match", replace(complete, ratings={name: 6}), "from 1 to 5, not 6"),
        (0, "match", replace(complete, ratings={"../../etc/passwd": 1}), "no such image"),
        (0, "match", replace(complete, cannot_judge=True), "exclude each other"),
        (0, "match", replace(complete, offended={name: "x" * 2001}), "at most 2000"),
        (0, "match", replace(complete, offended={name: "\0"}), "letters only"),
        (0, "match", replace(complete, seconds=float("nan")), "cannot take nan seconds"),
    ]
    for position, question, answer, message in refused:
        with pytest.raises(ValueError, match=message):
            store.save(rater, position, question, answer)
    with pytest.raises(ValueError, match="no page 99"):
        store.skip(rater, 99)
    assert store.answers(rater) == {}


def test_without_ratings_there_are_none(survey: Survey, pages: tuple[Page, ...], tmp_path: Path) -> None:
    store = Store.open(replace(survey, rate=False), pages, f"sqlite:///{tmp_path}/a.db")
    rater = enrol(store)
    answer = ranked(store.tasks(rater)[0])
    with pytest.raises(ValueError, match="no ratings"):
        store.save(rater, 0, "match", replace(answer, ratings={next(iter(answer.ranks)): 3}))
    store.close()


def test_who_withdraws_leaves_nothing_but_a_count(store: Store, url: str, tmp_path: Path) -> None:
    stays, leaves = enrol(store), enrol(store, affiliation="described", own_words="xyzzy-own-words")
    task = store.tasks(leaves)[0]
    store.save(leaves, 0, "match", replace(ranked(task), offended={task.order[0]: "xyzzy-reason"}))
    store.seen(leaves, 0)
    for _ in range(2):
        store.withdraw(leaves)
    assert store.rater(leaves.id) is None
    assert store.tasks(leaves) == ()
    assert store.answers(leaves) == {}
    assert [item.rater for item in store.participants()] == [stays.number]
    assert [item.withdrawn for item in store.progress()] == [0, 1]
    for act in (
        lambda: store.save(leaves, 0, "match", ranked(task)),
        lambda: store.skip(leaves, 0),
        lambda: store.change(leaves, language="en", blur=False),
        lambda: store.pay(leaves, "x"),
    ):
        with pytest.raises(WithdrawnError, match="withdrawn"):
            act()
    if url.startswith("sqlite"):  # not even in the file's free pages or in its log
        remaining = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("answers.db*")))
        assert remaining.startswith(b"SQLite format 3")
        assert b"xyzzy" not in remaining
        assert leaves.id.encode() not in remaining


def test_payment_ids_stand_apart_and_can_be_forgotten(store: Store, url: str, tmp_path: Path) -> None:
    first, second = enrol(store), enrol(store)
    assert store.pay(first, " zebra ")
    assert not store.pay(first, "other")
    assert store.pay(second, "aardvark")
    with pytest.raises(ValueError, match="empty"):
        store.pay(enrol(store), " ")
    assert store.payments() == ["aardvark", "zebra"]
    engine = create_engine(parse(url))
    assert [column["name"] for column in inspect(engine).get_columns("payments")] == ["id"]
    assert inspect(engine).get_foreign_keys("payments") == []
    engine.dispose()
    assert store.forget_payments() == 2
    assert store.payments() == []
    if url.startswith("sqlite"):
        assert b"aardvark" not in b"".join(path.read_bytes() for path in sorted(tmp_path.glob("answers.db*")))


def test_no_fine_time_and_no_address_is_stored(store: Store, url: str) -> None:
    rater = enrol(store)
    store.seen(rater, 0)
    store.save(rater, 0, "match", ranked(store.tasks(rater)[0]))
    engine = create_engine(parse(url))
    columns = {
        table: {c["name"] for c in inspect(engine).get_columns(table)}
        for table in inspect(engine).get_table_names()
    }
    with engine.connect() as connection:
        hour = connection.scalar(text("SELECT active FROM raters"))
    engine.dispose()
    assert columns["raters"] == {*Rater.__dataclass_fields__, "slot", "active", "paid"}
    assert columns["answers"] == {*RaterAnswer.__dataclass_fields__, "rater", "position", "question"}
    assert columns["tasks"] == {"rater", "position", "page", "kind", "order", "questions", "asked", "skipped"}
    assert 400_000 < hour < 1_000_000  # hours since 1970


def test_a_quota_counts_who_has_finished_or_is_at_it(
    survey: Survey, pages: tuple[Page, ...], url: str
) -> None:
    now = [0.0]
    Store.open(survey, pages, url).close()
    store = Store(survey, pages, Database.at(url), clock=lambda: now[0] * 3600)
    finished, active, stale = (enrol(store, "china") for _ in range(3))
    assert store.places() == {"china": 0, "korea": 5}
    with pytest.raises(QuotaFullError, match="china"):
        enrol(store, "china")
    finish(store, finished)
    now[0] = 47.9
    store.save(active, 0, "match", ranked(store.tasks(active)[0]))
    now[0] = 49.5
    assert store.places()["china"] == 1
    heir = enrol(store, "china")
    assert store.tasks(heir) == store.tasks(stale)
    assert store.places()["china"] == 0
    store.skip(stale, 0)  # comes back after all
    assert store.places()["china"] == 0
    assert store.rater(stale.id) == stale
    store.close()


def test_progress_and_participants_tell_who_has_finished(store: Store, survey: Survey) -> None:
    done, begun = enrol(store), enrol(store, language="ar", affiliation="lived")
    finish(store, done)
    for task in store.tasks(begun)[1:]:
        store.skip(begun, task.position)
    names = [question.name for question in survey.questions]
    for question in names[:-1]:
        store.save(begun, 0, question, ranked(store.tasks(begun)[0], seconds=2.0))
    store.save(begun, 0, names[-1], ranked(store.tasks(begun)[0], draft=True))
    expected = [Participant(1, "korea", "member", "en", True), Participant(2, "korea", "lived", "ar", False)]
    assert store.participants() == expected
    china, korea = store.progress()
    assert (china.quota, china.enrolled, china.answers, china.seconds) == (3, 0, 0, 0.0)
    assert (korea.enrolled, korea.finished, korea.answers, korea.seconds) == (2, 1, 14 * 4 + 3, 9.0)
    store.save(begun, 0, names[-1], ranked(store.tasks(begun)[0]))
    assert [participant.finished for participant in store.participants()] == [True, True]


def test_a_database_of_another_survey_is_refused_once_it_has_raters(
    store: Store, survey: Survey, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other_pages = pages_of("china", "korea", number=3)
    Store.open(survey, other_pages, url).close()  # nobody has begun
    Store.open(survey, pages_of("china", "korea"), url).close()
    enrol(store)
    with pytest.raises(ConfigError, match="another survey"):
        Store.open(survey, other_pages, url)
    with pytest.raises(ConfigError, match="or questions"):
        Store.open(replace(survey, questions=survey.questions[:2]), pages_of("china", "korea"), url)
    reopened = Store.open(replace(survey, quotas={"korea": 9}), pages_of("china", "korea"), url)
    assert reopened.places() == {"korea": 8}
    assert reopened.changed()
    assert not store.changed()
    reopened.close()


def test_a_file_that_is_no_database_is_refused(
    survey: Survey, pages: tuple[Page, ...], tmp_path: Path
) -> None:
    file = tmp_path / "a.db"
    file.write_text("not a database, " * 100)
    with pytest.raises(ConfigError, match="not a database"):
        Store.open(survey, pages, f"sqlite:///{file}")


def test_sqlite_is_as_durable_as_it_can_be_and_its_owners_alone(
    survey: Survey, pages: tuple[Page, ...], tmp_path: Path
) -> None:
    store = Store.open(survey, pages, f"sqlite:///{tmp_path}/deeper/answers.db")
    with store._database.write() as connection:
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert values == ["wal", 2, 1, 1, 30_000]
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "deeper").iterdir()} == {0o600}
    store.close()
    with sqlite3.connect(tmp_path / "deeper" / "answers.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
