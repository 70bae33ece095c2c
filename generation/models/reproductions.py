"""Reproductions: done renders painted once more, to compare."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from generation.models.renders import Render
from nstlab.core.transitions import move


class Reproduction(models.Model):
    """A done render painted once more from its request, to see whether the same pixels
    come out. The render keeps its picture, whatever comes out."""

    render = models.ForeignKey(
        Render, on_delete=models.CASCADE, related_name="reproductions"
    )
    asked_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)
    worker = models.CharField(max_length=120, blank=True)
    evaluations = models.PositiveIntegerField(default=0)
    reason = models.TextField(blank=True, help_text="Why there is nothing to compare.")

    pixel_sha256 = models.CharField(max_length=64, blank=True)
    differing = models.FloatField(
        null=True, help_text="The share of the pixels that differ, 0 to 1."
    )
    farthest = models.PositiveSmallIntegerField(
        null=True, help_text="The largest difference of a value, of 255."
    )
    differences = models.JSONField(
        default=list, help_text="In what the environments differ, in words."
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["render"],
                condition=Q(ended_at=None),
                name="one_reproduction_of_a_render_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return self.job_id

    queue = "render"

    @property
    def job_id(self) -> str:
        return f"reproduction-{self.pk}"

    @property
    def differing_percent(self) -> str:
        """The share of the pixels that differ, never rounded to none or to all."""
        share = 100 * (self.differing or 0.0)
        if 0 < share < 0.1:
            return "less than 0.1 %"
        return "more than 99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"

    def _while_open(self, **columns: Any) -> bool:
        return move(self, Q(ended_at=None), **columns)

    def show_progress(self, evaluations: int, worker: str) -> bool:
        """Say how far it is; False if it has been ended."""
        return self._while_open(evaluations=evaluations, worker=worker)

    def fail(self, reason: str) -> bool:
        """End it without a picture; False if it has been ended before."""
        return self._while_open(ended_at=timezone.now(), reason=reason)

    def finish(
        self,
        *,
        pixel_sha256: str,
        differing: float,
        farthest: int,
        differences: list[str],
    ) -> bool:
        """End it with what came out; False if it has been ended before."""
        return self._while_open(
            ended_at=timezone.now(),
            pixel_sha256=pixel_sha256,
            differing=differing,
            farthest=farthest,
            differences=differences,
        )
