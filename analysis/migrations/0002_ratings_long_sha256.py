from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('analysis', '0001_initial'),
    ]

    operations = [
        migrations.RenameField('report', 'data_sha256', 'ratings_long_sha256'),
    ]
