"""Many images of many hosts, politely: few at a time, fewer from one host, and each server's wish to wait heeded."""

from __future__ import annotations

import hashlib
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from scoft_hpc.config.commands import Download
from scoft_hpc.inputs.download.ccub_csv import Entry
from scoft_hpc.inputs.download.http import HEADERS, Arrived, Later, Moved, Outcome, Part, Refused, attempt
from scoft_hpc.study.interrupt import Stop

PER_HOST = 2
"""Requests to one host at a time."""
REDIRECTS = 5
BACKOFF = 1.0
"""Seconds, about, before the second try of an image; doubled before each further one."""
LONGEST = 300.0
"""A server that wants to be left alone for more seconds than that is left alone by this call."""
TICK = 0.05


@dataclass(eq=False)
class Item:
    """One URL, the rows that want it, and how far it is: `at` is where redirects have led, `ready` when to go on."""

    url: str
    entries: list[Entry]
    part: Part
    at: str
    hops: int = 0
    tries: int = 0
    ready: float = 0.0

    @property
    def host(self) -> str:
        return urlsplit(self.at).hostname or ""


def items(entries: Iterable[Entry], folder: Path) -> list[Item]:
    """What is to be fetched, each URL once."""
    found: dict[str, Item] = {}
    for entry in entries:
        name = hashlib.sha256(entry.url.encode()).hexdigest()[:32]
        item = found.setdefault(entry.url, Item(entry.url, [], Part(folder / f"{name}.part"), entry.url))
        item.entries.append(entry)
    return list(found.values())


def arrivals(
    items: Iterable[Item], settings: Download, stop: Stop
) -> Iterator[tuple[Item, Arrived | Refused]]:
    """Each item with what it came to, as it comes. Nobody sleeps on a thread: who has to wait lets others go first."""
    waiting = list(items)
    flying: dict[Future[Outcome], Item] = {}
    quiet: dict[str, float] = {}  # until when a host is not to be asked
    with (
        httpx.Client(headers=HEADERS, timeout=settings.seconds) as client,
        ThreadPoolExecutor(settings.jobs) as pool,
    ):
        while waiting or flying:
            stop.check()
            now, busy = time.monotonic(), Counter(item.host for item in flying.values())
            for item in list(waiting):
                pause = max(item.ready, quiet.get(item.host, 0.0)) - now
                if pause > LONGEST:
                    waiting.remove(item)
                    yield item, Refused(f"its server asks to be left alone for {pause:.0f} s; try then")
                elif pause <= 0 and len(flying) < settings.jobs and busy[item.host] < PER_HOST:
                    waiting.remove(item)
                    busy[item.host] += 1
                    flying[pool.submit(attempt, client, item.at, item.part, settings, stop)] = item
            if not flying:
                time.sleep(TICK)
            for future in wait(flying, TICK, FIRST_COMPLETED).done:
                item = flying.pop(future)
                outcome = _next(item, future.result(), settings, quiet)
                if outcome is None:
                    waiting.insert(0, item)
                else:
                    yield item, outcome


def _next(
    item: Item, outcome: Outcome, settings: Download, quiet: dict[str, float]
) -> Arrived | Refused | None:
    """An item's end, or None where it is to be asked for once more."""
    match outcome:
        case Moved(url):
            item.at, item.hops = url, item.hops + 1
            return None if item.hops <= REDIRECTS else Refused(f"is redirected more than {REDIRECTS} times")
        case Later(reason, seconds, crowded):
            item.tries += 1
            if item.tries >= settings.tries:
                return Refused(f"{reason} (the last of {item.tries} tries)")
            backoff = BACKOFF * 2 ** (item.tries - 1) * random.uniform(0.5, 1.5)
            item.ready = time.monotonic() + max(backoff, seconds or 0.0)
            if crowded:
                quiet[item.host] = max(quiet.get(item.host, 0.0), item.ready)
            item.at, item.hops = item.url, 0
            return None
    return outcome
