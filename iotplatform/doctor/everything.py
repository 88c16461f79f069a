"""All checks, in the order of the report: what others need comes before them."""

from iotplatform.doctor import (
    broker,
    certificates,
    clock,
    database,
    disk,
    mail,
    processes,
    secret,
    upkeep,
)
from iotplatform.doctor.examination import Check

ASK_DATABASE = "Compare DATABASE_URL, and see whether the server runs: docker compose ps postgres"
SLOW = "The database is slow, or has other tables than this version: see the lines above."
ASK_BROKER = "See whether the broker runs, and compare MQTT__HOST, MQTT__PORT and MQTT__TLS."
ASK_SETTINGS = "Compare PUBLIC_URL and MQTT__DEVICES; docs/https.md has how to look by hand."
REPORT = "This check itself failed. The rest of the report holds; please report this one."

CHECKS = [
    Check("configuration", secret.configuration, REPORT),
    Check("secrets", secret.files, REPORT),
    Check("database", database.server, ASK_DATABASE, in_database=True),
    Check("migrations", database.migrations, SLOW, in_database=True),
    Check("parameters", database.parameters, SLOW, in_database=True),
    Check("connections", database.connections, SLOW, in_database=True),
    Check("clock", clock.clock, SLOW, in_database=True),
    Check("database size", disk.growth, SLOW, in_database=True),
    Check("disk", disk.here, REPORT),
    Check("partitions", upkeep.weeks, SLOW, in_database=True),
    Check("upkeep", upkeep.runs, SLOW, in_database=True),
    Check("rejected messages", upkeep.overflow, SLOW, in_database=True),
    Check("broker", broker.accounts, ASK_BROKER),
    Check("EMQX", broker.management, ASK_BROKER),
    Check("certificate", certificates.seen, ASK_SETTINGS),
    Check("ingestor", processes.ingestors, SLOW, in_database=True),
    Check("dispatcher", processes.dispatchers, SLOW, in_database=True),
    Check("queues", processes.queues, SLOW, in_database=True),
    Check("e-mail", mail.server, "Compare EMAIL_URL."),
]
