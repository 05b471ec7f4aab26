"""A rater's pages over HTTP: every answer is stored when it is given, and repeated requests do no harm."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from human_eval.web.survey_client import (
    PROMPTS,
    RANKS,
    Person,
    World,
    enrolled_person,
    path_of,
    stored_answer,
    tasks,
)
from scoft_hpc.human_eval.answers import RaterAnswer
from scoft_hpc.human_eval.judgements import Kind
from surveys import SYSTEMS
from waiting import ANSWER_PATIENCE


def test_from_welcome_to_thanks(world: World, rater: Person) -> None:
    own_tasks = tasks(world, rater)
    rater.open("/pages")
    for task in own_tasks:
        for question in task.questions:
            assert rater.page.url.path == path_of(task, question)
            assert task.page.prompt in rater.page.text
            assert re.findall(r'src="/images/([^"]+)"', rater.page.text) == list(task.order)
            assert ("turned round" in rater.page.text) == (task.kind is Kind.reversed)
            rater.send(**RANKS)
    assert rater.page.url.path == "/end"
    stored_rater = world.store.rater(rater.rater_id(world))
    assert stored_rater is not None
    answers = world.store.answers(stored_rater)
    assert len(answers) == len(own_tasks) * 4
    for task in own_tasks:
        for question in task.questions:
            answer = answers[task.position, question]
            assert answer.ranks == {name: i for i, name in enumerate(task.order, 1)}
            assert not answer.draft
            assert answer.seconds > 0


def test_the_order_is_the_raters_own(world: World) -> None:
    orders = set()
    for _ in range(4):
        person = enrolled_person(world)
        task = tasks(world, person)[0]
        orders.add(tuple(world.key[name] for name in task.order))
    assert len(orders) > 1


def test_everything_in_a_form_is_stored(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "offence"))
    reason = "<script>alert(1)</script>'; DROP TABLE answers; -- \u202e مرحبا"
    rater.send(**RANKS, rating_1="5", rating_3="1", offended_2="yes", reason_2=reason)
    answer = stored_answer(world, rater, task, "offence")
    assert answer is not None
    assert answer.ratings == {task.order[0]: 5, task.order[2]: 1}
    assert answer.offended == {task.order[1]: reason}
    page = rater.open(path_of(task, "offence")).text
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#39;; DROP TABLE" in page
    assert len(re.findall(r'name="(?:rank|rating|offended)-\d" value="\w+" checked', page)) == 7


def test_ties_are_accepted_and_the_last_answer_wins(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    first, second = (
        Person(world.client(cookies=rater.client.cookies), rater.page),
        Person(world.client(cookies=rater.client.cookies), rater.page),
    )
    for tab in (first, second):
        tab.open(path_of(task, "match"))
    first.send(rank_1="1", rank_2="1", rank_3="2", rank_4="2")
    second.send(**RANKS)
    first.open(path_of(task, "match"))
    first.send(rank_1="2", rank_2="2", rank_3="2", rank_4="2")
    answer = stored_answer(world, rater, task, "match")
    assert answer is not None
    assert set(answer.ranks.values()) == {2}
    judged = [judgement for judgement in world.store.judgements() if judgement.rater == _number(world, rater)]
    assert len(judged) == 1


def test_a_double_click_enrols_and_answers_once(world: World) -> None:
    with world.client() as client, ThreadPoolExecutor(6) as threads:
        person = Person(client, httpx.Response(200))
        person.open("/consent")
        person.send(agree="yes")
        before = sum(item.enrolled for item in world.store.progress())
        body = {"csrf": person.token(), "culture": "korea", "affiliation": "lived"}
        cookies = dict(client.cookies)
        enrolments = list(
            threads.map(
                lambda _: httpx.post(
                    f"{world.url}/join", data=body, cookies=cookies, timeout=ANSWER_PATIENCE
                ),
                range(6),
            )
        )
        assert [item.status_code for item in enrolments] == [303] * 6
        assert (
            len({world.app.state.survey_app.signer.rater(item.cookies["session"]) for item in enrolments})
            == 1
        )
        assert sum(item.enrolled for item in world.store.progress()) == before + 1
        client.cookies = enrolments[0].cookies
        task = tasks(world, person)[0]
        person.open(path_of(task, "culture"))
        body = {"csrf": person.token(), **{f"rank-{i}": str(i) for i in range(1, 5)}}
        submissions = list(
            threads.map(
                lambda _: httpx.post(
                    f"{world.url}{path_of(task, 'culture')}",
                    data=body,
                    cookies=client.cookies,
                    timeout=ANSWER_PATIENCE,
                ),
                range(6),
            )
        )
        assert {item.status_code for item in submissions} == {303}
        assert len([item for item in world.store.judgements() if item.rater == _number(world, person)]) == 1


def test_missing_ranks_are_reported_and_the_others_are_stored(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "match"))
    page = rater.send(rank_2="1", rating_2="4")
    assert page.status_code == 200
    assert page.url.query == b"missing=yes"
    assert re.findall(r'<li><a href="#(rank-\d)">Image (\w) has no rank yet', page.text) == [
        ("rank-1", "A"),
        ("rank-3", "C"),
        ("rank-4", "D"),
    ]
    assert 'role="alert"' in page.text
    assert page.text.count(" checked") == 2
    answer = stored_answer(world, rater, task, "match")
    assert answer is not None
    assert answer.draft
    assert answer.ranks == {task.order[1]: 1}
    assert rater.open("/pages").url.path == path_of(task, task.questions[0])  # still open


@pytest.mark.parametrize(
    ("ranks", "move", "expected"),
    [
        ({}, "up-2", [2, 1, 3, 4]),
        ({}, "up-1", [1, 2, 3, 4]),
        ({}, "down-4", [1, 2, 3, 4]),
        ({"rank_4": "1"}, "down-4", [1, 3, 4, 2]),
        ({"rank_1": "3"}, "down-2", [3, 2, 1, 4]),
        ({"rank_1": "1", "rank_2": "1", "rank_3": "3", "rank_4": "4"}, "up-3", [1, 1, 2, 4]),
        ({"rank_1": "1", "rank_2": "1", "rank_3": "3", "rank_4": "4"}, "up-4", [1, 1, 4, 3]),
        ({"rank_1": "1", "rank_2": "2", "rank_3": "2", "rank_4": "4"}, "down-1", [2, 1, 1, 4]),
    ],
)
def test_moves(world: World, rater: Person, ranks: dict[str, str], move: str, expected: list[int]) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "match"))
    page = rater.send(**ranks, do=move, shown=["A", "C"], rating_1="3")
    assert str(page.url) == f"{world.url}{path_of(task, 'match')}?shown=AC#{move}"
    assert f'id="{move}"' in page.text
    answer = stored_answer(world, rater, task, "match")
    assert answer is not None
    assert answer.draft
    assert [answer.ranks[name] for name in task.order] == expected
    assert answer.ratings == {task.order[0]: 3}
    assert not [
        judgement for judgement in world.store.judgements() if judgement.rater == _number(world, rater)
    ]


def test_a_move_of_a_confirmed_answer_stays_confirmed(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "match"))
    rater.send(**RANKS)
    rater.open(path_of(task, "match"))
    rater.send(**RANKS, do="down-1")
    answer = stored_answer(world, rater, task, "match")
    assert answer is not None
    assert not answer.draft
    assert [answer.ranks[name] for name in task.order] == [2, 1, 3, 4]


def test_back_keeps_what_was_begun(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    first, second = task.questions[:2]
    rater.open(path_of(task, second))
    assert rater.send(do="back", rank_1="3").url.path == path_of(task, first)
    answer = stored_answer(world, rater, task, second)
    assert answer is not None
    assert answer.draft
    assert answer.ranks == {task.order[0]: 3}


@pytest.mark.parametrize("do", ["save", "back", "up-3"])
def test_an_old_tab_takes_no_answer_back(world: World, rater: Person, do: str) -> None:
    """It was opened before the answer was given elsewhere, and lacks ranks."""
    task = tasks(world, rater)[0]
    second = task.questions[1]
    rater.open(path_of(task, second))
    old_tab = Person(rater.client, rater.page)
    rater.send(rank_1="4", rank_2="3", rank_3="2", rank_4="1")
    old_tab.send(do=do, rank_1="1")
    answer = stored_answer(world, rater, task, second)
    assert answer is not None
    assert not answer.draft
    assert [answer.ranks[name] for name in task.order] == ([4, 3, 1, 2] if do == "up-3" else [4, 3, 2, 1])
    if do == "save":
        assert "Your answer is kept. You may change it" in old_tab.page.text
        assert old_tab.page.text.count(" checked") == 4


def test_who_cannot_judge_says_so_and_may_change_it(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    first, second = task.questions[:2]
    rater.open(path_of(task, first))
    assert rater.send(do="cannot", rank_1="1").url.path == path_of(task, second)
    assert stored_answer(world, rater, task, first) == RaterAnswer(
        {}, {}, {}, cannot_judge=True, seconds=pytest.approx(0, abs=60)
    )
    page = rater.open(path_of(task, first))
    assert "You said that you cannot judge this" in page.text
    rater.send(do="back")
    answer = stored_answer(world, rater, task, first)
    assert answer is not None
    assert answer.cannot_judge
    rater.open(path_of(task, first))
    rater.send(**RANKS)
    answer = stored_answer(world, rater, task, first)
    assert answer is not None
    assert not answer.cannot_judge


def test_a_page_is_skipped_and_found_again(world: World, rater: Person) -> None:
    own_tasks = tasks(world, rater)
    rater.open("/pages")
    for task in own_tasks:
        assert rater.page.url.path == path_of(task, task.questions[0])
        rater.send(do="skip")
    assert rater.page.url.path == "/end"
    assert "Pages that you skipped: 5" in rater.page.text
    rater.open(path_of(own_tasks[2], own_tasks[2].questions[0]))
    assert "You skipped this page" in rater.page.text
    rater.send(**RANKS)
    assert rater.open("/pages").url.path == path_of(own_tasks[2], own_tasks[2].questions[1])


def test_a_turned_question_is_put_the_other_way_and_asks_for_no_rating(world: World, rater: Person) -> None:
    (task,) = [candidate for candidate in tasks(world, rater) if candidate.kind is Kind.reversed]
    page = rater.open(path_of(task, "culture")).text
    assert "Which image represents the culture of Korea worst?" in page
    assert re.search(r"<strong>Attention: this question is turned round. Here rank 1 is the worst", page)
    assert 'name="rating-1"' not in page
    rater.send(**RANKS, rating_1="5")
    answer = stored_answer(world, rater, task, "culture")
    assert answer is not None
    assert answer.ratings == {}


def test_the_link_goes_on_on_another_device(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, task.questions[0]))
    rater.send(**RANKS)
    link = re.search(r"(http://\S+/resume/[^<\s]+)</textarea>", rater.open("/link").text)
    assert link is not None
    with world.client() as other:
        page = other.get(link[1], follow_redirects=True)
        assert page.url.path == path_of(task, task.questions[1])
        assert page.history[0].headers["referrer-policy"] == "no-referrer"


def test_a_link_takes_over_no_session_unasked(world: World, rater: Person) -> None:
    own_id, other_id = rater.rater_id(world), enrolled_person(world).rater_id(world)
    link = world.app.state.survey_app.signer.resume_link(other_id)
    assert rater.open(link).status_code == 409
    assert rater.client.post(link, data={"csrf": "forged"}).status_code == 403
    assert rater.rater_id(world) == own_id
    rater.open(link)
    assert rater.send().url.path.startswith("/pages/")
    assert rater.rater_id(world) == other_id
    assert rater.open(link).url.path.startswith("/pages/")  # one's own asks nothing


def test_settings_are_stored_and_follow_the_link(world: World, rater: Person) -> None:
    assert rater.page.text.count('<html lang="en" dir="ltr">') == 1
    page = rater.send("/settings", language="ar")
    assert "حُفظت إعداداتك" in page.text
    assert '<html lang="ar" dir="rtl">' in page.text
    stored_rater = world.store.rater(rater.rater_id(world))
    assert stored_rater is not None
    assert (stored_rater.language, stored_rater.blur) == ("ar", False)
    with world.client() as other:
        page = other.get(
            world.app.state.survey_app.signer.resume_link(stored_rater.id), follow_redirects=True
        )
        assert 'dir="rtl"' in page.text
        assert 'class="reveal"' not in page.text
    rater.send("/settings", blur="yes")
    assert 'class="reveal"' in rater.open("/pages").text


def test_who_withdraws_is_gone(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "match"))
    rater.send(**RANKS)
    number, rater_id = _number(world, rater), rater.rater_id(world)
    other = Person(world.client(cookies=rater.client.cookies), rater.page)
    other.open(path_of(task, "match"))
    old_tab = Person(world.client(cookies=rater.client.cookies), other.page)
    rater.open("/withdraw")
    assert world.store.rater(rater_id) is not None
    body, cookies = {"csrf": rater.token()}, dict(rater.client.cookies)
    assert rater.send().url.path == "/withdrawn"
    assert world.store.rater(rater_id) is None
    repeated = world.client(cookies=cookies).post("/withdraw", data=body)  # a double click
    assert (repeated.status_code, repeated.headers["location"]) == (303, "/withdrawn")
    assert number not in {judgement.rater for judgement in world.store.judgements()}
    for device in (other, rater):
        assert device.open("/pages").status_code == 410
        assert "has withdrawn" in device.page.text
    assert old_tab.send(**RANKS).status_code == 410
    assert old_tab.client.get(f"/images/{task.order[0]}").status_code == 410
    assert (
        world.app.state.survey_app.tasks.cache_info().currsize == 0
    )  # what they told of themselves is in no memory
    assert rater.client.get(world.app.state.survey_app.signer.resume_link(rater_id)).status_code == 410
    assert rater.open("/consent").status_code == 200  # somebody else may begin here


def test_a_rater_who_withdraws_during_a_request_gets_an_error_page(
    world: World, rater: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_rater = world.store.rater(rater.rater_id(world))
    assert stored_rater is not None
    with monkeypatch.context() as patched:  # another tab is faster than this one
        patched.setattr(world.store, "rater", lambda _: stored_rater)
        world.store.withdraw(stored_rater)
        world.app.state.survey_app.tasks.cache_clear()
        assert [rater.open(path).status_code for path in ("/pages", "/end", "/pages/1/match")] == [410] * 3


def test_payment_codes_are_stored_apart(world: World, rater: Person) -> None:
    world.store.forget_payments()
    assert rater.open("/end").url.path.startswith("/pages/")  # not there yet
    for _ in tasks(world, rater):
        rater.send(do="skip")
    assert rater.page.url.path == "/end"
    assert rater.send("/payment", payment="no spaces, please").status_code == 422
    assert 'value="no spaces, please"' in rater.page.text
    assert "Your code is stored" in rater.send("/payment", payment=" A-17.b ").text
    assert "You have left a code before" in rater.send("/payment", payment="B-18").text
    assert world.store.payments() == ["A-17.b"]


def test_another_person_may_use_the_device(world: World, rater: Person) -> None:
    rater.open("/")
    assert "You have already begun on this device" in rater.page.text
    rater.send("/leave")
    assert "session" not in rater.client.cookies
    assert rater.open("/pages").status_code == 401
    assert rater.open("/consent").status_code == 200


def test_consent_is_given_and_its_version_stored(world: World) -> None:
    with world.client() as client:
        person = Person(client, httpx.Response(200))
        assert person.open("/join").url.path == "/consent"
        assert "checked" not in person.page.text
        version = re.search(r"Version of this text: (en-[0-9a-f]{12})", person.page.text)
        assert version is not None
        assert "IRB 2026/17" in person.page.text
        assert "survey@example.org" in person.page.text
        assert person.send().status_code == 422
        assert "please tick" in person.page.text
        person.send(agree="yes")
        assert person.page.url.path == "/join"
        assert person.send(culture="atlantis").status_code == 422
        assert "Please choose a culture." in person.page.text
        assert "you may prefer not to say" in person.page.text
        assert person.send(culture="korea", affiliation="described", own_words="x" * 501).status_code == 422
        person.send(culture="korea", affiliation="described", own_words="my grandmother’s <b>home</b>")
        stored_rater = world.store.rater(person.rater_id(world))
        assert stored_rater is not None
        assert (stored_rater.consent, stored_rater.own_words) == (version[1], "my grandmother’s <b>home</b>")
        assert (stored_rater.language, stored_rater.blur) == ("en", False)
        for path in ("/consent", "/join"):  # the back button
            assert person.open(path).url.path.startswith("/pages/")


def test_prompts_of_the_chosen_culture_alone(world: World) -> None:
    person = enrolled_person(world, "nigeria")
    prompts = {task.page.prompt for task in tasks(world, person)}
    assert prompts <= {f"{prompt} in nigeria" for prompt in PROMPTS}
    assert "the culture of Nigeria" in person.open(path_of(tasks(world, person)[0], "culture")).text


def test_nothing_reveals_which_system_drew_an_image(world: World, rater: Person) -> None:
    """Of all that a rater can see, only the images themselves depend on the system."""
    secret = [*SYSTEMS, *(run for page in world.pages for run in [p.run_id for p in page.images])]
    headers = set()
    for task in tasks(world, rater):
        for question in task.questions:
            page = rater.open(path_of(task, question))
            text = re.sub(r"/images/\w+\.png", "", page.text) + repr(page.headers)
            tokens = set(re.findall(r"[\w-]+", text))
            assert not tokens & set(secret)
        for name in task.order:
            response = rater.client.get(f"/images/{name}")
            assert response.content.startswith(b"\x89PNG")
            fixed = {k: v for k, v in response.headers.items() if k not in ("date", "content-length")}
            headers.add(tuple(sorted(fixed.items())))
    (only,) = headers
    assert not {"etag", "last-modified"} & {name for name, _ in only}


def _number(world: World, person: Person) -> int:
    stored_rater = world.store.rater(person.rater_id(world))
    assert stored_rater is not None
    return stored_rater.number
