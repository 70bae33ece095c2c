"""Groups of people and what they may do."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

RESEARCHER: dict[str, dict[str, tuple[str, ...]]] = {
    "generation": {
        "sourceimage": ("add", "change", "delete", "view"),
        "experiment": ("add", "change", "delete", "view", "queue"),
        "pair": ("add", "change", "delete", "view"),
        "render": ("view",),
        "batch": ("view",),
    },
    "survey": {
        "study": ("add", "change", "delete", "view", "open"),
        "recruit": ("export",),
        "stimulus": ("view",),
        "participant": ("view",),
        "rating": ("view",),
    },
    "analysis": {
        "report": ("view",),
        "participant": ("exclude",),
        "bundle": ("add", "view"),
    },
}


def researchers() -> Group:
    """The group Researcher with exactly the rights that daily work needs."""
    group, _ = Group.objects.get_or_create(name="Researcher")
    wanted = Q(pk=None)
    for app, models in RESEARCHER.items():
        for model, actions in models.items():
            names = [f"{action}_{model}" for action in actions]
            wanted |= Q(content_type__app_label=app, codename__in=names)
    group.permissions.set(Permission.objects.filter(wanted))
    return group
