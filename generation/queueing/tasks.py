"""The jobs of the `render` queues: paint a batch, or a render once more to compare."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import math
import os
import platform
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.db import DatabaseError
from PIL import Image
from rq.timeouts import JobTimeoutException

from generation.engine import memory
from generation.engine.checkpoint import CheckpointRefused
from generation.engine.environment import differences
from generation.engine.errors import Cancelled, EngineError, NotFinite
from generation.engine.painter import Painter
from generation.engine.pictures.files import png_bytes
from generation.engine.request import Painted, Progress, Request
from generation.engine.waves import paint_in_waves
from generation.models import (
    Batch,
    Render,
    Reproduction,
    SourceImage,
    Weighing,
    start_picture,
)
from generation.models.renders import RESULTS
from generation.queueing.checkpoints import (
    checkpoint_of,
    discard_checkpoints,
    discard_old_checkpoints,
)
from generation.queueing.dispatch import dispatch
from generation.queueing.leases import TICK_SECONDS, Lease
from generation.queueing.reap import abandon
from generation.queueing.weights import leave_to_others
from nstlab.core.storage import StoreAway, patiently, read_stored

log = logging.getLogger(__name__)

FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
DISK_IS_FULL = (
    "The disk of the pictures is full. Make room there (manage.py check_media --prune "
    "takes away what no row names), then retry."
)
MEMORY_RAN_OUT = (
    "Memory ran out, also with nothing else in it. Take a smaller size, or retry with "
    "a worker that has more memory."
)
TOOK_TOO_LONG = (
    "It took longer than the {minutes:.0f} minutes its batch was given. Take fewer "
    "evaluations or a smaller size, or a faster worker, then retry."
)
CRASHED = "The worker crashed ({}); see the traceback."


def device() -> str:
    """The device renders are painted on. Call it in the forked horse only."""
    if settings.NSTLAB_DEVICE != "auto":
        return str(settings.NSTLAB_DEVICE)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def render_batch(pk: int, attempt: int) -> str:
    """Paint the queued renders of batch `pk`, each committed as it is done.

    Delivered twice, or after another attempt has begun, it does nothing; nor on a host
    without the weights while another one has them.
    """
    batch = Batch.objects.filter(pk=pk).first()
    token = uuid.uuid4()
    if batch is not None and leave_to_others(batch, attempt):
        return "left to others"
    if batch is None or not batch.claim(attempt=attempt, token=token):
        return "not ours"
    discard_old_checkpoints()
    painter = Painter(device=device(), weights_folder=settings.NSTLAB_WEIGHTS)
    with Lease(batch, token) as lease, painter:
        try:
            done = _Work(batch, lease, painter).paint()
        except StoreAway as away:
            # `reap` sends what is left again, seconds later and a few times only.
            log.error("%s is given back: %s", batch, away)
            abandon(batch, str(away))
            return "given back"
        if lease.batch_is_lost():
            return "taken over"
    batch.release(token)
    dispatch()
    return f"{done} painted"


def reproduce_render(pk: int) -> str:
    """Paint the render of reproduction `pk` once more and say what came out.

    Delivered twice, it does nothing once it has ended.
    """
    row = Reproduction.objects.filter(pk=pk, ended_at=None).first()
    if row is None:
        return "not ours"
    render = Render.objects.select_related("content", "style").get(pk=row.render_id)
    shown = {"at": -math.inf, "open": row.show_progress(0, _name())}

    def show(step: Progress) -> None:
        if time.monotonic() - shown["at"] >= TICK_SECONDS:
            shown["at"] = time.monotonic()
            with contextlib.suppress(DatabaseError):  # shown a second later
                shown["open"] = row.show_progress(step.evaluations, _name())

    try:
        kept = np.asarray(_pixels(render), dtype=np.int16)
        request = _request(render)
        with Painter(
            device=device(), weights_folder=settings.NSTLAB_WEIGHTS
        ) as painter:
            painted = painter.render(
                request.settings,
                request.content,
                request.style,
                start_picture=request.start_picture,
                on_progress=show,
                should_stop=lambda: not shown["open"],
            )
    except JobTimeoutException:
        row.fail("It took longer than it was given.")
        raise
    except (EngineError, StoreAway) as refused:
        row.fail(str(refused))
        return "nothing to compare"
    except FileNotFoundError:
        row.fail("A file is gone: that of its picture, or of what it is painted from.")
        return "nothing to compare"
    except Exception as error:
        full = memory.ran_out(error)
        row.fail(
            MEMORY_RAN_OUT
            if full
            else f"The worker crashed ({type(error).__name__}); see its log."
        )
        raise
    now = np.asarray(painted.image, dtype=np.int16)
    if now.shape != kept.shape:
        row.fail(f"It came out with {now.shape[1]} × {now.shape[0]} pixels.")
        return "nothing to compare"
    apart = np.abs(kept - now)
    row.finish(
        pixel_sha256=painted.pixel_sha256,
        differing=float(apart.any(axis=2).mean()),
        farthest=int(apart.max()),
        differences=differences(render.environment, painted.environment),
    )
    return "compared"


def weigh_pair(pk: int) -> str:
    """Measure which α a balance of 1 comes to for the two pictures of weighing `pk`.

    Delivered twice, or of pictures that are gone, it does nothing.
    """
    waiting = Weighing.objects.select_related("content", "style")
    weighing = waiting.filter(pk=pk, measured_at=None).first()
    if weighing is None:
        return "not ours"
    try:
        with Painter(
            device=device(), weights_folder=settings.NSTLAB_WEIGHTS
        ) as painter:
            alpha = painter.alpha_of_balance(
                weighing.render_settings(),
                _pixels(weighing.content),
                _pixels(weighing.style),
            )
    except (EngineError, StoreAway) as refused:
        weighing.fail(f"Not measured: {refused}")
        return "nothing to measure"
    except JobTimeoutException:
        weighing.fail("Not measured: it took longer than it was given.")
        raise
    except Exception as error:
        full = memory.ran_out(error)
        weighing.fail(
            f"Not measured: {MEMORY_RAN_OUT}"
            if full
            else f"Not measured: {CRASHED.format(type(error).__name__)}"
        )
        raise
    weighing.finish(alpha)
    return "measured"


class _Work:
    """The renders of one batch on their way through the engine.

    They are painted in waves, as many at once as the engine takes together: one on a
    CPU. A wave that breaks is painted again in halves, down to one render; one that
    does not fit into memory alone gets a last try with nothing cached.
    """

    def __init__(self, batch: Batch, lease: Lease, painter: Painter) -> None:
        self.batch = batch
        self.lease = lease
        self.painter = painter
        self.at_once = painter.together
        self.done = 0

    def paint(self) -> int:
        """Paint until every row has ended or the batch is lost; how many are done."""
        queued = self.batch.renders.queued()
        waiting = list(queued.select_related("content", "style"))
        wave: list[Render] = []
        try:
            while waiting and not self.lease.batch_is_lost():
                wave, waiting = waiting[: self.at_once], waiting[self.at_once :]
                wave = [render for render in wave if self._start(render)]
                self._paint(wave)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            # Every other render of the batch would be painted for nothing.
            for render in [*wave, *filter(self._start, waiting)]:
                self._fail(render, DISK_IS_FULL)
        return self.done

    def _start(self, render: Render) -> bool:
        """Begin a row; False if it is not ours to paint, as when it was cancelled."""
        return render.begin(token=self.lease.token, worker=_name())

    def _paint(self, renders: Sequence[Render]) -> None:
        """Paint started rows in one wave, or in smaller ones if that breaks."""
        paint_in_waves(
            self.painter,
            renders,
            self._wave,
            self._broke,
            ends_all=self._ends_all,
            again=self._again,
        )

    def _wave(self, renders: Sequence[Render]) -> Iterator[Render]:
        """Paint started rows together; each when it has ended."""
        for render, result in self._results(renders):
            self.done += self._end(render, result, together=len(renders))
            yield render

    def _ends_all(self, error: Exception, left: Sequence[Render]) -> bool:
        """Whether nothing more can be painted in this job."""
        if isinstance(error, JobTimeoutException):
            minutes = self.batch.timeout_seconds / 60
            for render in left:
                self._fail(render, TOOK_TOO_LONG.format(minutes=minutes))
            return True
        full_disk = isinstance(error, OSError) and error.errno in FULL_DISK
        return full_disk or isinstance(error, StoreAway)

    def _broke(self, render: Render, error: Exception, memory_ran_out: bool) -> None:
        if memory_ran_out:
            self._fail(render, MEMORY_RAN_OUT)
            return
        log.exception("Render %s crashed", render.pk)
        name = type(error).__name__
        self._fail(render, CRASHED.format(name), traceback.format_exc())

    def _again(self, error: Exception, count: int, at_once: int | None) -> None:
        # Its words only: whoever keeps the error keeps the engine's tensors.
        log.warning("%d renders are begun again: %s", count, str(error))
        self.at_once = at_once or self.at_once

    def _results(
        self, renders: Sequence[Render]
    ) -> Iterator[tuple[Render, Painted | EngineError]]:
        """The engine's answer to each render, as it comes."""
        rows: list[Render] = []
        requests: list[Request] = []
        for render in renders:
            try:
                requests.append(
                    _request(
                        render,
                        checkpoint=checkpoint_of(render, self.lease.token),
                        checkpoint_seconds=settings.NSTLAB_CHECKPOINT_SECONDS,
                    )
                )
            except EngineError as refused:
                yield render, refused
            else:
                rows.append(render)
                self.lease.show(render)
        results = self.painter.render_many(
            requests,
            on_progress=lambda index, it: self.lease.on_progress(rows[index], it),
            should_stop=lambda index: self.lease.should_stop(rows[index]),
        )
        for index, result in results:
            if isinstance(result, CheckpointRefused):
                log.warning("Render %s begins anew: %s", rows[index].pk, result)
                discard_checkpoints(rows[index])
                yield from self._results([rows[index]])
            else:
                yield rows[index], result

    def _end(
        self, render: Render, result: Painted | EngineError, *, together: int
    ) -> bool:
        """Give a row the end that the engine's answer means; whether it is done."""
        if isinstance(result, NotFinite):
            self._fail(render, str(result))
            return False
        self.lease.hide(render)
        done = False
        if isinstance(result, Painted):
            done = render.finish(
                token=self.lease.token,
                png=png_bytes(result.image),
                pixel_sha256=result.pixel_sha256,
                curve=result.curve,
                losses=result.losses,
                environment=result.environment,
                seconds=result.seconds / together,
                **{name: getattr(result, name) for name in RESULTS},
            )
        elif not isinstance(result, Cancelled):
            render.refuse(token=self.lease.token, reason=str(result))
        self._clear_up(render)
        return done

    def _fail(self, render: Render, reason: str, traceback: str = "") -> None:
        self.lease.hide(render)
        render.fail(token=self.lease.token, reason=reason, traceback=traceback)
        self._clear_up(render)

    def _clear_up(self, render: Render) -> None:
        """Take away what a row that has ended no longer needs."""
        if render.status == Render.Status.RUNNING:
            log.info("Render %s was cancelled or taken over.", render.pk)
            render.tidy()
        if not self.lease.batch_is_lost():
            discard_checkpoints(render)


def _name() -> str:
    return f"{platform.node()}:{os.getpid()}"


def _request(render: Render, **checkpoint: Any) -> Request:
    settings_of_it = render.render_settings()
    start = start_picture(settings_of_it.start)
    return Request(
        settings=settings_of_it,
        content=_pixels(render.content),
        style=_pixels(render.style),
        content_key=render.content.pixel_sha256,
        style_key=render.style.pixel_sha256,
        start_picture=_pixels(start) if start else None,
        **checkpoint,
    )


def _pixels(row: SourceImage | Render) -> Image.Image:
    file = patiently(functools.partial(read_stored, row.picture))
    with Image.open(file) as picture:
        return picture.convert("RGB")
