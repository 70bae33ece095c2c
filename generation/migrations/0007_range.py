from django.db import migrations, models

from nstlab.core.old_names import SETTINGS_BEFORE


def _in_settings(row):
    row.settings = {**SETTINGS_BEFORE, **row.settings}


def _in_more_axes(row):
    # The column holds a list of pairs, which keeps their order.
    axes = {name: [value] for name, value in SETTINGS_BEFORE.items()}
    row.more_axes = [list(item) for item in {**dict(row.more_axes), **axes}.items()]


def say_what_was_meant(apps, schema_editor):
    for model, column, say in (
        ("Render", "settings", _in_settings),
        ("Experiment", "more_axes", _in_more_axes),
    ):
        rows = apps.get_model("generation", model).objects
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        for first in range(0, len(keys), 500):
            some = list(rows.filter(pk__in=keys[first : first + 500]).only(column))
            for row in some:
                say(row)
            rows.bulk_update(some, [column])


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0006_weights_at_hosts'),
    ]

    operations = [
        migrations.AddField(
            model_name='render',
            name='losses',
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.RunPython(say_what_was_meant, migrations.RunPython.noop),
    ]
