from django.db import migrations, models


def keep_names(apps, schema_editor):
    """What `imagenet` became in an experiment stays what it is there."""
    rows = apps.get_model('generation', 'Experiment').objects
    for row in rows.exclude(queued_imagenet=''):
        row.queued_weights = {'vgg16 imagenet': row.queued_imagenet}
        row.save(update_fields=['queued_weights'])


class Migration(migrations.Migration):

    dependencies = [
        ('generation', '0010_shape_in_words'),
    ]

    operations = [
        # What hosts have they tell anew when their workers begin.
        migrations.RemoveField(model_name='weightsathost', name='names'),
        migrations.AddField(
            model_name='weightsathost',
            name='weights',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='experiment',
            name='queued_weights',
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.RunPython(keep_names, migrations.RunPython.noop),
        migrations.RemoveField(model_name='experiment', name='queued_imagenet'),
        migrations.AlterModelOptions(
            name='weightsathost',
            options={'default_permissions': (), 'ordering': ['host'], 'permissions': [('fetch_weights', 'Can have weights fetched to render hosts')], 'verbose_name': 'render host'},
        ),
        migrations.CreateModel(
            name='WeightsFetch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=255)),
                ('asked_at', models.DateTimeField(auto_now_add=True)),
                ('attempt', models.PositiveIntegerField(default=1)),
                ('begun_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('here', models.PositiveBigIntegerField(default=0, help_text='Bytes, by now.')),
                ('total', models.PositiveBigIntegerField(default=0, help_text='Bytes in all; 0: not known.')),
                ('reason', models.TextField(blank=True, help_text='Why nothing came.')),
            ],
            options={
                'ordering': ['-pk'],
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('host',), name='one_fetch_of_weights_for_a_host_at_a_time')],
            },
        ),
    ]
