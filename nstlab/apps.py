from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps
from django.db.models.signals import post_migrate


class LabConfig(AppConfig):
    name = "nstlab"
    verbose_name = "NSTLab"
    default = True

    def ready(self) -> None:
        from nstlab.roles import after_migrate

        post_migrate.connect(after_migrate)


class LabAdmin(apps.AdminConfig):
    """Django's admin with the lab's own site class."""

    default = False
    default_site = "nstlab.site.LabSite"
