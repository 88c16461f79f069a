"""What is left in the database after a test with transactions of its own: nothing."""

from django.core.management.color import no_style
from django.db import connection

from telemetry import partitions

KEPT = ("django_migrations", "django_content_type", "auth_permission")
"""What `migrate` writes about the code, which no test changes."""


def empty_tables(*_: object) -> None:
    """Optimization: `flush` would empty those too and write them again, which takes as long as all
    else; and content types would have other ids from then on."""
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    statements = connection.ops.sql_flush(no_style(), sorted({*tables} - {*KEPT}))
    connection.ops.execute_sql_flush(statements)
    # Others count on there being none; those of weeks long past would be upkeep's to drop.
    if weeks := ", ".join(map(partitions.name_of, partitions.existing())):
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {weeks}")
