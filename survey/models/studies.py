"""A study: what is asked, of whom, and how far it has come."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from generation.models import Experiment
from nstlab.core.access import Owned
from nstlab.core.transitions import move
from survey import methods
from survey.codes import readable_code
from survey.refusals import NotJoining


def language_choices() -> list[tuple[str, str]]:
    """Code and name of every language a study can be in; called whenever the choices
    are looked at, so that another language needs no migration."""
    return list(settings.LANGUAGES)


def study_slug() -> str:
    return readable_code(10)


class Study(Owned):
    """One version of one survey. Versions share the address, the newest takes people.

    Opening freezes everything that people read or see; a change makes a new version.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        PILOTING = "piloting", "piloting: works, counts nothing"
        OPEN = "open", "open"
        CLOSED = "closed", "closed"

    class Order(models.TextChoices):
        RANDOM = "random", "random"
        WILLIAMS = "williams", "balanced Latin square (Williams)"
        BLOCKED = "blocked", "in blocks"

    class PairsWithin(models.TextChoices):
        CONTENT = "content", "two pictures of one content image"
        ALL = "all", "any two pictures"

    class Source(models.TextChoices):
        LINK = "link", "everybody who has the link"
        INVITATION = "invitation", "personal one-time links only"

    sees_all = "survey.see_all_studies"

    title = models.CharField(max_length=120)
    slug = models.CharField(
        "address", max_length=40, default=study_slug, editable=False
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    experiment = models.ForeignKey(
        Experiment,
        on_delete=models.PROTECT,
        related_name="studies",
        null=True,
        blank=True,
        help_text="Empty for a study of pictures of your own.",
    )
    all_renders = models.BooleanField(
        "every finished render of the experiment",
        default=True,
        help_text="Copied when the study opens. Else only the pictures it has.",
    )
    chosen = models.JSONField(
        default=list,
        editable=False,
        help_text="Keys of the renders to show, where it is not every finished one.",
    )
    state = models.CharField(
        max_length=10, choices=State, default=State.DRAFT, editable=False
    )

    # What is asked: how, and the settings of that method (survey.methods.SETTINGS)
    method = models.CharField(
        max_length=methods.LONGEST_NAME,
        choices=methods.method_choices,
        default=methods.USUAL.name,
    )
    scale_points = models.PositiveSmallIntegerField(
        "points of the scale",
        choices=methods.scale_choices,
        default=5,
        help_text=methods.SETTINGS["scale_points"],
    )
    tie_allowed = models.BooleanField(
        "no difference may be answered",
        default=False,
        help_text=methods.SETTINGS["tie_allowed"],
    )
    pairs_within = models.CharField(
        "pairs are", max_length=10, choices=PairsWithin, default=PairsWithin.CONTENT
    )
    question = models.CharField(
        max_length=200,
        blank=True,
        help_text="Empty: the method's usual question, in every language.",
    )

    # What people read
    language = models.CharField(
        max_length=10,
        choices=language_choices,
        default="en",
        help_text="Of the texts below; others can be added as translations.",
    )
    welcome = models.TextField("welcome text", default=methods.USUAL.welcome)
    consent = models.TextField(
        "consent text",
        default="I am taking part of my own free will. I can stop at any time. My "
        "answers are stored without my name, e-mail or address.",
    )
    thanks = models.TextField(
        "thanks text", default="That was the last picture. You can close this page."
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
    minimum_age = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="Asked to confirm with the consent; empty asks nothing.",
    )

    # The design
    order = models.CharField(max_length=10, choices=Order, default=Order.RANDOM)
    block_by = models.CharField(
        "blocks are", max_length=40, blank=True, help_text="A factor, such as content."
    )
    apart = models.BooleanField(
        "keep neighbours of the same content apart", default=False
    )
    trials_each = models.PositiveIntegerField(
        "pictures for each participant",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Empty: everybody sees everything. Else the least rated come first.",
    )
    target_half_width = models.FloatField(
        "target CI half-width",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(5)],
        help_text="Ask on about the pictures whose 95 % interval is wider, in scale "
        "steps; those that are precise enough rest. Empty: equal votes for all.",
    )
    reserve_minutes = models.PositiveIntegerField(
        "reservation timeout, minutes",
        default=10,
        validators=[MinValueValidator(1)],
        help_text="After so long without an answer somebody's pictures go to others.",
    )
    repeats = models.PositiveIntegerField(
        default=0, help_text="Pictures shown a second time, for test–retest."
    )
    instructed_catches = models.PositiveIntegerField(
        "attention checks",
        default=0,
        help_text="Trials that ask for a certain answer.",
    )
    break_every = models.PositiveIntegerField(
        "offer a break every … pictures",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
    )
    seed = models.PositiveIntegerField(
        default=0, help_text="With the participant's number it decides the order."
    )

    # The screen
    one_touch = models.BooleanField(
        "one touch answers and goes on",
        default=False,
        help_text="Without Next. Nothing can be corrected.",
    )
    fit_to_viewport = models.BooleanField(
        "shrink pictures that do not fit the window",
        default=False,
        help_text="Else they scroll. The factor is recorded; nothing is enlarged.",
    )
    check_viewport = models.BooleanField("window large enough", default=False)
    check_brightness = models.BooleanField("brightness patches", default=False)
    check_acuity = models.BooleanField("acuity", default=False)
    check_colour = models.BooleanField("colour vision", default=False)
    ask_comment = models.BooleanField("ask for a comment at the end", default=False)

    # Recruiting
    source = models.CharField(
        "who may take part", max_length=10, choices=Source, default=Source.LINK
    )
    max_participants = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Finished and active people; then the study is full.",
    )
    opens_at = models.DateTimeField(null=True, blank=True)
    closes_at = models.DateTimeField(
        null=True, blank=True, help_text="Who has begun may still finish."
    )
    completion_code = models.CharField(
        max_length=60, blank=True, help_text="Shown once every answer is stored."
    )
    completion_url = models.URLField(
        "return address",
        blank=True,
        help_text="Of the recruiting platform, once every answer is stored.",
    )
    screenout_code = models.CharField(max_length=60, blank=True)
    screenout_url = models.URLField("return address when screened out", blank=True)
    delete_on = models.DateField(
        "delete all sessions on",
        null=True,
        blank=True,
        help_text="What the consent text promises; purge_participants does it.",
    )

    created_at = models.DateTimeField(auto_now_add=True)
    opened_at = models.DateTimeField(null=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    # Since then it is out of the way of lists; nobody takes part in it.
    archived_at = models.DateTimeField(null=True, editable=False)
    withdrawn_count = models.PositiveIntegerField(default=0, editable=False)
    purged_count = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name_plural = "studies"
        ordering = ["-created_at", "-pk"]
        permissions = [
            ("open_study", "Can open and close studies"),
            ("see_all_studies", "Can see everybody's studies and answers"),
            ("export_recruit", "Can export recruiting platforms' ids"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["slug", "version"], name="version_once_at_an_address"
            )
        ]

    def __str__(self) -> str:
        return self.title if self.version == 1 else f"{self.title} (v{self.version})"

    def get_absolute_url(self) -> str:
        return reverse("survey:welcome", args=[self.slug])

    def clean(self) -> None:
        """Refuse designs that cannot be carried out, each with its reason."""
        dynamic = self.trials_each is not None or self.target_half_width is not None
        wrong: dict[str, str] = {}
        if self.order != self.Order.RANDOM and dynamic:
            wrong["order"] = (
                "Where people see different pictures the least rated come first; only "
                "a random order goes with that."
            )
        if self.order == self.Order.BLOCKED and not self.block_by:
            wrong["block_by"] = "Blocks need the factor that makes them."
        if self.apart and self.order == self.Order.WILLIAMS:
            wrong["apart"] = "A Latin square fixes every neighbour."
        # Of a method that nobody knows the field itself complains.
        method = methods.METHODS.get(self.method, methods.USUAL)
        wrong |= method.refusals(self)
        if self.one_touch and self.pk and self.further_questions.exists():
            wrong["one_touch"] = "With several questions people need Next."
        if self.one_touch and (why := method.refuses_one_touch(self)):
            wrong["one_touch"] = why
        if self.opens_at and self.closes_at and self.opens_at >= self.closes_at:
            wrong["closes_at"] = "It would close before it opens."
        if wrong:
            raise ValidationError(wrong)

    @classmethod
    def label_of(cls, field: str) -> str:
        """Name a field of a study as pages do."""
        return capfirst(str(getattr(cls._meta.get_field(field), "verbose_name", field)))

    @property
    def accepts_answers(self) -> bool:
        """True while people who have joined may answer."""
        return self.state in {self.State.PILOTING, self.State.OPEN}

    @property
    def address_takes_people(self) -> bool:
        """True while this or another version at the address accepts answers."""
        versions = Study.objects.filter(slug=self.slug)
        return self.accepts_answers or any(it.accepts_answers for it in versions)

    def refuses_joining(self) -> NotJoining | None:
        """The reason why nobody can join now, None if people can."""
        now = timezone.now()
        if not self.accepts_answers:
            return NotJoining.CLOSED
        if self.state == self.State.PILOTING:
            return None
        if self.opens_at and now < self.opens_at:
            return NotJoining.EARLY
        if self.closes_at and now >= self.closes_at:
            return NotJoining.LATE
        if self.max_participants is not None:
            present = self.participants.counted().holding_a_place(now)
            if present.count() >= self.max_participants:
                return NotJoining.FULL
        return None

    @property
    def state_in_words(self) -> str:
        """The state as it comes after “is” in a sentence about the study."""
        words = {self.State.DRAFT: "a draft", self.State.PILOTING: "being piloted"}
        return words.get(self.State(self.state), self.state)

    @property
    def random_weights(self) -> bool:
        """True if any of its pictures was painted with random features; a draft's
        pictures are those it is to show as well."""
        if self.stimuli.filter(random_features=True).exists():
            return True
        if self.state != self.State.DRAFT or self.experiment is None:
            return False
        wanted = self.experiment.renders.ready()
        if not self.all_renders:
            wanted = wanted.filter(pk__in=self.chosen)
        return wanted.filter(weights__startswith="random:").exists()

    @property
    def dynamic(self) -> bool:
        """True if each next picture is chosen while people rate."""
        return self.trials_each is not None or self.target_half_width is not None

    @property
    def has_checks(self) -> bool:
        return any(getattr(self, f"check_{name}") for name in CHECKS)

    def consent_sha256(self) -> str:
        """Names everything a participant agreed to, in every language."""
        parts = [
            self.title, self.welcome, self.consent, self.controller, self.contact,
            self.ethics_reference, str(self.minimum_age or ""),
        ]  # fmt: skip
        for text in self.translations.order_by("language"):
            parts += [text.language, text.title, text.welcome, text.consent]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _move(self, leaving: set[str], to: str, **columns: Any) -> bool:
        moved = move(self, Q(state__in=leaving), state=to, archived_at=None, **columns)
        if moved:
            self.refresh_from_db()
        return moved

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

    def archive(self) -> bool:
        """Out of the way of lists, as long as nobody takes part in it."""
        return self._set_archived(Q(archived_at=None), timezone.now())

    def unarchive(self) -> bool:
        """Back among the others."""
        return self._set_archived(Q(archived_at__isnull=False), None)

    def _set_archived(self, only: Q, at: dt.datetime | None) -> bool:
        quiet = Q(state__in=[self.State.DRAFT, self.State.CLOSED])
        if moved := move(self, quiet & only, archived_at=at):
            self.refresh_from_db()
        return moved

    def close(self) -> bool:
        """piloting or open → closed."""
        return self._move(
            {self.State.PILOTING, self.State.OPEN},
            self.State.CLOSED,
            closed_at=timezone.now(),
        )


CHECKS = ("viewport", "brightness", "acuity", "colour")
