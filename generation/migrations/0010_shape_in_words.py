
import functools

from django.db import migrations, models

import generation.engine.factors


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0009_shape_and_focus'),
    ]

    operations = [
        migrations.AlterField(
            model_name='experiment',
            name='fit',
            field=models.CharField(choices=functools.partial(generation.engine.factors.choices_of, 'fit'), default='aspect', help_text='How a picture that is no square comes to its size.', max_length=10, verbose_name='shape'),
        ),
    ]
