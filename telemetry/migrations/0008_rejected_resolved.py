"""Rejected messages that were dealt with, the oldest of a tenant first.

Messages are stored all the while that the index is made. A build that failed leaves an index that
is none; the next one begins anew.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEX = models.Index(
    fields=["tenant", "received_at", "id"],
    name="rejected_resolved_by_tenant",
    condition=models.Q(resolved_at__isnull=False),
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("telemetry", "0007_upkeep")]
    operations = [
        migrations.RunSQL(
            f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX.name}", migrations.RunSQL.noop
        ),
        AddIndexConcurrently("rejectedmessage", INDEX),
    ]
