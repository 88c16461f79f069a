"""Tries everything in the table of access at a real broker, and finds by what is delivered whether
somebody reached more or less than they may."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tests.devices.brokers.matrix import (
    CONTROL,
    FILTERS,
    ODD_TOPICS,
    TOPICS,
    Actor,
    covered_by,
    may_hear,
    may_publish,
    must_hear,
)
from tests.wire import Will, Wire

WITNESS = "witness", "what the witness knows ............"
EVIL = b'{"commands":[{"command":"createClient","username":"%s","password":"x"}]}'


class Login(NamedTuple):
    """With what somebody comes to the broker's door."""

    client_id: str
    username: str | None
    password: str | None


class Judge:
    """Tries on behalf of somebody at `port`, with a witness there who may do everything."""

    def __init__(self, port: int, version: int) -> None:
        self._port = port
        self._version = version
        self._witness = Wire(port, version)
        assert self._witness.connect("witness", *WITNESS) == 0
        assert self._witness.subscribe("#")
        self._number = 0

    def close(self) -> None:
        self._witness.vanish()

    def is_let_in(self, login: Login) -> bool:
        with Wire(self._port, self._version) as client:
            return client.connect(*login) == 0

    def findings(self, actor: Actor, login: Login) -> list[str]:
        """What went wrong: each a sentence; nothing if the broker keeps to the table."""
        return [
            *self._published(actor, login, "publish"),
            *self._published(actor, login, "retain"),
            *self._published(actor, login, "will"),
            *self._heard(actor, login),
            *self._kept(actor),
            *self._controlled(actor, login),
        ]

    def _published(self, actor: Actor, login: Login, how: str) -> Iterator[str]:
        """Publishes to every topic, each in a connection of its own that nothing is waited for."""
        attempts = {self._next(): topic for topic in (*TOPICS, *ODD_TOPICS)}
        for payload, topic in attempts.items():
            self._attempt(login, how, topic, payload)
        arrived = dict(self._arrivals())
        for payload, topic in attempts.items():
            wanted = may_publish(actor, topic)
            if wanted != (arrived.get(payload) == topic):
                yield f"{how} {topic}: {'did not arrive' if wanted else 'arrived'}"

    def _attempt(self, login: Login, how: str, topic: str, payload: bytes) -> None:
        body = EVIL % payload if topic == CONTROL else payload
        with Wire(self._port, self._version) as client:
            if how == "will":
                client.connect(*login, will=Will(topic, body))
                return
            client.ask_to_connect(*login)
            client.publish(topic, body, retain=how == "retain")

    def _arrivals(self) -> Iterator[tuple[bytes, str]]:
        """What the witness heard since the last time, up to a message of its own."""
        end = self._next()
        while True:
            self._witness.publish("the/end", end)
            heard = self._witness.collect()
            if ("the/end", end) in heard:
                break
        yield from ((payload, topic) for topic, payload in heard)
        heard.clear()

    def _heard(self, actor: Actor, login: Login) -> Iterator[str]:
        """Subscribes each filter in a connection of its own, and has every topic published to."""
        for each in FILTERS:
            with Wire(self._port, self._version) as client:
                client.ask_to_connect(*login)
                client.subscribe(each)
                probes = {topic: self._next() for topic in TOPICS}
                self._witness.publish_all(probes)
                came = {topic for topic, _ in client.collect()}
            if more := came - may_hear(actor) or came - covered_by(each):
                yield f"subscribe {each}: hears {', '.join(sorted(more))}"
            if less := must_hear(actor, each) - came:
                yield f"subscribe {each}: does not hear {', '.join(sorted(less))}"

    def _kept(self, actor: Actor) -> Iterator[str]:
        """What is retained, by whom it may not be; and takes it away."""
        with Wire(self._port, self._version) as client:
            client.connect("witness-2", "witness-2", WITNESS[1])
            client.subscribe("#")
            retained = {topic for topic, _ in client.collect()}
        for topic in retained:
            self._witness.publish(topic, b"", retain=True)
            if not may_publish(actor, topic):
                yield f"{topic}: a message is retained"

    def _controlled(self, actor: Actor, login: Login) -> Iterator[str]:
        """Has Mosquitto make an account, and looks whether that is let in."""
        evil = self._next()
        self._attempt(login, "publish", CONTROL, evil)
        with Wire(self._port, self._version) as client:
            is_made = client.connect("evil", evil.decode(), "x") == 0
        if is_made != actor.controls_mosquitto:
            yield f"{CONTROL}: {'makes' if is_made else 'does not make'} accounts"

    def _next(self) -> bytes:
        self._number += 1
        return b"probe-%d" % self._number


def logins(tokens: Mapping[str, str]) -> dict[str, Login]:
    """How each actor comes, given the tokens and passwords by user name."""

    def own(username: str, client_id: str) -> Login:
        return Login(client_id, username, tokens[username])

    return {
        "device": own("dev-01", "dev-01"),
        "gateway": own("gw-01", "gw-01"),
        "disabled device": own("off-01", "off-01"),
        "ingestor": own("ingestor@platform", "iotplatform-ingest"),
        "dispatcher": own("dispatcher@platform", "iotplatform-dispatch-7f"),
        "anonymous": Login("dev-01", None, None),
        "wrong secret": Login("dev-01", "dev-01", "0" * 64),
        "another's secret": Login("dev-02", "dev-02", tokens["dev-01"]),
    }
