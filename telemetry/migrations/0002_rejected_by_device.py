"""The rejected messages of one device, without passing those of all others."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0001_initial")]
    operations = [
        migrations.AddIndex(
            "rejectedmessage",
            models.Index(fields=["device_uid", "-received_at", "-id"], name="rejected_by_device"),
        ),
    ]
