"""Room for the updates that every batch makes to the same rows."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("devices", "0001_initial")]
    operations = [
        # Half-empty pages let an update stay on its page (HOT) without touching an index.
        migrations.RunSQL(
            "ALTER TABLE devices_devicestate SET (fillfactor = 50)",
            "ALTER TABLE devices_devicestate RESET (fillfactor)",
        ),
    ]
