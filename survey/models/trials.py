"""The trials of a session, the items they are about, and the ratings.

A rating is written once and never changed. Its uniqueness on (trial, question) is
the database's, so two posts that race leave one row.
"""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from survey.models.participants import Participant, counted_people, included_people
from survey.models.stimuli import Stimulus
from survey.models.studies import Study


class Item(models.Model):
    """The subject of a counted trial: a picture, alone or against a second one.

    `votes`, `total` and `squares` sum the answers to the main question that count, of
    nobody who is excluded; `look_…` do so up to the latest look of precision mode.
    They only steer who sees what next; statistics are computed from the ratings.
    """

    study = models.ForeignKey(Study, on_delete=models.CASCADE, related_name="items")
    stimulus = models.ForeignKey(
        Stimulus, on_delete=models.CASCADE, related_name="items"
    )
    second = models.ForeignKey(
        Stimulus, on_delete=models.CASCADE, null=True, related_name="+"
    )
    votes = models.PositiveIntegerField(default=0)
    total = models.IntegerField(default=0)
    squares = models.IntegerField(default=0)
    look_votes = models.PositiveIntegerField(default=0)
    look_total = models.IntegerField(default=0)
    look_squares = models.IntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["stimulus", "second"], name="pair_once"),
            models.UniqueConstraint(
                fields=["stimulus"],
                condition=Q(second=None),
                name="single_picture_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stimulus} – {self.second}" if self.second else str(self.stimulus)


class TrialQuerySet(models.QuerySet["Trial"]):
    """Trials by what is meant."""

    def included(self) -> Self:
        """Counted trials of people whose answers tables are made of."""
        return self.filter(included_people("participant__"), kind=Trial.Kind.RATING)

    def upcoming(self, count: int) -> list[Trial]:
        """The first `count` trials of one participant that have no answer yet, with
        their pictures."""
        open_ones = self.filter(answered_at=None).order_by("index")
        shown = ("code", "width", "height")
        return list(
            open_ones.select_related("stimulus", "second").only(
                "participant", "index", "kind", "side", "item", "expected",
                "instructed", "break_before", "break_ended_at", "answered_at",
                "load_failures",
                *(f"stimulus__{name}" for name in shown),
                *(f"second__{name}" for name in shown),
            )[:count]
        )  # fmt: skip

    def current(self) -> Trial | None:
        """The trial a participant is at: the first one without an answer."""
        return next(iter(self.upcoming(1)), None)


class Trial(models.Model):
    """One planned presentation; the rows of a participant are their whole session.

    Where the next picture is chosen while people rate, `stimulus` is empty until then.
    """

    class Kind(models.TextChoices):
        RATING = "rating", "rating"
        TRAINING = "training", "training"
        CATCH = "catch", "catch"
        REPEAT = "repeat", "repeat"

    class Side(models.TextChoices):
        LEFT = "left", "left"
        RIGHT = "right", "right"

    participant = models.ForeignKey(
        Participant, on_delete=models.CASCADE, related_name="trials", db_index=False
    )
    index = models.PositiveIntegerField(help_text="1 is shown first.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.RATING)
    stimulus = models.ForeignKey(
        Stimulus, on_delete=models.PROTECT, null=True, related_name="trials"
    )
    second = models.ForeignKey(
        Stimulus,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The reference in DCR, the other picture of a pair.",
    )
    side = models.CharField(
        max_length=5,
        choices=Side,
        blank=True,
        help_text="Where the first picture stands, if two are shown.",
    )
    item = models.ForeignKey(
        Item, on_delete=models.SET_NULL, null=True, related_name="trials"
    )
    repeat_of = models.ForeignKey("self", on_delete=models.CASCADE, null=True)
    expected = models.CharField(
        max_length=10, blank=True, help_text="The answer a check asks for."
    )
    instructed = models.BooleanField(
        default=False, help_text="The page says which answer to give."
    )
    break_before = models.BooleanField(default=False)
    break_ended_at = models.DateTimeField(null=True)
    displayed_scale = models.FloatField(
        null=True, help_text="CSS pixels per picture pixel, as far as known."
    )
    load_failures = models.PositiveIntegerField(default=0)
    answered_at = models.DateTimeField(null=True)

    objects = TrialQuerySet.as_manager()

    class Meta:
        ordering = ["participant_id", "index"]
        constraints = [
            models.UniqueConstraint(
                fields=["participant", "index"], name="trial_index_once"
            )
        ]
        indexes = [
            # Who has answered how many, and when, without reading the rows.
            models.Index(
                fields=["participant", "kind", "answered_at"], name="answered_trials"
            ),
            models.Index(
                fields=["item"],
                condition=Q(answered_at=None, item__isnull=False),
                name="reserved_items",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant_id}/{self.index}"


class RatingQuerySet(models.QuerySet["Rating"]):
    """Answers by what is meant."""

    def counted(self) -> Self:
        """Answers in counted trials of people who count, excluded or not."""
        return self.filter(
            counted_people("trial__participant__"), trial__kind=Trial.Kind.RATING
        )

    def included(self, *, simulated: bool = False) -> Self:
        """Those of people whose answers tables are made of."""
        people = included_people("trial__participant__", simulated=simulated)
        return self.filter(people, trial__kind=Trial.Kind.RATING)


class Rating(models.Model):
    """One answer. Written once; the first one wins.

    `rating` on a scale, or `choice` between two pictures: one of them is there.
    """

    belongs_to = "trial__participant__study"

    class Choice(models.TextChoices):
        FIRST = "first", "first"
        SECOND = "second", "second"
        TIE = "tie", "tie"

    trial = models.ForeignKey(
        Trial, on_delete=models.CASCADE, related_name="ratings", db_index=False
    )
    question = models.CharField(max_length=40, default="overall")
    rating = models.PositiveSmallIntegerField(null=True)
    choice = models.CharField(max_length=6, choices=Choice, blank=True)
    scale_min = models.PositiveSmallIntegerField(default=1)
    scale_max = models.PositiveSmallIntegerField(default=5)
    client_id = models.CharField(max_length=40, blank=True)
    response_ms = models.PositiveIntegerField(null=True)
    rated_at = models.DateTimeField(default=timezone.now)

    objects = RatingQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        # What sums over all answers read, without reading the rows.
        indexes = [
            models.Index(
                fields=["trial", "rating", "response_ms"], name="answers_of_trials"
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["trial", "question"], name="one_rating_per_trial_and_question"
            ),
            models.CheckConstraint(
                condition=Q(rating=None)
                | Q(rating__gte=F("scale_min"), rating__lte=F("scale_max")),
                name="rating_is_on_its_scale",
            ),
            models.CheckConstraint(
                condition=Q(rating=None, choice__in=["first", "second", "tie"])
                | Q(rating__isnull=False, choice=""),
                name="rating_or_choice",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trial}: {self.choice or self.rating}"

    @property
    def answer(self) -> str:
        """The answer as the form sends it."""
        return self.choice or str(self.rating)
