"""Archives of pictures on their way into a study."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import Q
from django.utils import timezone

from survey.models.stimuli import Stimulus
from survey.models.studies import Study


def archive_path(_upload: Upload, _name: str) -> str:
    return f"archive/{secrets.token_urlsafe(16)}.zip"


class Upload(models.Model):
    """An archive of pictures on its way into a study, and in the end what came of it.

    `refused` lists the first of what was not taken in, each with its reason, and
    `refused_count` counts all of it. `error` is why nothing was taken in at all.
    """

    SHOWN = 100

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="uploads")
    key = models.CharField(
        max_length=64,
        help_text="Of the form and its files: posted again it is the same upload.",
    )
    archive = models.FileField(upload_to=archive_path, max_length=200, blank=True)
    began_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)
    taken = models.PositiveIntegerField(default=0)
    refused = models.JSONField(default=list)
    refused_count = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "key"], name="upload_once_in_study"
            ),
            models.UniqueConstraint(
                fields=["study"],
                condition=Q(finished_at=None),
                name="one_upload_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"archive of {self.began_at:%Y-%m-%d %H:%M}"

    def waiting(self) -> models.QuerySet[UploadedPicture]:
        """The pictures that are left to take in, in the archive's order."""
        return self.pictures.filter(state=UploadedPicture.State.WAITING).order_by("pk")

    def refuse(self, what: str, why: str) -> None:
        """Note something that is not taken in; saving is the caller's."""
        self.refused_count += 1
        if len(self.refused) < self.SHOWN:
            self.refused = [*self.refused, [what, why]]

    @property
    def refused_more(self) -> int:
        """The number of those refused beyond the listed ones."""
        return self.refused_count - len(self.refused)


class UploadedPicture(models.Model):
    """One picture of an archive while that is being imported: each once."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        TAKEN = "taken", "imported"
        REFUSED = "refused", "refused"

    upload = models.ForeignKey(
        Upload, on_delete=models.CASCADE, related_name="pictures"
    )
    path = models.CharField(max_length=500)
    label = models.CharField(max_length=500, help_text="Its name in exports.")
    row = models.JSONField(help_text="Its cells of the CSV, by column.")
    reference = models.CharField(
        max_length=500, blank=True, help_text="The path of its reference."
    )
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    stimulus = models.OneToOneField(
        Stimulus, on_delete=models.SET_NULL, null=True, related_name="uploaded"
    )

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["upload", "path"], name="picture_once_in_upload"
            )
        ]

    def __str__(self) -> str:
        return self.path
