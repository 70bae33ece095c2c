"""Content and style images, as researchers have uploaded them."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q

from generation.engine.shapes import Size, focus_text
from nstlab.core.access import Owned, visible
from nstlab.core.storage import random_png_name


def source_image_path(_image: SourceImage, _name: str) -> str:
    return random_png_name("source")


def thumbnail_path(_image: SourceImage, _name: str) -> str:
    return random_png_name("thumbnail")


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
    focus_x = models.FloatField(
        "focus across",
        default=0.5,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of the width, from the left: 0 to 1.",
    )
    focus_y = models.FloatField(
        "focus down",
        default=0.5,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="Share of the height, from the top: 0 to 1. Where a render is a "
        "square cut out of this picture, the cut lies around this point.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["title", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(consent__in=["nobody", "given", "unknown"]),
                name="source_image_consent_is_known",
            ),
            models.CheckConstraint(
                condition=Q(focus_x__range=(0, 1)) & Q(focus_y__range=(0, 1)),
                name="source_image_focus_is_inside",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return self.width, self.height

    @property
    def focus(self) -> str:
        """Where it is cut, as a render's setting has it."""
        return focus_text(self.focus_x, self.focus_y)

    @classmethod
    def also_seen_by(cls, user: Any) -> Q:
        """The pictures of the experiments that `user` sees."""
        # By name: what uses pictures is made of them, and imports this module.
        experiment, pair, render = (
            apps.get_model("generation", name)
            for name in ("Experiment", "Pair", "Render")
        )
        seen = visible(experiment, user).values("pk")
        contents = experiment.contents.through._default_manager
        styles = experiment.styles.through._default_manager
        pairs = pair.objects.filter(experiment__in=seen)
        renders = render.objects.filter(experiment__in=seen)
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
