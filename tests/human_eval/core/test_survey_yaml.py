"""survey.yaml: every fault is reported with its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval import survey_yaml
from scoft_hpc.human_eval.survey import Ethics, Exclusion, PrimaryComparison, Question, Survey, digest

LANGUAGES = ("ar", "en", "fr")


def faults(survey: Survey) -> list[str]:
    systems = ["base", "m", "mp", "mpc"]
    return list(survey_yaml.check(survey, "a-study", systems, ["china", "korea"], LANGUAGES))


def test_what_is_written_is_read_again(survey: Survey, tmp_path: Path) -> None:
    unusual = replace(
        survey,
        title='Häuser: "schön" # {x} \U0001f3e0',
        contact="who@example.edu",
        consent={"ar": "أوافق.\n\nنعم {x}"},
        ethics=Ethics("IRB: #7", False),
        exclusion=Exclusion(affiliations=("member", "lived"), seconds=1.5),
        languages=("ar",),
        seed=-3,
    )
    for original in (survey, unusual):
        survey_yaml.write(tmp_path / "survey.yaml", original)
        assert survey_yaml.read(tmp_path / "survey.yaml") == original
    assert faults(survey) == []


def test_all_faults_of_types_are_reported_together(survey: Survey, tmp_path: Path) -> None:
    content = yaml.safe_load(survey_yaml.text(survey))
    del content["title"]
    content |= {"pages": "many", "rat": True, "quotas": {"korea": "x"}, "questions": ["match", {"text": {}}]}
    content["primary"] |= {"sistem": "m"}
    file = tmp_path / "survey.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        survey_yaml.read(file)
    lines = str(caught.value).splitlines()
    for message in (
        "title is missing",
        "pages: 'many'; expected a valid integer",
        "there is no setting 'rat'; expected one of ",
        "did you mean rate?",
        "quotas.korea: 'x'; expected a valid integer",
        "questions.1.name is missing",
        "there is no setting 'primary.sistem'; expected one of question, system, against, alpha; did you mean system?",
    ):
        assert any(message in line for line in lines), (message, lines)
    assert len(lines) == 6
    assert all("survey.yaml" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: [", "cannot be read"),
        ("", "holds no settings"),
        ("- a", "holds no settings"),
        ("title: a\ntitle: b", "'title' is given twice"),
        ("quotas: {korea: 1, korea: 2}", "'korea' is given twice"),
        ("title: !!python/object/apply:os.system [id]", "cannot be read"),
    ],
)
def test_what_is_no_survey_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "survey.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        survey_yaml.read(file)
    with pytest.raises(ConfigError, match="survey make"):
        survey_yaml.read(tmp_path / "none.yaml")


def test_all_faults_of_values_are_reported_together(survey: Survey) -> None:
    wrong = replace(
        survey,
        title=" ",
        study="b-study",
        systems=("base", "base", "mcp"),
        quotas={"korea": 0, "Korea": 3},
        pages=0,
        languages=("en", "xx"),
        small=0,
        seed=-1,
        questions=(Question("match"), Question("cultur"), Question("Beauty!", {"en": "?"})),
        primary=PrimaryComparison("offence", "m", "m", 1.5),
        exclusion=Exclusion(2.0, -1.0, 1.5, ("members",)),
    )
    messages = faults(wrong)
    for message in (
        "title: it is empty",
        "study: 'b-study'; expected 'a-study'",
        "systems: 'base' is listed 2 times",
        "systems: 'mcp'; expected one of base, m, mp, mpc; did you mean mp?",
        "quotas: 'Korea'; expected one of china, korea; did you mean korea?",
        "quotas.korea: 0; expected 1 to",
        "pages: 0; expected 1 to 500",
        "attention: 2; expected 0 to 0",
        "languages: 'xx'; expected one of ar, en, fr.",
        "small: 0",
        "seed: -1; expected 0 to",
        "questions: 'cultur' needs a `text`; without one, expected",
        "questions: 'Beauty!'; expected a name",
        "primary.question: 'offence'; expected one of match",
        "primary.system: 'm'; expected one of base",
        "primary: m cannot be compared with itself",
        "primary.alpha: 1.5",
        "exclusion.affiliations: 'members'; expected one of member",
        "exclusion.consistency: 2.0; expected -1 to 1",
        "exclusion.seconds: -1.0",
        "exclusion.answered: 1.5",
    ):
        assert any(fault.startswith(message) for fault in messages), (message, messages)


def test_a_custom_question_needs_both_wordings_in_every_language(survey: Survey) -> None:
    custom = Question("beauty", {"en": "Which?", "ar": "أيها؟"}, {"en": "Which not?"})
    changed = replace(survey, questions=(*survey.questions, custom))
    assert faults(changed) == ["questions: beauty has no reversed_text in ar."]
    assert faults(replace(changed, attention=0)) == []
    assert faults(replace(changed, languages=("en",))) == []
    assert faults(replace(changed, languages=("en", "fr"))) == [
        "questions: beauty has no text in fr.",
        "questions: beauty has no reversed_text in fr.",
    ]


def test_a_custom_consent_text_is_needed_in_every_language_or_none(survey: Survey) -> None:
    assert faults(replace(survey, consent={"en": "Yes.", "ar": "نعم"})) == []
    assert faults(replace(survey, consent={"en": "Yes.", "ar": " "})) == [
        "consent: none in ar; expected a text in every language, or none at all."
    ]
    assert faults(replace(survey, consent={"en": "Yes.", "ar": "نعم", "fr": "Oui"})) == [
        "consent: 'fr'; expected one of en, ar."
    ]


def test_the_digest_is_of_what_the_file_says(survey: Survey) -> None:
    assert digest(survey) == digest(replace(survey)) != digest(replace(survey, seed=1))
    assert digest(survey) != digest(replace(survey, primary=PrimaryComparison(alpha=0.01)))


def test_ethics_must_be_stated() -> None:
    assert [Ethics().stated, Ethics(" ").stated, Ethics("IRB").stated, Ethics(pilot=True).stated] == [
        False,
        False,
        True,
        True,
    ]
