"""What the history is read by: of one thing, and of a range of time. Nobody waits for them.

A build that failed leaves an index that is none; the next one begins anew.
"""

from django.db import migrations


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("accounts", "0006_words")]
    operations = [
        migrations.RunSQL(
            [
                f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
                f"CREATE INDEX CONCURRENTLY {name} ON django_admin_log ({columns})",
            ],
            f"DROP INDEX CONCURRENTLY IF EXISTS {name}",
        )
        for name, columns in (
            ("django_admin_log_of_thing", "content_type_id, object_id, id"),
            ("django_admin_log_at", "action_time"),
        )
    ]
