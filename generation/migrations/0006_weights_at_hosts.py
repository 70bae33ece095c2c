

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0005_plain_words'),
    ]

    operations = [
        migrations.CreateModel(
            name='WeightsAtHost',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=255, unique=True)),
                ('names', models.JSONField(default=dict)),
                ('seen_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['host'],
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='experiment',
            name='queued_imagenet',
            field=models.CharField(blank=True, editable=False, max_length=80),
        ),
    ]
