"""Nothing of a tenant reaches another one: whatever a stranger asks, the answer is the same as if
the neighbour did not exist."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.utils import timezone
from rest_framework.utils.urls import replace_query_param

from accounts.models import Role, Tenant, User
from devices.models import Device, DeviceQueue, DeviceType, Enrolment, EnrolmentKey
from tests import cast as people
from tests.cast import NOON, api
from tests.iotplatform.document import operations, schema_of

MARK = "xyzzy"
"""In everything that a neighbour has."""
AN_HOUR = [("from", (NOON - timedelta(hours=1)).isoformat()), ("to", NOON.isoformat())]
VALUES = {
    "search": [MARK, "01", "example"],
    "tenant": [MARK, "other"],
    "type": [MARK, "ours"],
    "label": [MARK, f"site:{MARK}", "site", "site:ours"],
    "keys": [f"{MARK},temp", "temp"],
    "device_uid": [f"{MARK}-01", "ours-01"],
    "limit": ["1", "2"],
    "from": [AN_HOUR[0][1]],
    "to": [AN_HOUR[1][1]],
    "last_seen_after": [NOON.isoformat()],
    "last_seen_before": [NOON.isoformat()],
    "created_after": [NOON.isoformat()],
    "created_before": [NOON.isoformat()],
    "interval": ["5m"],
    "agg": ["avg,count"],
    "device": [f"{MARK}-01", "ours-01"],
    "cmd": [MARK, "ours"],
    "batch": ["00000000-0000-4000-8000-000000000000"],
    "devices": [f"{MARK}-01", "ours-01"],
}
"""What a parameter is tried with, where the document has no list of it."""
LISTS = (
    "/devices",
    "/alerts",
    "/users",
    "/device-types",
    "/rejected",
    "/commands",
    "/command-batches",
    "/enrolment-keys",
)
UNSTABLE = {"id", "created_at", "expires_at", "key"}
"""Of what is made anew, these differ each time."""


@pytest.fixture
def ours(cast: SimpleNamespace, settings: Any, no_streams_left: None) -> SimpleNamespace:
    """What the stranger's tenant has."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    cast.ours = belongings(cast.other, "ours")
    # Nobody looks at its commands, of which that would be said after a while.
    DeviceQueue.objects.update(look_at=timezone.now() + timedelta(hours=1))
    return cast


@contextmanager
def neighbour() -> Iterator[SimpleNamespace]:
    """For as long as the block runs there is another tenant."""
    with transaction.atomic():
        yield belongings(Tenant.objects.create(slug=MARK, name=MARK), MARK)
        transaction.set_rollback(True)


def belongings(tenant: Tenant, word: str) -> SimpleNamespace:
    """One of everything that a tenant can have, with `word` in it."""
    kind = DeviceType.objects.create(name=word, tenant=tenant, fields={word: {"label": word}})
    device = people.device(f"{word}-01", tenant, last_seen_at=NOON, latest={word: [word, 1e12]})
    labels = {"site": word, word: word}
    Device.objects.filter(pk=device.pk).update(type=kind, name=word, labels=labels)
    people.reading(device, NOON - timedelta(minutes=1), **{word: word, "temp": 1})
    people.reading(device, NOON - timedelta(minutes=2), **{word: 2, "temp": 1})
    email = f"{word}@{word}.example"
    user = people.user(email, tenant, Role.OPERATOR, password=people.PASSWORD)
    message = people.rejected(tenant, word.encode(), detail=word, device_uid=device.device_uid)
    people.token(device, user)
    people.alert(device)
    return SimpleNamespace(
        tenant=tenant,
        kind=kind,
        device=device,
        user=user,
        message=message,
        batch=people.batch(tenant, user, cmd=word),
        command=people.command(device, user, cmd=word),
        key=enrolled(device, user, word),
        credential=device.credentials.get(),
    )


def enrolled(device: Device, by: User, word: str) -> EnrolmentKey:
    """A key that the device enrolled with."""
    key = people.enrolment_key(device.tenant, by, name=word, expires_at=NOON).key
    Enrolment.objects.create(device=device, key=key)
    return key


def addresses(*owners: SimpleNamespace) -> list[str]:
    """All that can be read of what `owners` have, with every parameter that the document knows."""
    found = []
    for path, operation in operations("get"):
        for owner in owners:
            start = filled(path, owner)
            found += [f"{start}?{urlencode(query)}" for query in queries(path, operation)]
    found += [f"/commands?batch={owner.batch.pk}" for owner in owners]
    return list(dict.fromkeys(found))


def filled(path: str, owner: SimpleNamespace) -> str:
    number = {
        "/users/{id}": owner.user.pk,
        "/rejected/{id}": owner.message.pk,
        "/commands/{id}": owner.command.id,
        "/command-batches/{id}": owner.batch.pk,
        "/enrolment-keys/{id}": owner.key.pk,
        "/enrolment-keys/{id}/devices": owner.key.pk,
        "/devices/{device_uid}/credentials/{id}": owner.credential.pk,
    }
    parts = {
        "id": number.get(path, owner.kind.pk),
        "slug": owner.tenant.slug,
        "device_uid": owner.device.device_uid,
    }
    return path.format(**parts)


def queries(path: str, operation: dict[str, Any]) -> Iterator[list[tuple[str, str]]]:
    """One parameter at a time, beside those without which the answer would depend on the clock."""
    always = [*AN_HOUR, ("keys", f"temp,{MARK},ours")] if path.endswith("/series") else []
    if path == "/live/telemetry":
        always = [("devices", "ours-01")]
    yield always
    for parameter in operation.get("parameters", []):
        name = parameter["name"]
        if parameter["in"] == "query" and name != "cursor":
            rest = [pair for pair in always if pair[0] != name]
            yield from ([*rest, (name, value)] for value in values(parameter))


def values(parameter: dict[str, Any]) -> list[str]:
    schema = schema_of(parameter)
    if schema.get("type") == "boolean":
        return ["true", "false"]
    return schema.get("enum") or VALUES[parameter["name"]]


def answers(user: User, urls: list[str]) -> dict[str, Any]:
    """Address → status, headers and body; of a list page by page, up to its end."""
    client, found = api(user), {}
    for url in urls:
        while url and url not in found:
            answer = client.get(url)
            body = b"".join(beginning(url, answer)) if answer.streaming else answer.content
            found[url] = (answer.status_code, dict(answer.headers), body.decode())
            url = following(answer)
    return found


def beginning(url: str, answer: Any) -> Any:
    """All that comes, but of a live stream, which has no end (tests/telemetry/live has more)."""
    return islice(answer, 1) if url.startswith("/live/") else answer


def following(answer: Any) -> str:
    url, separator, _ = answer.headers.get("Link", "").partition('>; rel="next"')
    return url.rpartition("<")[2] if separator else ""


def test_what_a_stranger_reads_does_not_depend_on_a_neighbour(ours):
    with neighbour() as theirs:
        urls = addresses(ours.ours, theirs)
        before = answers(ours.stranger, urls)
    assert before == answers(ours.stranger, urls)
    assert {status for status, _, _ in before.values()} == {200, 404}


def test_everything_of_a_neighbour_would_have_been_noticed(ours):
    with neighbour() as theirs:
        urls = addresses(theirs)
        found = answers(ours.staff, urls)
    marked = {url.partition("?")[0] for url, (_, _, body) in found.items() if MARK in body}
    starts = {url.partition("?")[0] for url in urls}
    assert starts - marked == {"/auth/me", "/live/telemetry", "/live/commands"}


def test_a_cursor_of_somebody_else_shows_nothing_of_theirs(ours):
    urls = [f"{path}?limit=1" for path in LISTS]
    with neighbour():
        # Those of staff lead to places between the neighbour's rows.
        urls = [following(api(ours.staff).get(url)) for url in urls]
        before = answers(ours.stranger, urls)
    assert before == answers(ours.stranger, urls)
    assert {status for status, _, _ in before.values()} == {200}


def writes(ours: SimpleNamespace, theirs: SimpleNamespace) -> Iterator[tuple[str, str, Any]]:
    """Whatever a stranger could try with what a neighbour has."""
    device = {"device_uid": "new-01"}
    user = {"email": "new@other.example", "password": "battery staple"}
    yield "POST", "/devices", device | {"type": MARK}
    yield "POST", "/devices", device | {"tenant": MARK}
    yield "PATCH", "/devices/ours-01", {"type": MARK}
    yield "PATCH", f"/devices/{theirs.device.device_uid}", {"name": "mine"}
    yield "DELETE", f"/devices/{theirs.device.device_uid}", {}
    yield "POST", "/device-types", {"name": MARK}
    yield "POST", "/device-types", {"name": MARK, "tenant": MARK}
    yield "PATCH", f"/device-types/{ours.kind.pk}", {"name": MARK}
    yield "PATCH", f"/device-types/{theirs.kind.pk}", {"name": "mine"}
    yield "DELETE", f"/device-types/{theirs.kind.pk}", {}
    yield "POST", "/users", user | {"tenant": MARK}
    yield "PATCH", f"/users/{ours.user.pk}", {"tenant": MARK}
    yield "PATCH", f"/users/{theirs.user.pk}", {"role": "admin"}
    yield "PATCH", f"/tenants/{MARK}", {"name": "Mine"}
    yield "DELETE", f"/tenants/{MARK}", {}
    yield "POST", "/tenants", {"slug": MARK, "name": "Mine"}
    for dry in ("false", "true"):
        yield "POST", f"/import/devices?dry_run={dry}", [device | {"type": MARK}]
        yield "POST", f"/import/devices?dry_run={dry}", [device | {"tenant": MARK}]
    yield "POST", f"/rejected/{theirs.message.pk}/replay", {}
    yield "POST", f"/rejected/{theirs.message.pk}/resolve", {}
    for dry in ("false", "true"):
        url, reboot = f"/commands?dry_run={dry}", {"cmd": "reboot"}
        yield "POST", url, reboot | {"all": True}
        yield "POST", url, reboot | {"tenant": MARK, "all": True}
        yield "POST", url, reboot | {"labels": {MARK: MARK}}
        yield "POST", url, reboot | {"device_uids": ["ours-01", theirs.device.device_uid]}
    yield "POST", f"/devices/{theirs.device.device_uid}/command", {"cmd": "reboot"}
    yield "POST", f"/commands/{theirs.command.id}/cancel", {}
    yield "POST", f"/command-batches/{theirs.batch.pk}/cancel", {}
    yield from credential_writes(ours, theirs)
    key = {"name": "new", "quota": 1, "expires_at": "9999-01-01"}
    yield "POST", "/enrolment-keys", key | {"tenant": MARK}
    yield "POST", "/enrolment-keys", key | {"type": MARK}
    yield "PATCH", f"/enrolment-keys/{theirs.key.pk}", {"quota": 10_000}
    yield "DELETE", f"/enrolment-keys/{theirs.key.pk}", {}
    yield "POST", "/auth/login", {"email": theirs.user.email, "password": "a wrong one"}


def credential_writes(
    ours: SimpleNamespace, theirs: SimpleNamespace
) -> Iterator[tuple[str, str, Any]]:
    uid = theirs.device.device_uid
    yield "POST", f"/devices/{uid}/credentials", {}
    yield "DELETE", f"/devices/{uid}/credentials/{theirs.credential.pk}", {}
    yield "DELETE", f"/devices/ours-01/credentials/{theirs.credential.pk}", {}
    yield "PATCH", f"/devices/{uid}/credentials/{theirs.credential.pk}", {"gateway_for": []}
    yield "PATCH", f"/devices/ours-01/credentials/{theirs.credential.pk}", {"gateway_for": []}
    mine = f"/devices/ours-01/credentials/{ours.credential.pk}"
    yield "PATCH", mine, {"gateway_for": [uid]}
    yield "POST", "/devices/ours-01/credentials", {"gateway_for": [uid]}
    yield "POST", "/credentials", {"tenant": MARK, "all": True}
    yield "POST", "/credentials", {"device_uids": ["ours-01", uid]}
    for dry in ("false", "true"):
        rows = [{"device_uid": uid, "token": "x" * 32}]
        yield "POST", f"/import/credentials?dry_run={dry}", rows


def results(user: User, requests: list[tuple[str, str, Any]]) -> list[Any]:
    """Status, headers and body of each, of which nothing remains."""
    return [(method, url, result(user, method, url, body)) for method, url, body in requests]


def result(user: User, method: str, url: str, body: Any) -> Any:
    with transaction.atomic():
        answer = api(user).generic(method, url, json.dumps(body), "application/json")
        transaction.set_rollback(True)
    made = json.loads(answer.content or "null")
    if answer.status_code in (201, 202):
        made = {name: value for name, value in made.items() if name not in UNSTABLE}
    headers = {name: answer.headers[name] for name in answer.headers if name != "Location"}
    return answer.status_code, made, headers | {"Content-Length": None}


def test_what_a_stranger_writes_does_not_depend_on_a_neighbour(ours):
    with neighbour() as theirs:
        requests = list(writes(ours.ours, theirs))
        before = results(ours.stranger, requests)
    assert before == results(ours.stranger, requests)


def test_pages_for_people_show_nothing_of_a_neighbour(ours):
    browser = people.console(ours.stranger, headers={"Accept": "text/html"})
    with neighbour():
        urls = [url for url in addresses(ours.ours) if MARK not in url]
        pages = {url: browser.get(url) for url in urls}
    read = {url: page.text for url, page in pages.items() if not page.streaming}
    assert not [url for url, text in read.items() if MARK in text]


@pytest.mark.parametrize(
    ("path", "name", "mine"),
    [("/devices", "device_uid", "ours-01"), ("/users", "email", "ours@ours.example")],
)
def test_of_what_is_unique_over_all_tenants_only_that_it_is_taken_is_said(ours, path, name, mine):
    rest = {"password": "battery staple"} if path == "/users" else {}
    with neighbour() as theirs:
        taken = {"device_uid": theirs.device.device_uid, "email": theirs.user.email}[name]
        answer, other = (
            result(ours.stranger, "POST", path, rest | {name: value}) for value in (taken, mine)
        )
    assert answer == other
    assert answer[0] == 409
    assert MARK not in str(answer)


def test_an_import_says_no_more_of_a_device_of_a_neighbour(ours):
    with neighbour() as theirs:
        rows = [{"device_uid": theirs.device.device_uid, "name": "mine"}]
        status, said, _ = result(ours.stranger, "POST", "/import/devices?dry_run=1", rows)
    assert (status, said["report"]["error"]) == (400, 1)
    # The uid itself, which came with the file.
    assert str(said).count(MARK) == 1


def test_what_is_not_there_and_what_belongs_to_others_are_told_apart_by_nobody(ours):
    with neighbour() as theirs:
        for path, _ in operations("get"):
            if "{" not in path:
                continue
            absent = path.format(id=2**40, slug="nobody", device_uid="nobody-01")
            if path.startswith(("/rejected", "/command")):
                absent = path.format(id="00000000-0000-4000-8000-000000000000")
            there, not_there = filled(path, theirs), absent
            if path.endswith("/series"):
                there, not_there = (replace_query_param(u, "keys", "temp") for u in (there, absent))
            one, other = (api(ours.stranger).get(url) for url in (there, not_there))
            assert (one.status_code, one.content) == (404, other.content), path


def test_a_wrong_password_and_an_unknown_person_get_the_same_answer(ours):
    bodies = [
        {"email": email, "password": "a wrong one"}
        for email in (ours.ours.user.email, "nobody@other.example", ours.viewer.email)
    ]
    said = [api(None).post("/auth/login", body) for body in bodies]
    assert {(answer.status_code, answer.content) for answer in said} == {(401, said[0].content)}
