"""Forms of the participant's side: every input is validated here."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from survey.models import LABELS, Participant

PLAUSIBLE_RESPONSE_MS = 24 * 3600 * 1000


class JoinForm(forms.Form):
    """Consent, and what the script says about the screen, if there is a script."""

    consent = forms.BooleanField(
        error_messages={"required": "Please tick the box if you want to take part."}
    )
    viewport = forms.CharField(required=False, max_length=20)
    pixel_ratio = forms.FloatField(required=False, min_value=0.1, max_value=20)
    touch = forms.BooleanField(required=False)
    simulated = forms.CharField(required=False, max_length=200)

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


class AnswerForm(forms.Form):
    """One answer. The rating itself is checked by the service, in a sentence."""

    trial = forms.IntegerField(min_value=1)
    rating = forms.IntegerField(
        error_messages={
            "required": "Please choose one of the five answers.",
            "invalid": "Please choose one of the five answers.",
        }
    )
    client_id = forms.CharField(required=False, max_length=40)
    response_ms = forms.IntegerField(required=False, min_value=0)

    choices = list(LABELS.items())

    def clean_response_ms(self) -> int | None:
        value = self.cleaned_data["response_ms"]
        if value is not None and value > PLAUSIBLE_RESPONSE_MS:
            return None
        return value
