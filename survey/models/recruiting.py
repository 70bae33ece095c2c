"""The ways people come: one-time links, and recruiting platforms."""

from __future__ import annotations

from django.db import models

from survey.models.participants import Participant
from survey.models.studies import Study


class Invitation(models.Model):
    """A one-time link. Who used it is kept until they see the first picture, so that a
    reply that got lost burns no link; then only that it was used."""

    study = models.ForeignKey(
        Study, on_delete=models.CASCADE, related_name="invitations"
    )
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    used = models.BooleanField(default=False)
    participant = models.ForeignKey(
        Participant, on_delete=models.SET_NULL, null=True, editable=False,
        related_name="+",
    )  # fmt: skip

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"invitation {self.pk}"


class Recruit(models.Model):
    """A recruiting platform's own id of a participant: personal, never exported with
    ratings, deleted on a date."""

    class Platform(models.TextChoices):
        PROLIFIC = "prolific", "Prolific"
        MTURK = "mturk", "MTurk"

    participant = models.OneToOneField(Participant, on_delete=models.CASCADE)
    platform = models.CharField(max_length=10, choices=Platform)
    person = models.CharField(max_length=100)
    session = models.CharField(max_length=100, blank=True)
    delete_on = models.DateField()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["platform", "person"])]

    def __str__(self) -> str:
        return f"{self.platform}: {self.participant}"
