"""The history of changes gets to know the tenants that they concern, and indexes to be read by.

Entries come by many ways (Django's own pages, statements of ours), so the database notes the
tenant: that of the thing, as its table has it under `tenant_id`, else that of the person. What
concerns platform staff, who may belong to a tenant, is nothing for others.
"""

import django.db.models.deletion
from django.db import migrations, models

NOTE = """
CREATE FUNCTION accounts_note_concern() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind record;
    place regclass;
    key record;
    tenant text;
BEGIN
    FOR kind IN
        SELECT DISTINCT type.id, format('%I', app_label || '_' || model) AS place
        FROM entries JOIN django_content_type AS type ON type.id = content_type_id
    LOOP
        place := to_regclass(kind.place);
        SELECT attname AS name, format_type(atttypid, NULL) AS type INTO key
        FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
        WHERE indrelid = place AND indisprimary AND indnkeyatts = 1;
        tenant := CASE
            WHEN key.name IS NULL THEN NULL
            WHEN kind.place = 'accounts_tenant' THEN 'thing.id'
            WHEN kind.place = 'accounts_user'
                THEN 'CASE WHEN NOT thing.is_superuser THEN thing.tenant_id END'
            WHEN EXISTS (
                SELECT FROM pg_attribute WHERE attrelid = place AND attname = 'tenant_id'
            ) THEN 'thing.tenant_id'
        END;
        EXECUTE format(
            'INSERT INTO accounts_concern (entry_id, tenant_id)
            SELECT entry.id, coalesce(%s, CASE WHEN NOT is_by.is_superuser THEN is_by.tenant_id END)
            FROM entries AS entry JOIN accounts_user AS is_by ON is_by.id = entry.user_id %s
            WHERE entry.content_type_id = %s',
            coalesce(tenant, 'NULL::bigint'),
            CASE WHEN tenant IS NOT NULL THEN format(
                'LEFT JOIN %s AS thing ON thing.%I = entry.object_id::%s', place, key.name, key.type
            ) END,
            kind.id
        );
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER accounts_note_concern AFTER INSERT ON django_admin_log
    REFERENCING NEW TABLE AS entries FOR EACH STATEMENT EXECUTE FUNCTION accounts_note_concern();
-- Of older entries only the person is known for certain to be of a tenant still.
INSERT INTO accounts_concern (entry_id, tenant_id)
    SELECT entry.id, tenant_id FROM django_admin_log AS entry
    JOIN accounts_user AS is_by ON is_by.id = user_id WHERE NOT is_superuser;
-- For the history of one thing, and for a range of time.
CREATE INDEX django_admin_log_of_thing ON django_admin_log (content_type_id, object_id, id);
CREATE INDEX django_admin_log_at ON django_admin_log (action_time);
"""
NOTE_NOTHING = """
DROP INDEX django_admin_log_of_thing;
DROP INDEX django_admin_log_at;
DROP TRIGGER accounts_note_concern ON django_admin_log;
DROP FUNCTION accounts_note_concern();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_language'),
        ('admin', '0003_logentry_add_action_flag_choices'),
    ]

    operations = [
        migrations.CreateModel(
            name='Change',
            fields=[
            ],
            options={
                'verbose_name': 'change',
                'verbose_name_plural': 'history',
                'proxy': True,
                'indexes': [],
                'constraints': [],
            },
            bases=('admin.logentry',),
        ),
        migrations.CreateModel(
            name='Concern',
            fields=[
                ('entry', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='admin.logentry')),
                ('tenant', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='accounts.tenant')),
            ],
            options={
                'indexes': [models.Index(fields=['tenant', '-entry'], name='concern_newest')],
            },
        ),
        migrations.RunSQL(NOTE, NOTE_NOTHING),
    ]
