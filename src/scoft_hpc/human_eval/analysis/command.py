"""`survey results`: analyse the answers, write results.json, exports and report, and print a summary."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from rich.console import Console

from scoft_hpc.console import print_line
from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval import database, export, survey_file
from scoft_hpc.human_eval.analysis import terminal
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.human_eval.store import Store
from scoft_hpc.results import markdown, survey_results
from scoft_hpc.results import study as studies
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page


def results(args: CommandArgs) -> int:
    """Analyse the answers so far, at any time, also while raters answer.

    Raises:
        ConfigError: for an invalid survey file.
        RatingError: if there are no answers yet, or the study's directory is not writable.
    """
    study, folder = studies.read(args.study), args.study.survey
    # The web application may have lost a language since; the analysis needs none.
    languages = survey_file.read(folder.file).languages
    survey, pages = survey_file.load(folder, languages)
    url = database.url_of(folder, args.settings.get("database"))
    if not database.exists(url):
        raise RatingError(
            f"there are no answers yet ({database.shown(url)} does not exist); collect some with "
            f"`scoft-hpc survey serve`."
        )
    with closing(Store.open(survey, pages, url)) as store:
        participants, judgements, changed = store.participants(), store.judgements(), store.changed()
    survey_result = replace(
        analyse(survey, participants, judgements, study, pages), preregistered=not changed
    )
    try:
        survey_results.write(folder.results, survey_result)
        export.write(folder, survey, pages, participants, judgements)
        study_findings = findings(studies.read(args.study))
        markdown.write(args.study.markdown, study_findings)
        page.write(args.study.report, study_findings)
    except OSError as error:
        raise RatingError(
            f"the results cannot be written ({error.strerror}: {error.filename}); free some disk space or fix the "
            f"permissions, and run `scoft-hpc survey results` again."
        ) from None
    console = Console(highlight=False)
    terminal.show(console, survey_result)
    for name, path in (
        ("results", folder.results),
        ("exports", folder.exports),
        ("report", args.study.report),
    ):
        print_line(console, f"{name:<9}{path}")
    return 0
