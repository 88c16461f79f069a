"""Accounts and roles as Mosquitto's dynamic security has them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from devices.daemon.services import Service, dispatcher
from devices.mqtt.rights import Action, Right

CONTROL = "$CONTROL/dynamic-security/v1"
RESPONSE = f"{CONTROL}/response"

DEFAULTS = {
    "publishClientSend": False,
    "publishClientReceive": False,
    "subscribe": False,
    "unsubscribe": True,
}
"""What holds where no role says anything: who has lost a right may still take his leave of it."""

DEVICE_ROLE = "device:"
SERVICE_ROLE = "service:"
MARK = "token "
# So much of a digest tells tokens apart and is of no use to anybody.
MARK_DIGITS = 16


class Acl(NamedTuple):
    """What a role says of a topic."""

    acltype: str
    topic: str
    allow: bool = True

    def as_json(self) -> dict[str, Any]:
        return {**self._asdict(), "priority": 0}


Acls = frozenset[Acl]

# A pattern would be leave for every filter that it covers; these are for their own only.
ACLTYPES = {
    Action.PUBLISH: ("publishClientSend",),
    Action.SUBSCRIBE: ("subscribeLiteral", "publishClientReceive"),
}


class Account(NamedTuple):
    """A client as the broker has it. `mark` is of the token that its password was made from."""

    username: str
    client_id: str = ""
    mark: str = ""
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    is_disabled: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it was made here, for a device."""
        return self.mark.startswith(MARK) or any(r.startswith(DEVICE_ROLE) for r in self.roles)


def acls_of(rights: Iterable[Right]) -> Acls:
    return frozenset(Acl(kind, topic) for action, topic in rights for kind in ACLTYPES[action])


def acls_of_service(service: Service) -> Acls:
    """The dispatcher tells the broker of everybody else."""
    manages = service.username == dispatcher().username
    control = [Right(Action.PUBLISH, CONTROL), Right(Action.SUBSCRIBE, RESPONSE)] if manages else []
    return acls_of([*service.rights, *control])


def role_of_device(uid: str) -> str:
    return f"{DEVICE_ROLE}{uid}"


def role_of_service(service: Service) -> str:
    return f"{SERVICE_ROLE}{service.username}"


def mark_of(digest: bytes) -> str:
    """What stands at the broker beside a password, to tell which token it is of."""
    return f"{MARK}{digest.hex()[:MARK_DIGITS]}"


def account_from(client: Mapping[str, Any]) -> Account:
    """From what the broker, or its file, says of a client."""
    return Account(
        client["username"],
        client.get("clientid", ""),
        client.get("textdescription", ""),
        frozenset(each["rolename"] for each in client.get("roles", ())),
        frozenset(each["groupname"] for each in client.get("groups", ())),
        client.get("disabled", False),
    )


def acls_from(role: Mapping[str, Any]) -> Acls:
    """From what the broker, or its file, says of a role."""
    return frozenset(
        Acl(each["acltype"], each["topic"], each.get("allow", False))
        for each in role.get("acls", ())
    )
