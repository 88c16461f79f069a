"""The home page as a person of each kind sees it, and what it costs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from devices.models import Alert, AlertRule, BrokerChange, Device, DeviceType
from iotplatform.home import commands
from telemetry import groups
from telemetry.models import MessageCount
from tests import cast as people
from tests.queries import queries_of


def home(user):
    return people.console(user).get("/admin/")


def cards(page, name="cards"):
    return {str(card.title): card.value for card in page.context[name]}


def troubles(page):
    return [(str(each.kind), str(each.subject)) for each in page.context["troubles"]]


@pytest.fixture
def sensor(cast):
    """A type whose devices are silent after a minute."""
    return DeviceType.objects.create(name="sensor", offline_after=60)


def silent(uid, tenant, sensor, minutes=5):
    ago = timezone.now() - timedelta(minutes=minutes)
    device = people.device(uid, tenant, data_at=ago, data_since=ago, last_seen_at=ago)
    Device.objects.filter(pk=device.pk).update(type=sensor)
    return device


def rule_of(tenant, name="Cold store"):
    return AlertRule.objects.create(tenant=tenant, name=name)


def raised(device, rule, at=None):
    at = at or timezone.now()
    alert = {"rule": rule, "device": device, "tenant": rule.tenant, "condition": "silent"}
    return Alert.objects.create(**alert, since=at, raised_at=at)


def test_the_devices_that_a_person_may_see_are_counted_by_how_they_are(cast, sensor):
    now = timezone.now()
    for uid, session in (("on-1", "online"), ("on-2", "online"), ("off-1", "offline")):
        people.device(uid, cast.t0, session=session, since=now, last_seen_at=now)
    silent("silent-1", cast.t0, sensor)
    people.device("foreign-02", cast.other, session="online")
    page = home(cast.viewer)
    assert cards(page) == {
        "Devices": "5",
        "Online": "2",
        "Offline": "1",
        "Silent": "1",
        "Open alerts": "0",
    }
    assert "Newest message: <time" in page.text
    assert cards(home(cast.staff))["Online"] == "3"


def test_every_number_is_that_of_the_list_behind_it(cast, sensor):
    now = timezone.now()
    people.device("on-1", cast.t0, session="online")
    people.device("off-1", cast.t0, session="offline", since=now)
    silent("silent-1", cast.t0, sensor)
    people.rejected(cast.t0)
    raised(people.device("alarmed-1", cast.t0), rule_of(cast.t0))
    people.command(cast.device)
    over = {"expires_at": now, "finished_at": now, "status": "expired"}
    people.command(cast.device, **over, created_at=now - timedelta(hours=2))
    people.command(cast.device, **over, created_at=now - timedelta(hours=25))
    client = people.console(cast.operator)
    context = client.get("/admin/").context
    shown = context["commands"]
    for card in [*context["cards"], *context["rejected"], *shown.open, *shown.ended]:
        listed = client.get(card.link).context["cl"].result_list
        assert str(len(listed)) == card.value, card.title


def test_rejected_messages_are_counted_by_reason_up_to_a_limit(cast, monkeypatch):
    monkeypatch.setattr(groups, "COUNTED", 3)
    monkeypatch.setattr("iotplatform.home.rejected.COUNTED", 3)
    for _ in range(5):
        people.rejected(cast.t0)
    people.rejected(cast.t0, reason="nul")
    people.rejected(cast.other, reason="nul")
    assert list(cards(home(cast.operator), "rejected").values()) == ["3+", "1"]


def test_a_viewer_is_told_nothing_of_rejected_messages(cast):
    people.rejected(cast.t0)
    minute = timezone.now().replace(second=0, microsecond=0)
    MessageCount.objects.create(minute=minute, tenant_id=cast.t0.pk, writer=1, stored=1, rejected=5)
    page = home(cast.viewer)
    assert "rejected" not in page.context
    assert page.context["traffic"].total.rejected == 0
    assert "Rejected" not in page.text
    assert "5 rejected." in home(cast.operator).text


def test_troubles_of_all_kinds_are_one_list_the_newest_first(cast, sensor):
    now = timezone.now()
    silent("silent-1", cast.t0, sensor, minutes=9)
    people.device("off-1", cast.t0, session="offline", since=now - timedelta(minutes=2))
    people.rejected(cast.t0, device_uid="bad-1", received_at=now - timedelta(minutes=1))
    long_ago = now - timedelta(minutes=4)
    over = {"status": "failed", "finished_at": long_ago}
    people.command(cast.device, **over)
    alarmed = silent("silent-2", cast.t0, sensor, minutes=30)
    raised(alarmed, rule_of(cast.t0), now - timedelta(minutes=3))
    page = home(cast.operator)
    assert troubles(page) == [
        ("Rejected", "bad-1"),
        ("Offline", "off-1"),
        ("Alert", "silent-2"),
        ("Failed", "reboot"),
        ("Silent", "silent-1"),
    ]
    client = people.console(cast.operator)
    links = [trouble.link for trouble in page.context["troubles"]]
    assert [client.get(link).status_code for link in links] == [200] * 5


def test_the_alerts_of_a_rule_and_a_moment_are_one_trouble(cast, sensor):
    now = timezone.now()
    rule = rule_of(cast.t0, "Halls quiet")
    for number in range(12):
        raised(silent(f"silent-{number}", cast.t0, sensor), rule, now)
    raised(cast.device, rule, now - timedelta(minutes=1))
    raised(cast.foreign, rule_of(cast.other), now)
    page = home(cast.viewer)
    assert troubles(page) == [("Alert", "12 devices silent"), ("Alert", "dev-01")]
    assert cards(page)["Open alerts"] == "13"
    listed = people.console(cast.viewer).get(page.context["troubles"][0].link)
    assert len(listed.context["cl"].result_list) == 13


def test_all_of_each_kind_of_trouble_is_a_list(cast):
    people.device("off-1", cast.t0, session="offline", since=timezone.now())
    client = people.console(cast.operator)
    links = client.get("/admin/").context["lists"]
    assert [str(name) for name, _link in links] == [
        "Alerts",
        "Silent",
        "Offline",
        "Failed",
        "Rejected",
    ]
    assert [client.get(link).status_code for _name, link in links] == [200] * 5
    assert "Rejected" not in home(cast.viewer).text


def test_what_is_wrong_elsewhere_is_shown_to_platform_staff_alone(cast):
    people.device("off-1", cast.other, session="offline", since=timezone.now())
    people.rejected(None, device_uid="stray-1")
    assert troubles(home(cast.operator)) == []
    assert troubles(home(cast.staff)) == [("Rejected", "stray-1"), ("Offline", "off-1")]


def test_a_disabled_device_troubles_nobody(cast):
    gone = people.device("off-1", cast.t0, session="offline", since=timezone.now())
    Device.objects.filter(pk=gone.pk).update(is_enabled=False)
    page = home(cast.viewer)
    assert troubles(page) == []
    assert "None: no device is silent or offline" in page.text


def test_old_commands_are_not_looked_at_where_there_are_many(cast, monkeypatch):
    monkeypatch.setattr(commands, "LOOKED_AT", 2)
    for _ in range(3):
        people.command(cast.device)
    page = home(cast.viewer)
    assert cards(page)["Devices"] == "1"
    assert {card.value for card in page.context["commands"].open} == {"2", "0"}
    assert "Counted are the newest 2 commands." in page.text


def test_changes_that_the_broker_is_not_told_are_shown_where_it_asks(cast, settings):
    BrokerChange.objects.create(device_uid="dev-01", tenant=cast.t0)
    words = "Changes that the broker has not been told"
    assert words not in home(cast.operator).text
    settings.MQTT_ACCESS = "emqx"
    assert words in home(cast.operator).text
    assert words not in home(cast.viewer).text
    assert words not in home(cast.stranger).text


def test_it_asks_little_and_nothing_of_the_readings(cast, sensor):
    client = people.console(cast.staff)
    few = len(queries_of(client, "/admin/"))
    for number in range(15):
        device = silent(f"silent-{number}", cast.t0, sensor)
        people.readings(device, 2)
        people.rejected(cast.t0, reason="nul" if number % 2 else "number")
        people.command(device, status="failed", finished_at=timezone.now())
    statements = queries_of(client, "/admin/")
    assert len(statements) == few <= 12
    assert not any("telemetry_telemetry" in statement for statement in statements)


def test_it_speaks_vietnamese_without_a_fault(cast):
    page = people.console(cast.operator).get("/admin/", headers={"Accept-Language": "vi"})
    assert page.status_code == 200
    assert page.headers["Content-Language"] == "vi"
