"""The embedded PostgreSQL: started by the first user, stopped after the last, however they end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from iotplatform.embedded import EmbeddedServerError, Postgres, programs
from tests.iotplatform.processes import ROOT, left_behind, wait_until

# A process that uses the server until it gets a line, as a second terminal would.
USER = """
import sys, psycopg
from pathlib import Path
from iotplatform.embedded import EmbeddedServerError, Postgres
server = Postgres(Path(sys.argv[1]))
try:
    with server.running():
        with psycopg.connect(server.url) as connection:
            print("answers", connection.execute("SELECT 1").fetchone(), flush=True)
        sys.stdin.readline()
        with psycopg.connect(server.url):
            print("still answers", flush=True)
except EmbeddedServerError as error:
    sys.exit(str(error))
"""


@contextlib.contextmanager
def another_user(data: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(data)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def query(server: Postgres, statement: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchone() if cursor.description else None


def kill_everything(directory: Path) -> None:
    for process in left_behind(directory):
        os.kill(int(process.split()[0]), signal.SIGKILL)
    wait_until(lambda: not left_behind(directory))


@pytest.fixture
def server(tmp_path: Path) -> Postgres:
    return Postgres(tmp_path / "postgres")


def test_a_second_start_finds_the_data_of_the_first(server: Postgres) -> None:
    with server.running():
        query(server, "CREATE TABLE kept AS SELECT 1")
    assert not server.is_running()
    with server.running():
        assert query(server, "SELECT count(*) FROM kept") == (1,)


def test_nothing_is_left_after_the_last_user(server: Postgres, tmp_path: Path) -> None:
    with server.running():
        assert left_behind(tmp_path)
    assert not left_behind(tmp_path)


def test_no_parent_directory_is_opened_for_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Postgres(closed / "postgres").running():
        assert closed.stat().st_mode & 0o777 == 0o700
        assert (closed / "postgres").stat().st_mode & 0o777 == 0o700


def test_it_listens_to_no_network(server: Postgres) -> None:
    with server.running():
        assert query(server, "SHOW listen_addresses") == ("",)


def test_it_stays_while_another_process_uses_it(server: Postgres) -> None:
    with another_user(server.data) as other:
        assert says(other).startswith("answers")
        with server.running():
            pass
        other.communicate("\n")
        assert other.returncode == 0
    assert not server.is_running()


def test_it_stays_when_the_process_that_started_it_leaves(server: Postgres) -> None:
    with contextlib.ExitStack() as stack:
        with another_user(server.data) as starter:
            assert says(starter).startswith("answers")
            stack.enter_context(server.running())
            starter.communicate("\n")
        assert query(server, "SELECT 1") == (1,)
    wait_until(lambda: not left_behind(server.data.parent))


def test_many_may_start_it_at_once(server: Postgres) -> None:
    with contextlib.ExitStack() as stack:
        users = [stack.enter_context(another_user(server.data)) for _ in range(4)]
        assert all(says(user).startswith("answers") for user in users)
        for user in users:
            user.communicate("\n")
    wait_until(lambda: not left_behind(server.data.parent))


def test_it_ends_when_its_only_user_is_killed(server: Postgres) -> None:
    with another_user(server.data) as user:
        assert says(user).startswith("answers")
        user.kill()
    wait_until(lambda: not left_behind(server.data.parent))


def test_it_starts_after_everything_was_killed(server: Postgres, tmp_path: Path) -> None:
    with another_user(server.data) as user:
        assert says(user).startswith("answers")
        query(server, "CREATE TABLE kept AS SELECT 1")
        kill_everything(tmp_path)
    with server.running():
        assert query(server, "SELECT count(*) FROM kept") == (1,)


def test_it_starts_when_its_old_number_is_now_another_process(
    server: Postgres, tmp_path: Path
) -> None:
    with another_user(server.data) as user:
        assert says(user).startswith("answers")
        kill_everything(tmp_path)
    pid_file = server.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    with subprocess.Popen(["sleep", "60"], **as_the_server()) as stranger:
        pid_file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        with server.running():
            assert query(server, "SELECT 1") == (1,)
        stranger.kill()


def as_the_server() -> dict[str, Any]:
    """PostgreSQL takes only a process that it could signal for another server."""
    return {} if programs.identity().uid == os.getuid() else {"user": programs.identity().uid}


def test_it_waits_for_what_a_killed_server_left_working(server: Postgres) -> None:
    with another_user(server.data) as user:
        assert says(user).startswith("answers")
        postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
        backend = psycopg.connect(server.url)
        orphan = psutil.Process(backend.info.backend_pid)
        orphan.suspend()
        postmaster.kill()
        user.communicate("\n")
        with another_user(server.data) as next_user:
            wait_until(lambda: "is still in use" in log(server))
            orphan.resume()
            assert says(next_user).startswith("answers")
            next_user.communicate("\n")


def log(server: Postgres) -> str:
    return server.log.read_text() if server.log.exists() else ""


def test_a_second_user_waits_for_the_end_of_recovery(server: Postgres) -> None:
    with server.running():
        pass
    # Recovery that goes on until somebody ends it.
    (server.data / "standby.signal").touch()
    with Postgres(server.data, hot_standby="off").running(), another_user(server.data) as user:
        wait_until(lambda: "is not accepting connections" in log(server))
        promote = [programs.program("pg_ctl"), "-D", str(server.data), "promote"]
        assert programs.run(promote).returncode == 0
        assert says(user).startswith("answers")
        user.communicate("\n")


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    server = Postgres(tmp_path / ("long" * 30) / "postgres")
    with server.running():
        assert query(server, "SELECT 1") == (1,)
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert not server.socket_dir.exists()


def test_a_path_with_blanks_and_quotes_is_no_obstacle(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "it's my, 'data'" / "postgres")
    with server.running():
        assert query(server, "SELECT 1") == (1,)
    assert not server.socket_dir.exists()


def test_half_an_initialisation_is_repeated(server: Postgres) -> None:
    half = server.data.with_name("postgres.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    with server.running():
        assert query(server, "SELECT 1") == (1,)


def test_what_postgresql_says_is_in_the_error(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres", shared_buffers="nonsense")
    with pytest.raises(EmbeddedServerError, match="invalid value for parameter"):
        server.running().__enter__()
    wait_until(lambda: not left_behind(tmp_path))


def path_without_unshare(directory: Path) -> str:
    """A PATH as in a container that allows no namespaces."""
    directory.mkdir()
    for name in ("setpriv", "sh"):
        (directory / name).symlink_to(str(shutil.which(name)))
    return str(directory)


only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root runs it as another account")


def nobody_can_reach(path: str) -> bool:
    account = ["setpriv", "--reuid=nobody", "--clear-groups", "test", "-x", path]
    return subprocess.run(account, cwd="/", check=False).returncode == 0


@only_root
@pytest.mark.skipif(
    os.getuid() == 0 and not nobody_can_reach(programs.program("postgres")),
    reason="the virtual environment is closed to the account “nobody”",
)
def test_without_namespaces_it_runs_as_nobody(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        server = Postgres(Path(directory) / "postgres")
        with another_user(server.data, PATH=path_without_unshare(tmp_path / "bin")) as user:
            assert says(user).startswith("answers")
            assert server.data.owner() == "nobody"
            user.communicate("\n")
        # Where namespaces are allowed again, it takes its data back.
        with server.running():
            assert query(server, "SELECT 1") == (1,)


@only_root
def test_nobody_is_told_what_it_cannot_reach(server: Postgres, tmp_path: Path) -> None:
    with another_user(server.data, PATH=path_without_unshare(tmp_path / "bin")) as user:
        _, error = user.communicate()
    assert "must be able to reach LOCAL_DIR" in error
