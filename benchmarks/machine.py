"""What a figure was measured on."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil
import psycopg

from tests.servers import MOSQUITTO


def describe(connection: psycopg.Connection) -> str:
    """Processor, memory, versions and the settings of the database that decide the figures."""
    memory = psutil.virtual_memory().total / 2**30
    packages = ("django", "psycopg", "mqtt5", "orjson")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return "\n".join(
        [
            f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}",
            f"Python {platform.python_version()}, {versions}, {broker()}",
            database(connection),
        ]
    )


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def broker() -> str:
    said = subprocess.run([MOSQUITTO, "-h"], capture_output=True, text=True, check=False).stdout
    return said.split("\n", 1)[0].replace(" version", "")


def database(connection: psycopg.Connection) -> str:
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size")
    rows = connection.execute(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(names)]
    ).fetchall()
    values: dict[str, str] = dict(rows)
    return "PostgreSQL " + ", ".join(
        [values["server_version"], *(f"{name}={values[name]}" for name in names[1:])]
    )
