"""The trained network on its way to a render host, as an operator asked for it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from nstlab.core.transitions import move


class WeightsFetch(models.Model):
    """One try to bring ImageNet's weights to a render host; another try is a new row.

    Any worker may take its job; one of another host opens the next attempt, whose job
    comes round again.
    """

    host = models.CharField(max_length=255)
    # Of an attempt after the first: when it was opened.
    asked_at = models.DateTimeField(auto_now_add=True)
    attempt = models.PositiveIntegerField(default=1)
    begun_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    here = models.PositiveBigIntegerField(default=0, help_text="Bytes, by now.")
    total = models.PositiveBigIntegerField(
        default=0, help_text="Bytes in all; 0: not known."
    )
    reason = models.TextField(blank=True, help_text="Why nothing came.")

    class Meta:
        default_permissions = ()
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["host"],
                condition=Q(ended_at=None),
                name="one_fetch_of_weights_for_a_host_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return self.job_id

    @property
    def queue(self) -> str:
        """Somebody waits for it: it overtakes grids; but not once a worker of another
        host gave it back, who would get nothing else."""
        return "render-high" if self.attempt == 1 else "render"

    @property
    def job_id(self) -> str:
        return f"weights-{self.pk}-{self.attempt}"

    def _while_open(self, **columns: Any) -> bool:
        return move(self, Q(ended_at=None), **columns)

    def begin(self, attempt: int) -> bool:
        """Take this attempt for one worker; False if another has it or it has ended."""
        waits = Q(attempt=attempt, begun_at=None, ended_at=None)
        return move(self, waits, begun_at=timezone.now())

    def next_attempt(self, seen: int) -> bool:
        """Open the attempt after `seen`; False if it was begun or has ended."""
        waits = Q(attempt=seen, begun_at=None, ended_at=None)
        return move(self, waits, attempt=F("attempt") + 1, asked_at=timezone.now())

    def show_progress(self, here: int, total: int) -> bool:
        """Say how far it is; False if it has been ended, as when somebody stops it."""
        return self._while_open(here=here, total=total)

    def fail(self, reason: str) -> bool:
        """End it without weights; False if it has been ended before."""
        return self._while_open(ended_at=timezone.now(), reason=reason)

    def lose(self, reason: str) -> bool:
        """The same for the attempt that this row knows; False if another is open."""
        seen = Q(attempt=self.attempt, ended_at=None)
        return move(self, seen, ended_at=timezone.now(), reason=reason)

    def finish(self) -> bool:
        """End it with the weights on the host; False if it has been ended before."""
        return self._while_open(ended_at=timezone.now())
