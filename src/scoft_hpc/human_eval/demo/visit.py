"""A rater's way through the application, screen by screen over HTTP: of simulated raters, and of tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval.demo.browser import Browser, Seen

PLACE = re.compile(r"/pages/([0-9]+)/([^/]+)")
PICTURE = re.compile(r'src="/images/([^"]+)"')
LINK = re.compile(r'href="([^"]*/resume/[^"]+)"')


@dataclass
class Visit:
    """A rater with a browser; `seen` is the page that is open."""

    browser: Browser
    seen: Seen

    @classmethod
    def join(cls, browser: Browser, culture: str, affiliation: str = "member") -> Visit:
        """Consent and enrol: the page with the personal link is open.

        Raises:
            RatingError: if it is refused.
        """
        seen = browser.get("/consent")
        if seen.path == "/consent":
            seen = browser.submit(seen, seen.form("/consent"), {"agree": "yes"})
            about = {"culture": culture, "affiliation": affiliation, "blur": []}
            seen = browser.submit(seen, seen.form("/join"), about)
        else:  # a browser that has enrolled already
            seen = browser.get("/link")
        if seen.path != "/link":
            raise RatingError(f"{culture}: nobody can enrol; {seen.url} answered {seen.status}.")
        return cls(browser, seen)

    @property
    def link(self) -> str:
        """The personal link, on the page that shows it."""
        found = LINK.search(self.seen.text)
        if found is None:
            raise RatingError(f"{self.seen.url} shows no personal link.")
        return found[1]

    @property
    def rater(self) -> str:
        """Whose link it is: the rater's id."""
        return self.link.rpartition("/")[2].partition(".")[0]

    def go_on(self) -> None:
        """Open what is to be answered next, or the end."""
        self.seen = self.browser.get("/pages")

    @property
    def place(self) -> tuple[int, str] | None:
        """(position, question) of the page that is open; None at the end."""
        found = PLACE.fullmatch(self.seen.path)
        return None if found is None else (int(found[1]) - 1, found[2])

    @property
    def pictures(self) -> tuple[str, ...]:
        """The names of the pictures that are shown, as they are laid out."""
        return tuple(PICTURE.findall(self.seen.text))

    def save(
        self,
        ranks: Mapping[str, int],
        ratings: Mapping[str, int] | None = None,
        offended: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send an answer to the question that is open: it is taken if and only if the response is a redirect."""
        fields = {"do": "save"}
        for i, name in enumerate(self.pictures, 1):
            fields[f"rank-{i}"] = str(ranks[name])
            if f"rating-{i}" in self.seen.text and ratings:
                fields[f"rating-{i}"] = str(ratings[name])
            if f"offended-{i}" in self.seen.text and name in (offended or {}):
                fields |= {f"offended-{i}": "yes", f"reason-{i}": (offended or {})[name]}
        return self._send(fields)

    def cannot_judge(self) -> httpx.Response:
        return self._send({"do": "cannot"})

    def follow(self, response: httpx.Response) -> None:
        self.seen = self.browser.follow(response)

    def _send(self, fields: Mapping[str, str]) -> httpx.Response:
        return self.browser.send(self.seen, self.seen.form(self.seen.path), fields)
