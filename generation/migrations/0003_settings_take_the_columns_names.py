from __future__ import annotations

import generation.models
from django.db import migrations, models

from nstlab.core.old_names import SETTINGS, renamed


def _in_settings(row):
    row.settings = renamed(row.settings, SETTINGS)


def _in_more_axes(row):
    row.more_axes = _axes(row.more_axes)


def _in_axes(row):
    row.axes = _axes(row.axes)


def _axes(pairs):
    # The column holds a list of pairs, which keeps their order.
    return [list(item) for item in renamed(dict(pairs), SETTINGS).items()]


def take_new_names(apps, schema_editor):
    for model, column, rename in (
        ("Render", "settings", _in_settings),
        ("Experiment", "more_axes", _in_more_axes),
        ("Pair", "axes", _in_axes),
    ):
        rows = apps.get_model("generation", model).objects
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        for first in range(0, len(keys), 500):
            some = list(rows.filter(pk__in=keys[first : first + 500]).only(column))
            for row in some:
                rename(row)
            rows.bulk_update(some, [column])


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0002_reproduction'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='render',
            name='render_factors',
        ),
        migrations.RenameField(
            model_name='experiment',
            old_name='tv_weights',
            new_name='tv_weight',
        ),
        migrations.RenameField(
            model_name='experiment',
            old_name='content_layers',
            new_name='content_layer',
        ),
        migrations.RenameField(
            model_name='render',
            old_name='start_from',
            new_name='start',
        ),
        migrations.AlterField(
            model_name='experiment',
            name='content_layer',
            field=models.JSONField(blank=True, default=generation.models.default_content_layers, verbose_name='content layers'),
        ),
        migrations.AlterField(
            model_name='render',
            name='start',
            field=models.CharField(max_length=80),
        ),
        migrations.AddIndex(
            model_name='render',
            index=models.Index(fields=['experiment', 'content', 'style', 'content_layer', 'alpha', 'beta', 'tv_weight', 'style_layers', 'objective', 'network', 'pooling', 'weights', 'start', 'size', 'evaluations', 'seed', 'id'], name='render_factors'),
        ),
        migrations.RunPython(take_new_names, migrations.RunPython.noop),
    ]
