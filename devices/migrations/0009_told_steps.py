"""Every new step of a command is told to who listens on `command_steps`, by the database itself.

The payload is the first and the last id of the steps that a statement added. Who stores what must
not wait for listeners sets `iotplatform.quiet` to on for its transaction.
"""

from django.db import migrations

TELL = """
CREATE FUNCTION devices_tell_steps() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
    last bigint;
BEGIN
    SELECT min(id), max(id) INTO first, last FROM steps;
    IF first IS NOT NULL AND current_setting('iotplatform.quiet', true) IS DISTINCT FROM 'on' THEN
        PERFORM pg_notify('command_steps', first || '-' || last);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER devices_tell_steps AFTER INSERT ON devices_commandtransition
    REFERENCING NEW TABLE AS steps FOR EACH STATEMENT EXECUTE FUNCTION devices_tell_steps();
"""
TELL_NOBODY = """
DROP TRIGGER devices_tell_steps ON devices_commandtransition;
DROP FUNCTION devices_tell_steps();
"""


class Migration(migrations.Migration):
    dependencies = [("devices", "0008_types_of_keys_stay")]

    operations = [migrations.RunSQL(TELL, TELL_NOBODY)]
