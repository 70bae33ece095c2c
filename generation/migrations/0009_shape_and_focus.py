
import functools

import django.core.validators
from django.db import migrations, models

import generation.engine.factors


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0008_balance'),
    ]

    operations = [
        # The experiments of before were painted as squares, and stay so.
        migrations.AddField(
            model_name='experiment',
            name='fit',
            field=models.CharField(default='square', max_length=10),
        ),
        migrations.AlterField(
            model_name='experiment',
            name='fit',
            field=models.CharField(choices=functools.partial(generation.engine.factors.choices_of, 'fit'), default='aspect', help_text='Of renders whose pictures are no squares.', max_length=10),
        ),
        migrations.AlterField(
            model_name='experiment',
            name='size',
            field=models.PositiveIntegerField(default=300, help_text="Pixels of the long side, or of a square's."),
        ),
        migrations.AddField(
            model_name='sourceimage',
            name='focus_x',
            field=models.FloatField(default=0.5, help_text='Share of the width, from the left: 0 to 1.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)], verbose_name='focus across'),
        ),
        migrations.AddField(
            model_name='sourceimage',
            name='focus_y',
            field=models.FloatField(default=0.5, help_text='Share of the height, from the top: 0 to 1. Where a render is a square cut out of this picture, the cut lies around this point.', validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)], verbose_name='focus down'),
        ),
        migrations.AddConstraint(
            model_name='sourceimage',
            constraint=models.CheckConstraint(condition=models.Q(('focus_x__range', (0, 1)), ('focus_y__range', (0, 1))), name='source_image_focus_is_inside'),
        ),
    ]
