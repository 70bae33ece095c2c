"""A worker's lease on a batch, renewed while its renders are painted."""

from __future__ import annotations

import io
import logging
import math
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.core.files.storage import default_storage
from django.db import DatabaseError, connection, transaction
from PIL import Image

from generation.engine.request import Progress
from generation.models import Batch, Render

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
# A render shows a preview this often, a batch painted together two a second at most.
PREVIEW_SECONDS = 3.0
PREVIEWS_A_SECOND = 2.0
PREVIEW_SIDE = 256
KEPT = ("evaluations", "budget", "total", "seconds")


@dataclass
class Shown:
    """A render that is being painted, and what its row will be told of it next."""

    render: Render
    progress: dict[str, Any] = field(default_factory=dict)
    jpeg: bytes | None = None
    jpeg_at: float = field(default_factory=time.monotonic)
    lost: bool = False


class Lease:
    """Keeps a batch's lease and shows how far its renders are while they are painted.

    One thread writes all of it, in one transaction a second, because one evaluation of
    a large picture may take longer than a lease. The same writes are how a cancelled
    render is noticed.
    """

    def __init__(self, batch: Batch, token: uuid.UUID) -> None:
        self.batch = batch
        self.token = token
        self._shown: dict[int, Shown] = {}
        self._batch_lost = threading.Event()
        self._over = threading.Event()
        # Held while rows are written: a render is ended before or after, not amid it.
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    def show(self, render: Render) -> None:
        """Say that a render is painted from now on; it has just been started."""
        with self._writing:
            self._shown[render.pk] = Shown(render)

    def hide(self, render: Render) -> None:
        """Write no more about a render: its end is about to be written."""
        with self._writing:
            self._shown.pop(render.pk, None)

    def on_progress(self, render: Render, progress: Progress) -> None:
        """Remember how far it is; the thread stores it when its second comes."""
        shown = self._shown[render.pk]
        values = {name: getattr(progress, name) for name in KEPT}
        values |= progress.terms
        # JSON knows no infinity.
        shown.progress = {
            name: value if math.isfinite(value) else None
            for name, value in values.items()
        }
        every = max(PREVIEW_SECONDS, len(self._shown) / PREVIEWS_A_SECOND)
        if time.monotonic() - shown.jpeg_at >= every:
            shown.jpeg_at = time.monotonic()
            shown.jpeg = _small_jpeg(progress.picture())

    def batch_is_lost(self) -> bool:
        """Return whether another attempt has taken the batch over."""
        return self._batch_lost.is_set()

    def should_stop(self, render: Render) -> bool:
        """Return whether painting on is useless: batch lost, or render cancelled."""
        return self._batch_lost.is_set() or self._shown[render.pk].lost

    def _keep(self) -> None:
        try:
            while not self._over.wait(TICK_SECONDS):
                try:
                    with self._writing:
                        self._write()
                except DatabaseError:
                    # A busy or restarting database: the lease decides if it lasts.
                    log.exception("The lease on %s could not be renewed", self.batch)
                if self._batch_lost.is_set():
                    return
        finally:
            connection.close()

    def _write(self) -> None:
        previews = {pk: self._store_preview(it) for pk, it in self._shown.items()}
        unwanted = []
        with transaction.atomic():
            if not self.batch.renew(self.token):
                self._batch_lost.set()
            for pk, shown in self._shown.items():
                render, new = shown.render, previews[pk]
                before = render.preview.name
                shown.lost = not render.show_progress(
                    token=self.token, progress=shown.progress, preview=new
                )
                if new:
                    unwanted.append(new if shown.lost else before)
        for name in filter(None, unwanted):
            try:
                default_storage.delete(name)
            except Exception:  # a store of any kind; check_media finds what stayed
                log.exception("The old preview %s was not deleted", name)

    def _store_preview(self, shown: Shown) -> str:
        """The name of a new preview's file, or nothing where there is none."""
        jpeg, shown.jpeg = shown.jpeg, None
        if jpeg is None:
            return ""
        try:
            return shown.render.save_preview(self.token, jpeg)
        except Exception:  # a store of any kind; painting goes on without a preview
            log.exception("A preview of render %s was not stored", shown.render.pk)
            return ""


def _small_jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return file.getvalue()
