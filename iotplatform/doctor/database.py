"""The database: whether it is one that the platform can trust with its data."""

from collections.abc import Iterator

from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from iotplatform.doctor.finding import Finding, ok, problem, warning

OLDEST, NEWEST = 15, 18
SETTINGS = "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)"
SAFE = {"fsync": "on", "full_page_writes": "on"}
UNSAFE_COMMIT = "off"
OF_LIVE = 128
"""Connections that `live` may want at once, as many as it has threads; a trial has none of it."""
OF_OTHERS = 20
"""Those of ingestor, dispatcher, upkeep, and of people who look, about."""
CROWDED, FULL = 0.8, 0.95

CONNECTIONS = """
SELECT count(*) FILTER (WHERE backend_type = 'client backend'),
    (SELECT sum(setting::int) FILTER (WHERE name = 'max_connections')
        - coalesce(sum(setting::int) FILTER (WHERE name <> 'max_connections'), 0)
    FROM pg_settings
    WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections'))
FROM pg_stat_activity
"""


def server() -> Iterator[Finding]:
    """Whether it answers, and is of a version that the platform was tried with."""
    connection.ensure_connection()
    number = connection.connection.info.server_version
    said = f"PostgreSQL {number // 10_000}.{number % 10_000}, {place()}"
    if number // 10_000 < OLDEST:
        advice = f"Move to PostgreSQL {OLDEST} or newer; docs/backup.md says how."
        yield problem("database", f"{said}: too old.", advice)
    elif number // 10_000 > NEWEST:
        advice = f"It was tried with {OLDEST} to {NEWEST}; see whether there is a newer platform."
        yield warning("database", f"{said}: newer than the platform knows.", advice)
    else:
        yield ok("database", f"{said}.")


def place() -> str:
    """Which database it is, without the password."""
    known = connection.settings_dict
    where = "on this machine" if is_local() else f"at {known['HOST']}"
    return f"database “{known['NAME']}” {where}"


def is_local() -> bool:
    """Whether its server is on this machine, as far as its address tells."""
    host = connection.settings_dict["HOST"]
    return not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")


def migrations() -> Iterator[Finding]:
    """Whether its tables are those of this version of the platform."""
    loader = MigrationLoader(connection)
    applied = loader.applied_migrations.keys()
    missing = sorted(loader.graph.nodes.keys() - applied)
    unknown = applied - loader.disk_migrations.keys()
    # Of applications that are ours no more, nobody asks.
    unknown = {key for key in unknown if key[0] in loader.migrated_apps}
    if missing:
        said = f"{len(missing)} are missing, among them {'.'.join(missing[0])}."
        yield problem("migrations", said, "Run “manage.py migrate”.")
    if unknown:
        said = f"{'.'.join(max(unknown))} is of a newer platform than this one."
        yield problem("migrations", said, "Run the newer version, or restore a backup from before.")
    if not missing and not unknown:
        yield ok("migrations", "All are applied.")


def parameters() -> Iterator[Finding]:
    """Whether what it says is stored survives a crash, and texts and times are what they were."""
    found = values_of([*SAFE, "synchronous_commit", "server_encoding", "TimeZone"])
    subject, troubles = "parameters", []
    for name, value in SAFE.items():
        if found[name] != value:
            said = f"{name} is {found[name]}: a crash may cost the whole database."
            advice = f"Set {name} = {value} in postgresql.conf and reload it."
            troubles.append(problem(subject, said, advice))
    if found["synchronous_commit"] == UNSAFE_COMMIT:
        said = "synchronous_commit is off: a crash costs commands that were accepted."
        advice = "Set synchronous_commit = on in postgresql.conf, and for the user of DATABASE_URL."
        troubles.append(problem(subject, said, advice))
    if found["server_encoding"] != "UTF8":
        said = f"The database is in {found['server_encoding']}: many messages cannot be stored."
        advice = "Make a new one with ENCODING 'UTF8' and restore a backup into it."
        troubles.append(problem(subject, said, advice))
    if found["TimeZone"] != "UTC":
        said = (
            f"Sessions are in the time zone {found['TimeZone']}, though the platform asks for UTC."
        )
        advice = (
            "Let what is between (PgBouncer?) pass TimeZone on: days would begin at other times."
        )
        troubles.append(warning(subject, said, advice))
    yield from troubles or [ok(subject, "Commits survive a crash; UTF8; UTC.")]


def values_of(names: list[str]) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(SETTINGS, [names])
        return dict(cursor.fetchall())


def connections() -> Iterator[Finding]:
    """Whether there are enough for all threads of all processes (docs/postgres.md, Settings)."""
    with connection.cursor() as cursor:
        cursor.execute(CONNECTIONS)
        used, most = map(int, cursor.fetchone())
    web, live = settings.WEB_WORKERS * settings.WEB_THREADS, 0 if settings.DEBUG else OF_LIVE
    wanted = web + live + OF_OTHERS
    of_live = f"“live” {live}, " if live else ""
    said = (
        f"{used} of {most} are in use; the web server may want {web}, {of_live}others {OF_OTHERS}."
    )
    advice = "Raise max_connections in postgresql.conf (and restart it), or lower WEB_THREADS."
    if used >= FULL * most:
        yield problem("connections", said, advice)
    elif used >= CROWDED * most or wanted > most:
        yield warning("connections", said, advice)
    else:
        yield ok("connections", said)
