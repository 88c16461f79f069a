"""What long lists of devices need."""

from django.contrib.postgres.indexes import GinIndex
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0003_device_type")]
    operations = [
        migrations.AddIndex(
            "device",
            models.Index(
                fields=["tenant", "device_uid"],
                name="device_by_tenant",
                condition=models.Q(deleted_at__isnull=True),
            ),
        ),
        migrations.AddIndex("device", GinIndex(fields=["labels"], name="device_by_label")),
    ]
