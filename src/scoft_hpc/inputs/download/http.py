"""One try at fetching one image over HTTP: bounded in size and silence, continued where an earlier one broke off.

The body goes into a part file, with a note beside it of what tells the server's file from a later one of the same
URL (RFC 9110: a strong ETag, or else Last-Modified). With these the next try asks for the rest alone (Range, If-Range).
"""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from scoft_hpc import __version__
from scoft_hpc.config.commands import Download
from scoft_hpc.inputs import image_check
from scoft_hpc.inputs.image_check import ImageFile
from scoft_hpc.study import atomic
from scoft_hpc.study.interrupt import Stop
from scoft_hpc.study.json_files import read_json

HEADERS = {
    "User-Agent": f"scoft-hpc/{__version__} (fetches the images of a research data set; a few at a time)",
    "Accept": "image/jpeg, image/png, image/webp, image/*;q=0.5",
    "Accept-Encoding": "identity",  # an image is packed already, and only bytes as stored can be continued
}
ENDINGS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
SLOWEST = 1000
"""Bytes a second that a server has to send, on average over `Download.seconds`."""
CROWDED = (429, 503)
"""The server's "too many requests" and "unavailable": all of its images wait, not this one alone."""
PASSING = (408, 425)
"""Answers below 500 that another try may change."""


@dataclass(frozen=True)
class Arrived:
    """The image is whole; `ending` is that of its kind, whatever the URL says."""

    file: ImageFile
    ending: str


@dataclass(frozen=True)
class Moved:
    """It is to be fetched from another URL."""

    url: str


@dataclass(frozen=True)
class Later:
    """Another try may succeed; after `seconds` if the server said so, and with `crowded` not to be asked before."""

    reason: str
    seconds: float | None = None
    crowded: bool = False


@dataclass(frozen=True)
class Refused:
    """No further try would help."""

    reason: str


Outcome = Arrived | Moved | Later | Refused


@dataclass(frozen=True)
class Part:
    """A body that may be half there."""

    body: Path

    @property
    def note(self) -> Path:
        return self.body.with_suffix(".json")

    def size(self) -> int:
        return self.body.stat().st_size if self.body.exists() else 0

    def told(self) -> dict[str, Any]:
        """{"validator": what If-Range takes, "total": the whole body's bytes}, each None where it is not known."""
        return read_json(self.note)

    def begin(self, response: httpx.Response) -> None:
        """Forget what is there, and keep what this answer says of the new body."""
        self.forget()
        etag, length = response.headers.get("ETag"), response.headers.get("Content-Length", "")
        validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
        total = int(length) if length.isdecimal() else None
        atomic.write_json(self.note, {"validator": validator, "total": total})

    def forget(self) -> None:
        self.body.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def attempt(client: httpx.Client, url: str, part: Part, settings: Download, stop: Stop) -> Outcome:
    """Ask once for the image, or for what is missing of it.

    Raises:
        Interrupted: if `stop` was requested; what has come stays in the part file.
        OSError: if the part file cannot be written.
    """
    told, have = part.told(), part.size()
    headers = {}
    if have and told.get("total") == have:
        return _examined(part)
    if have and told.get("validator"):
        headers = {"Range": f"bytes={have}-", "If-Range": told["validator"]}
    try:
        if httpx.URL(url).scheme not in ("http", "https"):
            return Refused(f"leads to {url[:80]!r}, which is neither http nor https")
        with client.stream("GET", url, headers=headers) as response:
            answer = _answer(response, part, have if headers else 0, settings)
            return answer or _receive(response, part, settings, stop) or _examined(part)
    except httpx.TimeoutException:
        return Later(f"silent for {settings.seconds:g} s")
    except httpx.TransportError as error:
        return Later(str(error) or type(error).__name__)
    except (httpx.InvalidURL, UnicodeError) as error:
        return Refused(f"is no usable URL ({error})")


def _answer(response: httpx.Response, part: Part, have: int, settings: Download) -> Outcome | None:
    """What the status and the headers say; None if a body is to be received, into a part that is ready for it."""
    status, headers = response.status_code, response.headers
    if response.next_request is not None:
        return Moved(str(response.next_request.url))
    if status in CROWDED:
        return Later(f"answered {status}", retry_after(headers.get("Retry-After")), crowded=True)
    if status in PASSING or status >= 500:
        return Later(f"answered {status}", retry_after(headers.get("Retry-After")))
    if status == 206 and have and re.match(rf"bytes {have}-\d", headers.get("Content-Range", "")):
        return _too_large(have + int(headers.get("Content-Length", 0)), part, settings)
    if status in (206, 416):
        part.forget()
        return Later(f"answered {status} with another part than was asked for")
    if status != 200:
        return Refused(f"answered {status} {response.reason_phrase}".rstrip())
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml"):
        return Refused(f"is {kind}; expected an image")
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return Refused(f"comes packed as {headers['Content-Encoding']}, which was not asked for")
    part.begin(response)
    return _too_large(part.told()["total"] or 0, part, settings)


def _receive(response: httpx.Response, part: Part, settings: Download, stop: Stop) -> Outcome | None:
    """Append the body to the part file; None if it came to its end."""
    since, come, size = time.monotonic(), 0, part.size()
    with part.body.open("ab", buffering=0) as file:  # what has come is in the file, whatever comes next
        for chunk in response.iter_raw():  # as it comes: a chunk size would hold back what a break then loses
            file.write(chunk)
            come, size = come + len(chunk), size + len(chunk)
            if refused := _too_large(size, part, settings):
                return refused
            stop.check()
            if (passed := time.monotonic() - since) > settings.seconds:
                if come < SLOWEST * passed:
                    return Later(f"sent {come} bytes in {passed:.0f} s")
                since, come = time.monotonic(), 0
    return None


def _too_large(size: int, part: Part, settings: Download) -> Refused | None:
    if size <= settings.megabytes * 1e6:
        return None
    part.forget()
    return Refused(
        f"has {size / 1e6:.1f} MB or more; expected at most data.download.megabytes={settings.megabytes:g}"
    )


def _examined(part: Part) -> Outcome:
    """What has arrived, decoded. Where the server told no length, an unusable one may have been cut short."""
    found = image_check.examine(part.body)
    if isinstance(found, ImageFile):
        with Image.open(part.body, formats=image_check.FORMATS) as image:
            return Arrived(found, ENDINGS[image.format or "JPEG"])
    cut = part.told().get("total") is None
    part.forget()
    return Later(found) if cut else Refused(found)


def retry_after(told: str | None) -> float | None:
    """What the header says, in seconds from now, be it a number or a date; None where it says nothing."""
    if not told:
        return None
    if told.strip().isdecimal():
        return float(told)
    with contextlib.suppress(ValueError):
        then = email.utils.parsedate_to_datetime(told)
        return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None
