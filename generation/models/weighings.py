"""What a balance of 1 comes to for pairs of pictures, once a worker has measured it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from generation.engine.settings import RenderSettings
from generation.models.source_images import SourceImage
from nstlab.core.transitions import move


class Weighing(models.Model):
    """Two pictures under settings, and the `alpha` that a balance of 1 comes to there.

    Named by the digest of both pictures and the settings that matter
    (`settings_of_ends`), so that it is measured once. `reason` says why there is no
    such α.
    """

    digest = models.CharField(max_length=64, unique=True)
    content = models.ForeignKey(SourceImage, on_delete=models.CASCADE, related_name="+")
    style = models.ForeignKey(SourceImage, on_delete=models.CASCADE, related_name="+")
    settings = models.JSONField()
    asked_at = models.DateTimeField(default=timezone.now)
    attempt = models.PositiveSmallIntegerField(default=1)
    measured_at = models.DateTimeField(null=True)
    alpha = models.FloatField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.job_id

    queue = "render-high"

    @property
    def job_id(self) -> str:
        return f"weighing-{self.pk}-{self.attempt}"

    def render_settings(self) -> RenderSettings:
        return RenderSettings.from_dict(self.settings)

    def finish(self, alpha: float) -> bool:
        """Keep what was measured; False if it has been before."""
        return move(self, Q(measured_at=None), measured_at=timezone.now(), alpha=alpha)

    def fail(self, reason: str) -> bool:
        """Keep why there is nothing to measure; False if it has been measured."""
        return move(
            self, Q(measured_at=None), measured_at=timezone.now(), reason=reason
        )
