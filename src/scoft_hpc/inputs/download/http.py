"""One attempt to download one image, bounded in size and time."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import httpx
from PIL import Image

from scoft_hpc import __version__
from scoft_hpc.config.command_configs import Download
from scoft_hpc.inputs import image_check
from scoft_hpc.inputs.request_queue import Rejected, Retry, retry_for
from scoft_hpc.study.interrupt import StopFlag

HEADERS = {
    "User-Agent": f"scoft-hpc/{__version__} (fetches the images of a research data set; a few at a time)",
    "Accept": "image/jpeg, image/png, image/webp, image/*;q=0.5",
    "Accept-Encoding": "identity",  # image formats are compressed already
}
MAX_REDIRECTS = 5
EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
MIN_BYTES_PER_SECOND = 1000
"""What a server has to send on average over `Download.seconds`."""


@dataclass(frozen=True)
class FetchedImage:
    """A whole image that can be decoded; `extension` follows its format, whatever the URL says."""

    content: bytes
    sha256: str
    extension: str


def fetch_image(
    client: httpx.Client, url: str, settings: Download, stop: StopFlag
) -> FetchedImage | Retry | Rejected:
    """Request the image once, from where redirects lead.

    Raises:
        Interrupted: if `stop` was requested while the body was coming.
    """
    try:
        for _ in range(MAX_REDIRECTS + 1):
            if httpx.URL(url).scheme not in ("http", "https"):
                return Rejected(f"leads to {url[:80]!r}, which is neither http nor https")
            with client.stream("GET", url) as response:
                if response.next_request is not None:  # not followed by httpx, which reads all of its body
                    url = str(response.next_request.url)
                    continue
                if outcome := _check_head(response, settings):
                    return outcome
                content = _receive(response, settings, stop)
                break
        else:
            return Rejected(f"is redirected more than {MAX_REDIRECTS} times")
    except httpx.TimeoutException:
        return Retry(f"silent for {settings.seconds:g} s")
    except httpx.TransportError as error:
        return Retry(str(error) or type(error).__name__)
    except (httpx.InvalidURL, UnicodeError) as error:
        return Rejected(f"is no usable URL ({error})")
    if not isinstance(content, bytes):
        return content
    image = image_check.inspect_bytes(content)
    if isinstance(image, str):  # without a Content-Length the body may have been cut short
        return Rejected(image) if "Content-Length" in response.headers else Retry(image)
    with Image.open(io.BytesIO(content), formats=image_check.FORMATS) as opened:
        return FetchedImage(content, image.sha256, EXTENSIONS[opened.format or "JPEG"])


def _check_head(response: httpx.Response, settings: Download) -> Retry | Rejected | None:
    """What the status and the headers decide; None if the body is to be received."""
    status, headers = response.status_code, response.headers
    if retry := retry_for(status, headers.get("Retry-After"), f"answered {status}"):
        return retry
    if status != 200:
        return Rejected(f"answered {status} {response.reason_phrase}".rstrip())
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind.startswith("text/") or kind in ("application/json", "application/xhtml+xml"):
        return Rejected(f"is {kind}; expected an image")
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        return Rejected(f"is encoded as {headers['Content-Encoding']}, which was not requested")
    length = headers.get("Content-Length", "")
    return _too_large(int(length), settings) if length.isdecimal() else None


def _receive(response: httpx.Response, settings: Download, stop: StopFlag) -> bytes | Retry | Rejected:
    content, window_start, window_bytes = bytearray(), time.monotonic(), 0
    for chunk in response.iter_raw():
        content += chunk
        window_bytes += len(chunk)
        if rejected := _too_large(len(content), settings):
            return rejected
        stop.raise_if_set()
        if (elapsed := time.monotonic() - window_start) > settings.seconds:
            if window_bytes < MIN_BYTES_PER_SECOND * elapsed:
                return Retry(f"sent {window_bytes} bytes in {elapsed:.0f} s")
            window_start, window_bytes = time.monotonic(), 0
    return bytes(content)


def _too_large(size: int, settings: Download) -> Rejected | None:
    if size <= settings.megabytes * 1e6:
        return None
    return Rejected(
        f"has {size / 1e6:.1f} MB or more; expected at most data.download.megabytes={settings.megabytes:g}"
    )
