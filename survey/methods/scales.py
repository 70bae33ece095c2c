"""Scales of numbers, and how a database of whole numbers holds what is said on them.

A row holds the rating itself where the points are whole numbers from 0 on. Of any other
scale it holds how many steps the rating is above the lowest, so that fractions are
exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

MOST_STEPS = 32_767  # what a row holds


class BrokenScale(ValueError):
    """Such a scale cannot be kept; the text says why."""


@dataclass(frozen=True)
class Scale:
    """From `low` to `high` in steps; `stated` if a file said so, not the method."""

    low: Decimal
    high: Decimal
    step: Decimal = Decimal(1)
    stated: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or not self.step > 0:
            raise BrokenScale(f"The scale {self.low}–{self.high} has no points.")
        if any(abs(value) >= 10**6 or value != round(value, 6) for value in self.ends):
            raise BrokenScale(
                f"The scale {self.low}–{self.high} in steps of {self.step} has more "
                "than six digits before or after its decimal point."
            )
        steps = (self.high - self.low) / self.step
        if steps % 1:
            raise BrokenScale(
                f"Steps of {self.step} do not lead from {self.low} to {self.high}."
            )
        if self.lowest + steps > MOST_STEPS:
            raise BrokenScale(
                f"The scale {self.low}–{self.high} in steps of {self.step} has "
                f"{steps + 1} points; {MOST_STEPS} fit. Round the ratings."
            )

    @property
    def ends(self) -> tuple[Decimal, Decimal, Decimal]:
        return self.low, self.high, self.step

    @property
    def plain(self) -> bool:
        """Whether rows hold the ratings themselves."""
        return self.step == 1 and self.low >= 0 and self.low % 1 == 0

    @property
    def lowest(self) -> int:
        """What a row holds of the lowest rating."""
        return int(self.low) if self.plain else 0

    @property
    def highest(self) -> int:
        return self.lowest + int((self.high - self.low) / self.step)

    @property
    def bounds(self) -> tuple[int | float, int | float]:
        return _number(self.low), _number(self.high)

    def kept(self, value: Decimal) -> int:
        """What a row holds of a rating. Raises ValueError if it is not on the scale."""
        steps = (value - self.low) / self.step
        if steps % 1 or not self.low <= value <= self.high:
            raise ValueError(f"{value} is not on the scale {self}")
        return self.lowest + int(steps)

    def rating(self, kept: int) -> int | float:
        """The rating that a row holds."""
        if self.plain:
            return kept
        return _number(self.low + (kept - self.lowest) * self.step)

    def mean(self, kept: float) -> float:
        """The mean of ratings by that of what the rows hold."""
        return kept if self.plain else float(self.low) + kept * float(self.step)

    def __str__(self) -> str:
        steps = "" if self.step == 1 else f" in steps of {_number(self.step)}"
        return f"{_number(self.low)}–{_number(self.high)}{steps}"


def _number(value: Decimal) -> int | float:
    return int(value) if value % 1 == 0 else float(value)
