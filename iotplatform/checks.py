"""What is wrong with the configuration, found by `manage.py check` and before anything is served.

Values that hold for a trial (DEBUG) are refused where real data may be.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from devices.mqtt import topics

LARGEST_PORT = 65535
SHORTEST_SECRET = 32
KNOWN_SECRETS = ("devsecret", "change-me", "changeme", "change_me", "django-insecure", "example")
"""How secrets begin that stand in examples."""
KNOWN_PASSWORDS = (
    "postgres",
    "password",
    "iotplatform",
    "admin",
    "public",
    "root",
    "secret",
    "test",
)
"""What people, and servers at their first start, have for a password."""
PAYLOAD_RANGE = (1024, 16 * 1024 * 1024)
LIMITS = {
    "MAX_COMMAND": 16_384,
    "COMMAND_QUEUE": 100,
    "COMMAND_RATE": 20_000,
    "REJECTED_MAX": 100_000,
    "LIVE_STREAMS": 24,
    "WEB_WORKERS": 2,
    "WEB_THREADS": 32,
}
"""What has to be at least 1, and its default."""
DAYS = ("DEDUPE_DAYS", "HISTORY_DAYS", "REJECTED_DAYS")

NEW_SECRET = 'Make one: python3 -c "import secrets; print(secrets.token_urlsafe(48))".'
DEBUG_ADVICE = "For a trial on this machine set DEBUG=1."
HINTS = {
    "SECRET_KEY": f"{NEW_SECRET} {DEBUG_ADVICE}",
    "JWT_SECRET": f"{NEW_SECRET} {DEBUG_ADVICE}",
    "DATABASE_URL": "It looks like postgresql://user:password@host:5432/database.",
}
NEW_PASSWORD = (
    "Give the user another one, ALTER ROLE … PASSWORD '…', and write it into DATABASE_URL; of "
    "docker compose it is POSTGRES_PASSWORD."
)


def error(number: int, message: str, hint: str) -> Error:
    return Error(message, hint=hint, id=f"iotplatform.E{number:03}")


@register()
def check_variables(**_: Any) -> list[CheckMessage]:
    """Everything that `settings.py` could not read."""
    return [
        error(1, f"{name}: {problem}", HINTS.get(name, f"Correct {name}, or leave it out."))
        for name, problem in settings.PROBLEMS
    ]


@register()
def check_mqtt(**_: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    try:
        topics.check_filter(settings.MQTT_TOPIC)
    except ValueError as problem:
        found.append(error(2, f"MQTT__TOPIC: {problem}", "The default is +/devices/+/telemetry."))
    if settings.MQTT_CA and not Path(settings.MQTT_CA).is_file():
        found.append(
            error(
                6,
                f"MQTT__CA: there is no file {settings.MQTT_CA}.",
                "Give the path of the certificate of the authority that signed the broker's own, "
                "or leave it out to trust the authorities of the system.",
            )
        )
    if settings.MQTT_CA and not settings.MQTT_TLS:
        found.append(
            Warning(
                "MQTT__CA is set but MQTT__TLS is off: nothing to the broker is encrypted.",
                hint="Set MQTT__TLS=1.",
                id="iotplatform.W001",
            )
        )
    return found


@register()
def check_numbers(**_: Any) -> list[CheckMessage]:
    # The embedded broker takes the port after MQTT__PORT as well.
    ports = {
        "PORT": (settings.PORT, LARGEST_PORT),
        "MQTT__PORT": (settings.MQTT_PORT, LARGEST_PORT - int(settings.MQTT_EMBEDDED)),
        # 0 is none at all.
        "METRICS_PORT": (settings.METRICS_PORT or 1, LARGEST_PORT),
    }
    found: list[CheckMessage] = [
        error(3, f"{name}: {port} is no port.", f"Choose a number from 1 to {largest}.")
        for name, (port, largest) in ports.items()
        if not 1 <= port <= largest
    ]
    found += [
        error(4, f"{name}: {number} is no number of days.", "Choose at least 1.")
        for name in DAYS
        if (number := getattr(settings, name)) < 1
    ]
    found += [
        error(8, f"{name}: {limit} lets nothing through.", f"The default is {default}.")
        for name, default in LIMITS.items()
        if (limit := getattr(settings, name)) < 1
    ]
    smallest, largest = PAYLOAD_RANGE
    if not smallest <= settings.MAX_PAYLOAD <= largest:
        found.append(
            error(
                5,
                f"MAX_PAYLOAD: {settings.MAX_PAYLOAD} bytes.",
                f"Choose a number of bytes from {smallest} to {largest}; the default is 262144.",
            )
        )
    return found


@register()
def check_proxies(**_: Any) -> list[CheckMessage]:
    hint = "Count those in front of the web server; 0 for none."
    if settings.NUM_PROXIES < 0:
        problem = f"NUM_PROXIES: {settings.NUM_PROXIES} is no number of proxies."
        return [error(7, problem, hint)]
    if settings.CSRF_TRUSTED_ORIGINS and not settings.NUM_PROXIES:
        problem = (
            "CSRF_TRUSTED_ORIGINS is for sites behind a proxy, but NUM_PROXIES is 0: failed logins "
            "of one client would count against all others."
        )
        return [Warning(problem, hint=hint, id="iotplatform.W002")]
    return []


@register()
def check_secrets(**_: Any) -> list[CheckMessage]:
    """Without DEBUG, secrets that somebody could guess or look up stop the start."""
    if settings.DEBUG:
        return []
    secrets = {"SECRET_KEY": settings.SECRET_KEY, "JWT_SECRET": settings.JWT_SECRET}
    # Without it there are no metrics for others to read.
    if settings.METRICS_TOKEN:
        secrets["METRICS_TOKEN"] = settings.METRICS_TOKEN
    found = [*weak(10, secrets), *known_passwords()]
    if settings.SECRET_KEY == settings.JWT_SECRET:
        # Who learns the one, from an app that checks tokens, must not forge sessions.
        found.append(error(11, "SECRET_KEY and JWT_SECRET are the same.", NEW_SECRET))
    return found


def weak(number: int, secrets: Mapping[str, str]) -> Iterator[CheckMessage]:
    """An error for each of them that stands in an example, or is short enough to be guessed."""
    for name, secret in secrets.items():
        hint = HINTS.get(name, NEW_SECRET)
        if secret.lower().startswith(KNOWN_SECRETS):
            yield error(number, f"{name} is one that stands in an example.", hint)
        elif len(secret.encode()) < SHORTEST_SECRET:
            yield error(number, f"{name} is shorter than {SHORTEST_SECRET} bytes.", hint)


def known_passwords() -> Iterator[CheckMessage]:
    """An error for each password of others' choice that anybody would try first."""
    database = settings.DATABASES["default"]
    passwords = {
        "DATABASE_URL": (database.get("PASSWORD"), database.get("USER"), NEW_PASSWORD),
        "MQTT__PASSWORD": (
            settings.MQTT_PASSWORD,
            settings.MQTT_USERNAME,
            "Give the platform another one at the broker.",
        ),
    }
    for name, (password, user, hint) in passwords.items():
        # Without one, the server knows the user by other means.
        said = (password or "").lower()
        if said and (said in (*KNOWN_PASSWORDS, user) or said.startswith(KNOWN_SECRETS)):
            yield error(18, f"{name}: its password is one that anybody would try.", hint)


@register()
def check_access(**_: Any) -> list[CheckMessage]:
    """What a broker that admits only known devices needs, and what would undo it."""
    found: list[CheckMessage] = []
    if settings.ENROLMENT and settings.AUTO_REGISTER:
        problem = "AUTO_REGISTER lets devices in without the key that ENROLMENT asks for."
        found.append(error(9, problem, "Leave AUTO_REGISTER out, or set ENROLMENT=0."))
    if settings.MQTT_ACCESS == "open":
        return found
    if settings.MQTT_EMBEDDED:
        problem = "MQTT__ACCESS: the embedded broker admits everybody."
        found.append(error(15, problem, "Set MQTT__HOST to your broker, or MQTT__ACCESS=open."))
    if settings.MQTT_ACCESS == "emqx" and not settings.EMQX_API_URL.startswith("http"):
        problem = "EMQX__API_URL is no address: nobody could be put off the broker."
        found.append(error(17, problem, "It looks like http://broker:18083/api/v5."))
    return [*found, *weak(16, secrets_of_access())]


def secrets_of_access() -> dict[str, str]:
    """By name, what the platform and its broker know each other by."""
    needed = {
        "MQTT__INGEST_PASSWORD": settings.MQTT_INGEST_PASSWORD,
        "MQTT__DISPATCH_PASSWORD": settings.MQTT_DISPATCH_PASSWORD,
    }
    if settings.MQTT_ACCESS == "emqx":
        needed["MQTT__HOOK_SECRET"] = settings.MQTT_HOOK_SECRET
        needed["EMQX__API_SECRET"] = settings.EMQX_API_SECRET
    return needed


@register()
def check_production(**_: Any) -> list[CheckMessage]:
    """Without DEBUG, what only holds for a trial is refused."""
    if settings.DEBUG:
        return []
    found: list[CheckMessage] = []
    if not settings.ALLOWED_HOSTS:
        hint = "Set it to the names of this site, separated by commas."
        found.append(error(12, "ALLOWED_HOSTS is empty.", f"{hint} {DEBUG_ADVICE}"))
    for name, unset, server in (
        ("DATABASE_URL", not settings.DATABASE_URL, "PostgreSQL"),
        ("MQTT__HOST", settings.MQTT_EMBEDDED, "MQTT broker"),
    ):
        if unset:
            problem = f"{name} is not set; the embedded {server} is for trials only."
            hint = f"Set {name} to a server of your own. {DEBUG_ADVICE}"
            found.append(error(13, problem, hint))
    if settings.AUTH_DEMO:
        problem = "AUTH_DEMO lets anybody in."
        found.append(error(14, problem, f"Leave it out. {DEBUG_ADVICE}"))
    return found
