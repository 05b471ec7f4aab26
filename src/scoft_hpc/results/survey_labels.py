"""Phrases for survey results, shared by the terminal, report.html and report.md."""

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
    "seconds": "answered faster than anyone can look",
    "consistency": "answered differently when a page was repeated",
}
"""Rule of the survey file -> what the raters did whom it excludes."""


def question_title(question: str) -> str:
    """A question's title; for one that is not the paper's, its name."""
    return QUESTION_TITLES.get(question, question.replace("_", " ").capitalize())


def too_few(raters: int) -> str:
    """In place of numbers."""
    return "no answers" if raters == 0 else f"too few raters ({raters})"


def p_value_phrase(p: float) -> str:
    """What follows `p` in a sentence: `= .012` or `< .001`."""
    text = formats.p_value(p)
    return text if text.startswith("<") else f"= {text}"
