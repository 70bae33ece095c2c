"""Forms about a study: the steps of the wizard, each a part of the one draft; what its
other pages ask."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms import BoundField, modelformset_factory

from nstlab.core.forms import OwnColumnsForm
from survey import presets
from survey.methods import METHODS, SETTINGS, method_of
from survey.models import Question, Stimulus, Study

MOST_QUESTIONS = 2
MOST_INVITATIONS = 5000
MOST_MARKED = 200
"""Pictures whose use can be chosen on one page; the list of pictures has all."""

STEPS = {
    "pictures": "Pictures",
    "question": "Question",
    "texts": "Texts",
    "checks": "Checks",
    "people": "People",
    "review": "Review",
}
"""The steps by their name in the address, in their order."""


def neighbours(step: str) -> tuple[str, str]:
    """The steps before and after, "" where there is none."""
    names = list(STEPS)
    place = names.index(step)
    return (
        names[place - 1] if place else "",
        names[place + 1] if place + 1 < len(names) else "",
    )


class StepForm(OwnColumnsForm):
    """A few fields of a study, in groups with a heading each; only they are written.

    Whoever saves it has read its study in the same transaction, and holds it.
    """

    groups: Sequence[tuple[str, str, Sequence[str]]]  # heading, what it is, fields
    instance: Study

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""

    def sections(self) -> Iterator[tuple[str, str, list[BoundField]]]:
        """Heading, explanation and fields of each group, for the template."""
        for heading, text, names in self.groups:
            yield heading, text, [self[name] for name in names]

    def _update_errors(self, errors: ValidationError) -> None:
        """A study's own check may complain about a field of another step."""
        found: dict[str, Any] = getattr(errors, "error_dict", {})
        for name in [it for it in found if it not in {*self.fields, NON_FIELD_ERRORS}]:
            for message in ValidationError(found.pop(name)).messages:
                found.setdefault(NON_FIELD_ERRORS, []).append(
                    ValidationError(f"{Study.label_of(name)}: {message}")
                )
        super()._update_errors(errors)  # type: ignore[misc]


class QuestionForm(StepForm):
    """The step that says how pictures are shown and what is asked about them."""

    groups = [
        ("How people answer", "", ["method", *SETTINGS]),
        ("What they are asked", "", ["question"]),
        (
            "Further questions",
            "About every picture, after the main one. Two at most: each makes the "
            "session longer. Others have asked how well the content is kept and how "
            "well the style is met.",
            ["name_1", "text_1", "name_2", "text_2"],
        ),
    ]  # fmt: skip

    class Meta:
        model = Study
        fields = ["method", *SETTINGS, "question"]
        widgets = {"method": forms.RadioSelect}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = list(self.instance.further_questions.all())
        for number in range(1, MOST_QUESTIONS + 1):
            asked = known[number - 1] if number <= len(known) else None
            self.fields[f"name_{number}"] = forms.CharField(
                label=f"Name of question {number + 1} in the tables",
                required=False,
                max_length=40,
                initial=asked.name if asked else "",
                validators=Question._meta.get_field("name").validators[:1],
                help_text="Small letters, such as content." if number == 1 else "",
            )
            self.fields[f"text_{number}"] = forms.CharField(
                label=f"Question {number + 1}",
                required=False,
                max_length=200,
                initial=asked.text if asked else "",
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        names = []
        for number in range(1, MOST_QUESTIONS + 1):
            name, text = cleaned.get(f"name_{number}"), cleaned.get(f"text_{number}")
            if text and not name and f"name_{number}" not in self.errors:
                self.add_error(f"name_{number}", "The question needs a name.")
            if name and not text:
                self.add_error(f"text_{number}", "What is asked?")
            if name == "overall" or (name and name in names):
                self.add_error(f"name_{number}", "This name is taken.")
            names.append(name)
        return cleaned

    def save(self, commit: bool = True) -> Study:
        study: Study = super().save(commit)
        usual = METHODS[self.initial["method"]].welcome
        if study.welcome == usual != method_of(study).welcome:
            study.welcome = method_of(study).welcome
            study.save(update_fields=["welcome"])
        asked = [
            (self.cleaned_data[f"name_{number}"], self.cleaned_data[f"text_{number}"])
            for number in range(1, MOST_QUESTIONS + 1)
        ]
        study.further_questions.all().delete()
        Question.objects.bulk_create(
            [
                Question(study=study, name=name, text=text)
                for name, text in asked
                if name
            ]
        )
        return study


class TextsForm(StepForm):
    """The step with what people read before they agree, and who answers for it."""

    ask_people = forms.BooleanField(
        label="ask P.913's questions about people",
        required=False,
        help_text="Before the pictures: age band, gender, experience, sight, room. "
        "Nobody has to answer.",
    )

    groups = [
        ("The study", "", ["title", "language"]),
        ("What people read", "", ["welcome", "consent", "thanks"]),
        (
            "Who answers for it",
            "Shown beside the consent. A study opens only with all three.",
            ["controller", "contact", "ethics_reference", "minimum_age"],
        ),
        ("About the people", "", ["ask_people", "ask_comment"]),
    ]

    class Meta:
        model = Study
        fields = [
            "title", "language", "welcome", "consent", "thanks", "controller",
            "contact", "ethics_reference", "minimum_age", "ask_comment",
        ]  # fmt: skip
        widgets = {
            "welcome": forms.Textarea(attrs={"rows": 4}),
            "consent": forms.Textarea(attrs={"rows": 6}),
            "thanks": forms.Textarea(attrs={"rows": 2}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["ask_people"].initial = self._preset().exists()

    def _preset(self) -> Any:
        names = [each["name"] for each in presets.P913_FORM]
        return self.instance.form_items.filter(name__in=names)

    def save(self, commit: bool = True) -> Study:
        study: Study = super().save(commit)
        if "ask_people" in self.changed_data:
            if self.cleaned_data["ask_people"]:
                presets.add_p913_form(study)
            else:
                self._preset().delete()
        return study


class ChecksForm(StepForm):
    """The step with what shows whether answers can be trusted."""

    groups = [
        (
            "Attention and repeats",
            "They are shown among the others and never count in a MOS.",
            ["instructed_catches", "repeats", "break_every"],
        ),
        (
            "Screen and eyes",
            "Asked once before the pictures. Only passed or failed is kept, and nobody "
            "is sent away.",
            ["check_viewport", "check_brightness", "check_acuity", "check_colour"],
        ),
        ("The page", "", ["fit_to_viewport", "one_touch"]),
    ]

    class Meta:
        model = Study
        fields = [
            "instructed_catches", "repeats", "break_every", "check_viewport",
            "check_brightness", "check_acuity", "check_colour", "fit_to_viewport",
            "one_touch",
        ]  # fmt: skip


class MarkForm(OwnColumnsForm):
    """The use of one picture."""

    class Meta:
        model = Stimulus
        fields = ["rated", "training_order", "gold_answer"]
        labels = {
            "rated": "rated",
            "training_order": "practice",
            "gold_answer": "known answer",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        for field in self.fields.values():
            field.help_text = ""  # said once, above all of them


def marks(study: Study, data: Any = None) -> Any:
    """The formset of what the study's pictures are used for, the first of them."""
    formset: Any = modelformset_factory(Stimulus, form=MarkForm, extra=0)
    shown = study.stimuli.filter(is_reference=False).order_by("pk")
    first = list(shown.values_list("pk", flat=True)[:MOST_MARKED])
    return formset(data, queryset=shown.filter(pk__in=first), prefix="picture")


class _Moment(forms.DateTimeInput):
    """The browser's own picker of date and time."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class PeopleForm(StepForm):
    """The step that says how many people see what, who may come, and when."""

    completion_url = forms.URLField(
        label="Return address",
        required=False,
        assume_scheme="https",
        help_text="Of the recruiting platform, once every answer is stored.",
    )

    groups = [
        (
            "What each person sees",
            "",
            ["trials_each", "target_half_width", "order", "block_by", "apart"],
        ),
        (
            "Who takes part, and when",
            "",
            ["source", "max_participants", "opens_at", "closes_at", "delete_on"],
        ),
        (
            "Paid by a platform",
            "Prolific, MTurk and the like; leave it empty for everybody else.",
            ["completion_code", "completion_url"],
        ),
    ]

    class Meta:
        model = Study
        fields = [
            "trials_each", "target_half_width", "order", "block_by", "apart", "source",
            "max_participants", "opens_at", "closes_at", "delete_on",
            "completion_code", "completion_url",
        ]  # fmt: skip
        widgets = {
            "source": forms.RadioSelect,
            "opens_at": _Moment,
            "closes_at": _Moment,
            "delete_on": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        }
        labels = {"opens_at": "Opens at (UTC)", "closes_at": "Closes at (UTC)"}


FORMS: dict[str, type[StepForm]] = {
    "question": QuestionForm,
    "texts": TextsForm,
    "checks": ChecksForm,
    "people": PeopleForm,
}


# Other pages ----------------------------------------------------------------------


class InvitationForm(forms.Form):
    number = forms.IntegerField(
        min_value=1, max_value=MOST_INVITATIONS, initial=20, label="How many links"
    )


class ArchiveForm(forms.Form):
    """Pictures of one's own; `key` tells a form that is sent twice."""

    key = forms.CharField(
        max_length=40,
        required=False,
        initial=lambda: secrets.token_urlsafe(16),
        widget=forms.HiddenInput,
    )
    archive = forms.FileField(
        label="Pictures",
        help_text="A ZIP of PNG, JPEG, WebP or TIFF pictures.",
    )
    table = forms.FileField(
        label="Factors",
        required=False,
        help_text="A CSV with a column file and one column for each factor, such as "
        "content, style, condition; optionally reference (a file), rated, training "
        "and gold. Without it every picture is taken as it is.",
    )
