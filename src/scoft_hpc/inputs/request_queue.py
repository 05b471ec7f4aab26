"""Many HTTP requests: a few at a time, fewer per host, and the retry policy for all that this package fetches.

A request that failed for a reason that may pass is sent again after an exponential backoff with jitter, or after the
server's Retry-After where that is longer. Waiting occupies no thread: requests to other hosts go first.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from scoft_hpc.study.interrupt import StopFlag

RATE_LIMITED = (429, 503)
"""Statuses that hold for the whole host: none of its requests is sent before the wait is over."""
TRANSIENT = (408, 425)
"""Statuses below 500 that another attempt may change."""
BACKOFF_SECONDS = 1.0
MAX_WAIT_SECONDS = 300.0
"""A request that would have to wait for longer is rejected."""
POLL_SECONDS = 0.05

Key = TypeVar("Key")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Retry:
    """Another attempt may succeed, after `after_seconds` if the server named a time."""

    reason: str
    after_seconds: float | None = None
    rate_limited: bool = False


@dataclass(frozen=True)
class Rejected:
    """No further attempt would help."""

    reason: str


@dataclass(eq=False)
class _Request(Generic[Key]):
    """Not to be sent before `ready_at` (monotonic clock, in seconds)."""

    key: Key
    host: str
    attempts: int = 0
    ready_at: float = 0.0


def send_all(
    urls: Mapping[Key, str],
    send: Callable[[Key], Result | Retry | Rejected],
    stop: StopFlag,
    *,
    jobs: int,
    per_host: int,
    max_attempts: int,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> Iterator[tuple[Key, Result | Rejected]]:
    """Send one request per key; yield each key with its final result, as they arrive.

    Args:
        urls: where each key's request goes.
        send: makes one attempt, in a thread.
        jobs, per_host: requests in flight, altogether and to one host.
        backoff_seconds: mean wait before the second attempt; doubled before each further one.

    Raises:
        Interrupted: if `stop` was requested; no request is sent any more, and those in flight are yielded first.
        Whatever `send` raises, which ends all.
    """
    waiting = [_Request(key, urlsplit(url).hostname or "") for key, url in urls.items()]
    in_flight: dict[Future[Result | Retry | Rejected], _Request[Key]] = {}
    backoff_until: dict[str, float] = {}  # by host
    with ThreadPoolExecutor(jobs) as pool:
        while waiting or in_flight:
            now, busy = time.monotonic(), Counter(request.host for request in in_flight.values())
            for request in tuple(waiting):
                pause = max(request.ready_at, backoff_until.get(request.host, 0.0)) - now
                if pause > MAX_WAIT_SECONDS:
                    waiting.remove(request)
                    yield request.key, Rejected(f"rate-limited: the server asked to wait {pause:.0f} s")
                elif stop.requested:
                    break
                elif pause <= 0 and len(in_flight) < jobs and busy[request.host] < per_host:
                    waiting.remove(request)
                    busy[request.host] += 1
                    in_flight[pool.submit(send, request.key)] = request
            if not in_flight:
                stop.raise_if_set()
                time.sleep(POLL_SECONDS)
            for future in wait(in_flight, POLL_SECONDS, FIRST_COMPLETED).done:
                request, outcome = in_flight.pop(future), future.result()
                if not isinstance(outcome, Retry):
                    yield request.key, outcome
                    continue
                request.attempts += 1
                if request.attempts >= max_attempts:
                    yield request.key, Rejected(f"{outcome.reason} (the last of {request.attempts} tries)")
                    continue
                backoff = backoff_seconds * 2 ** (request.attempts - 1) * random.uniform(0.5, 1.5)
                request.ready_at = time.monotonic() + max(backoff, outcome.after_seconds or 0.0)
                if outcome.rate_limited:
                    backoff_until[request.host] = max(backoff_until.get(request.host, 0.0), request.ready_at)
                waiting.insert(0, request)


def retry_for(status: int, retry_after: str | None, reason: str) -> Retry | None:
    """A Retry if another attempt may change the status; `retry_after` is the header's value."""
    if status in (*RATE_LIMITED, *TRANSIENT) or status >= 500:
        return Retry(reason, _seconds(retry_after), status in RATE_LIMITED)
    return None


def _seconds(retry_after: str | None) -> float | None:
    """From now, whether the header holds a number or a date; None where it holds neither."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    with contextlib.suppress(ValueError):
        date = email.utils.parsedate_to_datetime(retry_after)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None
