from __future__ import annotations

from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin import apps
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

from nstlab.core.file_modes import owners_database, sqlite_files, tighten


class LabConfig(AppConfig):
    name = "nstlab"
    verbose_name = "NSTLab"
    default = True

    def ready(self) -> None:
        from nstlab.roles import after_migrate

        post_migrate.connect(after_migrate)
        connection_created.connect(owners_database)
        database = settings.DATABASES["default"]
        is_file = database["ENGINE"] == "django.db.backends.sqlite3"
        var: Path = settings.VAR
        tighten(
            var=var,
            owners=[
                *(sqlite_files(database["NAME"]) if is_file else ()),
                var / "secret_key",
                settings.NSTLAB_CHECKPOINTS,
                *(var / name for name in ("broker", "demo", "log")),
            ],
            pictures=None if settings.S3_BUCKET else settings.MEDIA_ROOT,
        )


class LabAdmin(apps.AdminConfig):
    """Django's admin with the lab's own site class."""

    default = False
    default_site = "nstlab.site.LabSite"
