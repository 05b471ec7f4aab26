"""The researcher's page: behind its token, with the numbers of cultures and payment codes, without any rater."""

from __future__ import annotations

import httpx

from human_eval.web.survey_client import Person, World, enrolled_person


def admin(world: World) -> Person:
    person = Person(world.client(), httpx.Response(200))
    person.open("/admin")
    person.page = person.client.post(
        "/admin/login", data={"token": world.app.state.survey_app.signer.admin_token}, follow_redirects=True
    )
    return person


def test_nothing_without_the_token(world: World) -> None:
    client = world.client()
    assert "Token, as the command printed it" in client.get("/admin").text
    for token in ("", "x" * 40, "é", world.app.state.survey_app.signer.admin_token[:-1]):
        response = client.post("/admin/login", data={"token": token})
        assert response.status_code == 403
        assert "This is not the token" in response.text
    for cookies in ({}, {"admin": "admin"}, {"admin": world.app.state.survey_app.signer.session("admin")}):
        visitor = world.client(cookies=cookies)
        assert "<table" not in visitor.get("/admin").text
        assert visitor.get("/admin/payments.csv").status_code == 403
        for path in ("/admin/payments/forget", "/admin/logout"):
            form = {"csrf": world.app.state.survey_app.signer.form("admin")}
            assert visitor.post(path, data=form).status_code == 403


def test_the_token_opens_it_until_signed_out(world: World) -> None:
    researcher = admin(world)
    assert "<h1>Progress</h1>" in researcher.page.text
    response = researcher.page.history[0]
    assert "HttpOnly" in response.headers["set-cookie"]
    assert "SameSite=strict" in response.headers["set-cookie"]
    researcher.send("/admin/logout")
    assert "<table" not in researcher.page.text


def test_progress_by_culture_and_no_rater(world: World) -> None:
    person = enrolled_person(world, "nigeria", own_words="")
    person.open("/pages")
    person.send(**{f"rank_{i}": "1" for i in range(1, 5)})
    page = admin(world).page.text
    (progress,) = [panel for panel in world.store.progress() if panel.culture == "nigeria"]
    cells = (
        progress.quota,
        progress.quota - progress.enrolled,
        progress.enrolled,
        progress.finished,
        progress.answers,
    )
    assert '<th scope="row">nigeria</th>' + "".join(f"<td>{cell}</td>" for cell in cells) in page
    assert person.rater_id(world) not in page


def test_payment_codes_are_downloaded_and_deleted(world: World) -> None:
    world.store.forget_payments()
    for code in ("B-2", "-1.A"):
        person = enrolled_person(world)
        stored_rater = world.store.rater(person.rater_id(world))
        assert stored_rater is not None
        world.store.pay(stored_rater, code)
    researcher = admin(world)
    csv = researcher.client.get("/admin/payments.csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.headers["cache-control"] == "no-store"
    assert csv.text.split() == ["payment_id", "'-1.A", "B-2"]
    for body, status in (({"csrf": "forged", "sure": "yes"}, 403), ({"csrf": researcher.token()}, 422)):
        assert researcher.client.post("/admin/payments/forget", data=body).status_code == status
    assert len(world.store.payments()) == 2
    assert "The payment codes are deleted" in researcher.send("/admin/payments/forget", sure="yes").text
    assert world.store.payments() == []
    assert "Delete all" not in researcher.page.text
