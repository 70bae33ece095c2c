"""Telling the lab which weights a render host has."""

from __future__ import annotations

import platform

from django.conf import settings

from generation.engine.networks.weights import names_at_hand
from generation.models import WeightsAtHost


def tell_weights() -> None:
    """Write down which weights this host has, for lists and for queueing."""
    names = names_at_hand(settings.NSTLAB_WEIGHTS)
    WeightsAtHost.objects.tell(platform.node(), names)


def tell_again() -> None:
    """The same where a worker of this host has told before; else it is no such host."""
    if WeightsAtHost.objects.filter(host=platform.node()).exists():
        tell_weights()
