"""The report in a real browser: on a phone, a tablet and a screen, light and dark, on paper and without its script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from browsers import chromium
from results.job_arrays import attempt, send
from results.study_maker import Maker, ask
from scoft_hpc.config.schema import Data, Gradient, RunConfig, Variant
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.toy import world
from scoft_hpc.results import study
from scoft_hpc.results.findings import findings
from scoft_hpc.results.report import page as report
from scoft_hpc.study import atomic

WIDTHS = (390, 768, 1280)
SCHEMES = ("light", "dark")
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"
LOAD = """async () => {
    const images = [...document.querySelectorAll('img')];
    images.forEach(image => image.loading = 'eager');
    await Promise.all(images.map(image => image.decode().catch(() => null)));
    return images.filter(image => !image.naturalWidth).map(image => image.alt);
}"""
BEYOND = """() => [...document.querySelectorAll('main *, header *, footer *')].filter(one =>
    one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, .hidden') && !one.closest('svg')
).map(one => one.tagName + '.' + one.className + ': ' + one.textContent.slice(0, 60))"""


@dataclass
class Visit:
    """An open report, and what it asked for or complained of."""

    page: Page
    requests: list[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study that has something in every section: people, negatives, a failure, seeds, costs."""
    output = tmp_path_factory.mktemp("browser")
    data = Data(root=str(output / "data"), digest="d" * 16)
    maker = Maker.of(output, variants=("base", "ldm", "mpc"), data=data)
    maker.finish(*maker.configs[:-2])
    maker.fail(maker.configs[-1], "the loss became NaN " * 8)
    attempt(send(maker, "train-a", [["a", "b"]], [2.0]), 0, 0, 1.25)
    for culture in ("korea", "mexico"):
        images = world.write_culture(output / "data", culture, pairs=3, held_out=1) / "train" / "images"
        negatives = folder_of(maker.find(culture, "mpc", 0), "d" * 16) / "negatives"
        negatives.mkdir(parents=True)
        for i, image in enumerate(sorted(images.iterdir())):
            shutil.copyfile(image, negatives / f"{i:05d}-0.png")
    ask(maker, ("base", "ldm", "mpc"))
    atomic.write_text(maker.folder.report, report.render(findings(study.read(maker.folder))))
    return maker.folder.report


@contextmanager
def visit(browser: Browser, path: Path, **settings: Any) -> Iterator[Visit]:
    with browser.new_context(**settings) as context:
        page = context.new_page()
        visited = Visit(page, [], [])
        page.on("request", lambda request: visited.requests.append(request.url))
        page.on("pageerror", lambda error: visited.complaints.append(str(error)))
        page.on("console", lambda message: visited.complaints.append(message.text))
        context.route("http://**/*", lambda route: route.abort())
        context.route("https://**/*", lambda route: route.abort())
        page.goto(path.as_uri())
        yield visited
        assert [url for url in visited.requests if not url.startswith("data:")] == [path.as_uri()]
        assert visited.complaints == []


def size(width: int) -> dict[str, Any]:
    return {"viewport": {"width": width, "height": 900}}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_everybody_can_read_it(browser: Browser, path: Path, width: int, scheme: str) -> None:
    with visit(browser, path, **size(width), color_scheme=scheme) as visited:
        page = visited.page
        page.evaluate(UNFOLD)
        assert page.evaluate(LOAD) == []
        assert page.evaluate(BEYOND) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        grave = [
            (one["id"], [node["html"][:200] for node in one["nodes"]][:5])
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == []


def test_every_section_is_there_and_the_contents_lead_to_it(browser: Browser, path: Path) -> None:
    with visit(browser, path, **size(390)) as visited:
        page = visited.page
        assert page.locator("main > section").count() == len(report.SECTIONS)
        for link in page.locator("nav a").all():
            link.click()
            section = page.locator(f"section{link.get_attribute('href')}")
            assert abs(section.evaluate("one => one.getBoundingClientRect().top") - 24) < 900
            page.get_by_role("link", name="Contents", exact=True).click()
            assert page.locator("nav").evaluate("one => one.getBoundingClientRect().top") >= 0


def test_a_picture_is_enlarged_by_mouse(browser: Browser, path: Path) -> None:
    with visit(browser, path, **size(1280)) as visited:
        page, shot = visited.page, visited.page.locator(".shot").first
        dialog = page.locator("dialog")
        shot.click()
        assert dialog.is_visible()
        enlarged = dialog.locator("img")
        assert enlarged.get_attribute("src") == shot.locator("img").get_attribute("src")
        assert enlarged.evaluate("image => image.getBoundingClientRect().width") > 400
        assert dialog.inner_text().startswith("training image: ")
        page.get_by_role("button", name="Close").click()
        assert not dialog.is_visible()
        shot.click()
        page.mouse.click(5, 5)  # beside it
        assert not dialog.is_visible()


def test_a_picture_is_enlarged_by_keyboard(browser: Browser, path: Path) -> None:
    with visit(browser, path, **size(390)) as visited:
        page, dialog = visited.page, visited.page.locator("dialog")
        base = page.locator(".shot", has=page.get_by_alt_text("base: a house in korea")).first
        base.focus()
        page.keyboard.press("Enter")
        assert dialog.is_visible()
        captions = [dialog.locator(".said").inner_text()]
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowLeft"):
            page.keyboard.press(key)
            captions.append(dialog.locator(".said").inner_text())
        start = ["base: a house", "base: a boat", "mpc: a boat", "mpc: a house", "mpc: a house"]
        assert [caption.partition(" in korea")[0] for caption in captions] == start
        page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert page.evaluate("document.activeElement.firstElementChild.alt").startswith(
            "mpc: a house in korea"
        )
        page.keyboard.press("Space")
        assert dialog.is_visible()
        page.keyboard.press("Enter")  # the button that closes has the focus
        assert not dialog.is_visible()


def test_without_its_script_it_shows_everything(browser: Browser, path: Path) -> None:
    with visit(browser, path, **size(1280)) as visited:
        whole = visited.page.locator("body").inner_text()
    with visit(browser, path, **size(1280), java_script_enabled=False) as visited:
        page = visited.page
        assert page.locator("body").inner_text() == whole
        assert page.evaluate(LOAD) == []
        page.locator("summary", has_text="more of each prompt").first.click()
        assert page.locator(".further .shot").first.is_visible()
        shot = page.locator(".shot").first
        shot.click()
        assert shot.locator("img").evaluate("image => image.getBoundingClientRect().height") == 900
        page.keyboard.press("Tab")
        assert shot.locator("img").evaluate("image => image.getBoundingClientRect().height") < 200


def test_on_paper(browser: Browser, path: Path) -> None:
    with visit(browser, path, viewport={"width": 680, "height": 960}) as visited:
        page = visited.page
        assert page.pdf(format="A4", print_background=True).startswith(b"%PDF")
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") == 680
        folded = page.locator("#differences details").last
        assert folded.get_attribute("open") is None
        assert folded.locator("table").evaluate("table => table.getBoundingClientRect().height") > 500
        for hidden in ("nav", ".up", ".further summary"):
            assert not page.locator(hidden).first.is_visible()


def test_many_variants_with_long_names_have_room(browser: Browser, tmp_path: Path) -> None:
    plain = RunConfig(variant=Variant.mpc, output=str(tmp_path))
    objectives = [
        replace(plain.objective, gradient=gradient, rollout_steps=steps, every=every)
        for gradient in Gradient
        for steps in (10, 20)
        for every in (5, 10)
    ]
    culture = "a_culture_whose_name_is_longer_than_most_that_there_are"
    configs = [replace(plain, culture=culture, objective=one) for one in objectives]
    maker = Maker.planned(tmp_path / ("long_name_" * 7), configs, samples=1, steps=2).finish()
    atomic.write_text(maker.folder.report, report.render(findings(study.read(maker.folder))))
    for width in WIDTHS:
        with visit(browser, maker.folder.report, **size(width)) as visited:
            visited.page.evaluate(UNFOLD)
            assert visited.page.evaluate(BEYOND) == []
            assert visited.page.evaluate("document.documentElement.scrollWidth") == width
