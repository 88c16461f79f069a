"""Open rejected messages by reason and device, without reading all of them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0004_message_counts")]
    operations = [
        migrations.AddIndex(
            "rejectedmessage",
            models.Index(
                fields=["tenant", "reason", "device_uid", "received_at"],
                name="rejected_open_by_group",
                condition=models.Q(resolved_at__isnull=True),
            ),
        ),
        migrations.AddIndex(
            "rejectedmessage",
            models.Index(
                fields=["reason", "device_uid", "received_at"],
                name="rejected_open_by_reason",
                condition=models.Q(resolved_at__isnull=True),
            ),
        ),
    ]
