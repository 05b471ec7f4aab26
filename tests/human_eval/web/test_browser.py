"""The pages in a real browser, as raters have them: by mouse, by keyboard alone, on a phone, from right to left.

JavaScript is off wherever a rater acts; only axe, which looks for what would keep somebody out, needs it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from browsers import chromium
from human_eval.web.survey_client import World, enrolled_person
from scoft_hpc.human_eval.answers import Rater, RaterAnswer
from scoft_hpc.human_eval.judgements import Kind
from waiting import ANSWER_PATIENCE

expect.set_options(timeout=ANSWER_PATIENCE * 1000)

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NARROW = 320
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
CONTRAST = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}
BEYOND = """() => [...document.querySelectorAll('body *')].filter(one => {
    const box = one.getBoundingClientRect();
    return (box.right > innerWidth + 1 || box.left < -1) && !one.closest('.scroll, .hidden, .skip, .frame');
}).map(one => one.tagName + '.' + one.className + ': ' + one.textContent.slice(0, 60))"""
SMALL = """() => [...document.querySelectorAll(
    'button, .button, input, textarea, label:has(input), .frame label, footer a'
)].filter(one => {
    const box = one.getBoundingClientRect();
    return !one.closest('.hidden') && box.width && (box.width < 24 || box.height < 24);
}).map(one => one.outerHTML.slice(0, 90))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@contextmanager
def visit(browser: Browser, world: World, **settings: Any) -> Iterator[Page]:
    """A person's browser; it asks nobody but the survey, and has nothing to complain of."""
    settings = {"viewport": DESK, "java_script_enabled": False, **settings}
    with browser.new_context(base_url=world.url, **settings) as context:
        context.set_default_timeout(ANSWER_PATIENCE * 1000)
        page = context.new_page()
        urls: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert [url for url in urls if not url.startswith(world.url)] == []
        assert [message for message in complaints if "status of 4" not in message] == []  # pages that refuse


def rater_of(world: World, page: Page) -> Rater:
    (cookie,) = [candidate for candidate in page.context.cookies() if candidate.get("name") == "session"]
    rater = world.store.rater(world.app.state.survey_app.signer.rater(cookie.get("value")))
    assert rater is not None
    return rater


def answers(world: World, page: Page) -> dict[tuple[int, str], RaterAnswer]:
    return dict(world.store.answers(rater_of(world, page)))


def enrol(page: Page) -> None:
    page.goto("/consent")
    page.locator("#agree").check()
    page.locator(".panel .primary").click()
    page.locator("[name=culture][value=korea]").check()
    page.locator("[name=affiliation][value=unsaid]").check()
    page.locator("form .primary").click()
    page.wait_for_url("**/link")


def let_in(page: Page, world: World, **fields: str) -> None:
    """Give the browser the cookies of somebody who has just enrolled."""
    cookies = enrolled_person(world, **fields).client.cookies.jar
    page.context.add_cookies(
        [{"name": cookie.name, "value": str(cookie.value), "url": world.url} for cookie in cookies]
    )


def go(page: Page, button: Locator) -> None:
    """Click, and be on the page to which it leads, which may be the same one: what is clicked next is there."""
    with page.expect_navigation():
        button.click()


def rank(page: Page, *ranks: int) -> None:
    for i, number in enumerate(ranks, 1):
        page.get_by_role("group", name=f"Image {'ABCD'[i - 1]}").get_by_role(
            "group", name="Rank"
        ).get_by_role("radio", name=str(number)).check()


def test_the_whole_way_with_a_mouse(browser: Browser, world: World) -> None:
    with visit(browser, world) as page:
        page.goto("/")
        page.get_by_role("link", name="Read what taking part means").click()
        assert not page.get_by_role("checkbox").is_checked()
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("checkbox")).to_be_focused()  # which the browser asks for
        assert page.url.endswith("/consent")
        page.get_by_text("I have read this and agree").click()
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("radio", name="Korea").check()
        page.get_by_label("I have lived there").check()
        page.get_by_role("button", name="Begin").click()
        link = page.get_by_role("textbox", name="Your link").input_value()
        page.get_by_role("link", name="Go to the first page").click()

        image = page.get_by_role("img", name="Image A")
        assert "blur" in image.evaluate("one => getComputedStyle(one).filter")
        page.get_by_text("Show image A").click()
        expect(image).to_have_css("filter", "none")
        rank(page, 2, 1, 3)
        go(page, page.get_by_role("button", name="Save and go on"))
        expect(page.get_by_role("alert")).to_be_focused()
        expect(page.get_by_role("alert").get_by_role("listitem")).to_have_text(["Image D has no rank yet."])
        expect(page.get_by_role("checkbox", name="Show image A")).to_be_checked()
        rank(page, 2, 1, 3, 3)
        go(page, page.get_by_role("button", name="Save and go on"))
        tasks = world.store.tasks(rater_of(world, page))
        page.wait_for_url(f"**/pages/1/{tasks[0].questions[1]}*")
        first = answers(world, page)[0, tasks[0].questions[0]]
        assert [first.ranks[name] for name in tasks[0].order] == [2, 1, 3, 3]
        expect(page.get_by_role("checkbox", name="Show image A")).to_be_checked()  # of the same page

        page.go_back()
        page.reload()
        expect(page.get_by_role("main")).to_contain_text("Your answer is kept")
        go(page, page.get_by_role("button", name="Save and go on"))
        go(page, page.get_by_role("button", name="Up image C, towards rank 1"))
        expect(page.get_by_role("button", name="Up image C, towards rank 1")).to_be_focused()
        expect(page.get_by_role("button", name="Up image C, towards rank 1")).to_be_in_viewport()
        go(page, page.get_by_role("button", name="Save and go on"))
        go(page, page.get_by_role("button", name="I cannot judge this"))
        rank(page, 1, 1, 1, 1)
        page.get_by_role("button", name="Save and go on").dblclick()
        page.wait_for_url("**/pages/2/*")
        stored = answers(world, page)
        assert [stored[0, question].draft for question in tasks[0].questions] == [False] * 4
        assert [stored[0, tasks[0].questions[1]].ranks[name] for name in tasks[0].order] == [1, 3, 2, 4]
        assert stored[0, tasks[0].questions[2]].cannot_judge

        with visit(browser, world, viewport=PHONE) as phone:  # the same rater, on another device
            phone.goto(link)
            for _ in tasks[1:]:
                go(phone, phone.get_by_role("button", name="Skip this page"))
            phone.get_by_label("Payment code").fill("A-17")
            go(phone, phone.get_by_role("button", name="Leave the code"))
            expect(phone.get_by_role("status")).to_contain_text("Your code is stored")
        page.goto("/pages")
        expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
        page.get_by_role("link", name="Withdraw").click()
        go(page, page.get_by_role("button", name="Delete everything"))
        expect(page.get_by_role("heading", level=1)).to_have_text("You have withdrawn")
        page.go_back()
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("These answers are deleted")


def tab_to(page: Page, target: str, key: str = "Tab") -> None:
    """Press the key until what the selector finds has the focus, which is to be seen."""
    for _ in range(80):
        page.keyboard.press(key)
        if page.evaluate("target => document.activeElement.matches(target)", target):
            seen = page.locator(":focus, :focus + span, :focus ~ label").evaluate_all(
                "all => all.some(one => getComputedStyle(one).outlineStyle !== 'none')"
            )
            assert seen, f"nothing shows that {target} has the focus"
            return
    pytest.fail(f"{target} is not reached with the Tab key")


def press(page: Page, key: str) -> None:
    """A key that leads to a page, which may be the same one."""
    with page.expect_navigation():
        page.keyboard.press(key)


def test_the_whole_way_by_keyboard_alone(browser: Browser, world: World) -> None:
    with visit(browser, world) as page:
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        tab_to(page, "a[href='/consent']")
        press(page, "Enter")
        tab_to(page, "#agree")
        page.keyboard.press("Space")
        press(page, "Enter")
        tab_to(page, "[name=culture]")
        page.keyboard.press("ArrowDown")
        tab_to(page, "[name=affiliation]")
        page.keyboard.press("Space")
        press(page, "Enter")
        tab_to(page, "main .primary")
        press(page, "Enter")

        rater = rater_of(world, page)
        assert (rater.culture, rater.affiliation, rater.blur) == ("nigeria", "member", True)
        task = world.store.tasks(rater)[0]
        tab_to(page, ".reveal")
        page.keyboard.press("Space")
        expect(page.get_by_role("img", name="Image A")).to_have_css("filter", "none")
        tab_to(page, "[name=rank-1]")
        page.keyboard.press("Space")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        tab_to(page, "#down-2")
        press(page, "Enter")
        expect(page.locator("#down-2")).to_be_focused()
        press(page, "Enter")  # once more, from where one is
        tab_to(page, "[name=rank-3]")
        press(page, "Enter")  # saves
        answer = answers(world, page)[0, task.questions[0]]
        assert not answer.draft
        assert [answer.ranks[name] for name in task.order] == [2, 3, 1, 4]
        for _ in task.questions[1:]:
            tab_to(page, "[value=cannot]", "Shift+Tab")  # from the end of the page
            press(page, "Enter")
        for _ in range(2, 6):
            tab_to(page, "[value=skip]", "Shift+Tab")
            press(page, "Space")
        assert page.url.endswith("/end")
        tab_to(page, "footer a[href='/withdraw']", "Shift+Tab")
        press(page, "Enter")
        tab_to(page, ".grave")
        press(page, "Enter")
        assert page.url.endswith("/withdrawn")


def test_from_right_to_left(browser: Browser, world: World) -> None:
    with visit(browser, world, locale="ar", viewport=PHONE) as page:
        page.goto("/")
        page.get_by_role("button", name="English").click()
        expect(page.locator("html")).to_have_attribute("dir", "ltr")
        page.get_by_role("button", name="العربية").click()
        page.get_by_role("link", name="اقرأ ما تعنيه المشاركة").click()
        page.get_by_role("checkbox").check()
        page.get_by_role("button", name="متابعة").click()
        page.get_by_role("radio", name="كوريا").check()
        page.get_by_role("radio", name="أفضّل عدم القول").check()
        page.get_by_role("button", name="ابدأ").click()
        page.get_by_role("link", name="الانتقال إلى الصفحة الأولى").click()
        page.wait_for_url("**/pages/1/*")
        boxes = [page.get_by_role("img", name=f"الصورة {letter}").bounding_box() for letter in "AB"]
        radios = [page.locator(f"[name=rank-1][value='{number}']").bounding_box() for number in (1, 2)]
        for first, second in (boxes, radios):
            assert first is not None
            assert second is not None
            assert first["x"] > second["x"]
        for i in range(1, 5):
            page.locator(f"[name=rank-{i}][value='1']").check()
        page.get_by_role("button", name="حفظ ومتابعة").click()
        expect(page.get_by_role("progressbar")).to_have_attribute("value", "1")
        assert rater_of(world, page).language == "ar"
        (answer,) = answers(world, page).values()
        assert set(answer.ranks.values()) == {1}


def kinds(page: Page, world: World) -> Iterator[str]:
    """Every kind of page, one after another."""
    steps: dict[str, Callable[[], Any]] = {
        "welcome": lambda: page.goto("/"),
        "consent with a fault": lambda: (page.goto("/consent"), _send_unchecked(page, ".panel .primary")),
        "join with faults": lambda: (
            page.locator("#agree").check(),
            go(page, page.locator(".panel .primary")),
            _send_unchecked(page, "form .primary"),
        ),
        "link": lambda: enrol(page),
        "task": lambda: page.goto("/pages/1/offence"),
        "task with faults": lambda: (
            page.locator("[name=offended-1]").check(),
            page.get_by_text("Show image B").click(),
            page.locator("[name=rank-2]").first.check(),
            go(page, page.locator(".actions .primary")),
        ),
        "turned round": lambda: page.goto(f"/pages/{_turned(world, page)}/culture"),
        "end": lambda: [
            (page.goto(f"/pages/{i}/match"), go(page, page.locator("[value=skip]"))) for i in range(1, 6)
        ],
        "end with a fault": lambda: (
            page.locator("#payment").fill("no code at all"),
            go(page, page.locator(".panel button")),
        ),
        "another's link": lambda: page.goto(
            world.app.state.survey_app.signer.resume_link(enrolled_person(world).rater_id(world))
        ),
        "withdraw": lambda: page.goto("/withdraw"),
        "withdrawn": lambda: go(page, page.locator(".grave")),
        "refused": lambda: page.goto("/nowhere"),
        "researcher": lambda: page.goto("/admin"),
        "progress": lambda: (
            page.locator("#token").fill(world.app.state.survey_app.signer.admin_token),
            go(page, page.locator(".primary")),
        ),
    }
    for name, step in steps.items():
        step()
        yield name


def _send_unchecked(page: Page, button: str) -> None:
    """As a browser does that leaves the checking to the server."""
    page.locator(button).evaluate("one => { one.form.noValidate = true; one.click(); }")
    page.get_by_role("alert").wait_for()


def _turned(world: World, page: Page) -> int:
    (task,) = [
        candidate for candidate in world.store.tasks(rater_of(world, page)) if candidate.kind is Kind.reversed
    ]
    return task.position + 1


def grave(page: Page, options: dict[str, Any]) -> list[tuple[str, list[str]]]:
    violations = Axe().run(page, options=options).response["violations"]
    return [
        (violation["id"], [node["html"][:160] for node in violation["nodes"]][:4])
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_page_is_accessible(browser: Browser, world: World, language: str) -> None:
    """Of every kind of page: axe, in light and dark; a narrow screen, where nothing is cut off or too small to hit."""
    faults_by_page: dict[str, Any] = {}
    with visit(browser, world, locale=language, java_script_enabled=True, reduced_motion="reduce") as page:
        for name in kinds(page, world) if language == "en" else arabic_kinds(page):
            faults = grave(page, WCAG)
            page.emulate_media(color_scheme="dark")
            faults += grave(page, CONTRAST)
            page.emulate_media(color_scheme="light")
            for width in (PHONE["width"], NARROW):
                page.set_viewport_size({"width": width, "height": 800})
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    faults.append((f"wider than {width}", page.evaluate(BEYOND)))
                faults += [(f"cut off at {width}", cut) for cut in [page.evaluate(BEYOND)] if cut]
            faults += [("too small", small) for small in [page.evaluate(SMALL)] if small]
            page.set_viewport_size(DESK)
            if faults:
                faults_by_page[name] = faults
    assert faults_by_page == {}


def arabic_kinds(page: Page) -> Iterator[str]:
    """Those that are laid out in ways of their own."""
    enrol(page)
    yield "link"
    page.goto("/pages/1/offence")
    go(page, page.locator(".actions .primary"))
    yield "task with faults"


def test_eight_images_have_room(browser: Browser, world: World) -> None:
    """As many as a survey may set side by side: the page of four with its cards doubled."""
    with visit(browser, world, java_script_enabled=True) as page:
        let_in(page, world, blur="yes")
        page.goto("/pages/1/culture")
        page.evaluate(
            """() => {
                const all = document.querySelector('.pictures');
                all.innerHTML += all.innerHTML;
                for (const scale of all.querySelectorAll('.scale')) scale.innerHTML += scale.innerHTML;
            }"""
        )
        for width in (NARROW, PHONE["width"], 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate(BEYOND) == []
            assert page.evaluate(SMALL) == []


def test_both_ends_of_every_scale_are_labelled_for_eyes_and_ears(browser: Browser, world: World) -> None:
    """Rank 1 is the least offensive image, and rating 1 the most: whoever mixes them up says the opposite."""
    ends = ["1: least offensive", "1: very offensive", "5: not offensive at all"]
    with visit(browser, world) as page:
        let_in(page, world)
        page.goto("/pages/1/offence")
        card = page.get_by_role("group", name="Image A")
        expect(card.get_by_role("group", name=f"Rank ({ends[0]})", exact=True)).to_be_visible()
        expect(
            card.get_by_role("group", name=f"Rating (if you like) ({ends[1]}; {ends[2]})", exact=True)
        ).to_be_visible()
        for label in ends:
            expect(card.locator(".ends").get_by_text(label, exact=True)).to_be_visible()


def test_who_wants_no_blur_sees_at_once(browser: Browser, world: World) -> None:
    with visit(browser, world) as page:
        let_in(page, world)  # a form without the blur's tick
        page.goto("/pages/1/match")
        assert page.locator(".reveal").count() == 0
        expect(page.get_by_role("img", name="Image A")).to_have_css("filter", "none")
        alts = page.get_by_role("img").evaluate_all("all => all.map(one => one.alt)")
        assert alts == [f"Image {letter}" for letter in "ABCD"]
        assert not re.search(r"\b(base|m|mp|mpc)\b", page.content())
