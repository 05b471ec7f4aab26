"""How people's answers are spoken of, wherever they are shown: in the terminal, the report and report.md."""

from __future__ import annotations

from scoft_hpc.results import formats

QUESTION_TITLES = {
    "match": "Match to the description",
    "culture": "Representation of the culture",
    "stereotype": "Least stereotypical",
    "offence": "Least offensive",
}

EXCLUSION_RULES = {
    "silent": "gave no answer",
    "affiliation": "have another tie to the culture than the survey asks for",
    "answered": "answered too few of their pages",
    "seconds": "answered faster than anybody can look",
    "consistency": "answered otherwise when a page came again",
}
"""How many raters did what, by the survey file's rules."""


def question_title(question: str) -> str:
    """For people; of a question that is not the paper's, its name."""
    return QUESTION_TITLES.get(question, question.replace("_", " ").capitalize())


def too_few(raters: int) -> str:
    """In place of numbers."""
    return "nobody answered" if raters == 0 else f"too few raters ({raters})"


def raters(count: int) -> str:
    """`1 rater`, `5 raters`."""
    return "1 rater" if count == 1 else f"{count} raters"


def p_value_phrase(p: float) -> str:
    """As it stands after `p` in a sentence."""
    told = formats.p_value(p)
    return told if told.startswith("<") else f"= {told}"
