from __future__ import annotations

from django.contrib.admin.models import LogEntry


class Entry(LogEntry):
    """One line of the lab's history: who changed what, and when."""

    class Meta:
        proxy = True
        verbose_name = "entry of the history"
        verbose_name_plural = "history"
        default_permissions = ("view",)
