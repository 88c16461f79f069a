"""The file in which Mosquitto keeps its accounts, for while it is stopped."""

import hashlib
import hmac
import os
import secrets
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from devices.brokers.mosquitto.accounts import DEFAULTS, account_from, acls_from
from devices.brokers.mosquitto.comparison import State
from devices.brokers.mosquitto.plans import Command

# Those that Mosquitto itself uses.
ITERATIONS = 101
HASH_BYTES, SALT_BYTES = 64, 12
NOT_A_BOOK = "{path} is not a file of Mosquitto's dynamic security: {why}. Name another one."


class NotABook(Exception):
    """There is a file, but with something else in it."""


class Book:
    """Does in the file's content what the broker would do; what it does not know, it leaves."""

    def __init__(self, content: dict[str, Any] | None = None) -> None:
        self._content: dict[str, Any] = (
            {"defaultACLAccess": dict(DEFAULTS)} if content is None else content
        )
        self._clients = _by("username", self._content.get("clients", ()))
        self._roles = _by("rolename", self._content.get("roles", ()))
        self._groups = _by("groupname", self._content.get("groups", ()))

    @property
    def state(self) -> State:
        accounts = {name: account_from(client) for name, client in self._clients.items()}
        for group, content in self._groups.items():
            for member in content.get("clients", ()):
                if account := accounts.get(member["username"]):
                    joined = account._replace(groups=account.groups | {group})
                    accounts[account.username] = joined
        roles = {name: acls_from(role) for name, role in self._roles.items()}
        return State(accounts, roles, self._content.get("defaultACLAccess", {}))

    def knows_password(self, username: str, password: str) -> bool:
        client = self._clients.get(username, {})
        salt, kept = client.get("salt", ""), client.get("password", "")
        found = _hashed(password, b64decode(salt), client.get("iterations", ITERATIONS))
        return hmac.compare_digest(found, kept)

    def do(self, command: Command) -> None:
        """One of the commands that `plans` makes."""
        traits = {key: value for key, value in command.items() if key != "command"}
        username = command.get("username", "")
        match command["command"]:
            case "createRole" | "modifyRole":
                self._roles.setdefault(command["rolename"], {}).update(traits)
            case "deleteRole":
                del self._roles[command["rolename"]]
                self._drop("roles", "rolename", command["rolename"], self._clients)
                self._drop("roles", "rolename", command["rolename"], self._groups)
            case "createClient" | "modifyClient":
                self._clients.setdefault(username, {}).update(_with_hash(traits))
                self._leave_groups(traits)
            case "deleteClient":
                del self._clients[username]
                self._drop("clients", "username", username, self._groups)
            case "disableClient":
                self._clients[username]["disabled"] = True
            case "enableClient":
                self._clients[username].pop("disabled", None)
            case "setDefaultACLAccess":
                acls = {each["acltype"]: each["allow"] for each in command["acls"]}
                self._content["defaultACLAccess"] = acls

    def as_bytes(self) -> bytes:
        parts = {"clients": self._clients, "groups": self._groups, "roles": self._roles}
        content = self._content | {name: [*part.values()] for name, part in parts.items()}
        return orjson.dumps(content, option=orjson.OPT_INDENT_2)

    def _leave_groups(self, traits: dict[str, Any]) -> None:
        """Where the broker is told which groups an account has, those are none."""
        if "groups" in traits:
            del self._clients[traits["username"]]["groups"]
            self._drop("clients", "username", traits["username"], self._groups)

    def _drop(self, what: str, key: str, name: str, holders: dict[str, Any]) -> None:
        for holder in holders.values():
            holder[what] = [each for each in holder.get(what, ()) if each[key] != name]


def _by(key: str, entries: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each[key]: each for each in entries}


def read(path: Path) -> Book:
    """The book that is there, or an empty one."""
    try:
        return Book(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return Book()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotABook(NOT_A_BOOK.format(path=path, why=error)) from error


def write(path: Path, book: Book) -> None:
    """As a whole or not at all; for the user alone to whom the file, or its folder, belongs."""
    owner = (path if path.exists() else path.parent).stat()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(book.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:
            os.chown(name, owner.st_uid, owner.st_gid)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _with_hash(traits: Mapping[str, Any]) -> dict[str, Any]:
    if "password" not in traits:
        return dict(traits)
    salt = secrets.token_bytes(SALT_BYTES)
    return {
        **traits,
        "password": _hashed(traits["password"], salt, ITERATIONS),
        "salt": b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }


def _hashed(password: str, salt: bytes, iterations: int) -> str:
    made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, HASH_BYTES)
    return b64encode(made).decode()
