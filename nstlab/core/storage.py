"""Pictures that are there whole or not at all, and a store that may be away."""

from __future__ import annotations

import io
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.core.files.storage import FileSystemStorage
from django.db.models.fields.files import FieldFile

from nstlab.core.file_modes import PICTURE, make_folder_of_pictures

log = logging.getLogger(__name__)

UNFINISHED = ".part"

PATIENCE_SECONDS = (1, 2, 4, 8, 16, 32)
"""How long to wait before each new try of a store that is away."""

# Named, not imported: a lab with a local disk need not load them.
S3_CLIENTS = {"boto3", "botocore", "s3transfer"}

T = TypeVar("T")


class StoreAway(Exception):
    """The store of the pictures could not be reached, again and again."""


def patiently(act: Callable[[], T]) -> T:
    """What `act` returns; it is tried again while the store is away.

    Raises StoreAway after about a minute, and at once whatever is not the store's.
    """
    waits = iter(PATIENCE_SECONDS)
    while True:
        try:
            return act()
        except Exception as error:
            if not _is_away(error):
                raise
            if (wait := next(waits, None)) is None:
                said = f"The store of the pictures did not answer ({error})."
                raise StoreAway(said) from error
            log.warning("The store of the pictures is away: %s", error)
        time.sleep(wait)


def _is_away(error: Exception) -> bool:
    client = type(error).__module__.partition(".")[0] in S3_CLIENTS
    return client or isinstance(error, ConnectionError | TimeoutError)


class DurableStorage(FileSystemStorage):
    """Writes under a temporary name, then renames; both survive a power cut.

    An S3-compatible store needs none of it: there an object appears when it is whole.
    """

    def _save(self, name: str, content: Any) -> str:
        path = Path(self.path(name))
        make_folder_of_pictures(path.parent, Path(self.location))
        written = _unfinished(path)
        try:
            with written.open("xb") as file:
                os.fchmod(file.fileno(), PICTURE)
                for chunk in content.chunks():
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            written.rename(path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
        return name

    def delete(self, name: str) -> None:
        """Delete a file, also one whose writer was killed half-way."""
        super().delete(name)
        _unfinished(Path(self.path(name))).unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + UNFINISHED)


def _sync_folder(folder: Path) -> None:
    """Make a rename last: a name belongs to its folder, not to its file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def random_png_name(folder: str) -> str:
    """A name in `folder` for a new picture, which nobody can guess."""
    return f"{folder}/{secrets.token_urlsafe(16)}.png"


def read_stored(field: FieldFile) -> io.BytesIO:
    """A stored file, read whole. Raises what the store does, as FileNotFoundError."""
    with field.storage.open(field.name or "") as file:
        return io.BytesIO(file.read())
