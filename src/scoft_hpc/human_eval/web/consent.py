"""The consent page's text and version, a digest of the text and questions, which is stored with every rater."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass

from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web.i18n import Catalogue

CULTURE_PLACEHOLDER = "…"
"""Placeholder for the culture, which is not chosen yet."""


@dataclass(frozen=True)
class Section:
    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Consent:
    """`version` is `<language>-<digest of the text and the questions>`."""

    sections: tuple[Section, ...]
    questions: tuple[str, ...]
    notes: tuple[str, ...]
    version: str


def consent(catalogue: Catalogue, survey: Survey) -> Consent:
    """The consent page of the survey in the catalogue's language."""
    translate = catalogue.translate
    sections = _sections(catalogue, survey)
    questions = tuple(catalogue.wording(question, CULTURE_PLACEHOLDER).text for question in survey.questions)
    approval = (
        translate("consent.ethics", reference=survey.ethics.reference)
        if survey.ethics.reference
        else translate("consent.pilot")
    )
    contact = (translate("consent.contact", contact=survey.contact),) if survey.contact else ()
    notes = (approval, *contact)
    content = [survey.title, [[part.title, *part.paragraphs] for part in sections], questions, notes]
    digest = hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:12]
    return Consent(sections, questions, notes, f"{catalogue.language}-{digest}")


def _sections(catalogue: Catalogue, survey: Survey) -> tuple[Section, ...]:
    """The survey's text, or the catalogue's."""
    if text := survey.consent.get(catalogue.language, "").strip():
        return (Section("", tuple(re.split(r"\n\s*\n", text))),)
    keys = [f"consent.{part}" for part in ("what", "risk", "data", "rights")]
    return tuple(Section(catalogue.translate(f"{key}.title"), (catalogue.translate(key),)) for key in keys)
