"""Values of settings, checked alike wherever they come from."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from generation.engine.errors import SettingsError


def one_of(
    field: str, value: object, allowed: Iterable[str], *, also: Iterable[str] = ()
) -> None:
    """Refuse a value that is none of `allowed`; `also` is said besides them.

    Raises `SettingsError`, as all checks here.
    """
    allowed = list(allowed)
    if value not in allowed:
        listed = ", ".join([*allowed, *also])
        raise SettingsError(field, f"{field} must be one of {listed}; got {value!r}.")


def integer(field: str, value: object, low: int, high: int) -> int:
    """A whole number between `low` and `high`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise SettingsError(field, f"{field} must be a whole number; got {value!r}.")
    if not low <= value <= high:
        raise SettingsError(
            field, f"{field} must be between {low} and {high}; got {_told(value)}."
        )
    return value


def number(
    field: str, value: object, low: float = 0.0, high: float = math.inf
) -> float:
    """A finite number between `low` and `high`, as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(field, f"{field} must be a number; got {value!r}.")
    try:
        checked = float(value) + 0.0  # + 0.0 makes -0.0 the same request as 0.0
    except OverflowError:  # a whole number that no float holds
        checked = math.inf
    if not math.isfinite(checked) or not low <= checked <= high:
        allowed = f" {low:g} to {high:g}" if high < math.inf else f" of {low:g} or more"
        if low == -math.inf:
            allowed = ""
        raise SettingsError(
            field, f"{field} must be a finite number{allowed}; got {checked!r}."
        )
    return checked


def word(field: str, value: object, allowed: Collection[str]) -> str:
    """A text, one of `allowed` where there are any."""
    if not isinstance(value, str):
        raise SettingsError(field, f"{field} must be a text; got {value!r}.")
    if allowed:
        one_of(field, value, allowed)
    return value


def _told(value: int) -> str:
    """A whole number in a sentence; Python writes none of thousands of digits."""
    return str(value) if abs(value) < 10**30 else "a number of more than 30 digits"
