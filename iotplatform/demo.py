"""The whole platform on one machine, for a first look: what starts, in which order, for whom."""

import http.client
import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings
from django.db import connection

from accounts.models import Role, Tenant, User
from devices.management.commands.sync_broker import LEFT
from iotplatform import embedded, secured
from iotplatform.mosquitto import Mosquitto
from iotplatform.ports import require_free
from iotplatform.supervisor import Child, Supervisor

TENANT = "t0"
PASSWORD = "demo"
ADMIN = "admin@example.com"
COLLEAGUES = {"operator@example.com": Role.OPERATOR, "viewer@example.com": Role.VIEWER}

# Ingestor and dispatcher of one machine cannot have one port for their metrics.
ENVIRONMENT = {"DEBUG": "1", "AUTH_DEMO": "1", "METRICS_PORT": "0"}

TOPIC = f"{TENANT}/devices/my-sensor/telemetry"
READING = '{"temperature": 21.5}'
COMMAND = "dev-01 reboot --param delay=1"


class Demo:
    """Everything that `make demo` starts. What DATABASE_URL and MQTT__HOST name is used as is.

    With a `mosquitto`, which then is what MQTT__HOST names, devices have tokens.
    """

    def __init__(self, write: Callable[[str], None], mosquitto: Mosquitto | None = None) -> None:
        self.database = embedded.Postgres(settings.LOCAL_DIR / "postgres")
        # With its address none of the children starts the database itself, not even when it died.
        address = settings.DATABASE_URL or self.database.url
        environment = {
            **ENVIRONMENT,
            "LOG_LEVEL": log_level(),
            "DATABASE_URL": address,
            # For gunicorn to find us, wherever this was started.
            "PYTHONPATH": str(settings.BASE_DIR),
        }
        self.supervisor = Supervisor(environment, write)
        self.broker = embedded.Broker(
            settings.LOCAL_DIR, settings.MQTT_PORT, max_packet=4 * settings.MAX_PAYLOAD
        )
        self.mosquitto = mosquitto

    def run(self) -> None:
        """Until something ends by itself or a stop is asked; see Supervisor.wait()."""
        self.require_free_ports()
        with ExitStack() as stack:
            stack.enter_context(self.supervisor)
            self._start_database(stack)
            tokens = secured.issue_tokens(TENANT) if self.mosquitto else {}
            connection.close()
            self._start_broker(stack)
            self._start(stack, "ingestor", manage("run_ingestor"), is_connected)
            self._start(stack, "dispatcher", manage("run_dispatcher"), is_connected)
            self._start(stack, "web", gunicorn(), lambda _: web_answers())
            self._start_simulator(stack, tokens)
            self.supervisor.say(welcome(tokens.get(secured.BY_HAND)))
            self.supervisor.wait()

    def require_free_ports(self) -> None:
        require_free(settings.BIND, settings.PORT, "PORT")
        if settings.MQTT_EMBEDDED:
            self.broker.require_free_ports()
        if self.mosquitto:
            self.mosquitto.require_free_ports()

    def _start_database(self, stack: ExitStack) -> None:
        if not settings.DATABASE_URL:
            stack.enter_context(self.database.running())
            self.supervisor.watch("PostgreSQL", self.database.is_running)
        self.supervisor.run("migrate", manage("migrate"))
        make_users()

    def _start_broker(self, stack: ExitStack) -> None:
        if settings.MQTT_EMBEDDED:
            stack.enter_context(self.broker.running())
            self.supervisor.watch("the MQTT broker", self.broker.is_running)
        if mosquitto := self.mosquitto:
            command = mosquitto.command()
            sync = manage("sync_broker", "--file", mosquitto.accounts)
            # Also where something is left: `make demo` gives devices tokens that no broker learns.
            self.supervisor.run("accounts", sync, good=(0, LEFT))
            self._start(stack, "broker", command, lambda _: mosquitto.answers())

    def _start_simulator(self, stack: ExitStack, tokens: Mapping[str, str]) -> None:
        if not tokens:
            self._start(stack, "simulator", manage("simulate_devices"), lambda _: True)
            return
        with secured.handed_over(tokens, settings.LOCAL_DIR) as file:
            command = manage("simulate_devices", "--credentials", file)
            # By its first word of a device it has read the file.
            self._start(stack, "simulator", command, lambda child: child.has_said("dev-"))

    def _start(
        self, stack: ExitStack, name: str, command: list[str], is_ready: Callable[[Child], bool]
    ) -> None:
        stack.enter_context(self.supervisor.running(name, command, is_ready))


def make_users() -> None:
    """The people of the demo, unless they exist: platform staff, and two who work in t0."""
    if not User.objects.filter(email__iexact=ADMIN).exists():
        User.objects.create_superuser(ADMIN, PASSWORD)
    tenant = Tenant.objects.get(slug=TENANT)
    for email, role in COLLEAGUES.items():
        if not User.objects.filter(email__iexact=email).exists():
            User.objects.create_user(email, PASSWORD, tenant=tenant, role=role)


def manage(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *map(str, arguments)]


def gunicorn() -> list[str]:
    configured = ("-c", "python:iotplatform.serving", "--log-level", "warning")
    return [sys.executable, "-m", "gunicorn", *configured, "iotplatform.wsgi"]


def log_level() -> str:
    """As configured, but low enough for the line by which a process says that it is ready."""
    level = logging.getLevelNamesMapping()[settings.LOG_LEVEL]
    return logging.getLevelName(min(level, logging.INFO))


def is_connected(process: Child) -> bool:
    return process.has_said("Connected to the broker")


def web_host() -> str:
    """Where a browser on this machine finds the web server."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.BIND, settings.BIND)


def web_answers() -> bool:
    request = http.client.HTTPConnection(web_host(), settings.PORT, timeout=5)
    try:
        request.request("GET", "/healthz")
        request.getresponse()
    except OSError:
        return False
    finally:
        request.close()
    return True


def welcome(token: str | None = None) -> str:
    """Addresses, logins, and how to publish a reading and to send a command by hand; `token` is
    that of the device by hand, where it needs one."""
    web = f"http://{f'[{web_host()}]' if ':' in web_host() else web_host()}:{settings.PORT}/"
    login = {"email": next(iter(COLLEAGUES)), "password": PASSWORD}
    if token:
        publishing = secured.publishing(token, settings.MQTT_PORT, web, TENANT, login)
    else:
        publishing = anybody_publishes(settings.MQTT_HOST, settings.MQTT_PORT)
    return f"""
The platform is up. Ctrl-C stops all of it; a second start finds the data of the first.

  Console   {web}
            log in as {", ".join([ADMIN, *COLLEAGUES])}; password “{PASSWORD}”
  REST API  {web}docs  (any other e-mail and password do as well: AUTH_DEMO is on)
  Broker    {broker_address(settings.MQTT_HOST, settings.MQTT_PORT, asks=bool(token))}
{publishing}
Send a command, and see what becomes of it:

  {" ".join(manage("send_command"))} {COMMAND} --wait 10
"""


def broker_address(host: str, port: int, *, asks: bool) -> str:
    if settings.MQTT_EMBEDDED:
        platform = f"{host}:{settings.MQTT_PLATFORM_PORT} for the platform: MQTT 5"
        return f"{host}:{port} for devices: MQTT 3.1.1 and no other version\n            {platform}"
    login = "token of the device" if asks else "password of your broker"
    return f"{host}:{port}, with the user name and {login}"


def anybody_publishes(host: str, port: int) -> str:
    script = (
        "import paho.mqtt.client as mqtt; c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2); "
        f"c.connect({json.dumps(host)}, {port}); c.loop_start(); "
        f"c.publish({json.dumps(TOPIC)}, {json.dumps(READING)}, qos=1).wait_for_publish(5)"
    )
    return f"""
Publish a reading, then look for “my-sensor” among the devices of the console:

  mosquitto_pub -h {host} -p {port} -q 1 -t {TOPIC} -m '{READING}'

or with nothing but Python:

  {sys.executable} -c '{script}'
"""
