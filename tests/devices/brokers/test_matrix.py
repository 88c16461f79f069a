"""The table of access, tried by everybody at a real Mosquitto that was told of all devices."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.brokers import changes
from devices.brokers.mosquitto import plans
from devices.brokers.mosquitto.accounts import acls_of
from devices.daemon.services import services
from devices.mqtt.rights import Action, Right
from tests.devices.brokers import fleet
from tests.devices.brokers.judge import WITNESS, Judge, logins
from tests.devices.brokers.matrix import ACTORS, CONTROL
from tests.servers import Mosquitto
from tests.wire import V5, V311, Wire

pytestmark = [pytest.mark.mosquitto, pytest.mark.django_db]

EVERYTHING = ("publishClientSend", "publishClientReceive", "subscribePattern")


def account(username: str) -> dict[str, Any]:
    salt = os.urandom(12)
    password = hashlib.pbkdf2_hmac("sha512", WITNESS[1].encode(), salt, 101)
    kept = {"password": base64.b64encode(password), "salt": base64.b64encode(salt)}
    texts = {name: value.decode() for name, value in kept.items()}
    return {"username": username, **texts, "iterations": 101, "roles": [{"rolename": "witness"}]}


def knowing_witnesses(path: Path) -> Path:
    """The file of a broker that knows only the witnesses, who may do everything."""
    topics = ("#", "$CONTROL/#")
    acls = [
        {"acltype": acltype, "topic": topic, "priority": 0, "allow": True}
        for acltype in EVERYTHING
        for topic in topics
    ]
    known = {
        "defaultACLAccess": dict.fromkeys((*EVERYTHING, "subscribe"), False),
        "clients": [account("witness"), account("witness-2")],
        "roles": [{"rolename": "witness", "acls": acls}],
    }
    path.write_text(json.dumps(known))
    path.chmod(0o600)
    return path


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    file = knowing_witnesses(tmp_path / "dynamic-security.json")
    with Mosquitto(tmp_path, dynamic_security=file) as broker:
        yield broker.port


@pytest.fixture
def tokens(cast, settings, port) -> dict[str, str]:
    fleet.configure(settings, "mosquitto")
    made = fleet.tokens(cast)
    tell(port, commands())
    return made


def commands() -> list[Any]:
    """What the platform says for its own services and for every device that it has to tell of."""
    own = [
        plans.of_service(service, None, None, knows_password=False).commands
        for service in services()
    ]
    devices = [plans.of_device(change, None, None).commands for change in changes.claim(100)]
    return [each for some in (*own, *devices) for each in some]


def tell(port: int, said: list[Any]) -> None:
    with Wire(port, V5) as witness:
        assert witness.connect("teller", *WITNESS) == 0
        assert witness.publish(CONTROL, json.dumps({"commands": said}).encode()) in (0, 0x10)


@pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
def test_everybody_reaches_what_is_theirs_and_nothing_else(port, tokens, version):
    judge = Judge(port, version)
    for name, login in logins(tokens).items():
        assert judge.is_let_in(login) == ACTORS[name].is_let_in, name
        assert judge.findings(ACTORS[name], login) == [], name
    judge.close()


@pytest.mark.parametrize(
    "right",
    [
        Right(Action.PUBLISH, "t0/devices/dev-02/status"),
        Right(Action.SUBSCRIBE, "t0/devices/+/commands"),
        Right(Action.PUBLISH, CONTROL),
    ],
    ids=str,
)
def test_the_judge_sees_a_right_too_many(port, tokens, right):
    more = acls_of([right])
    acls = [each.as_json() for each in more]
    role = {"command": "createRole", "rolename": "too-much", "acls": acls}
    given = {"command": "addClientRole", "username": "dev-01", "rolename": "too-much"}
    tell(port, [role, given])
    judge = Judge(port, V311)
    assert judge.findings(ACTORS["device"], logins(tokens)["device"])
    judge.close()


def test_the_judge_sees_a_right_too_few(port, tokens):
    tell(port, [{"command": "modifyRole", "rolename": "device:dev-01", "acls": []}])
    judge = Judge(port, V311)
    assert judge.findings(ACTORS["device"], logins(tokens)["device"])
    judge.close()
