"""Who may do what at which address: every route, every method, every kind of person."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Role, Tenant
from accounts.tokens import pair_for
from devices.models import DeviceType
from telemetry.door import CHALLENGE
from tests import cast as people
from tests.iotplatform.routes import Right, id_in, rights, routes

RIGHTS = rights()
RANK = {
    "anonymous": 0, "disabled": 0, "viewer": 1, "operator": 2, "admin": 3, "stranger": 3, "staff": 4
}  # fmt: skip
NEEDED = {"anyone": 0, **RANK}
CHALLENGES = ('Bearer realm="api"', CHALLENGE)
OF_OTHERS = ("/", "/schema", "/docs")
"""What these refuse is refused in their own form."""


@pytest.fixture
def world(cast: SimpleNamespace, settings: Any, no_streams_left: None) -> SimpleNamespace:
    """The cast, each with a password and an app, and something of t0 at every address."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cast.disabled = people.user("disabled@t0.example", cast.t0, Role.ADMIN)
    cast.apps = {actor: app_of(cast, actor) for actor in RANK}
    cast.disabled.is_active = False
    cast.disabled.save()
    cast.kind = DeviceType.objects.create(name="sensor", tenant=cast.t0)
    cast.message = people.rejected(cast.t0, b'{"temp": 1}')
    cast.refresh_token = pair_for(cast.viewer)["refresh_token"]
    cast.command = people.command(cast.device)
    cast.batch = people.batch(cast.t0)
    people.token(cast.device)
    cast.credential = cast.device.credentials.get()
    settings.ENROLMENT = True
    cast.key, cast.secret = people.enrolment_key(cast.t0, cast.admin)
    Tenant.objects.create(slug="empty", name="Empty")
    return cast


def app_of(cast: SimpleNamespace, actor: str) -> Any:
    if person := getattr(cast, actor, None):
        person.set_password(people.PASSWORD)
        person.save()
    return people.api(person)


def address(world: SimpleNamespace, route: str, actor: str, method: str) -> str:
    """Where the route leads to something of t0."""
    number = world.viewer.pk if route.startswith("/users") else world.message.pk
    # t0 itself cannot be deleted, as there is something in it.
    slug = "empty" if (actor, method) == ("staff", "DELETE") else "t0"
    parts = [("pk", number), ("id", id_in(world, route)), ("slug", slug), ("device_uid", "dev-01")]
    for name, value in parts:
        route = route.replace(f"<{name}>", str(value))
    own = "foreign-01" if actor == "stranger" else "dev-01"
    asked = {"/live/telemetry": f"?devices={own}", "/telemetry/dev-01/series": "?keys=temp"}
    return route + asked.get(route, "")


def body(world: SimpleNamespace, route: str, actor: str) -> Any:
    """What makes sense to send there."""
    user = {"email": "new@t0.example", "password": "battery staple"}
    of_t0 = {"tenant": "t0"} if actor == "staff" else {}
    return {
        "/auth/login": {"email": world.viewer.email, "password": people.PASSWORD},
        "/auth/refresh": {"refresh_token": world.refresh_token},
        "/auth/logout": {"refresh_token": world.refresh_token},
        "/auth/password": {"current_password": people.PASSWORD, "new_password": "battery staple"},
        "/users": user | of_t0,
        "/tenants": {"slug": "new", "name": "New"},
        "/devices": {"device_uid": "new"} | of_t0,
        "/device-types": {"name": "new"},
        "/devices/<device_uid>/command": {"cmd": "reboot"},
        "/commands": {"cmd": "reboot", "all": True} | of_t0,
        "/enroll": {"key": world.secret, "device_uid": "new"},
        "/enrolment-keys": {"name": "new", "quota": 1, "expires_at": "9999-01-01"} | of_t0,
        "/import/devices": [{"device_uid": "foreign-01"}] if actor == "staff" else [],
        "/credentials": {"all": True} | of_t0,
        "/import/credentials": [],
    }.get(route, {})


def expected(right: Right, actor: str, *, is_of_t0: bool) -> str:
    """The kind of answer, as `said` writes it."""
    if right.role == "device":
        return "401"
    if RANK[actor] < NEEDED[right.role]:
        return "403" if RANK[actor] else "401"
    if not right.is_offered:
        return "405"
    return "404" if is_of_t0 and actor == "stranger" else "done"


def said(answer: Any) -> str:
    return "done" if answer.status_code < 400 else str(answer.status_code)


def send(world: SimpleNamespace, route: str, method: str, actor: str) -> Any:
    """The answer to a request that leaves nothing behind."""
    with transaction.atomic():
        answer = world.apps[actor].generic(
            method,
            address(world, route, actor, method),
            json.dumps(body(world, route, actor)),
            "application/json",
        )
        transaction.set_rollback(True)
    return answer


def check_problem(answer: Any, method: str) -> None:
    """An error has its one shape, and the header that belongs to it."""
    assert answer["Content-Type"] == "application/problem+json"
    assert method == "HEAD" or answer.json()["status"] == answer.status_code
    assert answer.status_code != 401 or answer["WWW-Authenticate"] in CHALLENGES
    assert answer.status_code != 405 or method not in answer["Allow"].split(", ")


def test_every_route_is_in_the_table_and_every_line_of_it_is_a_route():
    assert sorted(routes()) == sorted(RIGHTS)


@pytest.mark.parametrize("route", RIGHTS)
def test_everybody_may_do_what_the_table_says_and_nothing_else(world, route):
    for method, right in RIGHTS[route].items():
        # Of what is there, OPTIONS says nothing.
        is_of_t0 = "<" in route and method != "OPTIONS"
        for actor in RANK:
            answer = send(world, route, method, actor)
            wanted = expected(right, actor, is_of_t0=is_of_t0)
            assert said(answer) == wanted, (method, route, actor, answer.content)
            if answer.status_code >= 400 and route not in OF_OTHERS:
                check_problem(answer, method)
