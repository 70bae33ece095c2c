"""The kinds of answers, and what a report on each of them has, and has not.

A study's method says which kind its answers are (`survey.methods.Answers`); whoever
computes or shows something asks here, never for the method's name. No pandas, for the
web process reads this; `analysis/reports/compute.py` has the computation of each. Of a
method whose answers are of two kinds at once the two together are an entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from nstlab.core.factor_names import TAKEN_BY_PAIRS
from survey.methods import Answers, Method, method_of
from survey.models import Study


@dataclass(frozen=True)
class AnswerKind:
    """The words and limits of one kind of answers."""

    word: str
    """The word for them in sentences that count them."""
    interval: str = ""
    """The intervals of a report on them; "" if the report's options decide."""
    screened: bool = True
    """True where rules judge people by such answers: by screening, or as too fast."""
    taken: frozenset[str] = frozenset()
    """Columns of its tables that no factor can have, beside those of every study."""
    no_matrix: str = ""
    """Why there is no table of stimuli × participants; "" if there is."""
    no_contrasts: str = ""
    """Why levels of factors are not compared; "" if they are."""


KINDS: dict[Answers, AnswerKind] = {
    Answers.RATINGS: AnswerKind("ratings"),
    Answers.CHOICES: AnswerKind(
        "choices",
        interval="± 1.96 standard errors of a bootstrap over participants",
        screened=False,
        taken=TAKEN_BY_PAIRS,
        no_matrix="A study of pairs has choices: they are in ratings_long.csv.",
        no_contrasts="Paired comparisons give one scale of all pictures; no contrasts "
        "of levels are computed.",
    ),
}


def kind_of(study: Study) -> AnswerKind:
    """The kind of a study's answers."""
    return kind_by(method_of(study))


def kind_by(method: Method) -> AnswerKind:
    """The kind of the answers that a method gives."""
    return KINDS[method.answers]
