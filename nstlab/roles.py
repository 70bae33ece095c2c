"""The groups that accounts are put into, and the rights each has; made by `migrate`.

A right says what somebody may do at all; `nstlab.core.access` says with which rows.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q

Rights = dict[str, dict[str, tuple[str, ...]]]

RESEARCHER: Rights = {
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
    "nstlab": {"entry": ("view",)},
}

# Sees everything, changes nothing, and takes no platform's ids away.
OBSERVER: Rights = {
    "generation": {
        "sourceimage": ("view",),
        "experiment": ("view",),
        "experiments": ("see_all",),
        "pair": ("view",),
        "render": ("view",),
        "batch": ("view",),
    },
    "survey": {
        "study": ("view",),
        "studies": ("see_all",),
        "stimulus": ("view",),
        "participant": ("view",),
        "rating": ("view",),
    },
    "analysis": {"report": ("view",), "bundle": ("view",)},
    "nstlab": {"entry": ("view",)},
}

# Keeps renders moving, whoever's they are; sees no study and no answer.
OPERATOR: Rights = {
    "generation": {
        "sourceimage": ("view",),
        "experiment": ("view", "queue"),
        "experiments": ("see_all", "queue_all"),
        "weights": ("fetch",),
        "pair": ("view",),
        "render": ("view",),
        "batch": ("view",),
    },
    "django_rq": {"": ("admin",)},
    "nstlab": {"entry": ("view",)},
}

GROUPS = {"Researcher": RESEARCHER, "Observer": OBSERVER, "Operator": OPERATOR}


def update_group(name: str) -> Group:
    """The group of this name with exactly the rights that it is said to have."""
    group, _ = Group.objects.get_or_create(name=name)
    wanted = Q(pk=None)
    for app, rights in GROUPS[name].items():
        for what, actions in rights.items():
            names = [f"{action}_{what}".rstrip("_") for action in actions]
            wanted |= Q(content_type__app_label=app, codename__in=names)
    group.permissions.set(Permission.objects.filter(wanted))
    return group


def researchers() -> Group:
    return update_group("Researcher")


def after_migrate(sender: AppConfig, using: str, **_: Any) -> None:
    """Bring every group up to date, once the last app has its permissions."""
    with_models = [it for it in apps.get_app_configs() if it.models_module is not None]
    if using == "default" and sender == with_models[-1]:
        create_permissions(sender, verbosity=0, using=using)
        for name in GROUPS:
            update_group(name)
