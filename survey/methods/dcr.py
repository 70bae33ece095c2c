"""Degradation category rating, ITU-T P.910 clause 7.3: against a shown reference."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from survey.methods.base import Answers, Asking, CannotAsk, Choice, Method, P

IMPAIRMENT = {
    5: pgettext_lazy("DCR scale", "Imperceptible"),
    4: pgettext_lazy("DCR scale", "Perceptible but not annoying"),
    3: pgettext_lazy("DCR scale", "Slightly annoying"),
    2: pgettext_lazy("DCR scale", "Annoying"),
    1: pgettext_lazy("DCR scale", "Very annoying"),
}


class DCR(Method):
    """Each picture beside its content image, how much worse it is."""

    name = "dcr"
    label = "DCR: rate the change against the content image beside it"
    template = "survey/trials/dcr.html"
    default_question = _("How do you find the change from the original to this one?")
    needs_references = True
    answers = Answers.RATINGS

    def choices(self, study: Asking) -> list[Choice]:
        return [Choice(str(number), label) for number, label in IMPAIRMENT.items()]

    def beside(self, stimulus: P) -> P | None:
        reference: P | None = stimulus.reference
        return reference

    def items(self, study: Asking, stimuli: Sequence[P]) -> list[tuple[P, P | None]]:
        rated = [it for it in stimuli if it.rated and not it.is_reference]
        checks = [
            it
            for it in stimuli
            if it.training_order is not None or it.gold_answer is not None
        ]
        shown = [*rated, *(it for it in checks if it not in rated)]
        if alone := [it for it in shown if it.reference is None]:
            raise CannotAsk(
                f"DCR shows the content image beside each picture, also in practice "
                f"and in checks; {len(alone)} of {len(shown)} have none, the first is "
                f"{alone[0]}."
            )
        return [(it, self.beside(it)) for it in rated]

    def described(self, study: Asking) -> str:
        return "1 very annoying – 5 imperceptible (DCR, ITU-T P.910)"
