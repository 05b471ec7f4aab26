"""`survey make`: build survey pages from a study's samples."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from rich.console import Console

from scoft_hpc.console import print_lines
from scoft_hpc.errors import ConfigError, RatingError
from scoft_hpc.human_eval import database, images, pages, survey_yaml
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.human_eval.page_sampling import SampledPages, sample_pages
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Ethics, PrimaryComparison, Survey
from scoft_hpc.results import study as studies
from scoft_hpc.results.study import BASE, Study
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import SurveyDir
from scoft_hpc.study.plan_file import display_path, is_called
from scoft_hpc.text import plural

PAPER_SYSTEMS = (BASE, "m", "mp", "mpc")
"""The four systems that the paper's raters compared."""
DEFAULT_RATERS = 10
MAX_REASONS = 6
"""Printed reasons for incomplete pages; the others are counted."""


def make(args: CommandArgs) -> int:
    """Sample the pages and write the files that `serve` needs; an existing survey.yaml is used.

    Raises:
        ConfigError: listing every invalid setting.
        RatingError: if there are no complete pages, or raters have begun with different pages.
    """
    study, folder = studies.read(args.study), args.study.survey
    url = database.url_of(folder, args.settings.get("database"))
    database.parse(url)
    settings = _values(args.settings)
    survey = (
        _existing_survey(args, settings, study)
        if folder.file.exists()
        else _new_survey(args, settings, study)
    )
    name = survey.study if is_called(args.study, survey.study) else study.name
    if faults := list(survey_yaml.check(survey, name, study.variants, study.cultures)):
        raise ConfigError.from_messages(faults)
    try:
        sampled = sample_pages(study, survey, _secret(folder))
        begun = _raters_have_begun(folder, survey, url, sampled.pages)
        side = images.write_all(folder.images, sampled.sources)
        if not folder.file.exists():
            survey_yaml.write(folder.file, survey)
        pages.write(
            folder.pages, study.name, sampled.pages
        )  # last, as the survey can be served once it exists
    except OSError as error:
        raise RatingError(
            f"{error.filename or folder.path}: {error.strerror or error}. Expected a readable and writable folder "
            f"with free space."
        ) from None
    console = Console(highlight=False, soft_wrap=True)
    print_lines(console, _summary(folder, survey, sampled, side, begun))
    return 0


def _new_survey(args: CommandArgs, settings: Mapping[str, Any], study: Study) -> Survey:
    """A survey with these settings, and defaults for the others."""
    systems = settings.get("systems") or default_systems(study)
    against = BASE if BASE in systems else systems[0]
    compared = [system for system in systems if system != against]
    n_pages = settings.get("pages", Survey.pages)
    return Survey(
        title=f"Images of {study.name}",
        study=study.name,
        systems=systems,
        quotas=dict.fromkeys(args.cultures, settings.get("raters", DEFAULT_RATERS)),
        ethics=Ethics(settings.get("ethics", ""), settings.get("pilot", False)),
        primary=PrimaryComparison(system=compared[-1] if compared else against, against=against),
        pages=n_pages,
        attention=max(0, min(Survey.attention, n_pages)),
        languages=tuple(sorted(survey_yaml.catalogues(), key=lambda language: language != "en")),
        seed=settings.get("seed", Survey.seed),
    )


def default_systems(study: Study) -> tuple[str, ...]:
    """The paper's four systems if the study has them, else all of its variants.

    Raises:
        ConfigError: if there are too many variants, or too few.
    """
    if set(PAPER_SYSTEMS) <= set(study.variants):
        return PAPER_SYSTEMS
    low, high = survey_yaml.SYSTEMS_PER_PAGE
    if low <= len(study.variants) <= high:
        return tuple(study.variants)
    raise ConfigError(
        f"{study.name} has {len(study.variants)} variants; a page shows two to eight. Choose with "
        f"systems=NAME,NAME from: {', '.join(study.variants)}."
    )


def _existing_survey(args: CommandArgs, settings: Mapping[str, Any], study: Study) -> Survey:
    """The survey of the existing file, with which the settings must agree.

    Raises:
        ConfigError: if a setting differs from the file.
    """
    survey = survey_yaml.read(args.study.survey.file)
    quotas = set(survey.quotas.values())
    existing = {
        "systems": survey.systems,
        "pages": survey.pages,
        "ethics": survey.ethics.reference,
        "pilot": survey.ethics.pilot,
        "seed": survey.seed,
        "raters": quotas.pop() if len(quotas) == 1 else None,
    }
    faults = [f"{key}={args.settings[key]}" for key, value in settings.items() if value != existing[key]]
    if set(args.cultures) not in ({*study.cultures}, {*survey.quotas}):
        faults.append(f"culture={','.join(args.cultures)}")
    if faults:
        raise ConfigError(
            f"{' '.join(faults)}: {args.study.survey.file} has other values. Change them in the file and leave the "
            f"settings out, or delete the file to start a new survey."
        )
    return survey


def _values(settings: Mapping[str, str]) -> dict[str, Any]:
    """The settings except `database`, parsed.

    Raises:
        ConfigError: listing every value that is not a number or a boolean.
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
    for key, text in settings.items():
        if key != "database":
            try:
                values[key] = readers[key](text)
            except (KeyError, ValueError):
                faults.append(f"{key}={text}: expected {expected[key]}.")
    if faults:
        raise ConfigError.from_messages(faults)
    return values


def _secret(folder: SurveyDir) -> bytes:
    """The secret from which names and links are derived; it is stored, so that they stay the same."""
    if not folder.secret.exists():
        atomic.write_private(folder.secret, secrets.token_hex(32).encode())
    return folder.secret.read_bytes()


def _raters_have_begun(folder: SurveyDir, survey: Survey, url: str, new: Sequence[Page]) -> bool:
    """Whether raters have begun, with these pages.

    Raises:
        RatingError: if they have begun with different pages.
    """
    if not folder.pages.exists() or not database.exists(url):
        return False
    old = pages.read(folder)
    with closing(Store.open(survey, old, url)) as store:
        raters = len(store.participants())
    if raters and old != tuple(new):
        removed, added = len({*old} - {*new}), len({*new} - {*old})
        raise RatingError(
            f"{plural(raters, 'rater')} began with other pages: {removed} of {len(old)} would be removed and {added} "
            f"added: survey.yaml or the study's samples changed. Their pages were not changed. To use other pages, "
            f"move {folder.path} away and make a new survey."
        )
    return raters > 0


def _summary(
    folder: SurveyDir, survey: Survey, sampled: SampledPages, side: int, begun: bool
) -> Iterator[str]:
    for culture, quota in survey.quotas.items():
        number = sum(page.culture == culture for page in sampled.pages)
        per_rater = min(survey.pages, number)
        yield (
            f"{culture}: {number} of {sampled.complete[culture]} pages, {quota} raters × {per_rater}: "
            f"{quota * per_rater / number:.1f} raters per page"
        )
    counts = list(sampled.missing.values())
    for reason in list(sampled.missing)[:MAX_REASONS]:
        yield f"note: {sampled.missing[reason]} incomplete: {reason}"
    if len(counts) > MAX_REASONS:
        yield f"note: {sum(counts[MAX_REASONS:])} more are incomplete for other reasons"
    if begun:
        yield "note: raters have begun; their pages were not changed"
    yield f"images   {len(sampled.sources)} of {side} × {side} pixels, {', '.join(survey.systems)} side by side"
    yield f"survey   {folder.file}"
    if not survey.ethics.stated:
        yield (
            "ethics   not stated: `survey serve` refuses until survey.yaml has the approval's reference, or pilot: "
            "true for a trial on this machine"
        )
    command = f"python -m scoft_hpc.survey serve {display_path(folder.path.parent)}"
    yield f"next     read and fill in survey.yaml, then: {command}"
