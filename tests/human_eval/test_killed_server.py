"""The server is killed (SIGKILL) repeatedly while sixty raters answer: no accepted answer is lost or doubled."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from human_eval.serving import Served
from scoft_hpc.human_eval import survey_yaml
from scoft_hpc.human_eval.answers import RaterAnswer
from scoft_hpc.human_eval.demo.rater_client import RaterClient
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Ethics, Survey
from surveys import SYSTEMS, create_survey_study, pages_of

RATERS = 60
KILLS = 3
ANSWERS_BETWEEN = 100
PAUSE = 0.1
"""Seconds before a rater whose server is gone tries again."""

Place = tuple[int, str]


@dataclass
class Person:
    """A rater: everything they sent, in order, each with whether the server accepted it."""

    rater_id: str = ""
    sent: dict[Place, list[tuple[dict[str, int], bool]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def n_accepted(self) -> int:
        return sum(accepted for attempts in self.sent.values() for _, accepted in attempts)

    def rate(self, address: str, culture: str, chance: random.Random) -> None:
        """Enrol and answer to the end, however often the server is killed."""
        with closing(RaterClient(address)) as client:
            _insist(lambda: client.join(culture))
            link, self.rater_id = client.link, client.rater
            while True:
                try:
                    client.open(link)
                    while client.place is not None:
                        self._answer(client, chance)
                    return
                except httpx.TransportError:
                    time.sleep(PAUSE)

    def _answer(self, client: RaterClient, chance: random.Random) -> None:
        assert client.place is not None
        ranks = {name: chance.randint(1, len(SYSTEMS)) for name in client.images}
        attempts = self.sent[client.place]
        attempts.append((ranks, False))
        response = client.save(RaterAnswer(ranks, {}, {}))
        assert response.status_code == 303, response.text
        attempts[-1] = (ranks, True)
        client.follow(response)


def _insist(join: Callable[[], None]) -> None:
    while True:
        try:
            return join()
        except httpx.TransportError:
            time.sleep(PAUSE)


@pytest.fixture
def served(tmp_path: Path, url: str) -> Iterator[Served]:
    quotas = {"china": RATERS, "korea": RATERS}
    survey = Survey("Images", "a-study", SYSTEMS, quotas, ethics=Ethics(pilot=True), pages=1, attention=1)
    server = Served(create_survey_study(tmp_path, survey, pages_of("china", "korea", number=6)), url)
    server.start()
    yield server
    server.kill()


def test_no_answer_is_lost_or_doubled(served: Served, url: str) -> None:
    raters = [Person() for _ in range(RATERS)]
    over = threading.Event()

    def accepted() -> int:
        return sum(person.n_accepted for person in raters)

    with ThreadPoolExecutor(RATERS) as pool:
        futures = [
            pool.submit(person.rate, served.url, ("china", "korea")[i % 2], random.Random(i))
            for i, person in enumerate(raters)
        ]
        for kill in range(1, KILLS + 1):
            while accepted() < kill * ANSWERS_BETWEEN and not all(future.done() for future in futures):
                over.wait(0.005)
            served.kill()
            served.start()
        for future in futures:
            future.result()
    assert served.stop() == 0
    _compare(served, url, raters)


def _compare(served: Served, url: str, raters: list[Person]) -> None:
    survey, pages = survey_yaml.load(served.study.survey)
    with closing(Store.open(survey, pages, url)) as store:
        assert len(store.participants()) == RATERS  # nor is a rater doubled whose enrolment was not answered
        for person in raters:
            rater = store.rater(person.rater_id)
            assert rater is not None
            stored = store.answers(rater)
            assert stored.keys() == person.sent.keys()
            for place, attempts in person.sent.items():
                last = max((i for i, (_, accepted) in enumerate(attempts) if accepted), default=0)
                assert stored[place].ranks in [ranks for ranks, _ in attempts[last:]]
                assert not stored[place].draft
        assert len(store.judgements()) == sum(len(person.sent) for person in raters)
