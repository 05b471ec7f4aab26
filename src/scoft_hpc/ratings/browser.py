"""A browser as far as forms go, without JavaScript: how simulated raters come to the application, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType

import httpx

from scoft_hpc.errors import RatingError


@dataclass
class Form:
    """A form of a page.

    Attributes:
        fields: name -> values that are sent if nothing is changed: hidden ones, texts, and what is checked or selected.
        options: name -> the values that a radio, a checkbox or a selection may take.
        buttons: the (name, value) of each button, in the page's order.
    """

    action: str
    method: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[str] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(found.get("action", ""), found.get("method", "get").lower()))
        elif self.forms:
            self._field(tag, found)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def _field(self, tag: str, found: Mapping[str, str]) -> None:
        form, name, value = self.forms[-1], found.get("name", ""), found.get("value", "")
        kind = found.get("type", "submit" if tag == "button" else "text")
        if tag == "select":
            self._select = name
        elif tag == "option":
            form.options.setdefault(self._select, []).append(value)
            if "selected" in found:
                form.fields[self._select] = [value]
        elif tag in ("input", "button") and kind == "submit":
            form.buttons.append((name, value))
        elif tag == "input" and kind in ("radio", "checkbox"):
            form.options.setdefault(name, []).append(value or "on")
            if "checked" in found:
                form.fields.setdefault(name, []).append(value or "on")
        elif tag in ("input", "textarea") and name:
            form.fields.setdefault(name, []).append(value)


@dataclass(frozen=True)
class Seen:
    """A page as a browser shows it."""

    url: str
    status: int
    text: str
    forms: Sequence[Form]
    links: Sequence[str]

    def form(self, button: str) -> Form:
        """The form that has a button of this name.

        Raises:
            RatingError: if there is none.
        """
        for form in self.forms:
            if any(name == button for name, _ in form.buttons):
                return form
        raise RatingError(f"{self.url} has no form with a button {button!r}.")


class Browser:
    """One person's browser: it keeps cookies and follows redirects."""

    def __init__(self, address: str, language: str = "en", timeout: float = 30.0) -> None:
        headers = {"Accept-Language": language}
        self._client = httpx.Client(
            base_url=address, follow_redirects=True, timeout=timeout, headers=headers, trust_env=False
        )

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str) -> Seen:
        return _seen(self._client.get(url))

    def submit(self, page: Seen, form: Form, changes: Mapping[str, str | Sequence[str]] | None = None) -> Seen:
        """Send the form with these changes; a value of "" or an empty list takes a field out."""
        fields = {name: list(values) for name, values in form.fields.items()}
        for name, value in (changes or {}).items():
            fields[name] = [value] if isinstance(value, str) and value else list(value)
        url = httpx.URL(page.url).join(form.action)
        if form.method == "get":
            return _seen(self._client.get(url, params=fields))
        return _seen(self._client.post(url, data=fields))


def _seen(response: httpx.Response) -> Seen:
    reader = _Reader()
    if "html" in response.headers.get("content-type", ""):
        reader.feed(response.text)
    return Seen(str(response.url), response.status_code, response.text, reader.forms, reader.links)
