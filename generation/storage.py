"""Pictures on a local disk that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage

UNFINISHED = ".part"


class DurableStorage(FileSystemStorage):
    """Writes under a temporary name, then renames; both survive a power cut.

    An S3-compatible store needs none of it: there an object appears when it is whole.
    """

    def _save(self, name: str, content: Any) -> str:
        path = Path(self.path(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        written = _unfinished(path)
        try:
            with written.open("xb") as file:
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
