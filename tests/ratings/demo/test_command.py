"""The demo's whole way: pages, simulated raters who come over HTTP, and what is found beside the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from results.conftest import Maker
from scoft_hpc.errors import ConfigError, RatingError
from scoft_hpc.ratings import survey_file
from scoft_hpc.ratings.asked import Asked
from scoft_hpc.ratings.demo import truth
from scoft_hpc.ratings.demo.command import demo

WORDS = {"raters": "10", "pages": "3", "seed": "2"}


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """A small study of the toy world."""
    return Maker.of(
        tmp_path_factory.mktemp("demo"), variants=("base", "m", "mpc"), seeds=(0,), prompts=4, samples=1
    ).finish()


@pytest.fixture(scope="module")
def shown(maker: Maker) -> Iterator[int]:
    """What a demo with ten raters ends with."""
    yield demo(Asked(maker.folder, (), WORDS))


def again(maker: Maker, **words: str) -> int:
    return demo(Asked(maker.folder, (), {**WORDS, **words}))


def test_it_ends_well_and_leaves_a_survey_with_a_place_for_a_person(maker: Maker, shown: int) -> None:
    assert shown == 0
    survey = survey_file.read(maker.folder.survey.file)
    assert survey.quotas == {"korea": 6, "mexico": 6}
    assert (survey.pages, survey.seed) == (3, 2)
    assert "What people say" in maker.folder.report.read_text()


def test_asked_again_nobody_answers_twice(
    maker: Maker, shown: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = maker.folder.survey.results.read_bytes()
    capsys.readouterr()
    assert again(maker) == shown
    told = capsys.readouterr().out
    assert "10 raters have answered already" in told
    assert "of 24 intervals hold the truth" in told.replace("\n", " ")
    assert maker.folder.survey.results.read_bytes() == before


def test_a_survey_that_does_not_agree_with_the_truth_is_no_success(
    maker: Maker, shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {question: (measure, -slope) for question, (measure, slope) in truth.TRUTHS.items()}
    monkeypatch.setattr(truth, "TRUTHS", other)
    assert shown == 0
    assert again(maker) == RatingError.exit_code


@pytest.mark.parametrize("words", [{"seed": "3"}, {"raters": "11"}, {"pages": "2"}])
def test_answers_of_other_raters_are_not_held_against_these(
    maker: Maker, shown: int, words: dict[str, str]
) -> None:
    assert shown == 0
    with pytest.raises(ConfigError, match="raters=10 pages=3 seed=2"):
        again(maker, **words)


def test_a_rater_of_each_culture_is_the_least(maker: Maker) -> None:
    with pytest.raises(ConfigError, match="raters=1: expected one of each culture at least, 2"):
        again(maker, raters="1")


def test_a_survey_of_people_is_left_alone(maker: Maker, shown: int, tmp_path: Path) -> None:
    assert shown == 0
    file = maker.folder.survey.file
    text = file.read_text()
    file.write_text(text.replace("A demo with simulated raters", "Our survey"))
    try:
        with pytest.raises(RatingError, match="a survey of people"):
            again(maker)
    finally:
        file.write_text(text)
