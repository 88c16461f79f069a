from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('telemetry', '0003_reply_reasons'),
    ]

    operations = [
        migrations.CreateModel(
            name='MessageCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('minute', models.DateTimeField()),
                ('tenant_id', models.BigIntegerField(null=True)),
                ('writer', models.IntegerField()),
                ('stored', models.PositiveBigIntegerField(default=0)),
                ('duplicate', models.PositiveBigIntegerField(default=0)),
                ('rejected', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('minute', 'tenant_id', 'writer'), name='message_count_unique', nulls_distinct=False)],
            },
        ),
    ]
