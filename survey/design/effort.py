"""Count the votes and people that an interval of a given width takes."""

from __future__ import annotations

import math

from survey.design.precision import student_t

TYPICAL_SD = 0.9
"""Of one picture's ratings on five points, when nothing is known yet."""


def half_width_of(votes: int, sd: float, level: float = 0.95) -> float:
    """Half of the t interval of a picture with so many votes, two at least."""
    return student_t(level, votes - 1) * sd / math.sqrt(votes)


def votes_for(half_width: float, sd: float = TYPICAL_SD, level: float = 0.95) -> int:
    """The least n with t · SD / √n ≤ `half_width`, Student's t on n − 1 degrees."""
    n = max(2, math.floor((1.959 * sd / half_width) ** 2))
    while half_width_of(n, sd, level) > half_width:
        n += 1
    return n


def people_for(half_width: float, *, sd: float, items: int, each: int) -> int:
    """Count the people it takes when each rates `each` of `items` pictures."""
    return math.ceil(votes_for(half_width, sd) * items / each)
