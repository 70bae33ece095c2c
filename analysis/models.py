"""Computed reports, each named by the data it was computed from."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from survey.models import Study


class Report(models.Model):
    """The tables of one study for one state of its data. Computed in a job, kept."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="reports")
    fingerprint = models.CharField(max_length=64)
    include_simulated = models.BooleanField(default=False)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=1)
    reason = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    data_sha256 = models.CharField(max_length=64, blank=True)
    files = models.JSONField(
        default=dict, help_text="Every table as CSV, by file name."
    )
    method = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "fingerprint", "include_simulated"],
                name="one_report_per_state_of_the_data",
            )
        ]

    def __str__(self) -> str:
        return f"{self.study}, {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def job_id(self) -> str:
        return f"report-{self.pk}-{self.attempt}"

    def _move(self, leaving: Q, **columns: Any) -> bool:
        return bool(Report.objects.filter(leaving, pk=self.pk).update(**columns))

    def finish(
        self, *, files: dict[str, str], data_sha256: str, method: dict[str, Any]
    ) -> bool:
        """queued → done."""
        return self._move(
            Q(state=self.State.QUEUED),
            state=self.State.DONE,
            files=files,
            data_sha256=data_sha256,
            method=method,
            finished_at=timezone.now(),
        )

    def fail(self, reason: str, traceback: str) -> bool:
        """queued → failed."""
        return self._move(
            Q(state=self.State.QUEUED),
            state=self.State.FAILED,
            reason=reason,
            traceback=traceback,
            finished_at=timezone.now(),
        )

    def next_attempt(self) -> bool:
        """queued or failed → queued once more, by whoever comes first."""
        return self._move(
            Q(attempt=self.attempt) & ~Q(state=self.State.DONE),
            state=self.State.QUEUED,
            attempt=F("attempt") + 1,
            reason="",
            traceback="",
            finished_at=None,
        )
