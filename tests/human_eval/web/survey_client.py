"""A served survey with real images, and a rater who answers it over HTTP."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from PIL import Image, ImageDraw

from scoft_hpc.human_eval.answers import RaterAnswer
from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.pages import Page, PageImage
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web.app import create
from surveys import SYSTEMS
from waiting import ANSWER_PATIENCE

SECRET = b"for tests alone, and long enough to sign with"


CULTURES = ("korea", "nigeria")


PROMPTS = ("a house on a hill", "a family having dinner", "a market in the morning", "two boats on a lake")


SIDE = 96


@dataclass
class World:
    """A survey that is served; `key`: image -> system, which no rater may see."""

    app: FastAPI
    store: Store
    survey: Survey
    pages: tuple[Page, ...]
    url: str = ""
    key: dict[str, str] = field(default_factory=dict)
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self, **settings: Any) -> httpx.Client:
        self.clients.append(httpx.Client(base_url=self.url, timeout=ANSWER_PATIENCE, **settings))
        return self.clients[-1]


def draw(file: Path, chance: random.Random) -> None:
    """Some image: a sky, a ground and a few houses."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(chance.choices(range(120, 256), k=3)))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 64, SIDE, SIDE), fill=tuple(chance.choices(range(40, 140), k=3)))
    for _ in range(4):
        x, y, size = chance.randrange(SIDE - 30), chance.randrange(30, 60), chance.randrange(14, 30)
        pen.rectangle((x, y, x + size, y + size), fill=tuple(chance.choices(range(256), k=3)))
    image.save(file)


def make_pages(images: Path) -> tuple[Page, ...]:
    chance = random.Random(0)
    images.mkdir()
    pages = []
    for culture in CULTURES:
        for number, prompt in enumerate(PROMPTS):
            page_images = []
            for system in SYSTEMS:
                name = f"{chance.getrandbits(128):032x}.png"
                draw(images / name, chance)
                page_images.append(PageImage(name, system, f"{culture}-{system}-s0", f"{number}.png"))
            pages.append(
                Page(f"{culture}-{number}", culture, f"{prompt} in {culture}", 0, 0, tuple(page_images))
            )
    return tuple(pages)


def create_world(folder: Path, survey: Survey, address: str) -> World:
    images = folder / "images"
    pages = make_pages(images)
    store = Store.open(survey, pages, f"sqlite:///{folder}/answers.db")
    key = {image.name: image.system for page in pages for image in page.images}
    return World(create(store, survey, images, SECRET, address), store, survey, pages, address, key)


@dataclass
class Person:
    """A rater with a browser without JavaScript: follows links and fills in forms."""

    client: httpx.Client
    page: httpx.Response

    def open(self, path: str) -> httpx.Response:
        self.page = self.client.get(path, follow_redirects=True)
        return self.page

    def token(self) -> str:
        match = re.search(r'name="csrf" value="([^"]+)"', self.page.text)
        assert match is not None, self.page.text
        return match[1]

    def send(self, path: str = "", **fields: str | list[str]) -> httpx.Response:
        """Send the form of the page that is open; a field's underscore stands for its dash."""
        values = {
            name if name == "own_words" else name.replace("_", "-"): value for name, value in fields.items()
        }
        body = {"csrf": self.token(), **values}
        self.page = self.client.post(path or self.page.url.path, data=body, follow_redirects=True)
        return self.page

    def rater_id(self, world: World) -> str:
        rater_id = world.app.state.survey_app.signer.rater(self.client.cookies["session"])
        assert rater_id is not None
        return str(rater_id)


def enrolled_person(world: World, culture: str = "korea", **fields: str) -> Person:
    person = Person(world.client(), httpx.Response(200))
    person.open("/consent")
    person.send(agree="yes")
    person.send(culture=culture, affiliation="member", **fields)
    assert person.page.url.path == "/link", person.page.text
    return person


RANKS = {f"rank_{i}": str(i) for i in range(1, 5)}


def tasks(world: World, person: Person) -> tuple[Task, ...]:
    rater = world.store.rater(person.rater_id(world))
    assert rater is not None
    return world.store.tasks(rater)


def stored_answer(world: World, person: Person, task: Task, question: str) -> RaterAnswer | None:
    rater = world.store.rater(person.rater_id(world))
    assert rater is not None
    return world.store.answers(rater).get((task.position, question))


def path_of(task: Task, question: str) -> str:
    return f"/pages/{task.position + 1}/{question}"
