import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0007_enabled_help_text")]

    operations = [
        migrations.AlterField(
            model_name="enrolmentkey",
            name="type",
            field=models.ForeignKey(
                blank=True,
                help_text="What new devices are. Without one they have no type.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="enrolment_keys",
                to="devices.devicetype",
            ),
        ),
    ]
