"""Names of models and fields, which the console shows. The database knows nothing of them."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_history'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='loginattempt',
            options={'verbose_name': 'login attempt', 'verbose_name_plural': 'login attempts'},
        ),
        migrations.AlterModelOptions(
            name='tenant',
            options={'ordering': ['slug'], 'verbose_name': 'tenant', 'verbose_name_plural': 'tenants'},
        ),
        migrations.AlterModelOptions(
            name='user',
            options={'ordering': ['email'], 'verbose_name': 'user', 'verbose_name_plural': 'users'},
        ),
        migrations.AlterField(
            model_name='tenant',
            name='name',
            field=models.CharField(max_length=255, verbose_name='name'),
        ),
        migrations.AlterField(
            model_name='tenant',
            name='slug',
            field=models.CharField(help_text='The first level of the topics of its devices. Never changes.', max_length=128, unique=True, validators=[django.core.validators.RegexValidator('\\A[A-Za-z0-9_.:-]{1,128}\\Z', 'Use 1 to 128 letters, digits or the signs _ . : - and nothing else.')], verbose_name='slug'),
        ),
        migrations.AlterField(
            model_name='user',
            name='created_at',
            field=models.DateTimeField(auto_now_add=True, verbose_name='created at'),
        ),
        migrations.AlterField(
            model_name='user',
            name='role',
            field=models.CharField(choices=[('viewer', 'Viewer'), ('operator', 'Operator'), ('admin', 'Admin')], default='viewer', max_length=16, verbose_name='role'),
        ),
        migrations.AlterField(
            model_name='user',
            name='tenant',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='users', to='accounts.tenant', verbose_name='tenant'),
        ),
    ]
