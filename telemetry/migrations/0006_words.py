"""Names of models and fields, which the console shows. The database knows nothing of them."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_words'),
        ('devices', '0012_words'),
        ('telemetry', '0005_rejected_groups'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='brokersession',
            options={'verbose_name': 'broker session', 'verbose_name_plural': 'broker sessions'},
        ),
        migrations.AlterModelOptions(
            name='messagecount',
            options={'verbose_name': 'message count', 'verbose_name_plural': 'message counts'},
        ),
        migrations.AlterModelOptions(
            name='receipt',
            options={'verbose_name': 'receipt', 'verbose_name_plural': 'receipts'},
        ),
        migrations.AlterModelOptions(
            name='rejectedmessage',
            options={'ordering': ['-received_at', '-id'], 'verbose_name': 'rejected message', 'verbose_name_plural': 'rejected messages'},
        ),
        migrations.AlterModelOptions(
            name='telemetry',
            options={'verbose_name': 'reading', 'verbose_name_plural': 'readings'},
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='detail',
            field=models.TextField(blank=True, verbose_name='detail'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='device_uid',
            field=models.CharField(blank=True, max_length=128, verbose_name='device uid'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='id',
            field=models.UUIDField(primary_key=True, serialize=False, verbose_name='id'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='payload',
            field=models.BinaryField(verbose_name='payload'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='reason',
            field=models.CharField(choices=[('too_large', 'The message is larger than MAX_PAYLOAD.'), ('not_utf8', 'The text is not UTF-8.'), ('nul', 'The text contains a NUL character.'), ('too_deep', 'Brackets are nested too deep.'), ('too_many', 'An array holds more readings than one message may.'), ('not_finite', 'NaN and Infinity are not JSON.'), ('number', 'A number is too large, too small or too long.'), ('bad_msg_id', 'msg_id must be a string of 1 to 64 characters or an integer.'), ('too_old', 'The time is further back than HISTORY_DAYS.'), ('msg_id_reused', 'Another message with this msg_id is already stored.'), ('bad_status', 'The status is neither online nor offline.'), ('bad_reply', 'The reply names no command, or no status there is.'), ('unknown_command', 'There is no such command to this device.'), ('malformed_topic', 'The topic is not tenant/devices/uid/telemetry.'), ('malformed_packet', 'The MQTT packet cannot be read.'), ('unknown_tenant', 'There is no such tenant.'), ('unknown_device', 'There is no such device.'), ('foreign_device', 'The device belongs to another tenant than the topic says.'), ('device_disabled', 'The device is disabled or deleted.'), ('database', 'The database refuses this message.'), ('error', 'The platform failed on this message; its log says how.')], max_length=32, verbose_name='reason'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='received_at',
            field=models.DateTimeField(verbose_name='received at'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='resolved_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='resolved at'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='size',
            field=models.PositiveBigIntegerField(help_text='Bytes of the payload as it came.', verbose_name='size'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='tenant',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='rejectedmessage',
            name='topic',
            field=models.BinaryField(verbose_name='topic'),
        ),
        migrations.AlterField(
            model_name='telemetry',
            name='device',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.device', verbose_name='device'),
        ),
        migrations.AlterField(
            model_name='telemetry',
            name='id',
            field=models.BigAutoField(primary_key=True, serialize=False, verbose_name='id'),
        ),
        migrations.AlterField(
            model_name='telemetry',
            name='msg_id',
            field=models.CharField(db_collation='C', max_length=64, verbose_name='msg id'),
        ),
        migrations.AlterField(
            model_name='telemetry',
            name='payload',
            field=models.JSONField(verbose_name='payload'),
        ),
        migrations.AlterField(
            model_name='telemetry',
            name='received_at',
            field=models.DateTimeField(verbose_name='received at'),
        ),
    ]
