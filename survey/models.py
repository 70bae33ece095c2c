"""Studies, what they show, and what people answered.

A rating is written once and never changed. Its uniqueness on (trial, question) is
the database's, so two posts that race leave one row.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from generation.models import Experiment, Render, random_png_name

LABELS = {5: "Excellent", 4: "Good", 3: "Fair", 2: "Poor", 1: "Bad"}
"""The ACR scale of ITU-T P.910, best first, as participants see it."""

# Letters and digits that cannot be mistaken for one another on paper.
READABLE = "abcdefghjkmnpqrstuvwxyz23456789"


def readable_code(length: int) -> str:
    return "".join(secrets.choice(READABLE) for _ in range(length))


def study_slug() -> str:
    return readable_code(10)


def stimulus_code() -> str:
    return f"s-{readable_code(8)}"


def participant_code() -> str:
    return f"p-{readable_code(10)}"


def stimulus_path(_stimulus: Stimulus, _name: str) -> str:
    return random_png_name("stimulus")


def token_hash(token: str) -> str:
    """What is stored of a participant's token; the token itself never is."""
    return hashlib.sha256(token.encode()).hexdigest()


class Study(models.Model):
    """One survey about the renders of one experiment."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        PILOTING = "piloting", "piloting: works, counts nothing"
        OPEN = "open", "open"
        CLOSED = "closed", "closed"

    title = models.CharField(max_length=120)
    slug = models.CharField(
        "address", max_length=40, unique=True, default=study_slug, editable=False
    )
    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="studies"
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    state = models.CharField(
        max_length=10, choices=State, default=State.DRAFT, editable=False
    )
    question = models.CharField(
        max_length=200, default="How good is this picture as a painting?"
    )
    welcome = models.TextField(
        "welcome text",
        default="You will see pictures one by one and say how good you find each.",
    )
    consent = models.TextField(
        "consent text",
        default="I am taking part of my own free will. I can stop at any time. My "
        "answers are stored without my name, e-mail or address.",
    )
    thanks = models.TextField(
        "thanks text", default="Thank you. Your answers are stored."
    )
    controller = models.CharField(
        max_length=200, blank=True, help_text="Who is responsible for the data."
    )
    contact = models.CharField(
        max_length=200, blank=True, help_text="How participants reach you."
    )
    ethics_reference = models.CharField(
        max_length=200, blank=True, help_text="Approval, or why none is needed."
    )
    seed = models.PositiveIntegerField(
        default=0, help_text="With the participant's number it decides the order."
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    withdrawn_count = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name_plural = "studies"
        ordering = ["-created_at", "-pk"]
        permissions = [("open_study", "Can open and close studies")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("survey:welcome", args=[self.slug])

    @property
    def accepts_answers(self) -> bool:
        return self.state in {self.State.PILOTING, self.State.OPEN}

    @property
    def random_weights(self) -> bool:
        return self.experiment.random_weights

    def consent_sha256(self) -> str:
        """Names the text a participant agreed to."""
        text = "\n".join(
            [
                self.welcome,
                self.consent,
                self.controller,
                self.contact,
                self.ethics_reference,
            ]
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _move(self, leaving: set[str], to: str, **columns: Any) -> bool:
        moved = Study.objects.filter(pk=self.pk, state__in=leaving).update(
            state=to, **columns
        )
        if moved:
            self.refresh_from_db()
        return bool(moved)

    def pilot(self) -> bool:
        """draft → piloting."""
        return self._move({self.State.DRAFT}, self.State.PILOTING)

    def open(self) -> bool:
        """draft, piloting or closed → open."""
        return self._move(
            {self.State.DRAFT, self.State.PILOTING, self.State.CLOSED},
            self.State.OPEN,
            opened_at=self.opened_at or timezone.now(),
            closed_at=None,
        )

    def close(self) -> bool:
        """piloting or open → closed."""
        return self._move(
            {self.State.PILOTING, self.State.OPEN},
            self.State.CLOSED,
            closed_at=timezone.now(),
        )


class Stimulus(models.Model):
    """A study's own copy of a picture and of the parameters that made it."""

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="stimuli")
    code = models.CharField(max_length=20, unique=True, default=stimulus_code)
    render = models.ForeignKey(
        Render, on_delete=models.SET_NULL, null=True, related_name="stimuli"
    )
    picture = models.ImageField(upload_to=stimulus_path, max_length=200)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    pixel_sha256 = models.CharField(max_length=64)
    parameters = models.JSONField(
        help_text="Column names and values as they appear in exports."
    )

    class Meta:
        verbose_name_plural = "stimuli"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "render"], name="render_once_in_study"
            )
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def random_weights(self) -> bool:
        return str(self.parameters.get("weights", "")).startswith("random:")


class Participant(models.Model):
    """One anonymous person, or one simulated one. No name, e-mail or IP address."""

    class Status(models.TextChoices):
        STARTED = "started", "started"
        FINISHED = "finished", "finished"
        DROPPED = "dropped", "dropped"
        WITHDRAWN = "withdrawn", "withdrawn"

    class Device(models.TextChoices):
        PHONE = "phone", "phone"
        TABLET = "tablet", "tablet"
        DESKTOP = "desktop", "desktop"
        UNKNOWN = "unknown", "unknown"

    study = models.ForeignKey(
        Study, on_delete=models.PROTECT, related_name="participants"
    )
    code = models.CharField(max_length=20, unique=True, default=participant_code)
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    status = models.CharField(max_length=10, choices=Status, default=Status.STARTED)
    study_version = models.PositiveIntegerField()
    consent_sha256 = models.CharField(max_length=64, editable=False)
    seed = models.PositiveBigIntegerField(editable=False)
    device_class = models.CharField(
        max_length=10, choices=Device, default=Device.UNKNOWN
    )
    viewport = models.CharField(max_length=20, blank=True)
    pixel_ratio = models.FloatField(null=True)
    pilot = models.BooleanField(default=False)
    simulated = models.BooleanField(default=False)
    excluded = models.BooleanField(default=False)
    exclusion_reason = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["study", "status"])]

    def __str__(self) -> str:
        return self.code

    def next_trial(self) -> Trial | None:
        """Where this participant is: the first planned trial without an answer."""
        return (
            self.trials.filter(answered_at=None)
            .select_related("stimulus")
            .order_by("index")
            .first()
        )


class Trial(models.Model):
    """One planned presentation; the rows of a participant are their whole session."""

    class Kind(models.TextChoices):
        RATING = "rating", "rating"
        TRAINING = "training", "training"
        CATCH = "catch", "catch"
        REPEAT = "repeat", "repeat"

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="trials"
    )
    index = models.PositiveIntegerField(help_text="1 is shown first.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.RATING)
    stimulus = models.ForeignKey(
        Stimulus, on_delete=models.PROTECT, related_name="trials"
    )
    answered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["participant_id", "index"]
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "index"], name="trial_index_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.participant_id}/{self.index}"


class Rating(models.Model):
    """One answer. Written once; the first one wins."""

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="ratings")
    question = models.CharField(max_length=40, default="overall")
    rating = models.PositiveSmallIntegerField()
    scale_min = models.PositiveSmallIntegerField(default=1)
    scale_max = models.PositiveSmallIntegerField(default=5)
    client_id = models.CharField(max_length=40, blank=True)
    response_ms = models.PositiveIntegerField(null=True)
    rated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["trial", "question"], name="one_rating_per_trial_and_question"
            ),
            models.CheckConstraint(
                condition=Q(rating__gte=F("scale_min"), rating__lte=F("scale_max")),
                name="rating_is_on_its_scale",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trial}: {self.rating}"
