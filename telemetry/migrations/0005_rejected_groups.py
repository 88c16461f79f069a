"""Open rejected messages by reason and device, without reading all of them.

They are stored all the while that the indexes are made. A build that failed leaves an index that is
none; the next one begins anew.
"""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

INDEXES = (
    models.Index(
        fields=["tenant", "reason", "device_uid", "received_at"],
        name="rejected_open_by_group",
        condition=models.Q(resolved_at__isnull=True),
    ),
    models.Index(
        fields=["reason", "device_uid", "received_at"],
        name="rejected_open_by_reason",
        condition=models.Q(resolved_at__isnull=True),
    ),
)


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("telemetry", "0004_message_counts")]
    operations = [
        operation
        for index in INDEXES
        for operation in (
            migrations.RunSQL(
                f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}", migrations.RunSQL.noop
            ),
            AddIndexConcurrently("rejectedmessage", index),
        )
    ]
