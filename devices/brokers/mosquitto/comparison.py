"""What of the broker's accounts is not as the database says. Pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from devices.brokers.changes import Change
from devices.brokers.mosquitto import plans
from devices.brokers.mosquitto.accounts import (
    DEFAULTS,
    DEVICE_ROLE,
    Account,
    Acls,
    role_of_device,
    role_of_service,
)
from devices.brokers.mosquitto.plans import Plan
from devices.daemon.services import Service

EVERYBODY = "what holds without a role"
DONE = {
    "createClient": "added",
    "deleteClient": "removed",
    "disableClient": "disabled",
    "enableClient": "enabled",
    "modifyClient": "corrected",
    "createRole": "given its rights",
    "modifyRole": "given its rights",
    "deleteRole": "stripped of rights",
    "setDefaultACLAccess": "corrected",
}


class State(NamedTuple):
    """All that the broker knows: accounts and roles by name, and what holds without a role."""

    accounts: Mapping[str, Account]
    roles: Mapping[str, Acls]
    defaults: Mapping[str, bool]


class Difference(NamedTuple):
    """Of an account, what there is to do about it; `is_of_device`: a change can be noted."""

    name: str
    plan: Plan
    is_of_device: bool = False

    @property
    def done(self) -> list[str]:
        """In words, what the plan comes to."""
        names = dict.fromkeys(command["command"] for command in self.plan.commands)
        if "createClient" in names or "deleteClient" in names:
            names = {name: None for name in names if not name.endswith("Role")}
        return list(dict.fromkeys(DONE[name] for name in names))


class Comparison(NamedTuple):
    """`others` are accounts that are not of this platform, and stay as they are."""

    differences: list[Difference]
    others: list[str]


def compare(
    state: State,
    changes: Collection[Change],
    services: Collection[Service],
    knows_password: Callable[[Service], bool] = lambda _: True,
) -> Comparison:
    """`changes` say what the broker is to know of every device."""
    uids = {change.uid for change in changes}
    ours = {service.username for service in services}
    differences = [
        *_of_defaults(state),
        *_of_services(state, services, knows_password),
        *_of_devices(state, changes),
        *_of_nobody(state, uids),
    ]
    others = [
        name
        for name, account in state.accounts.items()
        if not account.is_ours and name not in uids | ours
    ]
    return Comparison(differences, sorted(others))


def _of_defaults(state: State) -> Iterator[Difference]:
    if state.defaults != DEFAULTS:
        acls = [{"acltype": kind, "allow": allow} for kind, allow in DEFAULTS.items()]
        yield Difference(EVERYBODY, Plan([{"command": "setDefaultACLAccess", "acls": acls}]))


def _of_services(
    state: State, services: Collection[Service], knows_password: Callable[[Service], bool]
) -> Iterator[Difference]:
    for service in services:
        account = state.accounts.get(service.username)
        acls = state.roles.get(role_of_service(service))
        knows = account is not None and knows_password(service)
        plan = plans.of_service(service, account, acls, knows_password=knows)
        if plan.commands:
            yield Difference(service.username, plan)


def _of_devices(state: State, changes: Collection[Change]) -> Iterator[Difference]:
    for change in sorted(changes, key=lambda each: each.uid):
        account = state.accounts.get(change.uid)
        plan = plans.of_device(change, account, state.roles.get(role_of_device(change.uid)))
        if plan.commands or plan.error:
            yield Difference(change.uid, plan, is_of_device=True)


def _of_nobody(state: State, uids: Collection[str]) -> Iterator[Difference]:
    """Accounts that were of devices, of which nothing is known any more, or pass for theirs."""
    strays = {name for name, each in state.accounts.items() if each.is_ours and name not in uids}
    roles = {role.removeprefix(DEVICE_ROLE) for role in state.roles if role.startswith(DEVICE_ROLE)}
    for name in sorted(strays | roles - set(uids)):
        account = state.accounts.get(name) if name in strays else None
        role = role_of_device(name) if name in roles - set(uids) else None
        yield Difference(name, Plan(plans.deletion(name, account, role)))
