"""Since when the silence of a device counts for alerts, kept by the database alone; and indexes.

Who is enabled, or put into another type or tenant, was silent for as long as nobody expected
anything of them. `counts_since` is a column that no model has: what saves a device cannot spoil it.
"""

from django.db import migrations, models

COUNT = """
ALTER TABLE devices_device ADD COLUMN counts_since timestamptz;
CREATE FUNCTION devices_count_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.counts_since := statement_timestamp();
    RETURN NEW;
END
$$;
CREATE TRIGGER devices_count_anew BEFORE UPDATE OF is_enabled, type_id, tenant_id ON devices_device
    FOR EACH ROW WHEN (
        NEW.is_enabled AND NOT OLD.is_enabled
        OR (NEW.type_id, NEW.tenant_id) IS DISTINCT FROM (OLD.type_id, OLD.tenant_id)
    )
    EXECUTE FUNCTION devices_count_anew();
"""
COUNT_NOT = """
DROP TRIGGER devices_count_anew ON devices_device;
DROP FUNCTION devices_count_anew();
ALTER TABLE devices_device DROP COLUMN counts_since;
"""


class Migration(migrations.Migration):
    dependencies = [("devices", "0013_silent_after")]

    operations = [
        migrations.RunSQL(COUNT, COUNT_NOT),
        # The tables came with 0011, in the same release: they are small.
        migrations.AddIndex(
            "alert", models.Index(fields=["tenant", "-id"], name="alert_newest_first")
        ),
        migrations.AddIndex(
            "alert",
            models.Index(
                fields=["cleared_at"],
                name="alert_outlived",
                condition=models.Q(cleared_at__isnull=False),
            ),
        ),
        migrations.AddIndex(
            "alertnotice", models.Index(fields=["at"], name="alert_notice_outlived")
        ),
    ]
