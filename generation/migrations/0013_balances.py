from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generation", "0012_weights_chosen")]

    operations = [
        migrations.AddField(
            model_name="experiment",
            name="balance",
            field=models.JSONField(blank=True, default=list, verbose_name="balances"),
        ),
    ]
