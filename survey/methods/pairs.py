"""Paired comparison, ITU-T P.910 clause 7.4: which of two, forced or with a tie."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from itertools import combinations, pairwise
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from survey.methods.base import (
    Answers,
    Asking,
    CannotAsk,
    Choice,
    Given,
    Method,
    P,
    Quality,
    Shown,
)
from survey.methods.scales import Scale

MOST_PAIRS = 20_000

# What `Trial.side` and `Rating.choice` hold.
LEFT, RIGHT = "left", "right"
FIRST, SECOND, TIE = "first", "second", "tie"


class Pairs(Method):
    """Two pictures side by side; which stands on the left is drawn and stored."""

    name = "pairs"
    label = "pairs: choose the better of two pictures"
    settings = {"tie_allowed": "Pairs only.", "pairs_within": ""}
    template = "survey/trials/pairs.html"
    default_question = _("Which of the two is the better painting?")
    keys = _("Arrow keys choose, Enter confirms.")
    answers = Answers.CHOICES
    sends_numbers = False
    votes_per_answer = 2

    def choices(self, study: Asking) -> list[Choice]:
        offered = [
            Choice(LEFT, pgettext_lazy("pair", "Picture A"), number=False),
            Choice(RIGHT, pgettext_lazy("pair", "Picture B"), number=False),
        ]
        if study.tie_allowed:
            label = pgettext_lazy("pair", "No difference")
            offered.insert(1, Choice(TIE, label, number=False))
        return offered

    def scale(self, study: Asking) -> Scale:
        return Scale(Decimal(0), Decimal(1))

    def items(self, study: Asking, stimuli: Sequence[P]) -> list[tuple[P, P | None]]:
        shown = [it for it in stimuli if it.rated and not it.is_reference]
        within = study.pairs_within == "content"
        pairs: list[tuple[P, P | None]] = [
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
        return pairs

    def practice(self, stimuli: Sequence[P]) -> list[tuple[P, P | None]]:
        """Each picture meets the next better one."""
        return [*pairwise(stimuli)]

    def side(self, *, heads: bool) -> str:
        return LEFT if heads else RIGHT

    def stored(self, trial: Shown, answer: str) -> dict[str, Any]:
        if answer == TIE:
            return {"choice": TIE}
        return {"choice": FIRST if answer == trial.side else SECOND}

    def answer(self, trial: Shown, rating: Given) -> str:
        if rating.choice == TIE:
            return TIE
        other = {LEFT: RIGHT, RIGHT: LEFT}
        return trial.side if rating.choice == FIRST else other[trial.side]

    def passed(self, trial: Shown, rating: Given) -> bool:
        return self.answer(trial, rating) == trial.expected

    def simulated(
        self, offered: Sequence[str], shown: Sequence[str], quality: Quality
    ) -> str:
        """The picture of greater quality; of two alike no difference, if offered."""
        left, right = (quality(code) for code in shown)
        if left == right and TIE in offered:
            return TIE
        return LEFT if left >= right else RIGHT

    def range_of_truth(self, study: Asking) -> tuple[int, int]:
        """Choices have no scale; qualities compare all the same."""
        return 1, 5

    def refusals(self, study: Asking) -> dict[str, str]:
        wrong = {}
        if study.target_half_width is not None:
            wrong["target_half_width"] = "Pairs have no interval to watch."
        if study.order == "blocked":
            wrong["order"] = "Pairs are not shown in blocks."
        return wrong | super().refusals(study)

    def refuses_known(self, study: Asking, answers: Collection[int]) -> str:
        return "Pairs have no pictures with a known answer." if answers else ""

    def refuses_trial(self, *, second: str, side: str) -> str:
        if second and side:
            return ""
        return "a pair has a second picture, and a side of the first"

    def described(self, study: Asking) -> str:
        ties = "with ties" if study.tie_allowed else "forced choice"
        return f"the better of two pictures, {ties} (paired comparison, P.910)"
