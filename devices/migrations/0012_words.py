"""Names of models and fields, which the console shows. The database knows nothing of them."""

import devices.validation
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_words'),
        ('devices', '0011_alerts'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='brokerchange',
            options={'ordering': ['device_uid'], 'verbose_name': 'broker change', 'verbose_name_plural': 'broker changes'},
        ),
        migrations.AlterModelOptions(
            name='command',
            options={'ordering': ['-number'], 'verbose_name': 'command', 'verbose_name_plural': 'commands'},
        ),
        migrations.AlterModelOptions(
            name='commandbatch',
            options={'ordering': ['-created_at', '-id'], 'verbose_name': 'command batch', 'verbose_name_plural': 'command batches'},
        ),
        migrations.AlterModelOptions(
            name='commandtransition',
            options={'ordering': ['id'], 'verbose_name': 'command transition', 'verbose_name_plural': 'command transitions'},
        ),
        migrations.AlterModelOptions(
            name='credential',
            options={'ordering': ['-id'], 'verbose_name': 'credential', 'verbose_name_plural': 'credentials'},
        ),
        migrations.AlterModelOptions(
            name='device',
            options={'ordering': ['device_uid'], 'verbose_name': 'device', 'verbose_name_plural': 'devices'},
        ),
        migrations.AlterModelOptions(
            name='devicequeue',
            options={'verbose_name': 'device queue', 'verbose_name_plural': 'device queues'},
        ),
        migrations.AlterModelOptions(
            name='devicestate',
            options={'verbose_name': 'device state', 'verbose_name_plural': 'device states'},
        ),
        migrations.AlterModelOptions(
            name='devicetype',
            options={'ordering': ['name', 'id'], 'verbose_name': 'device type', 'verbose_name_plural': 'device types'},
        ),
        migrations.AlterModelOptions(
            name='enrolment',
            options={'verbose_name': 'enrolment', 'verbose_name_plural': 'enrolments'},
        ),
        migrations.AlterModelOptions(
            name='enrolmentkey',
            options={'ordering': ['-id'], 'verbose_name': 'enrolment key', 'verbose_name_plural': 'enrolment keys'},
        ),
        migrations.AlterModelOptions(
            name='heartbeat',
            options={'ordering': ['kind', 'name'], 'verbose_name': 'heartbeat', 'verbose_name_plural': 'heartbeats'},
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='attempts',
            field=models.PositiveIntegerField(db_default=0, verbose_name='attempts'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='due_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='due at'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='error',
            field=models.TextField(blank=True, db_default='', verbose_name='error'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='leased_until',
            field=models.DateTimeField(null=True, verbose_name='leased until'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='noted_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='noted at'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='token',
            field=models.CharField(blank=True, db_default='', max_length=128, verbose_name='token'),
        ),
        migrations.AlterField(
            model_name='brokerchange',
            name='version',
            field=models.BigIntegerField(db_default=1, verbose_name='version'),
        ),
        migrations.AlterField(
            model_name='command',
            name='acknowledged_at',
            field=models.DateTimeField(null=True, verbose_name='acknowledged at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='batch',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='commands', to='devices.commandbatch', verbose_name='batch'),
        ),
        migrations.AlterField(
            model_name='command',
            name='claimed_at',
            field=models.DateTimeField(null=True, verbose_name='claimed at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='cmd',
            field=models.CharField(max_length=64, verbose_name='cmd'),
        ),
        migrations.AlterField(
            model_name='command',
            name='created_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='device',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='commands', to='devices.device', verbose_name='device'),
        ),
        migrations.AlterField(
            model_name='command',
            name='error',
            field=models.TextField(blank=True, verbose_name='error'),
        ),
        migrations.AlterField(
            model_name='command',
            name='expires_at',
            field=models.DateTimeField(verbose_name='expires at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='finished_at',
            field=models.DateTimeField(null=True, verbose_name='finished at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='id',
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True, verbose_name='id'),
        ),
        migrations.AlterField(
            model_name='command',
            name='idempotency_key',
            field=models.CharField(blank=True, max_length=255, verbose_name='idempotency key'),
        ),
        migrations.AlterField(
            model_name='command',
            name='issued_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='issued by'),
        ),
        migrations.AlterField(
            model_name='command',
            name='number',
            field=models.BigAutoField(primary_key=True, serialize=False, verbose_name='number'),
        ),
        migrations.AlterField(
            model_name='command',
            name='params',
            field=models.JSONField(default=dict, verbose_name='params'),
        ),
        migrations.AlterField(
            model_name='command',
            name='published_at',
            field=models.DateTimeField(null=True, verbose_name='published at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='reason',
            field=models.CharField(blank=True, max_length=255, verbose_name='reason'),
        ),
        migrations.AlterField(
            model_name='command',
            name='reply',
            field=models.CharField(blank=True, choices=[('accepted', 'Accepted'), ('progress', 'Progress'), ('ok', 'Ok'), ('error', 'Error')], max_length=16, verbose_name='reply'),
        ),
        migrations.AlterField(
            model_name='command',
            name='result',
            field=models.JSONField(null=True, verbose_name='result'),
        ),
        migrations.AlterField(
            model_name='command',
            name='sent_at',
            field=models.DateTimeField(null=True, verbose_name='sent at'),
        ),
        migrations.AlterField(
            model_name='command',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('sent', 'Sent'), ('acknowledged', 'Acknowledged'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('expired', 'Expired'), ('cancelled', 'Cancelled')], default='queued', max_length=16, verbose_name='status'),
        ),
        migrations.AlterField(
            model_name='command',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='command',
            name='withdrawn_at',
            field=models.DateTimeField(null=True, verbose_name='withdrawn at'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='cancelled_at',
            field=models.DateTimeField(null=True, verbose_name='cancelled at'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='cmd',
            field=models.CharField(max_length=64, verbose_name='cmd'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='created_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='expires_at',
            field=models.DateTimeField(verbose_name='expires at'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='id',
            field=models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False, verbose_name='id'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='idempotency_key',
            field=models.CharField(blank=True, max_length=255, verbose_name='idempotency key'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='issued_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='issued by'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='params',
            field=models.JSONField(default=dict, verbose_name='params'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='skipped',
            field=models.JSONField(default=list, verbose_name='skipped'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='target',
            field=models.JSONField(verbose_name='target'),
        ),
        migrations.AlterField(
            model_name='commandbatch',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='commandtransition',
            name='at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='at'),
        ),
        migrations.AlterField(
            model_name='commandtransition',
            name='by',
            field=models.CharField(blank=True, max_length=254, verbose_name='by'),
        ),
        migrations.AlterField(
            model_name='commandtransition',
            name='command',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='transitions', to='devices.command', verbose_name='command'),
        ),
        migrations.AlterField(
            model_name='commandtransition',
            name='detail',
            field=models.CharField(blank=True, max_length=255, verbose_name='detail'),
        ),
        migrations.AlterField(
            model_name='commandtransition',
            name='status',
            field=models.CharField(choices=[('queued', 'Queued'), ('sent', 'Sent'), ('acknowledged', 'Acknowledged'), ('succeeded', 'Succeeded'), ('failed', 'Failed'), ('expired', 'Expired'), ('cancelled', 'Cancelled')], max_length=16, verbose_name='status'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='created_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='device',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='credentials', to='devices.device', verbose_name='device'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='digest',
            field=models.BinaryField(max_length=32, unique=True, verbose_name='digest'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='expires_at',
            field=models.DateTimeField(blank=True, null=True, verbose_name='expires at'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='gateway_for',
            field=models.ManyToManyField(blank=True, related_name='gateways', to='devices.device', verbose_name='gateway for'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='last_used_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='last used at'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='origin',
            field=models.CharField(choices=[('issued', 'Issued'), ('imported', 'Imported'), ('enrolled', 'Enrolled')], default='issued', max_length=16, verbose_name='origin'),
        ),
        migrations.AlterField(
            model_name='credential',
            name='revoked_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='revoked at'),
        ),
        migrations.AlterField(
            model_name='device',
            name='created_at',
            field=models.DateTimeField(auto_now_add=True, verbose_name='created at'),
        ),
        migrations.AlterField(
            model_name='device',
            name='deleted_at',
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name='deleted at'),
        ),
        migrations.AlterField(
            model_name='device',
            name='labels',
            field=models.JSONField(blank=True, default=dict, help_text='For example {"site": "Hanoi"}.', validators=[devices.validation.validate_labels], verbose_name='labels'),
        ),
        migrations.AlterField(
            model_name='device',
            name='name',
            field=models.CharField(blank=True, max_length=255, verbose_name='name'),
        ),
        migrations.AlterField(
            model_name='device',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='device',
            name='type',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='devices.devicetype', verbose_name='type'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='data_at',
            field=models.DateTimeField(null=True, verbose_name='data at'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='data_since',
            field=models.DateTimeField(null=True, verbose_name='data since'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='device',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='state', serialize=False, to='devices.device', verbose_name='device'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='last_seen_at',
            field=models.DateTimeField(null=True, verbose_name='last seen at'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='latest',
            field=models.JSONField(default=dict, verbose_name='latest'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='latest_at',
            field=models.DateTimeField(null=True, verbose_name='latest at'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='reason',
            field=models.CharField(blank=True, max_length=255, verbose_name='reason'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='session',
            field=models.CharField(choices=[('online', 'Online'), ('offline', 'Offline'), ('unknown', 'Unknown')], default='unknown', max_length=16, verbose_name='session'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='session_id',
            field=models.CharField(blank=True, max_length=128, verbose_name='session id'),
        ),
        migrations.AlterField(
            model_name='devicestate',
            name='since',
            field=models.DateTimeField(null=True, verbose_name='since'),
        ),
        migrations.AlterField(
            model_name='devicetype',
            name='fields',
            field=models.JSONField(blank=True, default=dict, help_text='What keys mean: {"temp": {"label": "Temperature", "unit": "°C", "min": -40}}.', validators=[devices.validation.validate_fields], verbose_name='fields'),
        ),
        migrations.AlterField(
            model_name='devicetype',
            name='name',
            field=models.CharField(max_length=128, verbose_name='name'),
        ),
        migrations.AlterField(
            model_name='devicetype',
            name='offline_after',
            field=models.PositiveIntegerField(blank=True, help_text='Seconds without a reading after which a device is silent.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(31622400)], verbose_name='offline after'),
        ),
        migrations.AlterField(
            model_name='devicetype',
            name='retention_days',
            field=models.PositiveIntegerField(blank=True, help_text='Days that readings are kept, if fewer than the platform keeps them.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(36500)], verbose_name='retention days'),
        ),
        migrations.AlterField(
            model_name='devicetype',
            name='tenant',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='device_types', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='enrolment',
            name='count',
            field=models.PositiveIntegerField(default=1, verbose_name='count'),
        ),
        migrations.AlterField(
            model_name='enrolment',
            name='device',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='enrolment', serialize=False, to='devices.device', verbose_name='device'),
        ),
        migrations.AlterField(
            model_name='enrolment',
            name='first_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='first at'),
        ),
        migrations.AlterField(
            model_name='enrolment',
            name='key',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='enrolments', to='devices.enrolmentkey', verbose_name='key'),
        ),
        migrations.AlterField(
            model_name='enrolment',
            name='last_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='last at'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='created_at',
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name='created at'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='created_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='created by'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='digest',
            field=models.BinaryField(max_length=32, unique=True, verbose_name='digest'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='expires_at',
            field=models.DateTimeField(verbose_name='expires at'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='name',
            field=models.CharField(help_text='For people: “Factory, lot 7”.', max_length=128, verbose_name='name'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='quota',
            field=models.PositiveIntegerField(help_text='How many devices may enrol with it.', validators=[django.core.validators.MinValueValidator(1)], verbose_name='quota'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='revoked_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='revoked at'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='enrolment_keys', to='accounts.tenant', verbose_name='tenant'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='type',
            field=models.ForeignKey(blank=True, help_text='What new devices are. Without one they have no type.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='enrolment_keys', to='devices.devicetype', verbose_name='type'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='uses',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='uses'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='window_began_at',
            field=models.DateTimeField(editable=False, null=True, verbose_name='window began at'),
        ),
        migrations.AlterField(
            model_name='enrolmentkey',
            name='window_uses',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='window uses'),
        ),
        migrations.AlterField(
            model_name='heartbeat',
            name='beat_at',
            field=models.DateTimeField(verbose_name='beat at'),
        ),
        migrations.AlterField(
            model_name='heartbeat',
            name='detail',
            field=models.JSONField(default=dict, verbose_name='detail'),
        ),
        migrations.AlterField(
            model_name='heartbeat',
            name='kind',
            field=models.CharField(choices=[('ingestor', 'Ingestor'), ('dispatcher', 'Dispatcher')], max_length=16, verbose_name='kind'),
        ),
        migrations.AlterField(
            model_name='heartbeat',
            name='name',
            field=models.CharField(max_length=255, primary_key=True, serialize=False, verbose_name='name'),
        ),
        migrations.AlterField(
            model_name='heartbeat',
            name='started_at',
            field=models.DateTimeField(verbose_name='started at'),
        ),
        migrations.AlterField(
            model_name='heartbeat',
            name='waiting_since',
            field=models.DateTimeField(null=True, verbose_name='waiting since'),
        ),
    ]
