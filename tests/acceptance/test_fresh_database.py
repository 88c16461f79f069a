"""What a database has after its migrations, before anybody has done anything."""

from tests.acceptance.processes import Server


def test_the_first_tenant_is_there_from_the_start(server: Server) -> None:
    with server.connect("migrated") as connection:
        assert connection.execute("SELECT slug FROM accounts_tenant").fetchall() == [("t0",)]
