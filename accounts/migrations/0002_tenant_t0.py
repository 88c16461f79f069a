"""The tenant whose topics the service before this one used."""

from django.db import migrations


def create_t0(apps, schema_editor):
    apps.get_model("accounts", "Tenant").objects.get_or_create(slug="t0", defaults={"name": "t0"})


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(create_t0, migrations.RunPython.noop)]
