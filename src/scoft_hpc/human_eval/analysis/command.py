"""`survey results`: read the answers, analyse them, write results.json, the exports and the report, and tell."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from rich.console import Console

from scoft_hpc.console import print_line
from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval import database, export, survey_file
from scoft_hpc.human_eval.analysis import terminal
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.asked import Asked
from scoft_hpc.human_eval.store import Store
from scoft_hpc.results import markdown, survey_results
from scoft_hpc.results import study as studies
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page


def results(asked: Asked) -> int:
    """Everything that the answers say so far; at any time, also while raters answer.

    Raises:
        ConfigError: for a survey file that cannot be used.
        RatingError: if nobody can have answered yet, or the study's folder cannot be written to.
    """
    study, folder = studies.read(asked.study), asked.study.survey
    spoken = survey_file.read(folder.file).languages  # no matter here which the web application speaks
    survey, pages = survey_file.load(folder, spoken)
    url = database.url_of(folder, asked.words.get("database"))
    if not database.exists(url):
        raise RatingError(
            f"there are no answers yet ({database.shown(url)} is not there); `scoft-hpc survey serve` asks raters."
        )
    with closing(Store.open(survey, pages, url)) as store:
        participants, judgements, changed = store.participants(), store.judgements(), store.changed()
    found = replace(analyse(survey, participants, judgements, study, pages), preregistered=not changed)
    try:
        survey_results.write(folder.results, found)
        export.write(folder, survey, pages, participants, judgements)
        told = findings(studies.read(asked.study))
        markdown.write(asked.study.markdown, told)
        page.write(asked.study.report, told)
    except OSError as error:
        raise RatingError(
            f"the results cannot be written ({error.strerror}: {error.filename}); make room or give yourself the "
            f"right to write there, and ask for them again."
        ) from None
    console = Console(highlight=False)
    terminal.show(console, found)
    if changed:
        note = "the survey file has changed since the first rater came: what follows from it was not fixed beforehand"
        print_line(console, f"note: {note}.")
    for name, path in (
        ("results", folder.results),
        ("exports", folder.exports),
        ("report", asked.study.report),
    ):
        print_line(console, f"{name:<9}{path}")
    return 0
