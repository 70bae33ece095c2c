"""Bringing the trained network to a render host: asked for, done by its worker, ended.

Nothing is downloaded but by this job and by `manage.py weights get`.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import platform
import time
from functools import partial

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from rq.timeouts import JobTimeoutException

from generation.engine.errors import Cancelled, EngineError
from generation.engine.networks.fetching import IMAGENET_WHEEL
from generation.engine.networks.weights import IMAGENET, get_imagenet
from generation.models import WeightsAtHost, WeightsFetch
from generation.queueing import weights
from nstlab.core import jobs

log = logging.getLogger(__name__)

TASK = "generation.queueing.fetching.fetch_weights"
TIMEOUT_SECONDS = 2 * 3600
TICK_SECONDS = 1.0
# So long after it was asked for, its job may still be on its way to the broker.
PATIENCE = dt.timedelta(minutes=1)
BROKER_IS_AWAY = "The queue could not be reached. Ask again when it is back."
LOST = "The queue had lost it. Ask again."
KILLED = "Its worker process was killed. Nothing was kept; ask again."
HOST_IS_GONE = "No worker of this host is there any more. Start one, then ask again."
STOPPED = "It was stopped. Nothing was kept."
TOOK_TOO_LONG = "It took longer than two hours. Nothing was kept; ask again."


def fetch(host: WeightsAtHost) -> bool:
    """Have ImageNet's weights fetched by a worker of a host; False if they are being
    fetched already."""
    try:
        with transaction.atomic():
            row = WeightsFetch.objects.create(host=host.host)
            jobs.send_after_commit(
                _order(row), if_away=partial(row.fail, BROKER_IS_AWAY)
            )
    except IntegrityError:
        return False
    return True


def _order(row: WeightsFetch) -> jobs.Order:
    return jobs.Order(
        row,
        task=TASK,
        args=(row.pk, row.attempt),
        timeout=TIMEOUT_SECONDS,
        description=f"weights for {row.host}",
    )


def fetch_weights(pk: int, attempt: int) -> str:
    """Bring ImageNet's weights to this host, if row `pk` is about it.

    On another host the next attempt is sent, which comes round to its own. Delivered
    twice, or once it has ended, it does nothing.
    """
    row = WeightsFetch.objects.filter(pk=pk, attempt=attempt, ended_at=None).first()
    if row is None:
        return "not ours"
    if row.host != platform.node():
        return _leave(row)
    if not row.begin(attempt):
        return "not ours"
    looked = {"at": -math.inf, "open": True, "here": 0, "total": 0}

    def stopped() -> bool:
        if time.monotonic() - looked["at"] >= TICK_SECONDS:
            looked["at"] = time.monotonic()
            try:
                looked["open"] = row.show_progress(
                    int(looked["here"]), int(looked["total"])
                )
            except DatabaseError:  # shown a second later
                log.exception("How far %s is was not written", row)
        return not looked["open"]

    def show(here: int, total: int) -> None:
        looked.update(here=here, total=total)

    try:
        get_imagenet(
            settings.NSTLAB_WEIGHTS, source=source(), progress=show, cancelled=stopped
        )
    except JobTimeoutException:
        row.fail(TOOK_TOO_LONG)
        raise
    except Cancelled:
        return "stopped"
    except EngineError as refused:
        row.fail(str(refused))
        return "not fetched"
    except Exception as error:
        row.fail(f"The worker crashed ({type(error).__name__}); see its log.")
        raise
    weights.tell_weights()
    row.show_progress(int(looked["here"]), int(looked["total"]))
    row.finish()
    return "fetched"


def source() -> str:
    """The way that brings the values other hosts have; either, where none has any."""
    others = WeightsAtHost.objects.exclude(host=platform.node())
    values = others.with_values(IMAGENET, "vgg16").partition(":")[2]
    if not values:
        return ""
    return "index" if values == IMAGENET_WHEEL.values_sha256 else "torchvision"


def _leave(row: WeightsFetch) -> str:
    time.sleep(weights.LEAVING_SECONDS)
    if not WeightsAtHost.objects.present().filter(host=row.host).exists():
        row.fail(HOST_IS_GONE)
    elif row.next_attempt(row.attempt):
        row.refresh_from_db()
        if not jobs.send([_order(row)]):
            row.fail(BROKER_IS_AWAY)
    return "left to its host"


def end_lost() -> int:
    """End the fetches that no job carries any more; return how many.

    Raises one of `jobs.AWAY`.
    """
    asked_before = timezone.now() - PATIENCE
    rows = WeightsFetch.objects.filter(ended_at=None, asked_at__lt=asked_before)
    return sum(row.lose(LOST) for row in jobs.lost(rows))
