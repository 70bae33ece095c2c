"""What a method of asking has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from survey.models import Item, Rating, Stimulus, Study, Trial


class CannotAsk(Exception):
    """The study's pictures do not suffice for its method; the text says what lacks."""


@dataclass(frozen=True)
class Choice:
    """One answer that is offered: what the form sends, what people read."""

    value: str
    label: str | Promise
    number: bool = True

    @property
    def spoken(self) -> str:
        """As the page names it: `5 Excellent`, or the label alone."""
        return f"{self.value} {self.label}".strip() if self.number else str(self.label)


class Method:
    """One way to ask. `template` shows the pictures of a trial."""

    template: ClassVar[str]
    needs_references: ClassVar[bool] = False
    default_question: ClassVar[str | Promise] = _(
        "How good is this picture as a painting?"
    )

    def choices(self, study: Study) -> list[Choice]:
        """The answers to every question, the best first."""
        raise NotImplementedError

    def items(self, study: Study, stimuli: Sequence[Stimulus]) -> list[Item]:
        """Unsaved items: everything a full session asks about. Raises CannotAsk."""
        raise NotImplementedError

    def rating(self, study: Study, trial: Trial, question: str, answer: str) -> Rating:
        """The unsaved row for an answer that is one of `choices`."""
        low, high = self.scale(study)
        return Rating(
            trial=trial,
            question=question,
            rating=int(answer),
            scale_min=low,
            scale_max=high,
        )

    def answer(self, trial: Trial, rating: Rating) -> str:
        """What the form sent for a stored row: the inverse of `rating`."""
        return str(rating.rating)

    def passed(self, trial: Trial, rating: Rating) -> bool:
        """Whether a check was answered as expected; a gold answer within one step."""
        if trial.instructed:
            return self.answer(trial, rating) == trial.expected
        return rating.rating is not None and (
            abs(rating.rating - int(trial.expected)) <= 1
        )

    def scale(self, study: Study) -> tuple[int, int]:
        """The least and the greatest number that can be answered."""
        numbers = [int(choice.value) for choice in self.choices(study)]
        return min(numbers), max(numbers)

    def place(self, trial: Trial, item: Item, *, heads: bool) -> None:
        """Write an item into a trial; `heads` is a drawn coin, for what is random."""
        trial.item = item
        trial.stimulus = item.stimulus
        trial.second = item.second

    def score(self, rating: Rating) -> int:
        """What an answer to the main question adds to its item's sum."""
        return rating.rating or 0
