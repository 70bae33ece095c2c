"""Studies, what they show, and what people answered.

A rating is written once and never changed. Its uniqueness on (trial, question) is
the database's, so two posts that race leave one row.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Case, F, Q, When
from django.urls import reverse
from django.utils import timezone

from generation.models import Experiment, Render, random_png_name
from nstlab.core.access import Owned
from nstlab.core.transitions import move
from survey import methods

DROPPED_AFTER = dt.timedelta(hours=2)
"""Who has been silent for this long has left; an answer brings them back."""

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


def archive_path(_upload: Upload, _name: str) -> str:
    return f"archive/{secrets.token_urlsafe(16)}.zip"


def token_hash(token: str) -> str:
    """What is stored of a participant's code; the code itself never is.

    Hyphens, spaces and capitals do not matter: people copy it from paper.
    """
    plain = "".join(token.split()).replace("-", "").lower()
    return hashlib.sha256(plain.encode()).hexdigest()


class Study(Owned):
    """One version of one survey. Versions share the address, the newest takes people.

    Opening freezes everything that people read or see; a change makes a new version.
    """

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        PILOTING = "piloting", "piloting: works, counts nothing"
        OPEN = "open", "open"
        CLOSED = "closed", "closed"

    class Method(models.TextChoices):
        ACR = "acr", "ACR: rate each picture"
        ACR_HR = "acr-hr", "ACR-HR: rate each picture, content images hidden among them"
        DCR = "dcr", "DCR: rate the change against the content image beside it"
        PAIRS = "pairs", "pairs: choose the better of two pictures"

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
        help_text="Taken in when the study opens. Else only the pictures it has.",
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
        choices=settings.LANGUAGES,
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
        "wished half-width of the interval",
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(5)],
        help_text="Ask on about the pictures whose 95 % interval is wider, in scale "
        "steps; those that are precise enough rest. Empty: equal votes for all.",
    )
    reserve_minutes = models.PositiveIntegerField(
        "minutes until a silent participant's pictures go to others",
        default=10,
        validators=[MinValueValidator(1)],
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

    @property
    def accepts_answers(self) -> bool:
        """Whether people who have joined may answer."""
        return self.state in {self.State.PILOTING, self.State.OPEN}

    @property
    def address_takes_people(self) -> bool:
        """Whether this or another version at the same address accepts answers."""
        versions = Study.objects.filter(slug=self.slug)
        return self.accepts_answers or any(it.accepts_answers for it in versions)

    def refuses_joining(self) -> str:
        """Why nobody can join now: closed, early, late, full or empty for nothing."""
        now = timezone.now()
        if not self.accepts_answers:
            return "closed"
        if self.state == self.State.PILOTING:
            return ""
        if self.opens_at and now < self.opens_at:
            return "early"
        if self.closes_at and now >= self.closes_at:
            return "late"
        if self.max_participants is not None:
            status = Participant.Status
            present = self.participants.filter(
                Q(status=status.FINISHED)
                | Q(status=status.STARTED, seen_at__gt=now - DROPPED_AFTER),
                simulated=False,
                pilot=False,
            ).count()
            if present >= self.max_participants:
                return "full"
        return ""

    @property
    def state_in_words(self) -> str:
        """What comes after “is” in a sentence about the study."""
        words = {self.State.DRAFT: "a draft", self.State.PILOTING: "being piloted"}
        return words.get(self.State(self.state), self.state)

    @property
    def random_weights(self) -> bool:
        """Whether any of its pictures was painted with random features; a draft's
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
        """Whether each next picture is chosen while people rate."""
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
        moved = move(self, Q(state__in=leaving), state=to, **columns)
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

    def close(self) -> bool:
        """piloting or open → closed."""
        return self._move(
            {self.State.PILOTING, self.State.OPEN},
            self.State.CLOSED,
            closed_at=timezone.now(),
        )


CHECKS = ("viewport", "brightness", "acuity", "colour")


class Question(models.Model):
    """A further question about every picture, after the study's main one."""

    study = models.ForeignKey(
        Study, on_delete=models.CASCADE, related_name="further_questions"
    )
    name = models.CharField(
        max_length=40,
        validators=[RegexValidator(r"^[a-z][a-z0-9_]*$", "Small letters, as in CSV.")],
        help_text="As in the exports, such as content or style.",
    )
    text = models.CharField(max_length=200)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "name"], name="question_once_in_study"
            ),
            models.CheckConstraint(
                condition=~Q(name="overall"), name="overall_is_the_main_question"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Translation(models.Model):
    """The texts of a study in one more language; an empty one stays untranslated."""

    study = models.ForeignKey(
        Study, on_delete=models.CASCADE, related_name="translations"
    )
    language = models.CharField(max_length=10, choices=settings.LANGUAGES)
    title = models.CharField(max_length=120, blank=True)
    question = models.CharField(max_length=200, blank=True)
    further_questions = models.TextField(
        blank=True, help_text="One line for each further question, in their order."
    )
    forms = models.TextField(
        blank=True,
        help_text="A block for each question of the forms, an empty line between them: "
        "“name: the question”, then its options, one a line, in their order. What "
        "P.913's form asks is translated already.",
    )
    welcome = models.TextField("welcome text", blank=True)
    consent = models.TextField("consent text", blank=True)
    thanks = models.TextField("thanks text", blank=True)

    class Meta:
        ordering = ["language"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "language"], name="language_once_in_study"
            )
        ]

    def __str__(self) -> str:
        return self.get_language_display()


class FormItem(models.Model):
    """One question of the form before or after the pictures."""

    class Placement(models.TextChoices):
        BEFORE = "before", "before the pictures"
        AFTER = "after", "after the pictures"

    class Kind(models.TextChoices):
        CHOICE = "choice", "one of the options"
        TEXT = "text", "free text"
        NUMBER = "number", "a whole number"

    study = models.ForeignKey(
        Study, on_delete=models.CASCADE, related_name="form_items"
    )
    placement = models.CharField(
        max_length=10, choices=Placement, default=Placement.BEFORE
    )
    name = models.CharField(
        max_length=40,
        validators=[RegexValidator(r"^[a-z][a-z0-9_]*$", "Small letters, as in CSV.")],
    )
    text = models.CharField(max_length=300)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.CHOICE)
    options = models.TextField(blank=True, help_text="One a line.")
    required = models.BooleanField(default=False)

    class Meta:
        ordering = ["placement", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["study", "name"], name="form_item_once_in_study"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.kind == self.Kind.CHOICE and len(self.option_list()) < 2:
            raise ValidationError({"options": "A choice needs at least two options."})

    def option_list(self) -> list[str]:
        return [line.strip() for line in self.options.splitlines() if line.strip()]


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
        """`random_features`, also of a row that is not saved."""
        return str(self.parameters.get("weights", "")).startswith("random:")


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
        """What is left to take in, in the archive's order."""
        return self.pictures.filter(state=UploadedPicture.State.WAITING).order_by("pk")

    def refuse(self, what: str, why: str) -> None:
        """Note something that is not taken in; saving is the caller's."""
        self.refused_count += 1
        if len(self.refused) < self.SHOWN:
            self.refused = [*self.refused, [what, why]]

    @property
    def refused_more(self) -> int:
        """How many were refused beyond those listed."""
        return self.refused_count - len(self.refused)


class UploadedPicture(models.Model):
    """One picture of an archive while that is being taken in: each once."""

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        TAKEN = "taken", "taken in"
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


class Item(models.Model):
    """What one counted trial asks about: a picture, alone or against a second one.

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
        return not self.pilot and not self.simulated

    def next_trial(self) -> Trial | None:
        """Where this participant is: the first planned trial without an answer."""
        return next(iter(self.unanswered(1)), None)

    def unanswered(self, count: int) -> list[Trial]:
        """The first `count` planned trials without an answer, with their pictures."""
        open_ones = self.trials.filter(answered_at=None).order_by("index")
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
    """What somebody answered in a form, or their comment."""

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
        """As the form sends it."""
        return self.choice or str(self.rating)


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
