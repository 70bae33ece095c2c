"""Source images, experiments and renders: what is to be painted and what was.

A render's row is the truth about it; the queue only carries batches. `begin`,
`finish`, `fail`, `refuse`, `cancel`, `give_back` and `retry` are the only writers of a
status. Each is one conditional UPDATE that names the state it leaves, so a job
delivered twice, a cancelled render or a worker that outlived its claim changes nothing.

Every file that a worker writes for a render is named after the token it claimed with.
A row that is not running and still has a token may have left such files behind;
`tidy` takes them away and then the token.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from generation.engine.factors import column_values
from generation.engine.grid import (
    Cell,
    ImpossibleGrid,
    PicturePair,
    crossed,
    expand,
    overridden,
)
from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.settings import (
    NETWORK_LAYERS,
    POOLINGS,
    STARTS,
    RenderSettings,
)
from nstlab.core.access import Owned, visible
from nstlab.core.storage import patiently
from nstlab.core.transitions import move

log = logging.getLogger(__name__)

RANDOM_FEATURES = "random features: not the paper's network"


def random_png_name(folder: str) -> str:
    return f"{folder}/{secrets.token_urlsafe(16)}.png"


def source_image_path(_image: SourceImage, _name: str) -> str:
    return random_png_name("source")


def thumbnail_path(_image: SourceImage, _name: str) -> str:
    return random_png_name("thumbnail")


def picture_name(pk: int, token: uuid.UUID) -> str:
    """A name that nobody can guess and that the row knows without being told."""
    return f"render/{token.hex}-{pk}.png"


def preview_names(pk: int, token: uuid.UUID) -> tuple[str, str]:
    """Two by turns: the new preview is there before the old one goes."""
    return f"preview/a/{token.hex}-{pk}.jpg", f"preview/b/{token.hex}-{pk}.jpg"


class SourceImage(Owned):
    """A content or style picture: upright sRGB pixels without metadata.

    The uploaded file itself is not kept: it may say where and by whom a photo was
    taken. Its sha256 is, so that the owner can prove which file it was.
    """

    class Consent(models.TextChoices):
        NOBODY = "nobody", "Nobody recognisable is shown"
        GIVEN = "given", "The person shown has agreed"
        UNKNOWN = "unknown", "Not known: do not show to participants"

    sees_all = "generation.see_all_experiments"

    title = models.CharField(max_length=120)
    picture = models.ImageField(upload_to=source_image_path, max_length=200)
    thumbnail = models.ImageField(
        upload_to=thumbnail_path, editable=False, max_length=200
    )
    width = models.PositiveIntegerField(editable=False)
    height = models.PositiveIntegerField(editable=False)
    sha256 = models.CharField("sha256 of the uploaded file", max_length=64)
    pixel_sha256 = models.CharField("sha256 of the pixels", max_length=64)
    notes = models.TextField(
        "what was done to it", blank=True, help_text="Conversions made at upload."
    )
    credit = models.CharField(max_length=200, blank=True)
    licence = models.CharField(max_length=120, blank=True)
    consent = models.CharField(
        "people shown", max_length=10, choices=Consent, default=Consent.NOBODY
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["title", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(consent__in=["nobody", "given", "unknown"]),
                name="source_image_consent_is_known",
            )
        ]

    def __str__(self) -> str:
        return self.title

    @classmethod
    def also_seen_by(cls, user: Any) -> Q:
        """Who sees an experiment sees its pictures."""
        seen = visible(Experiment, user).values("pk")
        contents = Experiment.contents.through._default_manager
        styles = Experiment.styles.through._default_manager
        pairs = Pair.objects.filter(experiment__in=seen)
        renders = Render.objects.filter(experiment__in=seen)
        return (
            Q(pk__in=contents.filter(experiment__in=seen).values("sourceimage"))
            | Q(pk__in=styles.filter(experiment__in=seen).values("sourceimage"))
            | Q(pk__in=pairs.values("content"))
            | Q(pk__in=pairs.values("style"))
            | Q(Exists(renders.filter(content=OuterRef("pk"))))
            | Q(Exists(renders.filter(style=OuterRef("pk"))))
        )


def start_picture(start: str) -> SourceImage | None:
    """The source image that a start `picture:SHA256` names by its pixels."""
    pixels = start.removeprefix("picture:")
    return SourceImage.objects.filter(pixel_sha256=pixels).first()


def default_content_layers() -> list[str]:
    return ["conv3_1"]


def default_alpha_beta() -> list[float]:
    return [0.01]


def default_tv_weights() -> list[float]:
    return [0.0]


# Choices are read from the engine, so that a new objective needs no migration.


def objective_choices() -> list[tuple[str, str]]:
    return [(name, f"{name}: {each.source}") for name, each in OBJECTIVES.items()]


def network_choices() -> list[tuple[str, str]]:
    return [(name, name.replace("vgg", "VGG-")) for name in NETWORK_LAYERS]


def pooling_choices() -> list[tuple[str, str]]:
    notes = {"max": "max, as the paper", "average": "average, as Gatys"}
    return [(name, notes.get(name, name)) for name in POOLINGS]


def start_choices() -> list[tuple[str, str]]:
    notes = {"noise": "white noise, as the paper", "content": "content image",
             "style": "style image", "blend": "noise and content mixed"}  # fmt: skip
    return [(name, notes[name]) for name in STARTS if name in notes]


class AxesField(models.JSONField):
    """A JSON object that keeps the order of its keys, which is the order of the grid.

    PostgreSQL's jsonb sorts the keys of an object, so the column holds a list of pairs.
    """

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            value = [list(item) for item in value.items()]
        return super().get_prep_value(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return dict(super().from_db_value(value, expression, connection) or {})

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs


class Experiment(Owned):
    """Pairs of pictures × a grid of settings; expanding it gives its renders.

    The fields hold what most grids vary and fix; `more_axes` maps any other setting
    of the engine to its levels, and takes the place of the field of the same name.
    """

    sees_all = "generation.see_all_experiments"

    name = models.CharField(max_length=120, unique=True)
    description = models.TextField(blank=True)
    content_layer = models.JSONField(
        "content layers", default=default_content_layers, blank=True
    )
    alpha_beta = models.JSONField("α/β", default=default_alpha_beta, blank=True)
    tv_weight = models.JSONField("TV weights", default=default_tv_weights, blank=True)
    more_axes = AxesField("further settings", default=dict, blank=True)
    contents = models.ManyToManyField(
        SourceImage,
        verbose_name="content images",
        related_name="+",
        blank=True,
        help_text="Each is painted with every style image.",
    )
    styles = models.ManyToManyField(
        SourceImage, verbose_name="style images", related_name="+", blank=True
    )
    pooling = models.CharField(max_length=10, choices=pooling_choices, default="max")
    start = models.CharField(max_length=10, choices=start_choices, default="noise")
    weights = models.CharField(
        max_length=80,
        default="imagenet",
        help_text="imagenet (VGG-16), imagenet-v1, file:SHA256 (manage.py weights add "
        "FILE) or random:SEED.",
    )
    objective = models.CharField(
        max_length=20, choices=objective_choices, default="paper"
    )
    network = models.CharField(max_length=10, choices=network_choices, default="vgg16")
    seed = models.PositiveIntegerField(default=0)
    size = models.PositiveIntegerField(
        default=300, help_text="Side of the square picture, in pixels."
    )
    evaluations = models.PositiveIntegerField(
        default=240, validators=[MinValueValidator(1)]
    )
    reuse = models.BooleanField(
        "take finished pictures",
        default=True,
        help_text="Where another experiment has painted the very same request, show "
        "its picture instead of painting it again.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-pk"]
        permissions = [
            ("queue_experiment", "Can queue renders"),
            (
                "queue_all_experiments",
                "Can queue, cancel and retry everybody's renders",
            ),
            ("see_all_experiments", "Can see everybody's experiments and pictures"),
        ]

    def __str__(self) -> str:
        return self.name

    def axes(self) -> dict[str, Sequence[Any]]:
        """The settings that vary, in the order in which the grid varies them."""
        usual = {
            "content_layer": self.content_layer,
            "alpha_beta": self.alpha_beta,
            "tv_weight": self.tv_weight,
        }
        return overridden(usual, self.more_axes)

    def fixed_settings(self) -> dict[str, Any]:
        """The settings that are the same in every cell unless an axis names them."""
        return {
            name: getattr(self, name)
            for name in (
                "network", "weights", "pooling", "objective", "start", "seed", "size",
                "evaluations",
            )
        }  # fmt: skip

    def cells(self) -> list[Cell]:
        """The grid's cells, keyed by the pictures' primary keys: first the pairs that
        are listed, then every content image with every style image.

        Raises ImpossibleGrid with a sentence.
        """
        return self.cells_of(
            list(self.pairs.select_related("content", "style")),
            list(self.contents.all()),
            list(self.styles.all()),
        )

    def cells_of(
        self,
        listed: Sequence[Pair],
        contents: Sequence[SourceImage],
        styles: Sequence[SourceImage],
    ) -> list[Cell]:
        """As `cells`, for pairs and pictures that need not be saved."""
        pictures = {
            picture.pk: picture.pixel_sha256
            for picture in (
                *(each.content for each in listed),
                *(each.style for each in listed),
                *contents,
                *styles,
            )
        }
        cells = expand(
            pairs=[
                *(PicturePair(it.content_id, it.style_id, it.axes) for it in listed),
                *crossed([it.pk for it in contents], [it.pk for it in styles]),
            ],
            pixel_digests=pictures,
            axes=self.axes(),
            fixed=self.fixed_settings(),
        )
        for start in {cell.settings.start for cell in cells}:
            if start.startswith("picture:") and start_picture(start) is None:
                raise ImpossibleGrid(
                    f"The start {start} names no source image; upload it, then take "
                    "its sha256 of the pixels."
                )
        return cells

    @property
    def random_weights(self) -> bool:
        levels = self.axes().get("weights", [self.weights])
        return any(str(level).startswith("random:") for level in levels)


class Pair(models.Model):
    """A content image and the style image that paints it.

    `axes` are this pair's own, in place of the experiment's of the same name.
    """

    belongs_to = "experiment"

    experiment = models.ForeignKey(
        Experiment, on_delete=models.CASCADE, related_name="pairs"
    )
    content = models.ForeignKey(
        SourceImage, on_delete=models.PROTECT, related_name="content_pairs"
    )
    style = models.ForeignKey(
        SourceImage, on_delete=models.PROTECT, related_name="style_pairs"
    )
    axes = AxesField("levels of its own", default=dict, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["experiment", "content", "style"],
                name="pair_once_in_experiment",
            )
        ]

    def __str__(self) -> str:
        return f"{self.content} × {self.style}"


class Batch(models.Model):
    """The renders of one job. Its claim is what tells a dead worker from a slow one.

    It waits here until it is sent to the broker, which holds a few of each researcher
    at a time; then it is claimed by a worker, and over when every row has ended.
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
        """Keep the claim for another lease; False if it was taken away."""
        return move(self, Q(token=token), lease_until=lease_end())

    def release(self, token: uuid.UUID) -> None:
        """Let go of a batch whose every row has ended."""
        move(self, Q(token=token), over=True)

    def next_attempt(self, seen: int) -> bool:
        """Open the attempt after `seen`; False if somebody else already did."""
        return move(
            self,
            Q(attempt=seen, over=False),
            attempt=F("attempt") + 1,
            token=None,
            lease_until=None,
            sent_at=None,
        )


def lease_end() -> dt.datetime:
    return timezone.now() + dt.timedelta(seconds=settings.NSTLAB_LEASE_SECONDS)


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
        """Which requests any experiment has painted."""
        return {
            digest
            for some in self._answering(digests)
            for digest in some.order_by().values_list("digest", flat=True)
        }

    def _answering(self, digests: Sequence[str]) -> Iterator[RenderQuerySet]:
        for first in range(0, len(digests), 500):
            yield self.ready().filter(digest__in=digests[first : first + 500])

    def unfinished(self) -> RenderQuerySet:
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

    # The factors again, as columns to filter and sort by; `settings` is the truth.
    content_layer = models.CharField(max_length=400)
    style_layers = models.CharField(max_length=400)
    alpha = models.FloatField("α")
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
    environment = models.JSONField(default=dict, editable=False)
    seconds = models.FloatField(null=True)

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
            f"α/β {self.alpha / self.beta if self.beta else 'α only'}, "
            f"TV {self.tv_weight:g}"
        )

    @classmethod
    def lookup(cls, factor: str) -> str:
        """Where a query finds a factor: in its own column, or among the settings."""
        kept = {column.name for column in cls._meta.concrete_fields}
        return factor if factor in kept else f"settings__{factor}"

    @classmethod
    def from_cell(cls, cell: Cell, *, experiment: Experiment) -> Render:
        return cls(
            experiment=experiment,
            content_id=cell.content,
            style_id=cell.style,
            digest=cell.digest,
            settings=cell.settings.to_dict(),
            **{
                name: value
                for name, value in column_values(cell.settings).items()
                if cls.lookup(name) == name
            },
        )

    def take_picture_of(self, other: Render) -> None:
        """Be done from the start, by the picture that `other` has painted for the same
        request. For a row that is not saved yet; the file is shared."""
        self.status = self.Status.DONE
        self.reused_from_id = other.reused_from_id or other.pk
        self.finished_at = timezone.now()
        for name in ("picture", "pixel_sha256", "curve", "environment", "seconds"):
            setattr(self, name, getattr(other, name))

    def render_settings(self) -> RenderSettings:
        return RenderSettings.from_dict(self.settings)

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
        """Store how far it is; False if the claim was lost, as when cancelled.

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
    ) -> bool:
        """running → done, only under the token it was started with.

        The file is complete on the storage before the row says so, and is taken
        away again if the row no longer wants it. `seconds` is this render's share of
        the time in which it was painted together with others. Raises StoreAway.
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
            environment=environment,
            seconds=seconds,
            progress={},
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
