"""Batches: the renders that one job brings to a worker."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from generation.models.experiments import Experiment
from nstlab.core.transitions import move


def lease_end() -> dt.datetime:
    """The end of a lease that is given or renewed now."""
    return timezone.now() + dt.timedelta(seconds=settings.NSTLAB_LEASE_SECONDS)


class BatchQuerySet(models.QuerySet["Batch"]):
    def unfinished(self) -> BatchQuerySet:
        """Batches with a render that has not ended, as far as is known."""
        return self.filter(over=False)

    def waiting(self) -> BatchQuerySet:
        """Batches that are still to be sent to the broker."""
        return self.unfinished().filter(sent_at=None)

    def sent(self) -> BatchQuerySet:
        """Batches that the broker holds and no worker has claimed yet."""
        return self.unfinished().filter(sent_at__isnull=False, token=None)


BatchManager = models.Manager.from_queryset(BatchQuerySet)


class Batch(models.Model):
    """The renders of one job.

    It waits in the database until it is sent to the broker, which holds a few batches
    of each researcher at a time. A worker claims it under a token of its own and gets a
    lease, which it renews while it lives: whose lease has run out is dead, and not just
    slow. It is over when every render has ended.
    """

    belongs_to = "experiment"

    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, related_name="batches"
    )
    urgent = models.BooleanField(default=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    over = models.BooleanField(default=False, editable=False)
    attempt = models.PositiveIntegerField(default=1)
    token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    expected_seconds = models.FloatField(default=0)
    timeout_seconds = models.PositiveIntegerField(default=3600)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BatchManager()

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["sent_at", "urgent"],
                condition=Q(over=False),
                name="batch_that_is_not_over",
            )
        ]

    def __str__(self) -> str:
        return self.job_id

    @property
    def job_id(self) -> str:
        return f"batch-{self.pk}-{self.attempt}"

    @property
    def queue(self) -> str:
        return "render-high" if self.urgent else "render"

    def claim(self, *, attempt: int, token: uuid.UUID) -> bool:
        """Take this attempt for one worker; False if another has it or it is over.

        A worker that lost its lease may be followed by another under a new attempt,
        never under the same.
        """
        return move(
            self,
            Q(attempt=attempt, token=None),
            token=token,
            lease_until=lease_end(),
        )

    def renew(self, token: uuid.UUID) -> bool:
        """Begin another lease; False if the batch was taken away."""
        return move(self, Q(token=token), lease_until=lease_end())

    def release(self, token: uuid.UUID) -> None:
        """Let go of a batch whose every row has ended."""
        move(self, Q(token=token), over=True)

    def leave(self, seen: int) -> bool:
        """Open the attempt after `seen`, which nobody has claimed; False if somebody
        has, or already did. It overtakes no longer: whoever gave it back, and cannot
        paint it, would get nothing else."""
        unclaimed = Q(attempt=seen, over=False, token=None)
        return self._next_attempt(unclaimed, urgent=False)

    def next_attempt(self, seen: int) -> bool:
        """Open the attempt after `seen`; False if somebody else already did."""
        return self._next_attempt(Q(attempt=seen, over=False))

    def _next_attempt(self, leaving: Q, **columns: Any) -> bool:
        return move(
            self,
            leaving,
            attempt=F("attempt") + 1,
            token=None,
            lease_until=None,
            sent_at=None,
            **columns,
        )
