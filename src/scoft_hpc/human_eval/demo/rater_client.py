"""A minimal browser without JavaScript, with which simulated raters use the application over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx

from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval.answers import RaterAnswer

QUESTION_PATH = re.compile(r"/pages/([0-9]+)/([^/]+)")
IMAGE = re.compile(r'src="/images/([^"]+)"')
LINK = re.compile(r'href="([^"]*/resume/[^"]+)"')

Fields = Mapping[str, str | Sequence[str]]


class _FormParser(HTMLParser):
    """`forms`: (action, field -> values) of each form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[str, dict[str, list[str]]]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((attributes["action"], {}))
        elif tag in ("input", "textarea") and self.forms and "name" in attributes:
            is_choice = attributes.get("type") in ("radio", "checkbox")
            if not is_choice or "checked" in attributes:
                _, fields = self.forms[-1]
                fields.setdefault(attributes["name"], []).append(attributes.get("value", ""))


@dataclass(frozen=True)
class WebPage:
    """A page as a browser shows it."""

    url: str
    status: int
    text: str

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def form_fields(self, action: str) -> dict[str, list[str]]:
        """Field -> the values that the form which posts to this path sends unless the rater changes them.

        Raises:
            RatingError: if there is no such form.
        """
        parser = _FormParser()
        parser.feed(self.text)
        for form_action, fields in parser.forms:
            if form_action == action:
                return fields
        title = re.search("<title>(.*?)</title>", self.text, re.DOTALL)
        what = title[1].strip() if title else "a page without a title"
        raise RatingError(f"{self.url} has no form for {action}; it answered {self.status}, {what}.")


class RaterClient:
    """A rater's browser with cookies; it follows redirects. `page` is the open page."""

    def __init__(self, address: str) -> None:
        headers = {"Accept-Language": "en"}
        self._http = httpx.Client(base_url=address, timeout=30.0, headers=headers, trust_env=False)
        self.page = WebPage(address, 0, "")

    def close(self) -> None:
        self._http.close()

    def open(self, url: str) -> None:
        self.follow(self._http.get(url))

    def join(self, culture: str, affiliation: str = "member") -> None:
        """Consent and enrol, or continue if this browser has enrolled; then the page with the personal link is open.

        Raises:
            RatingError: if the application refuses.
        """
        self.open("/consent")
        if self.page.path == "/consent":
            self.follow(self._send("/consent", {"agree": "yes"}))
            about = {"culture": culture, "affiliation": affiliation, "blur": []}
            self.follow(self._send("/join", about))
        else:
            self.open("/link")
        if self.page.path != "/link":
            raise RatingError(
                f"{culture}: enrolment is not possible; {self.page.url} answered {self.page.status}."
            )

    @property
    def link(self) -> str:
        """The personal link, on the page that shows it."""
        match = LINK.search(self.page.text)
        if match is None:
            raise RatingError(f"{self.page.url} shows no personal link.")
        return match[1]

    @property
    def rater(self) -> str:
        """The id of the rater whose link it is."""
        return self.link.rpartition("/")[2].partition(".")[0]

    @property
    def place(self) -> tuple[int, str] | None:
        """(position, question) of the open page; None at the end."""
        match = QUESTION_PATH.fullmatch(self.page.path)
        return None if match is None else (int(match[1]) - 1, match[2])

    @property
    def images(self) -> tuple[str, ...]:
        """The names of the images on the open page, in their order."""
        return tuple(IMAGE.findall(self.page.text))

    def save(self, answer: RaterAnswer) -> httpx.Response:
        """Answer the open question: the answer is saved if and only if the response is a redirect."""
        if answer.cannot_judge:
            return self._send(self.page.path, {"do": "cannot"})
        fields = {"do": "save"}
        for i, name in enumerate(self.images, 1):
            fields[f"rank-{i}"] = str(answer.ranks[name])
            if f"rating-{i}" in self.page.text and answer.ratings:
                fields[f"rating-{i}"] = str(answer.ratings[name])
            if f"offended-{i}" in self.page.text and name in answer.offended:
                fields |= {f"offended-{i}": "yes", f"reason-{i}": answer.offended[name]}
        return self._send(self.page.path, fields)

    def follow(self, response: httpx.Response) -> None:
        """Follow redirects and open the page to which they lead."""
        while response.next_request is not None:
            response = self._http.send(response.next_request)
        self.page = WebPage(str(response.url), response.status_code, response.text)

    def _send(self, action: str, changes: Fields) -> httpx.Response:
        """Post the open page's form with these changes, without following a redirect."""
        changed = {name: [value] if isinstance(value, str) else value for name, value in changes.items()}
        fields = {**self.page.form_fields(action), **changed}
        return self._http.post(httpx.URL(self.page.url).join(action), data=fields)
