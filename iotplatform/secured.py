"""What `make demo-secure` has beyond `make demo`: a broker that asks, and devices with tokens."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from accounts.models import Tenant
from devices.credentials.issuing import issue
from devices.credentials.tokens import new_token
from devices.models import Device
from devices.simulator.simulation import uids_of
from iotplatform.kept import kept_secret
from iotplatform.mosquitto import HOST

SIMULATED = uids_of("dev", 5)
BY_HAND = "my-sensor"
"""The device that whoever looks at the demo plays themselves."""
PASSWORDS = ("MQTT__INGEST_PASSWORD", "MQTT__DISPATCH_PASSWORD")


def environment(directory: Path) -> dict[str, str]:
    """What the settings of all processes come from, ours too; passwords are kept in `directory`."""
    return {
        "MQTT__ACCESS": "mosquitto",
        "MQTT__HOST": HOST,
        "ENROLMENT": "1",
        # Empty is unset, and beats what is in `.env`.
        **dict.fromkeys(("AUTO_REGISTER", "MQTT__TLS", "MQTT__CA"), ""),
        **{name: kept_secret(directory, name.lower()) for name in PASSWORDS},
    }


def issue_tokens(slug: str) -> dict[str, str]:
    """Uid → new token for all devices of the demo in the tenant; those that are none yet are made.

    One that was deleted gets a token that is good for nothing, as is the one that it would have.
    """
    uids = [*SIMULATED, BY_HAND]
    tenant = Tenant.objects.get(slug=slug)
    Device.objects.register((tenant.pk, uid) for uid in uids)
    devices = Device.objects.filter(tenant=tenant, device_uid__in=uids, deleted_at__isnull=True)
    issued = {each.credential.device.device_uid: each.token for each in issue(list(devices), None)}
    return {uid: issued.get(uid) or new_token() for uid in uids}


@contextmanager
def handed_over(tokens: Mapping[str, str], directory: Path) -> Iterator[str]:
    """The path of a file with the tokens, which only its owner may read; gone after the block."""
    with NamedTemporaryFile("w", dir=directory, prefix="tokens-", suffix=".json") as file:
        json.dump(tokens, file)
        file.flush()
        yield file.name


def publishing(token: str, port: int, web: str, tenant: str, login: Mapping[str, str]) -> str:
    """How to publish with the `token` of the device by hand, and to see that nobody else can;
    `login` is of somebody who may switch devices off."""
    to = f"mosquitto_pub -h {HOST} -p {port} -q 1"
    me = f"-u {BY_HAND} -i {BY_HAND}"
    mine, other = (f"-t {tenant}/devices/{uid}/telemetry" for uid in (BY_HAND, SIMULATED[0]))
    reading = """-m '{"temperature": 21.5}'"""
    return f"""
Every device has a token of its own, new at each start. Publish a reading as “{BY_HAND}”, then
look for it among the devices of the console:

  {to} {me} -P {token} {mine} {reading}

The broker refuses a wrong token, a client id that is not the user name, and the topic of another
device (-V 5: MQTT 3.1.1 has no word for that, the reading is just thrown away):

  {to} {me} -P wrong-token {mine} {reading}
  {to} -u {BY_HAND} -i {SIMULATED[0]} -P {token} {mine} {reading}
  {to} -V 5 {me} -P {token} {other} {reading}

Switch a device off, and see here that its connection ends and none follows until it is on again:
in the console by the tick “enabled” on its page, or over the API:

  TOKEN=$(curl -s {web}auth/login -H "Content-Type: application/json" \\
      -d '{json.dumps(login)}' |
      python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
  curl -X PATCH {web}devices/{SIMULATED[1]} -H "Authorization: Bearer $TOKEN" \\
      -H "Content-Type: application/json" -d '{{"is_enabled": false}}'
"""
