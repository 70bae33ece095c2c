
import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('survey', '0009_callable_languages'),
    ]

    operations = [
        migrations.AlterField(
            model_name='study',
            name='all_renders',
            field=models.BooleanField(default=True, help_text='Copied when the study opens. Else only the pictures it has.', verbose_name='every finished render of the experiment'),
        ),
        migrations.AlterField(
            model_name='study',
            name='reserve_minutes',
            field=models.PositiveIntegerField(default=10, help_text="After so long without an answer somebody's pictures go to others.", validators=[django.core.validators.MinValueValidator(1)], verbose_name='reservation timeout, minutes'),
        ),
        migrations.AlterField(
            model_name='study',
            name='target_half_width',
            field=models.FloatField(blank=True, help_text='Ask on about the pictures whose 95 % interval is wider, in scale steps; those that are precise enough rest. Empty: equal votes for all.', null=True, validators=[django.core.validators.MinValueValidator(0.01), django.core.validators.MaxValueValidator(5)], verbose_name='target CI half-width'),
        ),
        migrations.AlterField(
            model_name='uploadedpicture',
            name='state',
            field=models.CharField(choices=[('waiting', 'waiting'), ('taken', 'imported'), ('refused', 'refused')], default='waiting', max_length=10),
        ),
    ]
