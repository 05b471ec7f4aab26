"""`survey results`: analyse the answers, write results.json, exports and report, and print a summary."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table

from scoft_hpc.console import print_line
from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval import database, export, survey_yaml
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.human_eval.store import Store
from scoft_hpc.results import markdown, survey_results, survey_text
from scoft_hpc.results import study as studies
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page
from scoft_hpc.results.survey_results import SurveyResults
from scoft_hpc.study.atomic import write_text

LEGEND = (
    "Rank 1 is the best; worth: Plackett–Luce’s log odds, centred at 0; best: the share of resampled surveys in which "
    "no system is better; beats {against}: share of comparisons, a tie is half; α: Krippendorff’s, 0 is chance. "
    "95 % intervals generalise to other raters; cultures have equal weight."
)


def results(args: CommandArgs) -> int:
    """Analyse the answers so far, at any time, also while raters answer.

    Raises:
        ConfigError: for an invalid survey file.
        RatingError: if there are no answers yet, or the study's directory is not writable.
    """
    study, folder = studies.read(args.study), args.study.survey
    # The web application may have lost a language since; the analysis needs none.
    languages = survey_yaml.read(folder.file).languages
    survey, pages = survey_yaml.load(folder, languages)
    url = database.url_of(folder, args.settings.get("database"))
    if not database.exists(url):
        raise RatingError(
            f"there are no answers yet ({database.without_password(url)} does not exist); collect some with "
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
        write_text(args.study.markdown, markdown.render(study_findings))
        write_text(args.study.report, page.render(study_findings))
    except OSError as error:
        raise RatingError(
            f"the results cannot be written ({error.strerror}: {error.filename}); free some disk space or fix the "
            f"permissions, and run `scoft-hpc survey results` again."
        ) from None
    console = Console(highlight=False)
    show(console, survey_result)
    for name, path in (
        ("results", folder.results),
        ("exports", folder.exports),
        ("report", args.study.report),
    ):
        print_line(console, f"{name:<9}{path}")
    return 0


def show(console: Console, survey: SurveyResults) -> None:
    """Print the primary comparison first; at most 80 columns wide."""
    for paragraph in survey_text.paragraphs(survey):
        console.print()
        console.print(paragraph, markup=False)
    for text_table in survey_text.tables(survey, narrow=True):
        table = Table(
            title=text_table.title,
            title_style="bold",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            header_style="dim",
        )
        for i, column in enumerate(text_table.columns):
            table.add_column(column, justify="left" if i == 0 else "right")
        for row in text_table.rows:
            table.add_row(*row)
        console.print()
        console.print(table)
    console.print()
    console.print(LEGEND.format(against=survey.against), markup=False)
    console.print()
