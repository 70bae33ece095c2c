"""Questions, forms and translations of a study, beside its own columns."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from survey.models.studies import Study, language_choices


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
    language = models.CharField(max_length=10, choices=language_choices)
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
