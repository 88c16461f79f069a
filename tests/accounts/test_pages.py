"""Every page of the console for every kind of person. A page that is not listed here fails."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import URLPattern, reverse

from accounts.models import Tenant, User
from devices.models import (
    AlertRule,
    BrokerChange,
    Command,
    CommandBatch,
    Device,
    DeviceType,
    EnrolmentKey,
)
from telemetry.models import RejectedMessage
from tests import cast as people

# Answers to: viewer, operator and admin of t0; stranger; staff; somebody who is not logged in.
ACTORS = (*people.ACTORS, "nobody")
PAGES = {
    "index": "200 200 200 200 200 302",
    "search": "200 200 200 200 200 302",
    "login": "302 302 302 302 302 200",
    "logout": "405 405 405 405 405 302",
    "password_change": "200 200 200 200 200 302",
    "password_change_done": "200 200 200 200 200 302",
    "autocomplete": "403 403 403 403 403 302",
    "jsi18n": "200 200 200 200 200 302",
    "view_on_site": "404 404 404 404 404 404",
    "app_list": "200 200 200 200 200 302",
    "(?P<url>.*)$": "404 404 404 404 404 302",
    "<path:object_id>/": "302 302 302 302 302 302",
    "accounts_change_changelist": "403 403 200 200 200 302",
    "accounts_tenant_switch": "405 405 405 405 405 302",
    "accounts_user_language": "405 405 405 405 405 302",
    "accounts_tenant_changelist": "403 403 200 200 200 302",
    "accounts_tenant_add": "403 403 403 403 200 302",
    "accounts_tenant_change": "403 403 200 404 200 302",
    "accounts_tenant_delete": "403 403 403 404 200 302",
    "accounts_tenant_history": "403 403 200 404 200 302",
    "accounts_user_changelist": "403 403 200 200 200 302",
    "accounts_user_add": "403 403 200 200 200 302",
    "accounts_user_change": "403 403 200 404 200 302",
    "accounts_user_delete": "403 403 403 404 200 302",
    "accounts_user_history": "403 403 200 404 200 302",
    "auth_user_password_change": "403 403 200 404 200 302",
    "devices_device_changelist": "200 200 200 200 200 302",
    "devices_device_add": "403 200 200 200 200 302",
    "devices_device_change": "200 200 200 404 200 302",
    "devices_device_delete": "403 200 200 404 200 302",
    "devices_device_history": "200 200 200 404 200 302",
    "devices_device_import": "403 200 200 200 200 302",
    "devices_device_export_csv": "200 200 200 200 200 302",
    "devices_device_export_json": "200 200 200 200 200 302",
    "devices_device_part": "200 200 200 404 200 302",
    "devices_device_send_chosen": "403 302 302 302 302 302",
    "devices_device_label_chosen": "403 302 302 302 302 302",
    "devices_device_unlabel_chosen": "403 302 302 302 302 302",
    "devices_device_type_chosen": "403 302 302 302 302 302",
    "devices_device_disable_chosen": "403 302 302 302 302 302",
    "devices_device_delete_chosen": "403 302 302 302 302 302",
    "devices_device_command": "403 200 200 404 200 302",
    "devices_device_credential": "403 200 200 404 200 302",
    "devices_device_credentials": "403 302 302 302 302 302",
    "devices_credential_gateway": "403 200 200 404 200 302",
    "devices_credential_revoke": "403 200 200 404 200 302",
    "devices_alert_changelist": "200 200 200 200 200 302",
    "devices_alert_add": "403 403 403 403 403 302",
    "devices_alert_change": "200 200 200 404 200 302",
    "devices_alert_delete": "403 403 403 404 403 302",
    "devices_alert_history": "200 200 200 404 200 302",
    "devices_alertrule_changelist": "403 200 200 200 200 302",
    "devices_alertrule_add": "403 403 200 200 200 302",
    "devices_alertrule_change": "403 200 200 404 200 302",
    "devices_alertrule_delete": "403 403 200 404 200 302",
    "devices_alertrule_history": "403 200 200 404 200 302",
    "devices_alertrule_secret": "403 403 200 404 200 302",
    "devices_alertrule_test": "405 405 405 405 405 302",
    "devices_brokerchange_changelist": "403 200 200 200 200 302",
    "devices_brokerchange_add": "403 403 403 403 403 302",
    "devices_brokerchange_change": "403 200 200 404 200 302",
    "devices_brokerchange_delete": "403 403 403 404 403 302",
    "devices_brokerchange_history": "403 200 200 404 200 302",
    "devices_command_changelist": "200 200 200 200 200 302",
    "devices_command_add": "403 403 403 403 403 302",
    "devices_command_change": "200 200 200 404 200 302",
    "devices_command_delete": "403 403 403 404 403 302",
    "devices_command_history": "200 200 200 404 200 302",
    "devices_command_cancel": "405 405 405 405 405 302",
    "devices_commandbatch_changelist": "200 200 200 200 200 302",
    "devices_commandbatch_add": "403 403 403 403 403 302",
    "devices_commandbatch_change": "200 200 200 404 200 302",
    "devices_commandbatch_delete": "403 403 403 404 403 302",
    "devices_commandbatch_history": "200 200 200 404 200 302",
    "devices_commandbatch_cancel": "405 405 405 405 405 302",
    "devices_devicetype_changelist": "200 200 200 200 200 302",
    "devices_devicetype_add": "403 403 200 200 200 302",
    "devices_devicetype_change": "200 200 200 404 200 302",
    "devices_devicetype_delete": "403 403 200 404 200 302",
    "devices_devicetype_history": "200 200 200 404 200 302",
    "devices_enrolmentkey_changelist": "403 403 200 200 200 302",
    "devices_enrolmentkey_add": "403 403 200 200 200 302",
    "devices_enrolmentkey_change": "403 403 200 404 200 302",
    "devices_enrolmentkey_delete": "403 403 403 404 200 302",
    "devices_enrolmentkey_history": "403 403 200 404 200 302",
    "devices_enrolmentkey_revoke": "403 403 200 404 200 302",
    "telemetry_telemetry_changelist": "200 200 200 404 200 302",
    "telemetry_rejectedmessage_changelist": "403 200 200 200 200 302",
    "telemetry_rejectedmessage_add": "403 403 403 403 403 302",
    "telemetry_rejectedmessage_change": "403 200 200 404 200 302",
    "telemetry_rejectedmessage_delete": "403 403 403 404 403 302",
    "telemetry_rejectedmessage_history": "403 200 200 404 200 302",
    "telemetry_rejectedmessage_deal": "405 405 405 405 405 302",
    "telemetry_rejectedmessage_groups": "403 200 200 200 200 302",
    "telemetry_rejectedmessage_replay_many": "403 200 200 200 200 302",
    "telemetry_rejectedmessage_resolve_many": "403 200 200 200 200 302",
    "telemetry_rejectedmessage_payload": "403 200 200 404 200 302",
}
ADDRESSES = {
    "app_list": "/admin/devices/",
    "view_on_site": "/admin/r/1/1/",
    "(?P<url>.*)$": "/admin/no/such/page/",
    "<path:object_id>/": "/admin/devices/device/{device}/",
    "devices_device_part": "/admin/devices/device/{device}/part/state/",
    "devices_credential_gateway": "/admin/devices/device/{device}/credential/{credential}/gateway/",
    "devices_credential_revoke": "/admin/devices/device/{device}/credential/{credential}/revoke/",
    "telemetry_telemetry_changelist": "/admin/telemetry/telemetry/?device={device}",
}
CHANGE = {
    "post": "yes",
    "name": "changed",
    "replay": "",
    "cmd": "reboot",
    "life": 1,
    "unit": 3600,
    "quota": 1,
    "days": 1,
    "key": uuid4(),
    "action": "delete_selected",
}
"""What would change something, whichever form it is sent to."""
# The stranger is an admin, and may make these for their own tenant.
OF_ADMINS = (DeviceType, EnrolmentKey, AlertRule)


def routes() -> dict[str, URLPattern]:
    """All addresses below /admin/, by name, or by pattern where they have none."""
    found: dict[str, URLPattern] = {}
    waiting: list[Any] = [*admin.site.urls[0]]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, URLPattern):
            found[entry.name or str(entry.pattern)] = entry
        else:
            waiting.extend(entry.url_patterns)
    return found


def address(name: str, cast: SimpleNamespace) -> str:
    """The address of the page `name`, about something of tenant t0."""
    if name in ADDRESSES:
        return ADDRESSES[name].format(device=cast.device.pk, credential=cast.credential.pk)
    arguments = routes()[name].pattern.converters
    return reverse(f"admin:{name}", args=[thing(name, cast) for _ in arguments])


def thing(name: str, cast: SimpleNamespace) -> Any:
    """The key of what the page `name` is about."""
    things = {
        "devices_device": cast.device.pk,
        "devices_device_command": cast.device.pk,
        "devices_device_credential": cast.device.pk,
        "devices_alert": cast.alert.pk,
        "devices_alertrule": cast.alert.rule_id,
        "devices_brokerchange": cast.change.pk,
        "devices_command": cast.command.pk,
        "devices_commandbatch": cast.command.batch_id,
        "devices_devicetype": cast.type.pk,
        "devices_enrolmentkey": cast.key.pk,
        "accounts_tenant": cast.t0.pk,
        "telemetry_rejectedmessage": cast.rejected.pk,
    }
    return things.get(name) or things.get(name.rpartition("_")[0], cast.viewer.pk)


def browser(actor: str, cast: SimpleNamespace) -> Client:
    return Client() if actor == "nobody" else people.console(getattr(cast, actor))


@pytest.fixture
def cast(cast: SimpleNamespace) -> SimpleNamespace:
    people.readings(cast.device, 3)
    cast.rejected = people.rejected(cast.t0)
    cast.command = people.batch(cast.t0).commands.get()
    cast.key = people.enrolment_key(cast.t0, cast.admin).key
    cast.type = DeviceType.objects.create(name="Sensor", tenant=cast.t0)
    people.token(cast.device)
    cast.credential = cast.device.credentials.get()
    cast.alert = people.alert(cast.device)
    cast.change = BrokerChange.objects.create(device_uid="dev-01", tenant=cast.t0)
    return cast


def test_every_page_is_listed():
    assert set(routes()) == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_answers_each_person_as_listed(cast, name):
    url = address(name, cast)
    answers = [browser(actor, cast).get(url).status_code for actor in ACTORS]
    assert dict(zip(ACTORS, answers, strict=True)) == dict(
        zip(ACTORS, map(int, PAGES[name].split()), strict=True)
    )


@pytest.mark.parametrize("name", PAGES)
def test_who_may_not_change_something_cannot_by_posting_either(cast, name):
    browsers = {actor: browser(actor, cast) for actor in ("viewer", "stranger", "nobody")}
    before, url = contents(), address(name, cast)
    for actor, client in browsers.items():
        client.post(url, CHANGE | {"_selected_action": [thing(name, cast)]})
        assert contents() == before, actor


def contents() -> list[Any]:
    """All that the pages could change."""
    models = (Tenant, User, Device, Command, CommandBatch, RejectedMessage)
    of_admins = [each.objects.filter(tenant__slug="t0") for each in OF_ADMINS]
    querysets = [*(model.objects.all() for model in models), *of_admins]
    return [list(rows.order_by("pk").values()) for rows in querysets]
