"""The protocol of a rating method: what it must say, and what most of them say alike.

A method describes; it reads no database and writes none, so that models, pages and
analysis can all ask it. What it is asked about are rows of the survey (a study, its
stimuli, a trial, a rating), of which it reads what the protocols below name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Flag, auto
from typing import Any, ClassVar, Protocol, TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from survey.methods.scales import Scale


class CannotAsk(Exception):
    """The study's pictures do not suffice for its method; the text says what lacks."""


class Answers(Flag):
    """What answers are, which decides what can be computed from them.

    RATINGS are numbers on a scale, each about one picture: they have means, intervals
    and contrasts. CHOICES name the better of two pictures: they give one scale of all.
    """

    RATINGS = auto()
    CHOICES = auto()


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


# What a method reads of the survey's rows -----------------------------------------


class Asking(Protocol):
    """A study: the settings that some method or other has."""

    @property
    def scale_points(self) -> int: ...
    @property
    def tie_allowed(self) -> bool: ...
    @property
    def pairs_within(self) -> str: ...
    @property
    def order(self) -> str: ...
    @property
    def target_half_width(self) -> float | None: ...


class Picture(Protocol):
    """A stimulus: what it is used for, and how it was made."""

    @property
    def rated(self) -> bool: ...
    @property
    def is_reference(self) -> bool: ...
    @property
    def reference(self) -> Any: ...
    @property
    def training_order(self) -> int | None: ...
    @property
    def gold_answer(self) -> int | None: ...
    @property
    def parameters(self) -> Any: ...


class Shown(Protocol):
    """A trial: on which side its first picture stands, and what a check asks for."""

    @property
    def side(self) -> str: ...
    @property
    def expected(self) -> str: ...
    @property
    def instructed(self) -> bool: ...


class Given(Protocol):
    """A stored answer: a number on the scale, or which picture was chosen."""

    @property
    def rating(self) -> int | None: ...
    @property
    def choice(self) -> str: ...


P = TypeVar("P", bound=Picture)


Quality = Callable[[str], int]
"""How good somebody who is simulated finds a stimulus, by its code."""


# The protocol ----------------------------------------------------------------------


class Method:
    """One way to ask about pictures. What is not said here is common to all.

    A new method says its `name`, `label`, `answers` and `template`, and what it offers
    (`choices`) about what (`items`); the rest it changes where it differs.
    """

    # For researchers
    name: ClassVar[str]
    """As in the database, bundles and command lines; ten characters at most."""
    label: ClassVar[str]
    """What researchers choose it by."""
    settings: ClassVar[Mapping[str, str]] = {}
    """The columns of `Study` that are settings of this method, each with its help."""
    scales: ClassVar[Mapping[int, Mapping[int, str | Promise]]] = {}
    """The scales to choose from by their number of points, if `scale_points` is one
    of its settings: the words at each number, the best first."""

    # For participants
    template: ClassVar[str]
    """Shows a trial's pictures: `trial`, `pictures` from left to right, `study`."""
    answers_template: ClassVar[str] = "survey/trials/_choices.html"
    """Offers the answers to the question `name`: `choices`. What it sends is called
    `answer-NAME`."""
    default_question: ClassVar[str | Promise] = _(
        "How good is this picture as a painting?"
    )
    keys: ClassVar[str | Promise] = _("Digits choose, Enter confirms.")
    """Which keys answer. The script knows digits, and arrows for left, right, tie."""
    welcome: ClassVar[str] = (
        "You will see pictures one by one and say how good you find each."
    )
    """The welcome text that a new study begins with."""

    # What is shown
    seconds_a_trial: ClassVar[float] = 9.0
    """Looking and answering, as ACR sessions of still pictures usually take."""
    needs_references: ClassVar[bool] = False
    """Whether each render's content image is taken into the study too."""
    rates_references: ClassVar[bool] = False
    """Whether these content images are rated like any other picture."""

    # What comes of it
    answers: ClassVar[Answers]
    sends_numbers: ClassVar[bool] = True
    """Whether the form sends numbers of the scale: then a check expects one too."""
    votes_per_answer: ClassVar[int] = 1
    """About how many of its pictures an answer says something: the first, or both."""
    no_other_scale: ClassVar[str] = "only ratings of ACR have other scales"
    """Why imported ratings can have no scale but the method's own; "" if any."""

    # What is offered -----------------------------------------------------------------

    def choices(self, study: Asking) -> list[Choice]:
        """The answers to every question, the best first."""
        raise NotImplementedError

    def scale(self, study: Asking) -> Scale:
        """The numbers that can be answered; by default from those of the choices."""
        numbers = [int(choice.value) for choice in self.choices(study)]
        return Scale(Decimal(min(numbers)), Decimal(max(numbers)))

    def instructable(self, study: Asking) -> list[str]:
        """The answers that a check may ask for: those with a word."""
        return [choice.value for choice in self.choices(study) if choice.label]

    def accepts(self, study: Asking, answer: str) -> bool:
        """Whether a form may send this as the answer to a question."""
        return any(choice.value == answer for choice in self.choices(study))

    def spoken(self, study: Asking, answer: str) -> str:
        """An answer as the page names it; "" for what is none."""
        found = (it.spoken for it in self.choices(study) if it.value == answer)
        return next(found, "")

    def how_many(self, count: int) -> str:
        """The welcome page's sentence about `count` trials."""
        text = ngettext(
            "There is %(count)s picture.", "There are %(count)s pictures.", count
        )
        return text % {"count": count}

    # A session -----------------------------------------------------------------------

    def items(
        self, study: Asking, stimuli: Sequence[P]
    ) -> Sequence[tuple[P, P | None]]:
        """Everything a full session asks about: a picture, alone or with a second one.

        Raises CannotAsk.
        """
        raise NotImplementedError

    def beside(self, stimulus: P) -> P | None:
        """What is shown beside one picture, in practice and in checks as well."""
        return None

    def practice(self, stimuli: Sequence[P]) -> list[tuple[P, P | None]]:
        """The trials that practise with these pictures, which come worst first."""
        return [(each, self.beside(each)) for each in stimuli]

    def side(self, *, heads: bool) -> str:
        """Where the first picture of a trial stands, by a drawn coin: left, right, or
        "" where nothing is drawn."""
        return ""

    # An answer -----------------------------------------------------------------------

    def stored(self, trial: Shown, answer: str) -> dict[str, Any]:
        """The column of `Rating` that holds an accepted answer: rating or choice."""
        return {"rating": int(answer)}

    def answer(self, trial: Shown, rating: Given) -> str:
        """What the form sent for a stored row: the inverse of `stored`."""
        return str(rating.rating)

    def passed(self, trial: Shown, rating: Given) -> bool:
        """Whether a check was answered as expected; a gold answer within one step."""
        if trial.instructed:
            return self.answer(trial, rating) == trial.expected
        return rating.rating is not None and (
            abs(rating.rating - int(trial.expected)) <= 1
        )

    def score(self, rating: Given) -> int:
        """What an answer to the main question adds to its item's sum."""
        return rating.rating or 0

    def simulated(
        self, offered: Sequence[str], shown: Sequence[str], quality: Quality
    ) -> str:
        """What somebody simulated answers to a page: one of the values `offered`, of
        the stimuli `shown` from left to right.

        By default the number nearest to the quality of the last one: with a reference
        beside it, the picture in question comes last.
        """
        wanted = quality(shown[-1])
        return min(offered, key=lambda value: abs(int(value) - wanted))

    def range_of_truth(self, study: Asking) -> tuple[int, int]:
        """Between which numbers simulated people find pictures good."""
        scale = self.scale(study)
        return scale.lowest, scale.highest

    # What stands against it -----------------------------------------------------------

    def refusals(self, study: Asking) -> dict[str, str]:
        """Why the study's design cannot be carried out by this method, by field."""
        if "scale_points" not in self.settings and study.scale_points != 5:
            return {"scale_points": "Only ACR has other scales than five points."}
        return {}

    def refuses_one_touch(self, study: Asking) -> str:
        """Why one touch cannot both answer and go on; "" if it can."""
        if study.scale_points > 10:
            return "10 is two keys: on this scale people need Next."
        return ""

    def refuses_known(self, study: Asking, answers: Collection[int]) -> str:
        """Why pictures cannot be checks with these known answers; "" if they can."""
        scale = self.scale(study)
        low, high = scale.lowest, scale.highest
        if all(low <= answer <= high for answer in answers):
            return ""
        return f"A known answer lies on the scale, {low} to {high}."

    def refuses_trial(self, *, second: str, side: str) -> str:
        """Why a trial of a file, with the code of its second picture and the side of
        its first, is none of this method; "" if it is one."""
        return ""

    # For analysis --------------------------------------------------------------------

    @property
    def has_interval(self) -> bool:
        """Whether a picture has a mean on a scale, and an interval around it."""
        return Answers.RATINGS in self.answers

    def described(self, study: Asking) -> str:
        """How people answered, as a paper says it."""
        return f"{self.scale(study)} ({self.label})"
