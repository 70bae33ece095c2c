"""Checkpoints: half-done renders on disk, to go on with where a worker died.

A file is named after its render and the token of the worker that writes it, because a
worker that outlived its lease may still write when the next one has begun.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings

from generation.models import Render


def checkpoint_of(render: Render, token: uuid.UUID) -> Path:
    """The file in which the holder of `token` keeps a render's checkpoint.

    What an earlier attempt at the render has left is moved there.
    """
    folder: Path = settings.NSTLAB_CHECKPOINTS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = folder / f"{render.pk}-{token.hex}.pt"
    earlier = sorted(
        folder.glob(f"{render.pk}-*.pt"), key=lambda it: it.stat().st_mtime
    )
    if earlier:
        earlier[-1].replace(own)
    return own


def discard_checkpoints(render: Render) -> None:
    """Take away whatever the attempts at a render that has ended wrote."""
    for path in settings.NSTLAB_CHECKPOINTS.glob(f"{render.pk}-*"):
        path.unlink(missing_ok=True)


def discard_old_checkpoints() -> None:
    """Take away what workers left that were killed while a render ended."""
    files = list(settings.NSTLAB_CHECKPOINTS.glob("*-*"))
    keys = {int(path.name.split("-")[0]) for path in files}
    wanted = set(
        Render.objects.unfinished().filter(pk__in=keys).values_list("pk", flat=True)
    )
    for path in files:
        if int(path.name.split("-")[0]) not in wanted:
            path.unlink(missing_ok=True)
