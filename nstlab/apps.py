from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin import apps


class LabConfig(AppConfig):
    name = "nstlab"
    verbose_name = "NSTLab"
    default = True


class LabAdmin(apps.AdminConfig):
    """Django's admin with the lab's own site class."""

    default = False
    default_site = "nstlab.site.LabSite"
