"""Paired comparison, ITU-T P.910 clause 7.4: which of two, forced or with a tie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from survey.methods.base import CannotAsk, Choice, Method
from survey.models import Item, Rating, Stimulus, Study, Trial

MOST_PAIRS = 20_000


class Pairs(Method):
    """Two pictures side by side; which stands on the left is drawn and stored."""

    template = "survey/trials/pairs.html"
    default_question = _("Which of the two is the better painting?")

    def choices(self, study: Study) -> list[Choice]:
        offered = [
            Choice("left", pgettext_lazy("pair", "Picture A"), number=False),
            Choice("right", pgettext_lazy("pair", "Picture B"), number=False),
        ]
        if study.tie_allowed:
            label = pgettext_lazy("pair", "No difference")
            offered.insert(1, Choice("tie", label, number=False))
        return offered

    def items(self, study: Study, stimuli: Sequence[Stimulus]) -> list[Item]:
        shown = [it for it in stimuli if it.rated and not it.is_reference]
        within = study.pairs_within == Study.PairsWithin.CONTENT
        pairs = [
            (first, second)
            for first, second in combinations(shown, 2)
            if not within
            or first.parameters.get("content") == second.parameters.get("content")
        ]
        if not pairs:
            raise CannotAsk("There are no two pictures to compare.")
        if len(pairs) > MOST_PAIRS:
            raise CannotAsk(
                f"{len(shown)} pictures make {len(pairs)} pairs; at most {MOST_PAIRS} "
                "can be asked about."
            )
        return [Item(study=study, stimulus=a, second=b) for a, b in pairs]

    def scale(self, study: Study) -> tuple[int, int]:
        return 0, 1

    def rating(self, study: Study, trial: Trial, question: str, answer: str) -> Rating:
        low, high = self.scale(study)
        choice = Rating.Choice.TIE
        if answer != "tie":
            first = answer == trial.side
            choice = Rating.Choice.FIRST if first else Rating.Choice.SECOND
        return Rating(
            trial=trial,
            question=question,
            choice=choice,
            scale_min=low,
            scale_max=high,
        )

    def answer(self, trial: Trial, rating: Rating) -> str:
        if rating.choice == Rating.Choice.TIE:
            return "tie"
        other = {Trial.Side.LEFT: Trial.Side.RIGHT, Trial.Side.RIGHT: Trial.Side.LEFT}
        first = Trial.Side(trial.side)
        return str(first if rating.choice == Rating.Choice.FIRST else other[first])

    def passed(self, trial: Trial, rating: Rating) -> bool:
        return self.answer(trial, rating) == trial.expected

    def place(self, trial: Trial, item: Item, *, heads: bool) -> None:
        super().place(trial, item, heads=heads)
        trial.side = Trial.Side.LEFT if heads else Trial.Side.RIGHT
