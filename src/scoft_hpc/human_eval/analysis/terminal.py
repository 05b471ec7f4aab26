"""Print a survey's results on a terminal of 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoft_hpc.results import survey_text
from scoft_hpc.results.survey_results import SurveyResults

if TYPE_CHECKING:
    from rich.console import Console

LEGEND = (
    "Rank 1 is the best; worth: Plackett–Luce’s log odds, centred at 0; best: the share of resampled surveys in which "
    "no system is better; beats {against}: share of comparisons, a tie is half; α: Krippendorff’s, 0 is chance. "
    "95 % intervals generalise to other raters; cultures have equal weight."
)


def show(console: Console, results: SurveyResults) -> None:
    """The primary comparison first."""
    from rich import box
    from rich.table import Table

    for paragraph in survey_text.paragraphs(results):
        console.print()
        console.print(paragraph, markup=False)
    for text_table in survey_text.tables(results, narrow=True):
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
    console.print(LEGEND.format(against=results.against), markup=False)
    console.print()
