"""What has to be said to Mosquitto for it to know what holds: nothing that it knows already.

It writes all of its file anew at every command that changes anything, and serves nobody meanwhile.
Pure.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from devices.brokers.changes import Change
from devices.brokers.mosquitto.accounts import (
    Account,
    Acls,
    acls_of,
    acls_of_service,
    mark_of,
    role_of_device,
    role_of_service,
)
from devices.credentials.tokens import digest_of
from devices.daemon.services import Service
from devices.mqtt import rights

UNKNOWN = "The broker does not know this device: issue a new token."
FOREIGN = (
    "The broker has an account of this name that is not of this platform. Delete it there, or give "
    "the device another uid."
)

Command = Mapping[str, Any]


class Plan(NamedTuple):
    """What to say, `last` only after all of `first` was done; `error` is for people to mend."""

    first: Sequence[Command] = ()
    last: Sequence[Command] = ()
    error: str = ""

    @property
    def commands(self) -> list[Command]:
        return [*self.first, *self.last]


def of_device(change: Change, account: Account | None, acls: Acls | None) -> Plan:
    """For a device whose account and role are these at the broker, None where there is none."""
    role = role_of_device(change.uid)
    if account and not account.is_ours:
        wants = not change.is_gone and (change.is_admitted or change.token)
        return Plan(error=FOREIGN if wants else "")
    if change.is_gone or not (account or change.token):
        error = UNKNOWN if change.is_admitted and not change.is_gone else ""
        return Plan(deletion(change.uid, account, role if acls is not None else None), error=error)
    new = mark_of(digest_of(change.token)) if change.token else ""
    mark = new or (account.mark if account else "")
    lets_in = change.is_admitted and mark in map(mark_of, change.digests)
    error = UNKNOWN if change.is_admitted and not lets_in else ""
    if not (lets_in or new):
        return Plan(_shut(account), error=error)
    wanted = Account(change.uid, change.uid, mark, frozenset([role]))
    rights_first = _role(role, acls, acls_of(rights.of_devices(change.names)))
    if account is None:
        made = [_creation(wanted, change.token), *([] if lets_in else [_named("disable", wanted)])]
        return Plan([*rights_first, *made], error=error)
    shut = [] if lets_in else _shut(account)
    first = [*shut, *rights_first, *_modification(account, wanted, change.token)]
    opened = [_named("enable", wanted)] if lets_in and account.is_disabled else []
    return Plan(first, opened, error)


def of_service(
    service: Service, account: Account | None, acls: Acls | None, *, knows_password: bool
) -> Plan:
    """For an account of the platform's own."""
    role = role_of_service(service)
    wanted = Account(service.username, roles=frozenset([role]))
    rights_first = _role(role, acls, acls_of_service(service))
    if account is None:
        return Plan([*rights_first, _creation(wanted, service.password)])
    # Of its client ids only the beginning is known.
    free = account._replace(client_id="", mark="")
    password = "" if knows_password else service.password
    modification = _modification(free, wanted, password)
    opened = [_named("enable", wanted)] if account.is_disabled else []
    return Plan([*rights_first, *modification], opened)


def deletion(username: str, account: Account | None, role: str | None) -> list[Command]:
    """Of what there is."""
    commands: list[Command] = []
    if account:
        commands.append({"command": "deleteClient", "username": username})
    if role:
        commands.append({"command": "deleteRole", "rolename": role})
    return commands


def _role(name: str, found: Acls | None, wanted: Acls) -> list[Command]:
    if found == wanted:
        return []
    command = "createRole" if found is None else "modifyRole"
    acls = [each.as_json() for each in sorted(wanted)]
    return [{"command": command, "rolename": name, "acls": acls}]


def _creation(account: Account, password: str) -> Command:
    said = {"command": "createClient", "username": account.username, "password": password}
    return said | _traits(account, {"client_id", "mark", "roles"})


def _modification(found: Account, wanted: Account, password: str) -> list[Command]:
    """Of all that is not as wanted at once, for it ends the session."""
    traits = ("client_id", "mark", "roles", "groups")
    wrong = {each for each in traits if getattr(found, each) != getattr(wanted, each)}
    is_new = bool(password) and ("mark" in wrong or not wanted.mark)
    if not wrong and not is_new:
        return []
    said = {"command": "modifyClient", "username": wanted.username}
    return [said | ({"password": password} if is_new else {}) | _traits(wanted, wrong)]


def _traits(account: Account, names: Collection[str]) -> dict[str, Any]:
    said = {
        "client_id": ("clientid", account.client_id),
        "mark": ("textdescription", account.mark),
        "roles": ("roles", [{"rolename": role} for role in sorted(account.roles)]),
        "groups": ("groups", [{"groupname": group} for group in sorted(account.groups)]),
    }
    return dict(said[name] for name in sorted(names) if said[name][1] or name == "groups")


def _shut(account: Account | None) -> list[Command]:
    return [_named("disable", account)] if account and not account.is_disabled else []


def _named(verb: str, account: Account) -> Command:
    return {"command": f"{verb}Client", "username": account.username}
