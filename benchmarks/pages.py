"""Asks for the console's pages inside of one process, and prints what each cost as JSON."""

import gzip
import json
import os
import statistics
import sys
import time
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "iotplatform.settings"
django.setup()

from django.db import connection, reset_queries  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402

from accounts.models import Tenant, User  # noqa: E402
from devices.models import Command, Device, DeviceType  # noqa: E402
from telemetry.models import RejectedMessage  # noqa: E402


def pages() -> dict[str, str]:
    """What a person opens in a day: name → address."""
    devices = reverse("admin:devices_device_changelist")
    readings = reverse("admin:telemetry_telemetry_changelist")
    rejected = reverse("admin:telemetry_rejectedmessage_changelist")
    device = Device.objects.order_by("device_uid")[7]
    return {
        "home": reverse("admin:index"),
        "devices": devices,
        "devices, a word": f"{devices}?q=dev-0001",
        "devices, silent": f"{devices}?data_flow=silent",
        "devices, by last seen": f"{devices}?o=-7",
        "a device": reverse("admin:devices_device_change", args=[device.pk]),
        "a device's readings": f"{readings}?device={device.pk}",
        "types": reverse("admin:devices_devicetype_changelist"),
        "a type": one("devices_devicetype", DeviceType.objects.latest("pk")),
        "commands": reverse("admin:devices_command_changelist"),
        "a command": one("devices_command", Command.objects.latest("pk")),
        "rejected": rejected,
        "rejected, one reason": f"{rejected}?reason__exact=not_finite",
        "a rejected message": one("telemetry_rejectedmessage", RejectedMessage.objects.first()),
        **{
            name.removeprefix("admin:").removesuffix("_changelist"): reverse(name)
            for name in OTHERS
        },
    }


OTHERS = (
    "admin:devices_commandbatch_changelist",
    "admin:devices_brokerchange_changelist",
    "admin:devices_enrolmentkey_changelist",
    "admin:accounts_user_changelist",
    "admin:accounts_tenant_changelist",
)


def one(name: str, what: Any) -> str:
    return reverse(f"admin:{name}_change", args=[what.pk])


def cost(client: Client, name: str, address: str, rounds: int) -> dict[str, Any]:
    client.get(address)
    seconds = []
    for _ in range(rounds):
        reset_queries()
        started = time.perf_counter()
        answer = client.get(address)
        seconds.append(time.perf_counter() - started)
    if answer.status_code != 200:
        raise RuntimeError(f"{address}: {answer.status_code}")
    return {
        "name": name,
        "milliseconds": statistics.median(seconds) * 1000,
        "statements": len(connection.queries),
        "kilobytes": len(gzip.compress(answer.content)) / 1000,
    }


def main(rounds: int) -> None:
    tenant = Tenant.objects.get(slug="t0")
    people = {
        "operator": User.objects.create_user("operator@bench.example", tenant=tenant, role="admin"),
        "staff": User.objects.create_superuser("staff@bench.example"),
    }
    costs = {}
    for who, person in people.items():
        client = Client(SERVER_NAME="localhost")
        client.force_login(person, "accounts.roles.RoleBackend")
        costs[who] = [cost(client, name, address, rounds) for name, address in pages().items()]
    json.dump(costs, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
