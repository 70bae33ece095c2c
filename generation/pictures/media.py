"""Checking that every row has its file and every file its row, in all apps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.core.files.storage import Storage, default_storage
from django.db import models
from django.utils import timezone

from generation.models import Render

# A file is on the disk before its row is committed, so a young one is no orphan yet.
GRACE = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Missing:
    """A row that names a file which is not there."""

    row: models.Model
    field: str
    name: str

    def __str__(self) -> str:
        return f"{self.row._meta.label} {self.row.pk}, {self.field}: {self.name}"


@dataclass(frozen=True)
class Media:
    """The findings of a look at all rows and all files."""

    files: int
    missing: list[Missing]
    orphans: list[str]


def check_media(*, grace: dt.timedelta = GRACE) -> Media:
    """Compare the store with every file field of every app.

    `grace` is how old a file without a row must be to count as an orphan.
    """
    files = set(stored_files(default_storage))
    named: set[str] = set()
    missing = []
    for model in apps.get_models():
        fields = [it for it in model._meta.fields if isinstance(it, models.FileField)]
        for field in fields:
            rows = model._default_manager.exclude(**{field.name: ""})
            for pk, name in rows.values_list("pk", field.name).iterator():
                if not name:
                    continue
                named.add(name)
                if name not in files and not default_storage.exists(name):
                    missing.append(Missing(model(pk=pk), field.name, name))
    before = timezone.now() - grace
    orphans = [name for name in sorted(files - named) if _older(name, before)]
    return Media(files=len(files), missing=missing, orphans=orphans)


def prune(media: Media) -> None:
    """Delete orphans, and fail renders whose picture is gone so that they are painted
    again on retry. Another row's missing file cannot be mended from here."""
    for name in media.orphans:
        default_storage.delete(name)
    for each in media.missing:
        if isinstance(each.row, Render) and each.field == "preview":
            Render.objects.filter(pk=each.row.pk, preview=each.name).update(preview="")
        elif isinstance(each.row, Render):
            each.row.lose_picture(each.name)


def stored_files(storage: Storage, folder: str = "") -> Iterator[str]:
    """The names of all files in a store, or in one of its folders."""
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in files:
        yield f"{folder}/{name}" if folder else name
    for name in folders:
        yield from stored_files(storage, f"{folder}/{name}" if folder else name)


def _older(name: str, moment: dt.datetime) -> bool:
    try:
        return default_storage.get_modified_time(name) <= moment
    except FileNotFoundError:  # its writer has just renamed or deleted it
        return False
