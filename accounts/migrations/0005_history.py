"""The history of changes gets to know the tenants that they concern.

Entries come by many ways (Django's own pages, statements of ours), so the database notes the
tenant: that of the thing, to which its table refers by `tenant_id`, or that of its device, by
`device_id`; else that of the person. What concerns platform staff, who may belong to a tenant, is
nothing for others.
"""

import django.db.models.deletion
from django.db import migrations, models

NOTE = """
CREATE FUNCTION accounts_referred(place regclass, name text) RETURNS regclass
LANGUAGE sql STABLE AS $$
    SELECT confrelid FROM pg_constraint
    JOIN pg_attribute ON attrelid = conrelid AND conkey = ARRAY[attnum]
    WHERE contype = 'f' AND conrelid = place AND attname = name
$$;
CREATE FUNCTION accounts_note_concern() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kind record;
    place regclass;
    key record;
    number text;
    device regclass;
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
        -- A note must not undo what it is about: it says nothing of a thing whose number is none,
        -- or whose tenant_id is not certain to be a tenant.
        number := CASE
            WHEN key.type IN ('smallint', 'integer', 'bigint') THEN
                $a$ CASE WHEN entry.object_id ~ '^[0-9]{1,18}$' THEN entry.object_id::bigint END $a$
            WHEN key.type = 'uuid' THEN
                $a$ CASE WHEN entry.object_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                THEN entry.object_id::uuid END $a$
            WHEN key.type IN ('text', 'character varying') THEN 'entry.object_id'
        END;
        device := accounts_referred(place, 'device_id');
        tenant := CASE
            WHEN number IS NULL THEN NULL
            WHEN kind.place = 'accounts_tenant' THEN 'thing.id'
            WHEN kind.place = 'accounts_user'
                THEN 'CASE WHEN NOT thing.is_superuser THEN thing.tenant_id END'
            WHEN accounts_referred(place, 'tenant_id') = 'accounts_tenant'::regclass
                THEN 'thing.tenant_id'
            WHEN accounts_referred(device, 'tenant_id') = 'accounts_tenant'::regclass
                THEN format('(SELECT tenant_id FROM %s WHERE id = thing.device_id)', device)
        END;
        EXECUTE format(
            'INSERT INTO accounts_concern (entry_id, tenant_id)
            SELECT entry.id, coalesce(%s, CASE WHEN NOT is_by.is_superuser THEN is_by.tenant_id END)
            FROM entries AS entry JOIN accounts_user AS is_by ON is_by.id = entry.user_id %s
            WHERE entry.content_type_id = %s',
            coalesce(tenant, 'NULL::bigint'),
            CASE WHEN tenant IS NOT NULL THEN
                format('LEFT JOIN %s AS thing ON thing.%I = %s', place, key.name, number)
            END,
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
"""
NOTE_NOTHING = """
DROP TRIGGER accounts_note_concern ON django_admin_log;
DROP FUNCTION accounts_note_concern();
DROP FUNCTION accounts_referred(regclass, text);
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
