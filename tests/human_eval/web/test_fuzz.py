"""Schemathesis sends what the schema allows, and what it does not: no answer is a fault of ours."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from human_eval.web.survey_client import World, enrolled_person
from scoft_hpc.human_eval.web.admin_views import ADMIN_FORM_OWNER
from scoft_hpc.human_eval.web.rater_sessions import EnrolmentSession

EXAMPLES = 2
"""Of each operation, allowed or not, from somebody and nobody."""
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LAST = ("/leave", "/withdraw", "/admin/logout")
"""These end the session, so they come last."""


@dataclass(frozen=True)
class Sender:
    """Sends cases with cookies, and in forms with the token of whoever the path's forms belong to."""

    world: World
    session: requests.Session
    holders: Mapping[str, str]
    statuses: dict[str, set[int]] = field(default_factory=dict)

    def __call__(self, case: Any) -> None:
        if isinstance(case.body, Mapping):
            holder = next((h for path, h in self.holders.items() if case.path.startswith(path)), "")
            token = self.world.app.state.survey_app.signer.form(
                holder
            )  # without it nothing else would be looked at
            case.body = {**case.body, "csrf": token}
        if "question" in case.path_parameters and self.holders and isinstance(case.body, Mapping):
            case.path_parameters = {"number": "1", "question": "offence"}
        answer = case.call(base_url=self.world.url, session=self.session, allow_redirects=False)
        assert answer.status_code < 500, (case.method, case.path, case.path_parameters, case.body)
        self.statuses.setdefault(f"{case.method} {case.path}", set()).add(answer.status_code)


def visitor(world: World) -> tuple[dict[str, str], dict[str, str]]:
    """The cookies of a rater who is the researcher too and begins anew; whose the forms below a path are."""
    person, links = enrolled_person(world), world.app.state.survey_app.signer
    newcomer = EnrolmentSession("1" * 32, world.app.state.survey_app.consents["en"].version)
    cookies = {**person.client.cookies, "visit": links.visit(newcomer), "admin": links.admin()}
    return cookies, {
        "/admin": ADMIN_FORM_OWNER,
        "/consent": newcomer.id,
        "/join": newcomer.id,
        "/": person.rater_id(world),
    }


@pytest.mark.slow
def test_no_answer_is_a_fault_of_ours(world: World) -> None:
    schema = schemathesis.openapi.from_dict(world.app.openapi())
    operations = [operation.ok() for operation in schema.get_all_operations()]
    assert len(operations) > 20
    cookies, holders = visitor(world)
    with requests.Session() as session, requests.Session() as nobodys:
        session.cookies.update(cookies)
        send, unknown = Sender(world, session, holders), Sender(world, nobodys, {})

        def both(case: Any) -> None:
            nobodys.cookies.clear()
            unknown(case)
            send(case)

        for operation in sorted(operations, key=lambda operation: operation.path in LAST):
            for mode in GenerationMode:
                strategy = operation.as_strategy(generation_mode=mode)
                with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
                    BOUNDED(given(strategy)(both))()  # some take nothing that could be wrong
    for sender, status in ((send, 200), (unknown, 401)):
        assert len(sender.statuses) == len(operations)
        assert sender.statuses["GET /link"] == {status}
