from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0003_settings_take_the_columns_names'),
    ]

    operations = [
        migrations.AddField(
            model_name='render',
            name='method',
            field=models.CharField(default='gatys', max_length=40),
        ),
    ]
