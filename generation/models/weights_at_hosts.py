"""What each render host has to paint with, as its worker told when it began."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from django.db import models
from django.utils import timezone

from generation.engine.networks.weights import IMAGENET, is_random


class WeightsAtHostQuerySet(models.QuerySet["WeightsAtHost"]):
    def tell(self, host: str, names: Mapping[str, str]) -> None:
        """Write down what a host has now: names of weights, each in words."""
        self.update_or_create(
            host=host, defaults={"names": dict(names), "seen_at": timezone.now()}
        )

    def imagenet(self) -> str:
        """The name, with its values, of the `imagenet` that most hosts have; empty
        where none has told of any. Of equals, what the host seen last has first."""
        had = [
            name
            for row in self.order_by("-seen_at", "pk")
            for name in row.names
            if name.startswith(f"{IMAGENET}:")
        ]
        most = Counter(had).most_common(1)
        return most[0][0] if most else ""

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no host has; none of them where no host has told.

        A name without values is had by whoever has it with some; random weights are
        drawn anywhere.
        """
        asked = {name for name in names if not is_random(name)}
        rows = list(self) if asked else []
        if not rows:
            return []
        had = {f"{name}:" for row in rows for name in row.names}
        return sorted(
            name for name in asked if not any(it.startswith(f"{name}:") for it in had)
        )


class WeightsAtHost(models.Model):
    """A host of render workers and the weights that it has, by name and in words."""

    host = models.CharField(max_length=255, unique=True)
    names = models.JSONField(default=dict)
    seen_at = models.DateTimeField()

    objects = models.Manager.from_queryset(WeightsAtHostQuerySet)()

    class Meta:
        default_permissions = ()
        ordering = ["host"]

    def __str__(self) -> str:
        return self.host
