"""One survey of two cultures with real images, served over HTTP; and a rater who has just enrolled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import uvicorn

from human_eval.web.survey_client import (
    CULTURES,
    Person,
    World,
    create_world,
    enrolled_person,
)
from scoft_hpc.human_eval.survey import Ethics, Survey
from scoft_hpc.human_eval.web.serve import open_socket, uvicorn_config
from surveys import SYSTEMS
from waiting import ANSWER_PATIENCE


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Served by uvicorn, as `survey serve` does."""
    survey = Survey(
        title="What do you see?",
        study="toy",
        systems=SYSTEMS,
        quotas=dict.fromkeys(CULTURES, 10_000),
        ethics=Ethics(reference="IRB 2026/17"),
        contact="survey@example.org",
        pages=3,
        attention=2,
    )
    with open_socket("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        world = create_world(tmp_path_factory.mktemp("survey"), survey, url)
        server = uvicorn.Server(uvicorn_config(world.app))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        yield world
        server.should_exit = True
        thread.join(ANSWER_PATIENCE)
        assert not thread.is_alive(), "the server does not end"
        world.store.close()


@pytest.fixture
def rater(world: World) -> Person:
    return enrolled_person(world)


@pytest.fixture(scope="module")
def settled(world: World) -> Iterator[Person]:
    """A rater for tests after which all is as before."""
    person = enrolled_person(world)
    world.clients.remove(person.client)
    with closing(person.client):
        yield person


@pytest.fixture(autouse=True)
def close_clients(world: World) -> Iterator[None]:
    yield
    while world.clients:
        world.clients.pop().close()
