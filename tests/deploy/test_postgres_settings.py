"""PostgreSQL as the container has it: its own files, in force in a real server."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from iotplatform.embedded import Postgres
from iotplatform.embedded.programs import program
from tests.iotplatform import compose
from tests.iotplatform.processes import ROOT

FILES = ROOT / "deploy" / "postgres"
PASSWORD = "it's a password with a ' in it"
GIVEN_HERE = {"listen_addresses"}
"""What the test's own server is told on its command line."""
UNITS = {"kB": 2**10, "8kB": 2**13, "MB": 2**20}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    directory = tmp_path_factory.mktemp("postgres")
    directory.chmod(0o711)
    for file in FILES.iterdir():
        (directory / file.name).touch(0o644)
        shutil.copyfile(file, directory / file.name)
    files = {
        "config_file": str(directory / "postgresql.conf"),
        "hba_file": str(directory / "pg_hba.conf"),
    }
    server = Postgres(directory / "data", **files)
    with server.running():
        yield server


def ask(server: Postgres, query: str, database: str = "postgres") -> list[Any]:
    with psycopg.connect(server.url_of(database)) as connection:
        return connection.execute(query).fetchall()


def in_the_file() -> dict[str, str]:
    lines = re.findall(r"^(\w+) = (.+)$", (FILES / "postgresql.conf").read_text(), re.MULTILINE)
    return {name: value.strip("'") for name, value in lines}


def test_the_server_understands_every_line_of_both_files(server: Postgres) -> None:
    wrong = "SELECT name FROM pg_file_settings WHERE error IS NOT NULL OR NOT applied"
    assert {name for (name,) in ask(server, wrong)} == GIVEN_HERE
    assert ask(server, "SELECT line_number FROM pg_hba_file_rules WHERE error IS NOT NULL") == []


def test_every_setting_of_the_file_is_in_force(server: Postgres) -> None:
    rows = ask(server, "SELECT lower(name), source, pending_restart FROM pg_settings")
    known = {name: (source, pending) for name, source, pending in rows}
    settings = in_the_file().keys() - GIVEN_HERE
    assert len(settings) > 30
    assert {known[name] for name in settings} == {("configuration file", False)}


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
def test_what_was_acknowledged_is_on_disk(server: Postgres, name: str) -> None:
    assert ask(server, f"SHOW {name}") == [("on",)]


def test_no_value_of_a_parameter_and_no_failed_statement_is_logged(server: Postgres) -> None:
    secret = "a-secret-that-no-log-may-have"
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (secret text PRIMARY KEY)")
        for _ in range(2):
            try:
                connection.execute(f"INSERT INTO kept VALUES ('{secret}')")
            except psycopg.errors.UniqueViolation:
                break
        else:
            pytest.fail("It was stored twice.")
    log = server.log.read_text()
    assert "duplicate key value" in log
    assert secret not in log


def test_what_it_keeps_in_memory_fits_its_container(server: Postgres) -> None:
    limit = compose.load(compose.BASE)["services"]["postgres"]["mem_limit"]
    assert limit.endswith("m")
    memory = int(limit.removesuffix("m")) * 2**20
    names = "('shared_buffers', 'effective_cache_size', 'maintenance_work_mem')"
    rows = ask(server, f"SELECT name, setting, unit FROM pg_settings WHERE name IN {names}")
    size = {name: int(setting) * UNITS[unit] for name, setting, unit in rows}
    workers = int(in_the_file()["autovacuum_max_workers"])
    assert memory / 5 < size["shared_buffers"] <= memory / 4
    assert size["effective_cache_size"] < memory
    # And two megabytes for each connection.
    used = size["shared_buffers"] + (workers + 1) * size["maintenance_work_mem"] + 250 * 2 * 2**20
    assert used <= memory


def test_only_the_platform_comes_over_the_network_and_by_its_password(server: Postgres) -> None:
    rules = ask(server, "SELECT type, database, user_name, address, auth_method "
                "FROM pg_hba_file_rules ORDER BY line_number")  # fmt: skip
    assert [rule for rule in rules if rule[0] != "local"] == [
        ("host", ["iotplatform"], ["iotplatform"], "samenet", "scram-sha-256")
    ]
    assert rules[0][:3] == ("local", ["all"], ["all"])


def test_a_new_volume_has_the_platforms_account_which_may_not_do_everything(
    server: Postgres,
) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE iotplatform")
    # As the image runs it.
    psql = [program("psql"), "-X", "-w", "-d", server.url_of("iotplatform")]
    done = subprocess.run(
        [*psql, "-f", str(FILES / "role.sql")],
        env={**os.environ, "POSTGRES_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = ask(
        server,
        "SELECT rolsuper, rolreplication, rolcreaterole, rolcreatedb, left(rolpassword, 13) "
        "FROM pg_authid WHERE rolname = 'iotplatform'",
    )
    assert rows == [(False, False, False, True, "SCRAM-SHA-256")]
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'iotplatform'"
    assert ask(server, owner) == [("iotplatform",)]
    url = server.url_of("iotplatform").replace("postgres@", "iotplatform@")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE ours (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY ours FROM PROGRAM 'echo 1'")


def test_pages_have_sums_and_the_order_of_texts_is_postgresqls_own() -> None:
    variables = compose.load(compose.BASE)["services"]["postgres"]["environment"]
    options = variables["POSTGRES_INITDB_ARGS"].split()
    assert {"--data-checksums", "--auth-host=scram-sha-256"} <= set(options)
    assert {"--locale-provider=builtin", "--locale=C.UTF-8"} <= set(options)
    # The file that is mounted is the one that is named.
    service = compose.load(compose.BASE)["services"]["postgres"]
    named = [part.split("=")[1] for part in service["command"] if "_file=" in part]
    mounted = {volume.split(":")[1] for volume in service["volumes"]}
    assert set(named) <= mounted
