"""The job of the `render` queue: paint what is left of one batch."""

from __future__ import annotations

import logging
import os
import platform
import traceback
import uuid

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
    if not render.start(token=token, worker=f"{platform.node()}:{os.getpid()}"):
        return False  # cancelled meanwhile
    claim.show(render)
    try:
        painted = _run_engine(render, claim, painter)
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
    except JobTimeoutException:
        minutes = claim.batch.timeout_seconds / 60
        render.fail(
            token=token,
            reason=f"It took longer than the {minutes:.0f} minutes its batch was "
            "given. Take fewer evaluations or a smaller size, or a faster worker.",
        )
        raise
    except Exception as error:
        log.exception("Render %s crashed", render.pk)
        render.fail(
            token=token,
            reason=f"The worker crashed ({type(error).__name__}); see the traceback.",
            traceback=traceback.format_exc(),
        )
    return False


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
