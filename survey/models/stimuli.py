"""A study's own copies of pictures."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, When

from generation.models import Render
from nstlab.core.storage import random_png_name
from survey.codes import readable_code
from survey.models.studies import Study


def stimulus_code() -> str:
    return f"s-{readable_code(8)}"


def stimulus_path(_stimulus: Stimulus, _name: str) -> str:
    return random_png_name("stimulus")


class Stimulus(models.Model):
    """A study's own copy of a picture and of the parameters that made it."""

    belongs_to = "study"

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="stimuli")
    code = models.CharField(max_length=20, default=stimulus_code)
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
    rated = models.BooleanField(
        default=True, help_text="Among the pictures that count."
    )
    is_reference = models.BooleanField(
        default=False, help_text="An unchanged content image."
    )
    reference = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="renderings",
        limit_choices_to={"is_reference": True},
        help_text="What it is compared with in DCR and DMOS.",
    )
    training_order = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Shown for practice first, 1 the worst; empty: not shown for it.",
    )
    gold_answer = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Also shown as a check with this known answer (± 1).",
    )
    # Asked on every page that participants see, so the database keeps it beside them.
    random_features = models.GeneratedField(
        expression=Case(
            When(parameters__weights__startswith="random:", then=True), default=False
        ),
        output_field=models.BooleanField(),
        db_persist=True,
    )

    class Meta:
        verbose_name_plural = "stimuli"
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "render"], name="render_once_in_study"
            ),
            models.UniqueConstraint(
                fields=["study", "code"], name="stimulus_code_once_in_study"
            ),
        ]
        indexes = [
            models.Index(fields=["study", "random_features"], name="random_features")
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def random_weights(self) -> bool:
        """True for random features, like `random_features`, also of an unsaved row."""
        return str(self.parameters.get("weights", "")).startswith("random:")
