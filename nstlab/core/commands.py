"""What the commands of several apps look up."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError


def owner_of(username: str | None) -> Any:
    """Who is called so; None for no name. Raises CommandError."""
    if username is None:
        return None
    user = get_user_model().objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"Nobody is called {username!r}.")
    return user
