"""Renders: what is to be painted, how far it is, and what was painted.

A render's row is the truth about it; the queue only carries batches. `begin`,
`finish`, `fail`, `refuse`, `cancel`, `give_back` and `retry` are the only writers of a
status. Each is one conditional UPDATE that names the state it leaves, so a job
delivered twice, a cancelled render or a worker that outlived its lease changes nothing.

Every file that a worker writes for a render is named after the token it claimed with.
A row that is not running and still has a token may have left such files behind;
`tidy` takes them away and then the token.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from generation.engine.factors import column_values
from generation.engine.grid import Cell
from generation.engine.settings import RenderSettings
from generation.models.batches import Batch
from generation.models.experiments import Experiment
from generation.models.source_images import SourceImage
from nstlab.core.storage import patiently
from nstlab.core.transitions import move

log = logging.getLogger(__name__)

# Numbers of a picture that was painted.
SHARES = ("style_share", "content_share")
RESULTS = ("alpha", *SHARES)
RANDOM_FEATURES = "random features: not the paper's network"


def picture_name(pk: int, token: uuid.UUID) -> str:
    """A name that nobody can guess and that the row knows without being told."""
    return f"render/{token.hex}-{pk}.png"


def preview_names(pk: int, token: uuid.UUID) -> tuple[str, str]:
    """Two by turns: the new preview is there before the old one goes."""
    return f"preview/a/{token.hex}-{pk}.jpg", f"preview/b/{token.hex}-{pk}.jpg"


class RenderQuerySet(models.QuerySet["Render"]):
    def ready(self) -> RenderQuerySet:
        """Renders whose picture can be shown."""
        return self.filter(status=Render.Status.DONE)

    def finished(self, digests: Sequence[str]) -> dict[str, Render]:
        """Renders of any experiment that are done, by the request they answered."""
        found: dict[str, Render] = {}
        for some in self._answering(digests):
            for render in some.order_by("pk"):
                found.setdefault(render.digest, render)
        return found

    def answered(self, digests: Sequence[str]) -> set[str]:
        """The requests, by their digests, that any experiment has painted."""
        return {
            digest
            for some in self._answering(digests)
            for digest in some.order_by().values_list("digest", flat=True)
        }

    def _answering(self, digests: Sequence[str]) -> Iterator[RenderQuerySet]:
        for first in range(0, len(digests), 500):
            yield self.ready().filter(digest__in=digests[first : first + 500])

    def queued(self) -> RenderQuerySet:
        """Renders that wait for a worker."""
        return self.filter(status=Render.Status.QUEUED)

    def running(self) -> RenderQuerySet:
        """Renders that a worker paints, or was painting when it died."""
        return self.filter(status=Render.Status.RUNNING)

    def retriable(self) -> RenderQuerySet:
        """Renders that ended without a picture and can be queued again."""
        return self.filter(status__in=Render.RETRIABLE)

    def untidy(self) -> RenderQuerySet:
        """Renders that are not painted now and whose worker may have left files."""
        return self.exclude(status=Render.Status.RUNNING).filter(token__isnull=False)

    def unfinished(self) -> RenderQuerySet:
        """Renders that are queued or running."""
        return self.filter(status__in=[Render.Status.QUEUED, Render.Status.RUNNING])

    def cancel(self) -> int:
        """Cancel what has not ended; a running one stops at its next evaluation."""
        return self.unfinished().update(
            status=Render.Status.CANCELLED,
            finished_at=timezone.now(),
            reason="Cancelled by a researcher.",
        )


RenderManager = models.Manager.from_queryset(RenderQuerySet)


class Render(models.Model):
    """One cell of a grid: the request, its state and, once done, its picture."""

    belongs_to = "experiment"

    class Status(models.TextChoices):
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        REFUSED = "refused", "refused"
        CANCELLED = "cancelled", "cancelled"

    TERMINAL = frozenset({Status.DONE, Status.FAILED, Status.REFUSED, Status.CANCELLED})
    RETRIABLE = frozenset({Status.FAILED, Status.REFUSED, Status.CANCELLED})

    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="renders"
    )
    batch = models.ForeignKey(
        Batch,
        on_delete=models.SET_NULL,
        null=True,
        related_name="renders",
        db_index=False,
    )
    content = models.ForeignKey(
        SourceImage, on_delete=models.PROTECT, related_name="renders_of"
    )
    style = models.ForeignKey(
        SourceImage, on_delete=models.PROTECT, related_name="renders_in_style_of"
    )
    digest = models.CharField("request", max_length=64, editable=False)
    settings = models.JSONField(editable=False)

    method = models.CharField(max_length=40, default="gatys")

    # The factors again, as columns to filter and sort by; `settings` is the truth.
    content_layer = models.CharField(max_length=400)
    style_layers = models.CharField(max_length=400)
    balance = models.FloatField(null=True)
    # As typed, or what the balance came to: then it is known once it is painted.
    alpha = models.FloatField("α", null=True)
    beta = models.FloatField("β")
    tv_weight = models.FloatField("TV weight")
    objective = models.CharField(max_length=20)
    network = models.CharField(max_length=10)
    pooling = models.CharField(max_length=10)
    weights = models.CharField(max_length=80)
    start = models.CharField(max_length=80)
    size = models.PositiveIntegerField()
    evaluations = models.PositiveIntegerField()
    seed = models.PositiveBigIntegerField()

    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    reason = models.TextField(blank=True)
    traceback = models.TextField(blank=True)
    attempt = models.PositiveIntegerField(default=0)
    token = models.UUIDField(null=True, editable=False)
    worker = models.CharField(max_length=120, blank=True)
    progress = models.JSONField(default=dict, editable=False)
    preview = models.ImageField(
        upload_to="preview", blank=True, max_length=200, editable=False
    )

    reused_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    picture = models.ImageField(upload_to="render", blank=True, max_length=200)
    picture_bytes = models.PositiveIntegerField(default=0, editable=False)
    pixel_sha256 = models.CharField(max_length=64, blank=True)
    curve = models.JSONField(default=list, editable=False)
    # Of the best iterate and of the picture of 8 bits; empty in older rows.
    losses = models.JSONField(default=dict, editable=False)
    environment = models.JSONField(default=dict, editable=False)
    seconds = models.FloatField(null=True)
    # Where the picture lies between its two ends; see `Painted`.
    style_share = models.FloatField(null=True, editable=False)
    content_share = models.FloatField(null=True, editable=False)

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = RenderManager()

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["batch", "status"]),
            models.Index(fields=["status", "experiment"]),
            models.Index(fields=["digest", "status"]),
            models.Index(fields=["pixel_sha256"]),
            models.Index(fields=["weights"]),
            models.Index(fields=["status", "-finished_at"]),
            # A contact sheet looks for the factors among thousands of renders; the
            # rows themselves are long, by their losses.
            models.Index(
                fields=[
                    "experiment",
                    "content",
                    "style",
                    "content_layer",
                    "balance",
                    "alpha",
                    "beta",
                    "tv_weight",
                    "style_layers",
                    "objective",
                    "network",
                    "pooling",
                    "weights",
                    "start",
                    "size",
                    "evaluations",
                    "seed",
                    "id",
                ],
                name="render_factors",
            ),
            models.Index(
                fields=["status"],
                condition=Q(token__isnull=False),
                name="render_with_a_token",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["experiment", "digest"], name="render_once_in_experiment"
            ),
            models.CheckConstraint(
                condition=~Q(status="done") | ~Q(picture=""),
                name="a_done_render_has_a_picture",
            ),
        ]

    def __str__(self) -> str:
        return (
            f"{self.content} × {self.style}, {self.content_layer}, "
            f"{self._weighing()}, TV {self.tv_weight:g}"
        )

    def _weighing(self) -> str:
        if self.balance is not None:
            return f"balance {self.balance:g}"
        alpha = self.alpha or 0.0
        return f"α/β {alpha / self.beta if self.beta else 'α only'}"

    @classmethod
    def lookup(cls, factor: str) -> str:
        """The path of a factor in queries: its column, or a place in the settings."""
        return factor if factor in cls._kept() else f"settings__{factor}"

    @classmethod
    def _kept(cls) -> set[str]:
        return {column.name for column in cls._meta.concrete_fields}

    @classmethod
    def from_cell(cls, cell: Cell, *, experiment: Experiment) -> Render:
        kept = cls._kept()
        return cls(
            experiment=experiment,
            method=cell.settings.method,
            content_id=cell.content,
            style_id=cell.style,
            digest=cell.digest,
            settings=cell.settings.to_dict(),
            **{
                name: value
                for name, value in column_values(cell.settings).items()
                if name in kept
            },
        )

    def take_picture_of(self, other: Render) -> None:
        """Be done from the start, by the picture that `other` has painted for the same
        request. For a row that is not saved yet; the file is shared."""
        self.status = self.Status.DONE
        self.reused_from_id = other.reused_from_id or other.pk
        self.finished_at = timezone.now()
        for name in (
            "picture", "pixel_sha256", "curve", "losses", "environment", "seconds",
        ):  # fmt: skip
            setattr(self, name, getattr(other, name))
        for name in RESULTS:
            setattr(self, name, getattr(other, name))

    def render_settings(self) -> RenderSettings:
        return RenderSettings.from_kept(self.settings)

    @property
    def random_weights(self) -> bool:
        return self.weights.startswith("random:")

    # Transitions. Each returns whether it happened.

    def begin(self, *, token: uuid.UUID, worker: str) -> bool:
        """queued → running, for the worker that holds `token`."""
        if self.status == self.Status.QUEUED:
            self._delete_worker_files()
        return move(
            self,
            Q(status=self.Status.QUEUED),
            status=self.Status.RUNNING,
            token=token,
            worker=worker,
            attempt=F("attempt") + 1,
            started_at=timezone.now(),
            finished_at=None,
            reason="",
            traceback="",
            progress={},
            preview="",
        )

    def show_progress(
        self, *, token: uuid.UUID, progress: dict[str, Any], preview: str = ""
    ) -> bool:
        """Store how far it is; False if it is not this worker's now, as when cancelled.

        `preview` is the name of a file that `save_preview` has written.
        """
        columns: dict[str, Any] = {"preview": preview} if preview else {}
        return move(
            self,
            Q(status=self.Status.RUNNING, token=token),
            progress=progress,
            **columns,
        )

    def save_preview(self, token: uuid.UUID, jpeg: bytes) -> str:
        """Write a preview beside the one that is shown; returns its name."""
        first, second = preview_names(self.pk, token)
        name = second if self.preview.name == first else first
        self.preview.storage.delete(name)  # of a try that the database refused
        return str(self.preview.storage.save(name, ContentFile(jpeg)))

    def finish(
        self,
        *,
        token: uuid.UUID,
        png: bytes,
        pixel_sha256: str,
        curve: list[dict[str, float | None]],
        environment: dict[str, Any],
        seconds: float,
        losses: dict[str, dict[str, float | None]] | None = None,
        **results: float | None,
    ) -> bool:
        """running → done, only under the token it was started with.

        The file is complete on the storage before the row says so, and is taken
        away again if the row no longer wants it. `seconds` is this render's share of
        the time in which it was painted together with others; `results` are those of
        `RESULTS`. Raises StoreAway.
        """
        storage = self.picture.storage
        wanted = picture_name(self.pk, token)
        name = patiently(lambda: storage.save(wanted, ContentFile(png)))
        done = self._end(
            token,
            self.Status.DONE,
            picture=name,
            picture_bytes=len(png),
            pixel_sha256=pixel_sha256,
            curve=curve,
            losses=losses or {},
            environment=environment,
            seconds=seconds,
            progress={},
            **results,
        )
        if not done:
            storage.delete(name)
        return done

    def fail(self, *, token: uuid.UUID, reason: str, traceback: str = "") -> bool:
        """running → failed: a crash or exhausted retries. The traceback stays."""
        return self._end(token, self.Status.FAILED, reason=reason, traceback=traceback)

    def refuse(self, *, token: uuid.UUID, reason: str) -> bool:
        """running → refused: the request cannot be painted, and `reason` says why."""
        return self._end(token, self.Status.REFUSED, reason=reason)

    def _end(self, token: uuid.UUID, status: Status, **columns: Any) -> bool:
        # One that fails may have written a picture that no row took.
        untidy = bool(self.preview) or status == self.Status.FAILED
        ended = move(
            self,
            Q(status=self.Status.RUNNING, token=token),
            status=status,
            finished_at=timezone.now(),
            **({} if untidy else {"token": None}),
            **columns,
        )
        if ended and untidy:
            try:
                self.tidy()
            except Exception:  # a store of any kind; reap tries again
                log.exception("What render %s left behind was not deleted", self.pk)
        return ended

    def cancel(self) -> bool:
        """queued or running → cancelled; a worker notices at its next evaluation."""
        return bool(Render.objects.filter(pk=self.pk).cancel())

    def give_back(self, reason: str) -> bool:
        """running → queued after its worker died, or → failed after too many tries."""
        claimed = Q(status=self.Status.RUNNING, token=self.token)
        if self.attempt >= settings.NSTLAB_MAX_ATTEMPTS:
            return move(
                self,
                claimed,
                status=self.Status.FAILED,
                reason=f"{reason} This was attempt {self.attempt}, the last; look at "
                "the worker's log, then retry.",
                finished_at=timezone.now(),
            )
        return move(self, claimed, status=self.Status.QUEUED, reason=reason)

    def lose_picture(self, name: str) -> bool:
        """done → failed, when the file `name` of its picture is gone; what was compared
        with it goes too."""
        lost = move(
            self,
            Q(status=self.Status.DONE, picture=name),
            status=self.Status.FAILED,
            picture="",
            picture_bytes=0,
            reason="The file of its picture is gone. Retry to paint it again.",
        )
        if lost:
            self.reproductions.all().delete()
        return lost

    def retry(self) -> bool:
        """failed, refused or cancelled → queued, without a batch, counting from 0."""
        return move(
            self,
            Q(status__in=self.RETRIABLE),
            status=self.Status.QUEUED,
            batch=None,
            attempt=0,
            reused_from=None,
            reason="",
            traceback="",
            finished_at=None,
        )

    def tidy(self) -> None:
        """Take away what the worker of a row that is no longer running left behind."""
        idle = ~Q(status=self.Status.RUNNING)
        row = Render.objects.filter(idle, pk=self.pk, token__isnull=False).first()
        if row is not None:
            row._delete_worker_files()
            move(row, idle & Q(token=row.token), token=None, preview="")

    def _delete_worker_files(self) -> None:
        """Delete what was written under the row's token, but for its own picture."""
        if self.token is None:
            return
        for name in (
            picture_name(self.pk, self.token),
            *preview_names(self.pk, self.token),
        ):
            if name != self.picture.name:
                self.picture.storage.delete(name)
