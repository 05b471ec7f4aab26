"""`survey make`: from a study's samples to pages that can be asked about."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from rich.console import Console

from scoft_hpc.console import print_line
from scoft_hpc.errors import ConfigError, RatingError
from scoft_hpc.human_eval import database, images, pages, survey_file, template
from scoft_hpc.human_eval.asked import Asked
from scoft_hpc.human_eval.draw import Drawn, draw
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Ethics, Primary, Survey
from scoft_hpc.results import study as studies
from scoft_hpc.results.study import BASE, Study
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import SurveyDir
from scoft_hpc.study.plan_file import display_path, is_called
from scoft_hpc.text import plural

PAPERS = (BASE, "m", "mp", "mpc")
"""The four that the paper's raters saw side by side."""
RATERS = 10
SHOWN = 6
"""So many reasons why pages are incomplete are told; the rest is counted."""


def make(asked: Asked) -> int:
    """Draw the pages and write all that `serve` needs; a survey.yaml that is there already is followed.

    Raises:
        ConfigError: for settings that cannot be, all at once.
        RatingError: if there are no complete pages, or raters have begun with other ones.
    """
    console = Console(highlight=False, soft_wrap=True)
    study, folder = studies.read(asked.study), asked.study.survey
    url = database.url_of(folder, asked.words.get("database"))
    database.parse(url)
    words = _values(asked.words)
    survey = _agreed(asked, words, study) if folder.file.exists() else _new(asked, words, study)
    name = survey.study if is_called(asked.study, survey.study) else study.name
    if faults := survey_file.check(survey, name, study.variants, study.cultures):
        raise ConfigError.from_messages(faults)
    try:
        drawn = draw(study, survey, _secret(folder))
        begun = _begun(folder, survey, url, drawn.pages)
        side = images.write_all(folder.images, drawn.sources)
        if not folder.file.exists():
            template.write(folder.file, survey)
        pages.write(folder.pages, study.name, drawn.pages)  # last: with it the survey can be served
    except OSError as error:
        raise RatingError(
            f"{error.filename or folder.path}: {error.strerror or error}. Expected a folder that can be read and "
            f"written, with room in it."
        ) from None
    _tell(console, folder, survey, drawn, side, begun)
    return 0


def _new(asked: Asked, words: Mapping[str, Any], study: Study) -> Survey:
    """The survey of the words, the rest by default."""
    systems = words.get("systems") or default_systems(study)
    against = BASE if BASE in systems else systems[0]
    others = [system for system in systems if system != against]
    wanted = words.get("pages", Survey.pages)
    return Survey(
        title=f"Images of {study.name}",
        study=study.name,
        systems=systems,
        quotas=dict.fromkeys(asked.cultures, words.get("raters", RATERS)),
        ethics=Ethics(words.get("ethics", ""), words.get("pilot", False)),
        primary=Primary(system=others[-1] if others else against, against=against),
        pages=wanted,
        attention=max(0, min(Survey.attention, wanted)),
        languages=tuple(sorted(survey_file.catalogues(), key=lambda language: language != "en")),
        seed=words.get("seed", Survey.seed),
    )


def default_systems(study: Study) -> tuple[str, ...]:
    """The paper's four where the study has them, else all its variants.

    Raises:
        ConfigError: if these are too many, or too few.
    """
    if set(PAPERS) <= set(study.variants):
        return PAPERS
    least, most = survey_file.SYSTEMS
    if least <= len(study.variants) <= most:
        return tuple(study.variants)
    raise ConfigError(
        f"{study.name} has {len(study.variants)} variants; a page shows two to eight. Choose with "
        f"systems=NAME,NAME from: {', '.join(study.variants)}."
    )


def _agreed(asked: Asked, words: Mapping[str, Any], study: Study) -> Survey:
    """The survey of the file, with which the words must agree.

    Raises:
        ConfigError: for words that say otherwise.
    """
    survey = survey_file.read(asked.study.survey.file)
    quotas = set(survey.quotas.values())
    has = {
        "systems": survey.systems,
        "pages": survey.pages,
        "ethics": survey.ethics.reference,
        "pilot": survey.ethics.pilot,
        "seed": survey.seed,
        "raters": quotas.pop() if len(quotas) == 1 else None,
    }
    faults = [f"{key}={asked.words[key]}" for key, value in words.items() if value != has[key]]
    if set(asked.cultures) not in ({*study.cultures}, {*survey.quotas}):
        faults.append(f"culture={','.join(asked.cultures)}")
    if faults:
        raise ConfigError(
            f"{' '.join(faults)}: {asked.study.survey.file} says otherwise; expected the same, or no such word. Change "
            f"it in the file, or remove the file to begin anew."
        )
    return survey


def _values(words: Mapping[str, str]) -> dict[str, Any]:
    """The words but `database` as values.

    Raises:
        ConfigError: for what is no number or truth, all at once.
    """
    readers: dict[str, Callable[[str], Any]] = {
        "systems": lambda text: tuple(name.strip() for name in text.strip("[]").split(",")),
        "pages": int,
        "raters": int,
        "seed": int,
        "ethics": str.strip,
        "pilot": {"true": True, "false": False}.__getitem__,
    }
    expected = dict.fromkeys(("pages", "raters", "seed"), "a whole number") | {"pilot": "true or false"}
    values, faults = {}, []
    for key, text in words.items():
        if key != "database":
            try:
                values[key] = readers[key](text)
            except (KeyError, ValueError):
                faults.append(f"{key}={text}: expected {expected[key]}.")
    if faults:
        raise ConfigError.from_messages(faults)
    if len(values.get("systems", "ab")) < 2:
        raise ConfigError(f"systems={words['systems']}: expected two to eight of a study's variants.")
    return values


def _secret(folder: SurveyDir) -> bytes:
    """What names and links are made with; kept, so that a second time gives the same names."""
    if not folder.secret.exists():
        atomic.write_private(folder.secret, secrets.token_hex(32).encode())
    return folder.secret.read_bytes()


def _begun(folder: SurveyDir, survey: Survey, url: str, new: Sequence[Page]) -> bool:
    """Whether there are raters already, whose pages are the new ones.

    Raises:
        RatingError: if theirs are others.
    """
    if not folder.pages.exists() or not database.exists(url):
        return False
    old = pages.read(folder)
    with closing(Store.open(survey, old, url)) as store:
        raters = len(store.participants())
    if raters and old != tuple(new):
        gone, come = len({*old} - {*new}), len({*new} - {*old})
        raise RatingError(
            f"{plural(raters, 'rater')} began with other pages: {gone} of {len(old)} would go and {come} would "
            f"come: survey.yaml or the study's samples changed. Their pages stay as they are. To ask about others, "
            f"move {folder.path} away and make a new survey."
        )
    return raters > 0


def _tell(console: Console, folder: SurveyDir, survey: Survey, drawn: Drawn, side: int, begun: bool) -> None:
    def say(text: str) -> None:
        print_line(console, text)

    for culture, quota in survey.quotas.items():
        number = sum(page.culture == culture for page in drawn.pages)
        asked = min(survey.pages, number)
        say(
            f"{culture}: {number} of {drawn.complete[culture]} pages, {quota} raters × {asked}: "
            f"{quota * asked / number:.1f} raters a page"
        )
    for reason, count in list(drawn.missing.items())[:SHOWN]:
        say(f"note: {count} incomplete: {reason}")
    if len(drawn.missing) > SHOWN:
        say(f"note: {sum(list(drawn.missing.values())[SHOWN:])} more are incomplete for other reasons")
    if begun:
        say("note: raters have begun; their pages are as they were")
    say(f"images   {len(drawn.sources)} of {side} × {side} pixels, {', '.join(survey.systems)} side by side")
    say(f"survey   {folder.file}")
    if not survey.ethics.stated:
        say(
            "ethics   not stated: `survey serve` refuses until survey.yaml has the approval's reference, or pilot: "
            "true for a trial on this machine"
        )
    say(
        "next     read and fill in survey.yaml, then: "
        f"python -m scoft_hpc.survey serve {display_path(folder.path.parent)}"
    )
