"""A browser as far as forms go, without JavaScript: how simulated raters come to the application, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from urllib.parse import urlsplit

import httpx

from scoft_hpc.errors import RatingError


@dataclass
class Form:
    """A form of a page; `fields`: name -> what is sent if nothing is changed."""

    action: str
    fields: dict[str, list[str]] = field(default_factory=dict)


class _Reader(HTMLParser):
    """The forms of a page, which all post."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(found["action"]))
        elif tag in ("input", "textarea") and self.forms and "name" in found:
            chosen = found.get("type") not in ("radio", "checkbox") or "checked" in found
            if chosen:
                self.forms[-1].fields.setdefault(found["name"], []).append(found.get("value", ""))


@dataclass(frozen=True)
class Seen:
    """A page as a browser shows it."""

    url: str
    status: int
    text: str
    forms: Sequence[Form]

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def form(self, action: str) -> Form:
        """The form that goes to this path.

        Raises:
            RatingError: if there is none.
        """
        for form in self.forms:
            if form.action == action:
                return form
        title = re.search("<title>(.*?)</title>", self.text, re.DOTALL)
        what = title[1].strip() if title else "a page without a title"
        raise RatingError(f"{self.url} has no form for {action}; it answered {self.status}, {what}.")


class Browser:
    """One person's browser: it keeps cookies and follows redirects."""

    def __init__(self, address: str, language: str = "en", timeout: float = 30.0) -> None:
        headers = {"Accept-Language": language}
        self._client = httpx.Client(base_url=address, timeout=timeout, headers=headers, trust_env=False)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str) -> Seen:
        return self.follow(self._client.get(url))

    def submit(self, page: Seen, form: Form, changes: Mapping[str, str | Sequence[str]]) -> Seen:
        """Send the form, and see where it leads."""
        return self.follow(self.send(page, form, changes))

    def send(self, page: Seen, form: Form, changes: Mapping[str, str | Sequence[str]]) -> httpx.Response:
        """Send the form with these changes: the first response, which says whether it was taken."""
        fields = {name: list(values) for name, values in form.fields.items()}
        for name, value in changes.items():
            fields[name] = [value] if isinstance(value, str) else list(value)
        return self._client.post(httpx.URL(page.url).join(form.action), data=fields)

    def follow(self, response: httpx.Response) -> Seen:
        while response.next_request is not None:
            response = self._client.send(response.next_request)
        reader = _Reader()
        reader.feed(response.text)
        return Seen(str(response.url), response.status_code, response.text, reader.forms)
