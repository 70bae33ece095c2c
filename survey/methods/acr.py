"""Absolute category rating, ITU-T P.910 clause 7.1, and with hidden reference, 7.2."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from survey.methods.base import Answers, Asking, CannotAsk, Choice, Method, P

EXCELLENT = pgettext_lazy("ACR scale", "Excellent")
GOOD = pgettext_lazy("ACR scale", "Good")
FAIR = pgettext_lazy("ACR scale", "Fair")
POOR = pgettext_lazy("ACR scale", "Poor")
BAD = pgettext_lazy("ACR scale", "Bad")

FIVE = {5: EXCELLENT, 4: GOOD, 3: FAIR, 2: POOR, 1: BAD}
"""The labels of the five-point scale, best first."""

_WORDS = {9: EXCELLENT, 7: GOOD, 5: FAIR, 3: POOR, 1: BAD}

SCALES: dict[int, dict[int, Promise | str]] = {
    5: {number: FIVE[number] for number in (5, 4, 3, 2, 1)},
    # P.910 Annex B: the words stand at the odd numbers.
    9: {number: _WORDS.get(number, "") for number in range(9, 0, -1)},
    # The same words, and an end point beyond each end.
    11: {number: _WORDS.get(number, "") for number in range(10, -1, -1)},
}

IN_A_PAPER = {
    5: "1 bad – 5 excellent",
    9: "1 bad – 9 excellent",
    11: "0 to 10, 1 bad – 9 excellent",
}


class ACR(Method):
    """Each picture alone."""

    name = "acr"
    label = "ACR: rate each picture"
    settings = {"scale_points": "ACR and ACR-HR; DCR has five."}
    scales = SCALES
    template = "survey/trials/acr.html"
    answers = Answers.RATINGS
    no_other_scale = ""
    source = "ACR, ITU-T P.910"

    def choices(self, study: Asking) -> list[Choice]:
        scale = SCALES[study.scale_points]
        return [Choice(str(number), label) for number, label in scale.items()]

    def items(self, study: Asking, stimuli: Sequence[P]) -> list[tuple[P, P | None]]:
        return [(it, None) for it in stimuli if it.rated and not it.is_reference]

    def described(self, study: Asking) -> str:
        return f"{IN_A_PAPER[study.scale_points]} ({self.source})"


class ACRHiddenReference(ACR):
    """The unchanged content images are rated among the others, unmarked."""

    name = "acr-hr"
    label = "ACR-HR: rate each picture, content images hidden among them"
    needs_references = True
    rates_references = True
    source = "ACR with hidden reference, P.910"

    def items(self, study: Asking, stimuli: Sequence[P]) -> list[tuple[P, P | None]]:
        if not any(stimulus.is_reference for stimulus in stimuli):
            raise CannotAsk("ACR-HR hides content images, and there is none.")
        return [(it, None) for it in stimuli if it.rated]
