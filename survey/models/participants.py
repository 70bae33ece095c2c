"""People, without a name, e-mail or IP address, and their answers in forms."""

from __future__ import annotations

import datetime as dt
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from survey.codes import readable_code
from survey.models.studies import Study

DROPPED_AFTER = dt.timedelta(hours=2)
"""Who has been silent for this long has left; an answer brings them back."""


def participant_code() -> str:
    return f"p-{readable_code(10)}"


def counted_people(path: str = "", *, simulated: bool = False) -> Q:
    """The condition that people count: they came after the pilot and are real.

    `path` leads to them from the rows to be filtered, as in `participant__`. With
    `simulated` simulated people count too, as in a report that was asked for with them.
    """
    real = {} if simulated else {f"{path}simulated": False}
    return Q(**{f"{path}pilot": False}, **real)


def included_people(path: str = "", *, simulated: bool = False) -> Q:
    """The condition that people count and no researcher has excluded them: theirs are
    the numbers in tables, and theirs the votes that steer who sees what next."""
    included = Q(**{f"{path}excluded": False})
    return counted_people(path, simulated=simulated) & included


class ParticipantQuerySet(models.QuerySet["Participant"]):
    """People by what is meant."""

    def counted(self, *, simulated: bool = False) -> Self:
        """Those who count, as `counted_people` says."""
        return self.filter(counted_people(simulated=simulated))

    def included(self, *, simulated: bool = False) -> Self:
        """Those whose answers tables are made of, as `included_people` says."""
        return self.filter(included_people(simulated=simulated))

    def holding_a_place(self, now: dt.datetime) -> Self:
        """Those whom `max_participants` counts: finished, or not silent for long."""
        status = Participant.Status
        return self.filter(
            Q(status=status.FINISHED)
            | Q(status=status.STARTED, seen_at__gt=now - DROPPED_AFTER)
        )

    def hold_in_order(self) -> None:
        """Hold their rows until the transaction ends, in the order of their keys.

        An update of several people holds them in whatever order it finds them; two of
        those would wait for each other.
        """
        held = self.select_for_update(of=("self",)).order_by("pk")
        list(held.values_list("pk", flat=True))


class Participant(models.Model):
    """One anonymous person, or one simulated one. No name, e-mail or IP address."""

    belongs_to = "study"

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
    code = models.CharField(max_length=20, default=participant_code)
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)
    # Of the code first given out, once a platform's link has given out another: that
    # receipt still withdraws.
    former_sha256 = models.CharField(
        max_length=64, blank=True, db_index=True, editable=False
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.STARTED)
    number = models.PositiveIntegerField(
        default=0, help_text="Counts the people of a study from 0, for Latin squares."
    )
    planned = models.PositiveIntegerField(
        default=0, help_text="How many trials the session has, practice included."
    )
    practice = models.PositiveIntegerField(
        default=0, help_text="How many of them come first and do not count."
    )
    study_version = models.PositiveIntegerField()
    consent_sha256 = models.CharField(max_length=64, editable=False)
    language = models.CharField(max_length=10, default="en")
    # Of the consent form that was sent last, as long as it may be sent once more.
    key_sha256 = models.CharField(
        max_length=64, blank=True, db_index=True, editable=False
    )
    key_expires_at = models.DateTimeField(null=True, editable=False)
    shown_at = models.DateTimeField(
        null=True, editable=False, help_text="When the first picture was asked for."
    )
    seed = models.PositiveBigIntegerField(editable=False)
    device_class = models.CharField(
        max_length=10, choices=Device, default=Device.UNKNOWN
    )
    viewport = models.CharField(max_length=20, blank=True)
    pixel_ratio = models.FloatField(null=True)
    checks = models.JSONField(
        default=dict, help_text="passed or failed, by check; nothing else is kept."
    )
    form_done_at = models.DateTimeField(null=True, editable=False)
    checks_done_at = models.DateTimeField(null=True, editable=False)
    pilot = models.BooleanField(default=False)
    simulated = models.BooleanField(default=False)
    # Whoever a platform sent by a link that its placeholder was left in: nobody's id.
    unfilled_link = models.BooleanField(default=False, editable=False)
    excluded = models.BooleanField(default=False)
    exclusion_reason = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(
        default=timezone.now, help_text="The last sign of life: joining or an answer."
    )
    finished_at = models.DateTimeField(null=True)

    objects = ParticipantQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["study", "status"])]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "code"], name="participant_code_once_in_study"
            )
        ]

    def __str__(self) -> str:
        return self.code

    @property
    def counts(self) -> bool:
        """True for those whom `ParticipantQuerySet.counted` finds."""
        return not self.pilot and not self.simulated


class FormerToken(models.Model):
    """A participant's code after another browser got a new one. It opens nothing; the
    browser that still has it is told so."""

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="former_tokens"
    )
    token_sha256 = models.CharField(max_length=64, unique=True, editable=False)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"former code of {self.participant}"


class FormAnswer(models.Model):
    """One answer in a form, or the comment at the end."""

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="form_answers"
    )
    name = models.CharField(max_length=40)
    answer = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "name"], name="one_form_answer_by_name"
            )
        ]

    def __str__(self) -> str:
        return f"{self.participant}: {self.name}"
