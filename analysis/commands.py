"""What the commands of this app look up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError

from survey.models import Study


def study_of(slug: str, version: int | None = None) -> Study:
    """The newest version of the study at this address, or the one named.

    Raises CommandError.
    """
    found = Study.objects.filter(slug=slug).order_by("-version")
    if version is not None:
        found = found.filter(version=version)
    study = found.first()
    if study is None:
        named = "" if version is None else f" of version {version}"
        raise CommandError(f"There is no study{named} at /s/{slug}/.")
    return study


def owner_of(username: str | None) -> Any:
    """Who is called so; None for no name. Raises CommandError."""
    if username is None:
        return None
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"Nobody is called {username!r}.")
    return user
