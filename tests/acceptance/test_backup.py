"""docs/backup.md: its commands are executed, and what they bring back is all that there was."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from devices.commands import outbox
from devices.credentials.authenticating import authenticate
from devices.models import Command, Device
from iotplatform.embedded import Postgres
from telemetry import ingest
from telemetry.counts import Tally
from telemetry.incoming import decode_message
from telemetry.models import Telemetry
from tests import cast as people
from tests.acceptance.containers import (
    TABLES,
    Shell,
    block,
    contents,
    fetch,
    prepare,
    working_on,
)
from tests.acceptance.processes import Server
from tests.iotplatform.processes import ROOT

EMAIL = "somebody@t0.example"
STARTED = timezone.now()
MESSAGES = [
    {"msg_id": f"m{n}", "ts": (STARTED - timedelta(days=5 * n)).isoformat(), "values": {"n": n}}
    for n in range(9)
]
CASTS = re.compile(r"::(character varying|text)(\[\])?|[()]")
PLACES = """
SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, inhrelid)
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'telemetry_telemetry'::regclass ORDER BY 1
"""


def publish(*bodies: Any, uid: str = "dev-01", kind: str = "telemetry") -> Tally:
    """What becomes of messages of a device that arrive now."""
    return ingest.store(
        decode_message(
            f"t0/devices/{uid}/{kind}", json.dumps(body).encode(), time.time_ns() // 1_000, number
        )
        for number, body in enumerate(bodies)
    )


def fill() -> str:
    """Something of all that people and devices leave behind; returns a device's token."""
    cast = people.cast()
    people.user(EMAIL, cast.t0, "operator", password=people.PASSWORD)
    token = people.token(cast.device, cast.admin)
    people.enrolment_key(cast.t0, cast.admin)
    people.alert(cast.device)
    assert publish(*MESSAGES, {"n": float("nan")}, MESSAGES[0], uid="dev-01").stored == len(
        MESSAGES
    )
    publish({"state": "online", "session": "s1"}, kind="status")
    done = people.command(cast.device, cast.operator)
    publish({"id": str(done.id), "status": "ok"}, kind="replies")
    people.command(cast.device, cast.operator, status="sent", sent_at=timezone.now())
    people.command(cast.device, cast.operator)
    api = people.api(cast.admin)
    assert api.post("/devices", {"device_uid": "dev-02"}).status_code == 201
    assert people.batch(cast.t0, cast.operator)
    ended = people.api(None).post("/auth/login", {"email": EMAIL, "password": people.PASSWORD})
    api.post("/auth/logout", {"refresh_token": ended.json()["refresh_token"]})
    people.console(cast.admin)
    return token


@dataclass
class Installation:
    """One that was backed up, and one on an empty server to which that was restored."""

    shell: Shell
    backup: Path
    token: str
    restored: Shell
    at: Callable[[Postgres], AbstractContextManager[None]]

    def on_restored(self) -> AbstractContextManager[None]:
        return self.at(self.restored.server)


def check_out(directory: Path) -> Path:
    """What a backup and a restore need of the sources."""
    (directory / "deploy").mkdir(parents=True)
    for program in ("backup.sh", "secrets.sh"):
        shutil.copy(ROOT / "deploy" / program, directory / "deploy")
    for file in ("docker-compose.yml", ".env.example"):
        shutil.copy(ROOT / file, directory)
    return directory


def back_up(shell: Shell, to: Path, **variables: str) -> Path:
    """The new backup below `to`."""
    commands = block("backup.md", "backup").replace("/var/backups/iotplatform", str(to))
    return Path(shell.must(commands, **variables).strip())


@pytest.fixture(scope="module")
def installation(
    server: Server, tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any
) -> Iterator[Installation]:
    def at(place: Postgres) -> AbstractContextManager[None]:
        return working_on(place, "iotplatform", django_db_blocker.unblock(), "iotplatform")

    # PostgreSQL may have to run under another account than ours.
    root = tmp_path_factory.mktemp("backup")
    old, new = check_out(root / "old"), check_out(root / "new")
    with server.connect() as admin, ExitStack() as stack:
        prepare(server.postgres, "migrated")
        for what in ("ROLE grafana", "ROLE iotplatform", "DATABASE iotplatform WITH (FORCE)"):
            stack.callback(admin.execute, f"DROP {what}")
        with at(server.postgres):
            token = fill()
        (old / ".env").write_text("SECRET_KEY=kept\n")
        (old / ".env").chmod(0o600)
        accounts = old / "volume" / "var" / "lib" / "mosquitto" / "dynamic-security.json"
        accounts.parent.mkdir(parents=True)
        accounts.write_text("who may connect")
        (old / "certs").mkdir()
        (old / "certs" / "authority.key").write_text("kept as well")
        shell = Shell(old, server.postgres)
        shell.must(block("postgres.md", "a role that only reads"))
        backup = back_up(shell, root / "backups")
        empty = Postgres(root / "postgres", fsync="off")
        stack.enter_context(empty.running())
        prepare(empty)
        restored = Shell(new, empty)
        restored.must(block("backup.md", "restore"), BACKUP=str(backup))
        yield Installation(shell, backup, token, restored, at)


def test_every_row_of_every_table_comes_back(installation: Installation) -> None:
    before = contents(installation.shell.server, "iotplatform")
    after = contents(installation.restored.server, "iotplatform")
    assert after == before
    filled = {table for table, (count, _) in before.items() if count}
    assert {"telemetry_telemetry", "telemetry_receipt", "telemetry_rejectedmessage"} < filled
    assert {"devices_command", "devices_commandtransition", "devices_credential"} < filled
    assert {"accounts_user", "accounts_concern", "token_blacklist_blacklistedtoken"} < filled


def test_partitions_constraints_and_triggers_are_those_that_were(
    installation: Installation,
) -> None:
    both = installation.shell, installation.restored
    weeks = [fetch(each.server, "iotplatform", PLACES) for each in both]
    assert weeks[0] == weeks[1]
    assert len(weeks[0]) > 6
    schema = "pg_dump -U iotplatform -sx --restrict-key=same iotplatform"
    said = [each.must(schema) for each in both]
    assert "CREATE TRIGGER" in said[0]
    # PostgreSQL writes some casts of constraints in another place each time it reads them.
    assert CASTS.sub("", said[0]) == CASTS.sub("", said[1])


def test_settings_certificates_and_accounts_come_back(installation: Installation) -> None:
    directory = installation.restored.directory
    accounts = block("backup.md", "restore mosquitto").replace("/var/lib/mosquitto/", "")
    installation.restored.must(accounts, BACKUP=str(installation.backup))
    assert (directory / "dynamic-security.json").read_text() == "who may connect"
    assert (directory / ".env").read_text() == "SECRET_KEY=kept\n"
    assert (directory / "certs" / "authority.key").read_text() == "kept as well"
    sources = subprocess.check_output(["tar", "-tzf", installation.backup / "deploy.tar.gz"])
    assert {"deploy/backup.sh", "docker-compose.yml"} < set(sources.decode().split())
    assert (directory / ".env").stat().st_mode & 0o077 == 0
    assert installation.backup.stat().st_mode & 0o077 == 0


def test_people_and_devices_get_in_as_before(installation: Installation) -> None:
    with installation.on_restored():
        login = {"email": EMAIL, "password": people.PASSWORD}
        tokens = people.api(None).post("/auth/login", login).json()
        api = people.api(None)
        api.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens['access_token']}")
        assert [each["msg_id"] for each in api.get("/telemetry/dev-01?limit=2").json()] == [
            "m0",
            "m1",
        ]
        assert authenticate("dev-01", installation.token)
        assert authenticate("dev-01", "another") is None


def test_ingest_goes_on_and_knows_what_was_stored(installation: Installation) -> None:
    with installation.on_restored():
        newest = Telemetry.objects.order_by("-id")[0].id
        devices = Device.objects.order_by("-id")[0].id
        assert publish(*MESSAGES) == Tally(duplicate=len(MESSAGES))
        assert publish({"msg_id": "new", "n": 1}, uid="dev-new") == Tally(stored=1)
        assert Telemetry.objects.order_by("-id")[0].id > newest
        assert Device.objects.get(device_uid="dev-new").id > devices


def test_commands_that_were_open_are_ended_and_not_sent(installation: Installation) -> None:
    with installation.on_restored():
        waiting = Command.objects.open().filter(status__in=["queued", "sent"])
        # Left alone, it would go out.
        assert Command.objects.open().filter(device__device_uid="dev-01").count() == 3
        said = installation.restored.must(block("backup.md", "end open commands"))
        assert said.count("reboot") == waiting.count() == 4
        assert outbox.turn([], 10).claims == []
        assert not waiting.exists()
        assert Command.objects.filter(status="expired").count() == 4


def test_a_database_that_is_not_empty_is_left_alone(installation: Installation) -> None:
    before = contents(installation.restored.server, "iotplatform")
    again = installation.restored.run(
        block("backup.md", "restore"), BACKUP=str(installation.backup)
    )
    assert again.returncode != 0
    assert "already exists" in again.stderr
    assert contents(installation.restored.server, "iotplatform") == before


def test_the_rehearsal_says_what_is_in_it_and_cleans_up(installation: Installation) -> None:
    said = installation.shell.must(block("backup.md", "rehearsal"), BACKUP=str(installation.backup))
    assert re.search(rf"^ +\d+ \| +{len(MESSAGES)} \| ", said, re.MULTILINE)
    databases = "SELECT datname FROM pg_database"
    assert ("rehearsal",) not in fetch(installation.shell.server, "postgres", databases)


def test_a_reader_of_the_database_reads_readings_and_no_secrets(
    installation: Installation,
) -> None:
    server = installation.shell.server
    url = server.url_of("iotplatform").replace("postgres@", "grafana@")
    with psycopg.connect(url, autocommit=True) as reader:
        reader.execute("SET default_transaction_read_only = off")
        panel = block("postgres.md", "a panel").replace("temperature'", "n'")
        assert reader.execute(panel).fetchall()
        refused = []
        for (table,) in fetch(server, "iotplatform", TABLES):
            for statement in (f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(statement)
            try:
                reader.execute(f"SELECT * FROM {table}")
            except psycopg.errors.InsufficientPrivilege:
                refused.append(table)
        assert {"accounts_user", "devices_credential", "devices_alertrule"} < set(refused)
        assert {"devices_command", "telemetry_rejectedmessage", "django_session"} < set(refused)
        assert "telemetry_telemetry" not in refused


def test_old_backups_and_remains_go_once_there_is_a_new_one(installation: Installation) -> None:
    directory = installation.backup.parent
    old, strange = directory / "20260101T000000Z", directory / "kept by hand"
    killed = directory / "20261101T000000Z.unfinished"
    for each in (old, killed, strange):
        each.mkdir()
        long_ago = (STARTED - timedelta(days=20)).timestamp()
        os.utime(each, (long_ago, long_ago))
    cut = installation.shell.directory / "bin" / "pg_dump"
    cut.write_text('#!/bin/bash\nPATH=${PATH#*:} pg_dump "$@" | head -c 60000\n')
    cut.chmod(0o755)
    half = installation.shell.run(f"deploy/backup.sh {directory}")
    cut.unlink()
    assert half.returncode != 0
    assert set(directory.iterdir()) == {old, killed, installation.backup, strange}
    time.sleep(1)
    new = back_up(installation.shell, directory)
    assert set(directory.iterdir()) == {installation.backup, new, strange}


@pytest.mark.parametrize(
    ("program", "said"),
    [("tar", "run this as root"), ("cat", "Mosquitto's accounts could not be read")],
)
def test_what_cannot_be_read_is_said_before_the_database_is(
    installation: Installation, tmp_path: Path, program: str, said: str
) -> None:
    fails = installation.shell.directory / "bin" / program
    fails.write_text("#!/bin/sh\nexit 2\n")
    fails.chmod(0o755)
    done = installation.shell.run(f"deploy/backup.sh {tmp_path}/backups", PGHOST="/nowhere")
    fails.unlink()
    assert done.returncode == 1
    assert said in done.stderr
    assert not list((tmp_path / "backups").iterdir())


def test_an_altered_backup_is_not_restored(installation: Installation, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(installation.backup, copy)
    with (copy / "database.dump").open("r+b") as dump:
        dump.seek(5000)
        dump.write(b"\0\0\0\0")
    done = installation.restored.run(block("backup.md", "restore"), BACKUP=str(copy))
    assert done.returncode != 0
    assert "FAILED" in done.stdout


def test_indexes_are_made_anew_where_the_order_of_texts_may_be_another(
    installation: Installation,
) -> None:
    before = contents(installation.restored.server, "iotplatform")
    said = installation.restored.must(block("backup.md", "order of texts"))
    assert said.count("REINDEX\n") == said.count("ALTER DATABASE\n") == 3
    assert contents(installation.restored.server, "iotplatform") == before


def test_an_upgrade_stops_at_settings_with_which_no_device_gets_in(
    installation: Installation, tmp_path: Path
) -> None:
    shell, settings = installation.shell, installation.shell.directory / ".env"
    git = shell.directory / "bin" / "git"
    git.write_text("#!/bin/sh\n")
    git.chmod(0o755)
    commands = block("backup.md", "upgrade").replace("/var/backups/iotplatform", str(tmp_path))
    settings.write_text("MQTT__ACCESS=open\n")
    refused = shell.run(commands)
    assert refused.returncode == 1
    assert "both have to name the same broker" in refused.stderr
    settings.write_text(settings.read_text().replace("=open", "=emqx"))
    shell.must(commands.replace(str(tmp_path), f"{tmp_path}/again"))


def test_an_empty_database_takes_the_place_of_one_that_is_there(
    installation: Installation,
) -> None:
    installation.restored.must(block("backup.md", "empty"))
    assert contents(installation.restored.server, "iotplatform") == {}


def test_the_log_brings_back_the_moment_before_a_mistake(tmp_path: Path) -> None:
    wal = tmp_path / "wal"
    shell = Shell(check_out(tmp_path / "checkout"), Postgres(tmp_path / "before", fsync="off"))
    here = {"BACKUP": str(tmp_path)}
    with shell.server.running():
        prepare(shell.server)
        shell.must(block("backup.md", "archive").replace("/wal/", f"{wal}/"))
    for each in (tmp_path, wal):
        each.mkdir(exist_ok=True)
        each.chmod(0o777)
    with shell.server.running():
        shell.must(block("backup.md", "base"), **here)
        execute(shell.server, "CREATE TABLE kept AS SELECT 1")
        ((moment,),) = fetch(shell.server, "iotplatform", "SELECT clock_timestamp()")
        execute(shell.server, "DROP TABLE kept")
        execute(shell.server, "SELECT pg_switch_wal()")
    data = tmp_path / "after"
    data.mkdir(mode=0o700)
    commands = block("backup.md", "recover").replace("/wal/", f"{wal}/")
    shell.must(at_moment(commands, moment), PGDATA=str(data), **here)
    recovered = Postgres(data, fsync="off")
    with recovered.running():
        assert fetch(recovered, "iotplatform", "SELECT * FROM kept") == [(1,)]


def at_moment(commands: str, moment: datetime) -> str:
    changed, times = re.subn(r'MOMENT="[^"]*"', f'MOMENT="{moment.isoformat()}"', commands)
    assert times == 1
    return changed


def execute(server: Postgres, statement: str) -> None:
    with psycopg.connect(server.url_of("iotplatform"), autocommit=True) as connection:
        connection.execute(statement)


def test_no_block_of_the_guide_is_left_out() -> None:
    guide = (ROOT / "docs" / "backup.md").read_text()
    named = set(re.findall(r"<!-- ([\w ]+) -->\n```bash", guide))
    assert guide.count("```bash") == len(named)
    executed = set(re.findall(r'block\("backup.md", "([\w ]+)"\)', Path(__file__).read_text()))
    # These have nothing in them but Docker, git, and scripts with tests of their own.
    of_others = {"start", "upgrade from before the proxy", "upgrade to the proxy"}
    assert named - executed == of_others
