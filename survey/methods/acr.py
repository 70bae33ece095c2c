"""Absolute category rating, ITU-T P.910 clause 7.1, and with hidden reference, 7.2."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from survey.methods.base import CannotAsk, Choice, Method
from survey.models import Item, Stimulus, Study

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


class ACR(Method):
    """Each picture alone."""

    template = "survey/trials/acr.html"

    def choices(self, study: Study) -> list[Choice]:
        scale = SCALES[study.scale_points]
        return [Choice(str(number), label) for number, label in scale.items()]

    def items(self, study: Study, stimuli: Sequence[Stimulus]) -> list[Item]:
        shown = [it for it in stimuli if it.rated and not it.is_reference]
        return [Item(study=study, stimulus=stimulus) for stimulus in shown]


class ACRHiddenReference(ACR):
    """The unchanged content images are rated among the others, unmarked."""

    needs_references = True

    def items(self, study: Study, stimuli: Sequence[Stimulus]) -> list[Item]:
        if not any(stimulus.is_reference for stimulus in stimuli):
            raise CannotAsk("ACR-HR hides content images, and there is none.")
        return [Item(study=study, stimulus=it) for it in stimuli if it.rated]
