"""sync_broker: what somebody or something did to the broker's accounts is found, and mended."""

import json
import re
import stat
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from devices.brokers import carrier as carriers
from devices.brokers import sync
from devices.brokers.mosquitto import live
from devices.brokers.mosquitto.book import Book
from devices.models import BrokerChange, Device
from tests import cast as people
from tests.devices.brokers.fleet import SERVICES
from tests.devices.brokers.mosquitto.telling import Inline, is_let_in, said, state, tell
from tests.servers import Mosquitto, free_port, plugin
from tests.wire import Wire

pytestmark = pytest.mark.django_db
DISPATCHER = "dispatcher@platform"
CONF = "deploy/mosquitto/mosquitto.conf"
IN_ORDER = "The broker is as the database says.\n"
OTHERS = (
    "left alone, since not ours: 1 (admin). They reach whatever their roles allow: delete those "
    "that you do not know (mosquitto_ctrl dynsec deleteClient)."
)


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(sync, "Writer", Inline)
    monkeypatch.setattr(carriers, "listen", lambda *_: carriers.nothing())


@pytest.fixture
def running(broker, dev):
    """A broker that knows only what this test's database does."""
    devices = [name for name in state().accounts if "@" not in name]
    said(*({"command": "deleteClient", "username": name} for name in devices))
    run()
    return broker


@pytest.fixture
def file(access, tmp_path):
    """Where there is no file yet, and no broker either."""
    access.MQTT_HOST, access.MQTT_PORT = "127.0.0.1", free_port()
    return tmp_path / "dynamic-security.json"


def run(*arguments):
    """What the command says, and how it ends."""
    out = StringIO()
    try:
        call_command("sync_broker", *map(str, arguments), stdout=out)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


def known(device):
    """A token of a device, which the broker knows."""
    token = people.token(device)
    tell()
    return token


@pytest.mark.mosquitto
def test_a_broker_in_order_is_left_alone(running, dev):
    known(dev)
    assert run() == (IN_ORDER, 0)
    assert run("--dry-run") == (IN_ORDER, 0)


@pytest.mark.mosquitto
def test_sabotage_is_found_shown_and_undone(running, cast, dev):
    devices = [dev, *(people.device(f"{dev.device_uid}-{n}", cast.t0) for n in range(5))]
    tokens = [known(each) for each in devices]
    uids = free, widened, grouped, off, deleted, unknown = [each.device_uid for each in devices]
    Device.objects.filter(device_uid=off).update(is_enabled=False)
    Device.objects.filter(device_uid=deleted).delete()
    everything = {"acltype": "publishClientSend", "topic": "#", "allow": True}
    said(
        {"command": "modifyClient", "username": free, "clientid": "any"},
        {"command": "modifyRole", "rolename": f"device:{widened}", "acls": [everything]},
        {"command": "createRole", "rolename": "evil", "acls": [everything]},
        {"command": "createGroup", "groupname": "evil", "roles": [{"rolename": "evil"}]},
        {"command": "addGroupClient", "groupname": "evil", "username": grouped},
        {"command": "deleteClient", "username": unknown},
        {"command": "createClient", "username": "admin", "password": "theirs"},
    )
    expected = [
        f"given its rights: 1 ({widened})",
        f"corrected: 2 ({free}, {grouped})",
        f"disabled: 1 ({off})",
        f"removed: 1 ({deleted})",
        f"stripped of rights: 1 ({unknown})",
        f"in need of a new token: 1 ({unknown})",
        OTHERS,
    ]
    text, code = run("--dry-run")
    assert sorted(text.replace("to be ", "").splitlines()) == sorted(expected)
    assert code == 2
    text, code = run()
    assert sorted(text.splitlines()) == sorted(expected)
    assert code == 2
    assert [is_let_in(running, *each) for each in zip(uids, tokens, strict=True)] == [
        *(True, True, True),
        *(False, False, False),
    ]
    assert run()[0].splitlines() == expected[-2:]


@pytest.mark.mosquitto
def test_services_and_what_holds_without_a_role_are_put_right(running):
    acls = [{"acltype": "publishClientSend", "allow": True}]
    said(
        {"command": "setDefaultACLAccess", "acls": acls},
        {"command": "modifyRole", "rolename": "service:ingestor@platform", "acls": []},
        {"command": "deleteClient", "username": "ingestor@platform"},
        {"command": "createRole", "rolename": "more", "acls": []},
    )
    # Whom that is about is put off.
    with pytest.raises(ExceptionGroup, match="unhandled"):
        said({"command": "addClientRole", "username": DISPATCHER, "rolename": "more"})
    text, code = run()
    assert (text, code) == (
        "corrected: 2 (what holds without a role, dispatcher@platform)\n"
        "added: 1 (ingestor@platform)\n",
        0,
    )
    assert is_let_in(running, "ingestor@platform", SERVICES["ingestor@platform"])
    assert run() == (IN_ORDER, 0)


@pytest.mark.mosquitto
def test_it_reads_page_by_page(running, cast, monkeypatch):
    monkeypatch.setattr(live, "PAGE", 2)
    for number in range(4):
        known(people.device(f"page-{number}", cast.t0))
    assert {f"page-{number}" for number in range(4)} <= set(state().accounts)
    assert run("--dry-run") == (IN_ORDER, 0)


@pytest.mark.mosquitto
def test_a_new_token_that_nobody_told_the_broker_yet_comes_with_it(running, dev):
    token = people.token(dev)
    assert run() == (f"added: 1 ({dev.device_uid})\n", 0)
    assert is_let_in(running, dev.device_uid, token)


@pytest.mark.mosquitto
def test_debians_mosquitto_starts_with_our_configuration_and_file_and_is_closed(
    file, access, dev, tmp_path
):
    token = people.token(dev)
    run("--file", file)
    ours = {
        "listener": f"{access.MQTT_PORT} 127.0.0.1",
        "plugin": plugin(),
        "plugin_opt_config_file": file,
        "persistence_location": f"{tmp_path}/",
    }
    lines = Path(CONF).read_text()
    for option, value in ours.items():
        lines, count = re.subn(rf"(?m)^{option} .*$", f"{option} {value}", lines)
        assert count == 1
    broker = As(tmp_path, access.MQTT_PORT, f"user root\n{lines}")
    access.MQTT_PLATFORM_PORT = access.MQTT_PORT
    with broker:
        assert is_let_in(broker, dev.device_uid, token)
        assert is_let_in(broker, "ingestor@platform", SERVICES["ingestor@platform"])
        with Wire(broker.port) as nobody:
            assert nobody.connect("nobody") != 0
        # It knows the tokens, so there is nothing to write, and nothing kept here any more.
        before = file.stat().st_mtime_ns
        assert [told.error for told in tell()] == [""]
        assert file.stat().st_mtime_ns == before
        assert not BrokerChange.objects.exists()
        with pytest.raises(CommandError, match="would overwrite the file"):
            run("--file", file)
    assert "Error" not in broker.log.read_text()


class As(Mosquitto):
    """Debian's mosquitto with a whole configuration."""

    def __init__(self, directory, port, configuration):
        super().__init__(directory)
        self.port = port
        self._configuration = configuration

    def _lines(self):
        return [self._configuration]


def test_the_first_file_has_the_services_and_the_new_tokens_and_is_nobody_elses(file, dev):
    token = people.token(dev)
    text, code = run("--file", file)
    assert (text, code) == (
        f"added: 3 (ingestor@platform, dispatcher@platform, {dev.device_uid})\n",
        0,
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    book = Book(json.loads(file.read_text()))
    assert book.knows_password(dev.device_uid, token)
    assert all(book.knows_password(*each) for each in SERVICES.items())
    assert token not in file.read_text()
    assert list(file.parent.iterdir()) == [file]
    assert BrokerChange.objects.get().token == token


def test_the_file_changes_only_where_it_is_not_as_the_database_says(file, access, dev):
    people.token(dev)
    run("--file", file)
    content = json.loads(file.read_text()) | {"of a later version": 1}
    content["clients"].append({"username": "admin", "password": "x", "salt": "", "later": 1})
    file.write_text(json.dumps(content))
    assert run("--file", file) == (f"{OTHERS}\n", 0)
    assert json.loads(file.read_text()) == content
    access.MQTT_INGEST_PASSWORD = "another password of the ingestor"
    assert run("--file", file, "--dry-run")[1] == 2
    assert json.loads(file.read_text()) == content
    assert "corrected: 1 (ingestor@platform)" in run("--file", file)[0]
    assert Book(json.loads(file.read_text())).knows_password(
        "ingestor@platform", access.MQTT_INGEST_PASSWORD
    )


def test_a_device_whose_token_is_not_known_any_more_is_listed(file, dev):
    people.token(dev)
    BrokerChange.objects.all().delete()
    text, code = run("--file", file)
    assert f"in need of a new token: 1 ({dev.device_uid})" in text
    assert code == 2


def test_a_long_list_is_cut_off(file, cast):
    for number in range(12):
        people.token(people.device(f"d{number:02}", cast.t0))
    text, _ = run("--file", file)
    assert "added: 14 (ingestor@platform, dispatcher@platform, d00" in text
    assert text.endswith("d07 and 4 more)\n")


@pytest.mark.parametrize("content", [b"[]", b"{", b'{"clients": [{}]}', b'{"roles": 5}'])
def test_a_file_of_something_else_is_not_touched(file, content):
    file.write_bytes(content)
    with pytest.raises(CommandError, match="not a file of Mosquitto's dynamic security"):
        run("--file", file)
    assert file.read_bytes() == content


def test_a_place_where_nobody_may_write_is_named_with_advice(file):
    with pytest.raises(CommandError, match=r"cannot be read or written: .*such as root"):
        run("--file", file.parent / "nowhere" / "file")


def test_a_broker_that_is_away_is_named_with_advice(file, monkeypatch):
    monkeypatch.setattr(live, "CONNECT_SECONDS", 0.1)
    with pytest.raises(CommandError, match=r"was not reached in 0 s.*--file"):
        run()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"MQTT_ACCESS": "open"}, "everybody may connect"),
        ({"MQTT_ACCESS": "emqx"}, "--file is for Mosquitto"),
        ({"MQTT_DISPATCH_PASSWORD": ""}, "are not both set"),
    ],
)
def test_a_configuration_that_it_can_do_nothing_with_is_named(file, access, wrong, said):
    for name, value in wrong.items():
        setattr(access, name, value)
    with pytest.raises(CommandError, match=said):
        run("--file", file)
