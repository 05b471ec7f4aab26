"""The survey file as `make` writes it, for a person to read and fill in."""

from __future__ import annotations

import json
from pathlib import Path

from scoft_hpc.human_eval.survey import AFFILIATIONS, QUESTIONS, Survey
from scoft_hpc.study import atomic

TEMPLATE = """\
# What is asked of whom, and how it will be analysed: fixed before the first answer, which makes the analysis
# pre-registered. Change it freely until the first rater has begun; a later change is told in the results.
# `scoft-hpc survey make` again checks it; `scoft-hpc survey serve` asks the raters.

# What raters read at the top of every page, and whom they can write to (an e-mail address, say).
title: {title}
contact: {contact}

# What raters agree to before anything is asked, language by language as your ethics board approved it (each text after
# "en: |", say); {{}} takes the text that is there already.
consent: {consent}

# Asking people needs the approval of your ethics board: its reference, which raters see. Without one, `pilot: true`
# says that this is a trial; it is then served on this machine alone. With neither, nothing is served.
ethics:
  reference: {reference}
  pilot: {pilot}

# The study, and its variants that a page sets side by side. After a change of these, draw the pages again.
study: {study}
systems: {systems}

# How many raters are wanted of each culture. A place is free again if a rater gives no answer for two days.
quotas: {quotas}

# How many pages a rater is asked, and how many of them are shown again to see how consistent the rater is:
# once as it was, once with the question turned round. At half a minute a question, twelve pages take half an hour.
pages: {pages}
attention: {attention}

# Rank 1 is always the better end:
#   match       which image fits its description best
#   culture     which represents the culture best, artefacts aside
#   stereotype  which is the least stereotypical, by one's own knowledge
#   offence     which is the least offensive to oneself
# A question of your own is written {{name: …, text: {{en: "…"}}, reversed_text: {{en: "…"}}}}, in every language below.
questions: {questions}

# Whether each image is also rated from 1 to 5, and whether images are blurred until they are clicked.
rate: {rate}
blur: {blur}

# The one comparison that the claim rests on; all others are corrected for their number.
primary:
  question: {question}
  system: {system}
  against: {against}
  alpha: {alpha}

# Raters are left out of the analysis by these rules alone:
exclusion:
  # Kendall's tau between the repeated pages' answers, at least (-1 to 1)
  consistency: {consistency}
  # the median time of an answer in seconds, at least
  seconds: {seconds}
  # the share of their pages that is answered, at least
  answered: {answered}
  # only raters who call themselves one of these ({affiliations}); empty: all
  affiliations: {only}

# Languages that raters may choose from, the first is shown first.
languages: {languages}

# Every random order follows from this number. Exports hide groups of fewer raters than `small`.
seed: {seed}
small: {small}
"""


def write(file: Path, survey: Survey) -> None:
    """Write the survey with a comment to each setting; its questions must be those of `QUESTIONS`."""
    atomic.write_text(file, text(survey))


def text(survey: Survey) -> str:
    """The file's text; values are written as JSON, which YAML reads."""
    assert all(question.name in QUESTIONS for question in survey.questions)
    values = {
        "title": survey.title,
        "contact": survey.contact,
        "consent": dict(survey.consent),
        "reference": survey.ethics.reference,
        "pilot": survey.ethics.pilot,
        "study": survey.study,
        "systems": survey.systems,
        "quotas": dict(survey.quotas),
        "pages": survey.pages,
        "attention": survey.attention,
        "questions": [question.name for question in survey.questions],
        "rate": survey.rate,
        "blur": survey.blur,
        **vars(survey.primary),
        **{name: value for name, value in vars(survey.exclusion).items() if name != "affiliations"},
        "only": survey.exclusion.affiliations,
        "languages": survey.languages,
        "seed": survey.seed,
        "small": survey.small,
    }
    written = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    return TEMPLATE.format(**written, affiliations=", ".join(AFFILIATIONS))
