"""The design of a session: which stimuli, in which order, until when.

Pure: the standard library only, no Django. `seed` alone decides everything that is
drawn: the same arguments give the same result.
"""

from __future__ import annotations

from survey.design.allocation import Tally, allocate, balanced_subset
from survey.design.errors import DesignError
from survey.design.orders import (
    BLOCK_ORDERS,
    blocked_order,
    neighbours_alike,
    random_order,
    separated_order,
    williams_order,
    williams_rows,
    williams_square,
)
from survey.design.precision import (
    Precision,
    PrecisionGoal,
    VoteSums,
    allocate_widest,
    assess,
    half_width,
    student_t,
)
from survey.design.session import ORDERS, PlannedTrial, SessionDesign, plan_session

__all__ = [
    "BLOCK_ORDERS",
    "ORDERS",
    "DesignError",
    "PlannedTrial",
    "Precision",
    "PrecisionGoal",
    "SessionDesign",
    "Tally",
    "VoteSums",
    "allocate",
    "allocate_widest",
    "assess",
    "balanced_subset",
    "blocked_order",
    "half_width",
    "neighbours_alike",
    "plan_session",
    "random_order",
    "separated_order",
    "student_t",
    "williams_order",
    "williams_rows",
    "williams_square",
]
