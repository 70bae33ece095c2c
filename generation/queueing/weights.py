"""Which weights a render host has: telling the lab, and leaving jobs to others."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from dataclasses import asdict

from django.conf import settings

from generation.engine.networks.weights import is_random, names_at_hand
from generation.models import Batch, WeightsAtHost
from generation.models.weights_at_hosts import is_among
from generation.queueing.dispatch import dispatch

# So long a worker waits before it leaves a job, that an idle one elsewhere comes first.
LEAVING_SECONDS = 1.0


def tell_weights() -> set[str]:
    """Write down which weights this host has, for lists and queueing; their names."""
    told = _at_hand()
    WeightsAtHost.objects.tell(platform.node(), told)
    return set(told)


def _at_hand() -> dict[str, dict[str, str]]:
    found = names_at_hand(settings.NSTLAB_WEIGHTS)
    return {name: asdict(each) for name, each in found.items()}


def tell_again() -> None:
    """The same where a worker of this host has told before; else it is no such host.
    That a worker is there now only a worker says."""
    this = WeightsAtHost.objects.filter(host=platform.node())
    if this.exists():
        this.update(weights=_at_hand())


def others_have(names: Iterable[str]) -> bool:
    """Tell what this host has; whether it lacks some of these weights while another
    host with a worker has them all."""
    asked = {name for name in names if not is_random(name)}
    if not asked:
        return False
    here = tell_weights()
    if all(is_among(name, here) for name in asked):
        return False
    others = WeightsAtHost.objects.present().exclude(host=platform.node())
    return any(all(map(row.has, asked)) for row in others)


def leave_to_others(batch: Batch, attempt: int) -> bool:
    """Give a batch back that a worker elsewhere can paint and this one cannot; whether
    it was. Where no host has its weights it is not: the engine refuses its renders."""
    names = batch.renders.queued().values_list("weights", flat=True)
    if not others_have(set(names)):
        return False
    time.sleep(LEAVING_SECONDS)
    if batch.leave(attempt):
        dispatch()
    return True
