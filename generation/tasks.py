"""The job of the `render` queue: paint what is left of one batch."""

from __future__ import annotations

import errno
import logging
import os
import platform
import traceback
import uuid
from typing import Any

from django.conf import settings
from PIL import Image
from rq.timeouts import JobTimeoutException

from generation.claims import Claim
from generation.engine.errors import Cancelled, EngineError, NotFinite
from generation.engine.images import png_bytes
from generation.engine.render import Painted, Painter
from generation.models import Batch, Render, SourceImage, start_picture
from generation.services import picture_bytes

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


def device() -> str:
    """The device renders are painted on. Call it in the forked horse only."""
    if settings.NSTLAB_DEVICE != "auto":
        return str(settings.NSTLAB_DEVICE)
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def render_batch(pk: int, attempt: int) -> str:
    """Paint the queued renders of batch `pk`, each committed as it is done.

    Delivered twice, or after another attempt has begun, it does nothing.
    """
    batch = Batch.objects.filter(pk=pk).first()
    token = uuid.uuid4()
    if batch is None or not batch.claim(attempt=attempt, token=token):
        return "not ours"
    done = 0
    with Claim(batch, token) as claim:
        painter = Painter(device=device(), weights_folder=settings.NSTLAB_WEIGHTS)
        with painter:
            renders = batch.renders.filter(status=Render.Status.QUEUED)
            for render in renders.select_related("content", "style"):
                if claim.batch_is_lost():
                    return "taken over"
                done += _paint(render, claim, painter)
    batch.release(token)
    return f"{done} painted"


def _paint(render: Render, claim: Claim, painter: Painter) -> bool:
    """Paint one row; every way it can end is a state with a reason."""
    token = claim.token
    if not render.start(token=token, worker=_name()):
        return False  # cancelled meanwhile
    claim.show(render)
    try:
        painted = _with_all_memory(render, claim, painter)
        return render.finish(
            token=token,
            png=png_bytes(painted.image),
            pixel_sha256=painted.pixel_sha256,
            curve=painted.curve,
            environment=painted.environment,
            seconds=painted.seconds,
        )
    except Cancelled:
        log.info("Render %s was cancelled or taken over.", render.pk)
    except NotFinite as error:
        render.fail(token=token, reason=str(error))
    except EngineError as refused:
        render.refuse(token=token, reason=str(refused))
    except OSError as error:
        if error.errno not in FULL_DISK:
            _crash(render, token, error)
        else:
            for row in (render, *_started(claim, claim.batch.renders)):
                row.fail(token=token, reason=DISK_IS_FULL)
    except JobTimeoutException:
        minutes = claim.batch.timeout_seconds / 60
        render.fail(
            token=token,
            reason=f"It took longer than the {minutes:.0f} minutes its batch was "
            "given. Take fewer evaluations or a smaller size, or a faster worker, "
            "then retry.",
        )
        raise
    except Exception as error:
        if _out_of_memory(error):
            render.fail(token=token, reason=MEMORY_RAN_OUT)
        else:
            _crash(render, token, error)
    return False


def _started(claim: Claim, renders: Any) -> list[Render]:
    """The rest of the batch, started so that it can be failed without painting."""
    waiting = list(renders.filter(status=Render.Status.QUEUED))
    return [row for row in waiting if row.start(token=claim.token, worker=_name())]


def _crash(render: Render, token: uuid.UUID, error: Exception) -> None:
    log.exception("Render %s crashed", render.pk)
    render.fail(
        token=token,
        reason=f"The worker crashed ({type(error).__name__}); see the traceback.",
        traceback=traceback.format_exc(),
    )


def _name() -> str:
    return f"{platform.node()}:{os.getpid()}"


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, which a CPU's allocator says in words only."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def _with_all_memory(render: Render, claim: Claim, painter: Painter) -> Painted:
    """Paint; if memory runs out, once more with nothing of other renders in it."""
    try:
        return _run_engine(render, claim, painter)
    except Exception as error:
        if not _out_of_memory(error):
            raise
        log.warning("Render %s ran out of memory and is begun again.", render.pk)
    with painter:
        pass  # leaving a painter forgets its networks and targets
    if painter.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
    return _run_engine(render, claim, painter)


def _run_engine(render: Render, claim: Claim, painter: Painter) -> Painted:
    settings = render.render_settings()
    start = start_picture(settings.start)
    return painter.render(
        settings,
        _pixels(render.content),
        _pixels(render.style),
        content_key=render.content.pixel_sha256,
        style_key=render.style.pixel_sha256,
        start_picture=_pixels(start) if start else None,
        on_progress=claim.on_progress,
        should_stop=claim.should_stop,
    )


def _pixels(image: SourceImage) -> Image.Image:
    with Image.open(picture_bytes(image.picture)) as picture:
        return picture.convert("RGB")
