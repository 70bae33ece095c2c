"""Forms of the participant's side: every input is validated here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from survey.models import FormItem, Participant, Study
from survey.study_texts import FormWords

PLAUSIBLE_RESPONSE_MS = 24 * 3600 * 1000


class JoinForm(forms.Form):
    """Consent, and what the script says about the screen, if there is a script."""

    consent = forms.BooleanField(
        error_messages={"required": _("Please tick the box if you want to take part.")}
    )
    age = forms.BooleanField(
        error_messages={"required": _("Please confirm your age if you can.")}
    )
    viewport = forms.CharField(required=False, max_length=20)
    pixel_ratio = forms.FloatField(required=False, min_value=0.1, max_value=20)
    touch = forms.BooleanField(required=False)
    simulated = forms.CharField(required=False, max_length=200)
    invitation = forms.CharField(required=False, max_length=60)
    # Of this showing of the form, and of another one that is to make way for it.
    key = forms.CharField(required=False)
    instead = forms.CharField(required=False)
    # What somebody chose who was asked: go-on or anew.
    again = forms.CharField(required=False)

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if study.minimum_age is None:
            del self.fields["age"]

    def surroundings(self) -> dict[str, Any]:
        """device_class, viewport (CSS pixels) and pixel ratio."""
        cleaned = self.cleaned_data
        size = re.fullmatch(r"(\d{2,5})x(\d{2,5})", cleaned["viewport"])
        if size is None:
            return {}
        shorter = min(int(size[1]), int(size[2]))
        device = Participant.Device.DESKTOP
        if cleaned["touch"]:
            phone = shorter < 600
            device = Participant.Device.PHONE if phone else Participant.Device.TABLET
        return {
            "device_class": device,
            "viewport": cleaned["viewport"],
            "pixel_ratio": cleaned["pixel_ratio"],
        }


@dataclass(frozen=True)
class SentAnswer:
    """An answer as it was posted. Only the trial and the answers can be refused:
    a rating is not lost because a script measured nonsense."""

    trial: int | None
    answers: dict[str, str]
    client_id: str
    response_ms: int | None
    displayed_scale: float | None
    load_failures: int

    @classmethod
    def read(cls, sent: QueryDict) -> SentAnswer:
        trial = _number(sent.get("trial"), 1, 2**62)
        response_ms = _number(sent.get("response_ms"), 0, PLAUSIBLE_RESPONSE_MS)
        return cls(
            trial=None if trial is None else int(trial),
            answers={
                name.removeprefix("answer-"): str(value)
                for name, value in sent.items()
                if name.startswith("answer-")
            },
            client_id=str(sent.get("client_id", ""))[:40],
            response_ms=None if response_ms is None else int(response_ms),
            displayed_scale=_number(sent.get("displayed_scale"), 0.001, 10),
            load_failures=int(_number(sent.get("load_failures"), 0, 1000) or 0),
        )


def _number(text: Any, low: float, high: float) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if low <= number <= high else None


class QuestionnaireForm(forms.Form):
    """The form before or after the pictures, made from the study's items."""

    def __init__(
        self,
        *args: Any,
        items: Sequence[FormItem],
        words: Mapping[str, FormWords],
        comment: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for item in items:
            self.fields[item.name] = _field(item, words[item.name])
        if comment:
            self.fields["comment"] = forms.CharField(
                label=_("Is there anything you want to tell us?"),
                help_text=_("Please do not write your name or anybody else's."),
                required=False,
                max_length=4000,
                widget=forms.Textarea(attrs={"rows": 4}),
            )

    def answers(self) -> dict[str, str]:
        return {
            name: "" if value is None else str(value)
            for name, value in self.cleaned_data.items()
        }


def _field(item: FormItem, words: FormWords) -> forms.Field:
    common: dict[str, Any] = {"label": words.text, "required": item.required}
    if item.kind == FormItem.Kind.CHOICE:
        return forms.ChoiceField(
            **common,
            choices=list(words.options.items()),
            widget=forms.RadioSelect,
        )
    if item.kind == FormItem.Kind.NUMBER:
        return forms.IntegerField(**common, min_value=-(10**9), max_value=10**9)
    return forms.CharField(**common, max_length=1000)


class CodeForm(forms.Form):
    """The code that somebody was shown when they took part."""

    code = forms.CharField(
        label=_("Your code"),
        max_length=60,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
