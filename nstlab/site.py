"""The lab's admin site."""

from __future__ import annotations

from django.contrib.admin import AdminSite


class LabSite(AdminSite):
    site_header = "NSTLab"
    site_title = "NSTLab"
    index_title = "Experiments, studies, reports"
    enable_nav_sidebar = False
