
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0004_render_method'),
    ]

    operations = [
        migrations.AlterField(
            model_name='experiment',
            name='reuse',
            field=models.BooleanField(default=True, help_text='Where another experiment has painted the very same request, show its picture instead of painting it again.', verbose_name='reuse existing renders'),
        ),
    ]
