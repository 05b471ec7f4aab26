"""Exports: their content, what they must not contain, and that no small group can be identified."""

from __future__ import annotations

import csv
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoft_hpc.human_eval import export
from scoft_hpc.human_eval.answers import RaterAnswer
from scoft_hpc.human_eval.export import SUPPRESSED, suppressed
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.spreadsheets import neutral
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import AFFILIATIONS, Survey
from scoft_hpc.study.paths import SurveyDir


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture
def exports(survey: Survey, pages: tuple[Page, ...], tmp_path: Path) -> Path:
    """Of two raters, one of whom has withdrawn."""
    pages = (replace(pages[0], prompt='=HYPERLINK("http://x","a, b")'), *pages[1:])
    store = Store.open(survey, pages, f"sqlite:///{tmp_path}/answers.db")
    rater, withdrawn = (store.enrol("china", "described", "xyzzy words", "en", "v1", True) for _ in range(2))
    for enrolled in (withdrawn, rater):
        task = store.tasks(enrolled)[0]
        names = {image.system: image.name for image in task.page.images}
        ranks = {names["base"]: 4, names["m"]: 1, names["mp"]: 1, names["mpc"]: 2}
        answer = RaterAnswer(ranks, {names["m"]: 5}, {names["base"]: "xyzzy reason"}, seconds=3.14159)
        store.save(enrolled, 0, "match", answer)
        store.save(enrolled, 0, "culture", RaterAnswer({}, {}, {}, cannot_judge=True))
    store.withdraw(withdrawn)
    SurveyDir(tmp_path).secret.write_text("something random")
    export.write(SurveyDir(tmp_path), survey, pages, store.participants(), store.judgements())
    store.close()
    return SurveyDir(tmp_path).exports


def test_a_row_is_an_image_of_an_answer(exports: Path) -> None:
    rows = read(exports / "answers.csv")
    assert len(rows) == 2 * 4
    cannot, can = rows[:4], rows[4:]
    assert [row["system"] for row in can] == ["base", "m", "mp", "mpc"]
    assert [row["rank"] for row in can] == ["4", "1", "1", "2"]
    assert [row["rating"] for row in can] == ["", "5", "", ""]
    assert [row["offended"] for row in can] == ["true", "false", "false", "false"]
    assert {(row["rater"], row["question"], row["kind"], row["seconds"]) for row in can} == {
        ("1", "match", "asked", "3.1")
    }
    assert {(row["rank"], row["cannot_judge"]) for row in cannot} == {("", "true")}
    table = pq.read_table(exports / "answers.parquet")
    assert table.column_names == list(rows[0])
    assert table.column("rank").to_pylist() == [None] * 4 + [4, 1, 1, 2]
    assert [str(field.type) for field in table.schema][:2] == ["int32", "string"]


def test_texts_of_raters_and_withdrawn_raters_are_not_exported(exports: Path) -> None:
    for file in exports.iterdir():
        assert b"xyzzy" not in file.read_bytes()
    assert [row["rater"] for row in read(exports / "raters.csv")] == ["1"]
    assert {row["rater"] for row in read(exports / "answers.csv")} == {"1"}


def test_no_export_reveals_the_order_of_enrolment(
    survey: Survey, pages: tuple[Page, ...], tmp_path: Path
) -> None:
    participants = [Participant(number, "china", f"tie-{number}", "en", True) for number in range(1, 31)]
    ranks = dict.fromkeys(survey.systems, 1)
    judgements = [
        Judgement(participant.rater, "china", f"page-{participant.rater}", 0, Kind.regular, "match", ranks)
        for participant in participants
    ]
    folder = SurveyDir(tmp_path)
    folder.secret.write_text("something random")
    export.write(folder, replace(survey, small=1), pages, participants, judgements)
    affiliations = [row["affiliation"] for row in read(folder.exports / "raters.csv")]
    assert sorted(affiliations) == sorted(participant.affiliation for participant in participants)
    assert affiliations != [participant.affiliation for participant in participants]
    numbers = {
        row["page"].replace("page", "tie"): row["rater"] for row in read(folder.exports / "answers.csv")
    }
    assert numbers == {row["affiliation"]: row["rater"] for row in read(folder.exports / "raters.csv")}
    before = (folder.exports / "answers.csv").read_bytes()
    export.write(folder, replace(survey, small=1), pages, participants, judgements)
    assert (folder.exports / "answers.csv").read_bytes() == before


def test_no_cell_of_csv_is_a_formula(exports: Path) -> None:
    prompts = {row["prompt"] for row in read(exports / "pages.csv")}
    assert '\'=HYPERLINK("http://x","a, b")' in prompts
    assert not any(prompt.startswith("=") for prompt in prompts)


@pytest.mark.slow
@given(st.text())
def test_what_a_spreadsheet_would_run_becomes_text_and_all_else_stays(text: str) -> None:
    cell = neutral(text)
    assert isinstance(cell, str)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell in (text, f"'{text}")
    assert neutral(-1.5) == -1.5


def test_the_codebook_has_every_column(exports: Path) -> None:
    book = (exports / "codebook.md").read_text()
    for name in ("answers", "pages", "raters"):
        for column in read(exports / f"{name}.csv")[0]:
            assert f"| {column} | " in book
    assert "| base, m, mp, mpc |" in book
    assert "fewer than 5 raters" in book


def participants_of(*cells: tuple[str, str, str, int]) -> list[Participant]:
    return [
        Participant(number, culture, affiliation, language, True)
        for culture, affiliation, language, count in cells
        for number in range(count)
    ]


def test_a_small_cell_takes_the_next_smallest_with_it() -> None:
    participants = participants_of(
        ("korea", "member", "en", 9),
        ("korea", "lived", "en", 7),
        ("korea", "other", "ar", 2),
        ("china", "member", "en", 5),
    )
    assert suppressed(participants, 5) == {("korea", "other", "ar"), ("korea", "lived", "en")}
    assert suppressed(participants, 2) == set()
    assert suppressed(participants, 10) == {
        (participant.culture, participant.affiliation, participant.language) for participant in participants
    }


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from(["china", "korea"]), st.sampled_from(AFFILIATIONS), st.sampled_from(["en", "ar"])
        ),
        st.integers(1, 12),
    ),
    st.integers(1, 8),
)
def test_no_small_group_can_be_identified_from_the_exports(
    cells: dict[tuple[str, str, str], int], small: int
) -> None:
    participants = participants_of(*((*cell, count) for cell, count in cells.items()))
    rows = list(export._raters(participants, small))
    assert len(rows) == len(participants)
    for culture in ("china", "korea"):
        published = Counter(
            (row["affiliation"], row["language"]) for row in rows if row["culture"] == culture
        )
        hidden = published.pop((SUPPRESSED, SUPPRESSED), 0)
        assert all(count >= small for count in published.values())
        assert SUPPRESSED not in {value for cell in published for value in cell}
        sizes = {cell[1:]: count for cell, count in cells.items() if cell[0] == culture}
        behind = [count for cell, count in sizes.items() if cell not in published]
        assert hidden == sum(behind)
        if hidden and published:  # what is left of the total is no cell's own number, nor a few people's
            assert len(behind) >= 2
            assert hidden >= small
        if all(count >= small for count in sizes.values()):
            assert hidden == 0


def test_own_words_are_in_the_database_until_the_rater_withdraws(exports: Path) -> None:
    """The words that the exports must not have are really there."""
    with sqlite3.connect(exports.parent / "answers.db") as connection:
        assert connection.execute("SELECT own_words FROM raters").fetchall() == [("xyzzy words",)]
    connection.close()
