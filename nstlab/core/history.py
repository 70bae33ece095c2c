"""The history: what is written down about a change, where people can read it."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.db import models


def record(
    user: Any,
    thing: models.Model,
    sentence: str,
    *,
    new: bool = False,
    gone: bool = False,
) -> None:
    """Write down that `user` changed `thing`, or made it if it is `new`, or deleted it
    if it is `gone`, and how."""
    LogEntry.objects.log_actions(
        user.pk,
        [thing],
        ADDITION if new else DELETION if gone else CHANGE,
        change_message=sentence,
        single_object=True,
    )
