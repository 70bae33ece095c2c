"""What each render host has to paint with, as its workers tell."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from django.db import models
from django.utils import timezone

from generation.engine.networks.fetching import IMAGENET_WHEEL
from generation.engine.networks.weights import describe, is_random

# A worker gives a sign every seven minutes while it waits, every half while it paints.
GONE_AFTER = dt.timedelta(minutes=15)
FORGOTTEN_AFTER = dt.timedelta(days=7)


class WeightsAtHostQuerySet(models.QuerySet["WeightsAtHost"]):
    def tell(self, host: str, weights: Mapping[str, Mapping[str, str]]) -> None:
        """Write down what a host has now: names of weights, each with its network and
        in words. Hosts that nobody has heard of for long are forgotten."""
        self.filter(seen_at__lt=timezone.now() - FORGOTTEN_AFTER).delete()
        self.update_or_create(
            host=host, defaults={"weights": dict(weights), "seen_at": timezone.now()}
        )

    def see(self, host: str) -> None:
        """Write down that a worker of a host is there; what it has stays."""
        self.filter(host=host).update(seen_at=timezone.now())

    def present(self) -> WeightsAtHostQuerySet:
        """Hosts whose workers gave a sign of life lately."""
        return self.filter(seen_at__gte=timezone.now() - GONE_AFTER)

    def counted(self) -> list[WeightsAtHost]:
        """Hosts with a worker now; where none has one, all that told something."""
        rows: list[WeightsAtHost] = list(self)
        return [row for row in rows if row.is_present] or rows

    def with_values(self, kind: str, network: str) -> str:
        """The name, with its values, of what most hosts have as ImageNet's weights of
        a kind; empty where none has told of any. Of equals those of the package index
        come first. Where no worker is there now, only the host seen last counts."""
        rows = list(self.order_by("-seen_at", "pk"))
        had = Counter(
            name
            for row in [row for row in rows if row.is_present] or rows[:1]
            for name, told in row.weights.items()
            if name.startswith(f"{kind}:") and told["network"] == network
        )
        pinned = f"{kind}:{IMAGENET_WHEEL.values_sha256}"
        return max(sorted(had), key=lambda it: (had[it], it == pinned), default="")

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no host has; none of them where no host has told."""
        asked = {name for name in names if not is_random(name)}
        rows = self.counted() if asked else []
        if not rows:
            return []
        return sorted(name for name in asked if not any(row.has(name) for row in rows))


class WeightsAtHost(models.Model):
    """A host of render workers and the weights that it has: by name, each with its
    `network` and in `words`."""

    host = models.CharField(max_length=255, unique=True)
    weights = models.JSONField(default=dict)
    seen_at = models.DateTimeField()

    objects = models.Manager.from_queryset(WeightsAtHostQuerySet)()

    class Meta:
        default_permissions = ()
        permissions = [("fetch_weights", "Can have weights fetched to render hosts")]
        verbose_name = "render host"
        ordering = ["host"]

    def __str__(self) -> str:
        return self.host

    @property
    def is_present(self) -> bool:
        """Whether a worker of it gave a sign of life lately."""
        return timezone.now() - self.seen_at < GONE_AFTER

    def has(self, name: str) -> bool:
        """Whether a render with these weights can be painted here."""
        return is_random(name) or is_among(name, self.weights)

    def in_short(self) -> list[str]:
        """What it has, each file once, in few words: by its name as ImageNet's weights
        where it has one. (PostgreSQL keeps no order of names.)"""
        first: dict[str, str] = {}
        names = sorted(self.weights, key=lambda name: (name.startswith("file:"), name))
        for name, told in ((name, self.weights[name]) for name in names):
            network = told["network"].replace("vgg", "VGG-")
            first.setdefault(told["words"], f"{describe(name)} ({network})")
        return list(first.values())


def is_among(name: str, had: Collection[str]) -> bool:
    """Whether weights are among those had. A name without values, or a file's without
    the input that it expects, is whatever begins so."""
    return any(it == name or it.startswith(f"{name}:") for it in had)
