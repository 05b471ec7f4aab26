"""Message catalogues, and the wording of questions in a rater's language.

A catalogue is a YAML file of `key: message`; a placeholder `{name}` is replaced by plain text, and by numbers in the
language's format. All catalogues have the same keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import yaml
from babel import Locale, negotiate_locale
from babel.numbers import format_decimal

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval.survey import Question
from scoft_hpc.human_eval.survey_yaml import CATALOGUES, catalogues

LANGUAGE_RANGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q=([01](?:\.\d{1,3})?)\s*)?")
MAX_HEADER_LENGTH = 1000
"""Characters of an Accept-Language header that are parsed."""


@dataclass(frozen=True)
class Wording:
    """The wording of a question: `best` says what rank 1 means, `low` and `high` what the ends of ratings mean."""

    text: str
    hint: str
    best: str
    low: str
    high: str


@dataclass(frozen=True)
class Catalogue:
    language: str
    messages: Mapping[str, str]

    @cached_property
    def locale(self) -> Locale:
        return Locale.parse(self.language, sep="-")

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`, for HTML's `dir`."""
        return self.locale.text_direction

    @property
    def name(self) -> str:
        """The language's name in itself."""
        return self.locale.get_display_name(self.language) or self.language

    def translate(self, key: str, **values: object) -> str:
        """The message with its placeholders filled; not escaped, which templates do."""
        filled = {name: self.number(v) if isinstance(v, int | float) else v for name, v in values.items()}
        return self.messages[key].format(**filled)

    def number(self, value: float) -> str:
        return _written(value, self.locale)

    def culture(self, name: str) -> str:
        """A culture's display name."""
        return self.messages.get(f"culture.{name}") or name.replace("_", " ").replace("-", " ").title()

    def wording(self, question: Question, culture: str, is_reversed: bool = False) -> Wording:
        """The wording of a question; with `is_reversed`, rank 1 is the worst."""
        is_custom = f"question.{question.name}" not in self.messages
        key = "question.own" if is_custom else f"question.{question.name}"
        best = self.translate(f"{key}.reversed.best" if is_reversed else f"{key}.best")
        low, high = self.translate(f"{key}.low"), self.translate(f"{key}.high")
        if is_custom:
            texts = (question.reversed_text or question.text) if is_reversed else question.text
            text = texts.get(self.language) or next(iter(texts.values()), question.name)
            return Wording(text, "", best, low, high)
        text = self.translate(f"{key}.reversed" if is_reversed else key, culture=culture)
        return Wording(text, "" if is_reversed else self.translate(f"{key}.hint"), best, low, high)


@lru_cache(1024)
def _written(value: float, locale: Locale) -> str:
    """The number in the locale's format; cached, as Babel is slow."""
    return format_decimal(value, locale=locale, numbering_system="default")


def load(languages: Sequence[str]) -> dict[str, Catalogue]:
    """The catalogues of `languages`, in this order.

    Raises:
        ConfigError: for a language without a catalogue.
    """
    existing = catalogues()
    if unknown := [language for language in languages if language not in existing]:
        raise ConfigError(
            f"no catalogue for the language {', '.join(unknown)}; there are: {', '.join(existing)}. "
            f"Change `languages` in the survey file, or write {CATALOGUES / 'LANGUAGE.yaml'} after en.yaml."
        )
    files = {language: CATALOGUES / f"{language}.yaml" for language in languages}
    return {
        language: Catalogue(language, yaml.safe_load(file.read_text())) for language, file in files.items()
    }


def negotiate_language(header: str, languages: Sequence[str]) -> str:
    """The language of `languages` that an Accept-Language header prefers; the first if it names none of them."""
    matches = [LANGUAGE_RANGE.fullmatch(part) for part in header[:MAX_HEADER_LENGTH].split(",")]
    weighted = [(float(match[2] or 1), match[1]) for match in matches if match]
    preferred = [language for weight, language in sorted(weighted, key=lambda item: -item[0]) if weight]
    locale = negotiate_locale(preferred, languages, sep="-") or ""  # spelled as in the header
    return next((name for name in languages if name.lower() == locale.lower()), languages[0])
