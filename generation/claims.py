"""A worker's hold on a batch: renewed from a thread, lost without a word."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import asdict

from django.conf import settings
from django.db import DatabaseError, connection

from generation.engine.render import Progress
from generation.models import Batch, Render

log = logging.getLogger(__name__)


class Claim:
    """Keeps a batch's lease and shows a render's progress while it is painted.

    One thread writes both, at most once a second, because one evaluation of a large
    picture may take longer than a lease.
    """

    def __init__(self, batch: Batch, token: uuid.UUID) -> None:
        self.batch = batch
        self.token = token
        self._render: Render | None = None
        self._progress: Progress | None = None
        self._batch_lost = threading.Event()
        self._render_lost = threading.Event()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="claim", daemon=True)

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    def show(self, render: Render) -> None:
        """Say which render is painted now; it has just been started."""
        with self._lock:
            self._render, self._progress = render, None
            self._render_lost.clear()

    def on_progress(self, progress: Progress) -> None:
        """Remember how far it is; the thread stores it when its second comes."""
        self._progress = progress

    def batch_is_lost(self) -> bool:
        """Whether another attempt has taken the batch over."""
        return self._batch_lost.is_set()

    def should_stop(self) -> bool:
        """Whether painting on is useless: batch lost, or the render cancelled."""
        return self._batch_lost.is_set() or self._render_lost.is_set()

    def _keep(self) -> None:
        every = max(1.0, settings.NSTLAB_LEASE_SECONDS / 5)
        try:
            while not self._over.wait(every):
                try:
                    if not self.batch.renew(self.token):
                        self._batch_lost.set()
                        return
                    with self._lock:
                        render, progress = self._render, self._progress
                    if render is None:
                        continue
                    shown = asdict(progress) if progress else {}
                    # The same write is how a cancelled render is noticed.
                    if not render.show_progress(token=self.token, progress=shown):
                        with self._lock:
                            if self._render is render:
                                self._render_lost.set()
                except DatabaseError:
                    # A busy or restarting database: the lease decides if it lasts.
                    log.exception("The claim on %s could not be renewed", self.batch)
        finally:
            connection.close()
