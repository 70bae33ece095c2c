"""Computed reports, each named by the data it was computed from."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.files import File
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from nstlab.core.transitions import move
from survey.models import Study

# Reports of a study that are kept, done and failed ones each.
KEPT = 10


class Report(models.Model):
    """Tables and charts of a study for one state of its data, computed in a job.

    The fingerprint is that of the data it was asked for, and once it is done of those
    that were read.
    """

    belongs_to = "study"

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
    ratings_long_sha256 = models.CharField(max_length=64, blank=True)
    method = models.JSONField(default=dict)
    charts = models.JSONField(
        default=list, help_text="Name, title, description, why one is missing."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField("data read at", null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("exclude_participant", "Can exclude participants from the statistics")
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "fingerprint", "include_simulated"],
                name="one_report_per_state_of_the_data",
            )
        ]

    def __str__(self) -> str:
        return f"{self.study}, {self.created_at:%Y-%m-%d %H:%M}"

    queue = "report"

    @property
    def job_id(self) -> str:
        return f"report-{self.pk}-{self.attempt}"

    def finish(
        self,
        *,
        files: Mapping[str, bytes],
        charts: list[dict[str, str]],
        fingerprint: str,
        read_at: dt.datetime,
        ratings_long_sha256: str,
        method: dict[str, Any],
    ) -> bool:
        """queued → done, with all its files or not at all; the oldest make room.

        Where there is a done one on the same data, that one stays and this one goes.
        """
        with transaction.atomic():
            done = move(
                self,
                Q(state=self.State.QUEUED),
                state=self.State.DONE,
                charts=charts,
                read_at=read_at,
                ratings_long_sha256=ratings_long_sha256,
                method=method,
                finished_at=timezone.now(),
            )
            if not done:
                return False
            same = Report.objects.filter(
                study=self.study_id,
                include_simulated=self.include_simulated,
                fingerprint=fingerprint,
            ).exclude(pk=self.pk)
            if same.filter(state=self.State.DONE).exists():
                self.delete()
                return False
            same.delete()
            move(self, Q(), fingerprint=fingerprint)
            ReportFile.objects.bulk_create(
                ReportFile(report=self, name=name, data=data)
                for name, data in files.items()
            )
            self._make_room(self.State.DONE)
        return True

    def _make_room(self, state: State) -> None:
        ended = Report.objects.filter(study=self.study_id, state=state)
        newest = ended.order_by("-finished_at").values_list("pk", flat=True)
        ended.exclude(pk__in=list(newest[:KEPT])).delete()

    def fail(self, reason: str, traceback: str) -> bool:
        """queued → failed; the oldest failures make room."""
        failed = move(
            self,
            Q(state=self.State.QUEUED),
            state=self.State.FAILED,
            reason=reason,
            traceback=traceback,
            finished_at=timezone.now(),
        )
        self._make_room(self.State.FAILED)
        return failed

    def next_attempt(self) -> bool:
        """queued or failed → queued once more, by whoever comes first."""
        return move(
            self,
            Q(attempt=self.attempt) & ~Q(state=self.State.DONE),
            state=self.State.QUEUED,
            attempt=F("attempt") + 1,
            reason="",
            traceback="",
            finished_at=None,
        )

    def text(self, name: str) -> str:
        """A file of the report as text, empty if it has none of that name."""
        file = self.files.filter(name=name).first()
        return bytes(file.data).decode() if file else ""


class ReportFile(models.Model):
    """A table (CSV), a chart (SVG, PNG) or `analysis.json` of a report."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="files")
    name = models.CharField(max_length=100)
    data = models.BinaryField()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["report", "name"], name="report_file_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


def _of_a_scale() -> models.DecimalField[Any, Any]:
    return models.DecimalField(max_digits=12, decimal_places=6, null=True)


class Import(models.Model):
    """A study that came from a file: what it was, and that its times are not dates."""

    class Kind(models.TextChoices):
        BUNDLE = "bundle", "open-science bundle"
        RATINGS = "ratings", "CSV of ratings"

    study = models.OneToOneField(Study, on_delete=models.CASCADE, related_name="origin")
    kind = models.CharField(max_length=10, choices=Kind)
    sha256 = models.CharField("sha256 of the file", max_length=64)
    imported_at = models.DateTimeField(auto_now_add=True)
    ordered = models.BooleanField(
        default=True, help_text="The file says in which order people saw the pictures."
    )
    timed = models.BooleanField(
        default=True, help_text="The file says when people answered."
    )
    # The scale of the file where it is none of the method's own; else empty. Decimal,
    # so that a step of 0.1 is one.
    scale_min = _of_a_scale()
    scale_max = _of_a_scale()
    scale_step = _of_a_scale()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.study}: {self.get_kind_display()}"


class Preregistration(models.Model):
    """The plan of a study's analysis, fixed before its results were known.

    A draft until it is frozen, once and for all; `analysis.preregistration` writes it.
    """

    study = models.OneToOneField(
        Study, on_delete=models.CASCADE, related_name="preregistration"
    )
    plan = models.JSONField(default=dict)
    sha256 = models.CharField("sha256 of the plan", max_length=64, blank=True)
    frozen_at = models.DateTimeField(null=True)
    frozen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True
    )
    ratings_before = models.PositiveIntegerField(
        default=0, help_text="Ratings that counted when it was frozen."
    )
    report_before = models.BooleanField(
        default=False, help_text="A report on them had been computed by then."
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(frozen_at=None, sha256="")
                | (Q(frozen_at__isnull=False) & ~Q(sha256="")),
                name="frozen_with_its_sha256",
            )
        ]

    def __str__(self) -> str:
        return f"pre-registration of {self.study}"


def bundle_path(_bundle: Bundle, _name: str) -> str:
    """A name for the file that nobody can guess."""
    return f"bundle/{secrets.token_urlsafe(16)}.zip"


class Bundle(models.Model):
    """One study as a ZIP for everybody, made in a job."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="bundles")
    include_simulated = models.BooleanField(
        "count simulated participants in its report", default=False
    )
    all_pictures = models.BooleanField(
        "we may publish every picture",
        default=False,
        help_text="Else only those whose licence says so.",
    )
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    reason = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    file = models.FileField(upload_to=bundle_path, blank=True, max_length=200)
    sha256 = models.CharField(max_length=64, blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.study}, {self.created_at:%Y-%m-%d %H:%M}"

    queue = "report"

    @property
    def job_id(self) -> str:
        return f"bundle-{self.pk}"

    def finish(self, *, file: File[bytes], sha256: str) -> bool:
        """queued → done; a file that comes too late is not kept."""
        storage = self.file.storage
        name = storage.save(bundle_path(self, ""), file)
        done = move(
            self,
            Q(state=self.State.QUEUED),
            state=self.State.DONE,
            file=name,
            sha256=sha256,
            finished_at=timezone.now(),
        )
        if not done:
            storage.delete(name)
        return done

    def fail(self, reason: str, traceback: str) -> bool:
        """queued → failed."""
        return move(
            self,
            Q(state=self.State.QUEUED),
            state=self.State.FAILED,
            reason=reason,
            traceback=traceback,
            finished_at=timezone.now(),
        )
