"""The ways to ask about pictures: one file and one template each.

A method decides what is asked, how it is answered and what comes of it; everything
else, from planning to storing, is common and asks the method, never its name. Nothing
here reads or writes the database.
"""

from __future__ import annotations

from typing import Protocol

from survey.methods.acr import ACR, ACRHiddenReference
from survey.methods.base import Answers, CannotAsk, Choice, Method
from survey.methods.dcr import DCR
from survey.methods.pairs import Pairs

METHODS: dict[str, Method] = {}
"""Every method by its name, in the order in which researchers choose."""

SETTINGS: dict[str, str] = {}
"""The columns of a study that are settings of some method, and the help of each."""

LONGEST_NAME = 10  # of a method


def register(method: Method) -> None:
    """Let researchers choose a method. Raises ValueError for a name that is taken or
    does not fit into its column."""
    if method.name in METHODS or not 0 < len(method.name) <= LONGEST_NAME:
        raise ValueError(f"{method.name!r} is no name of a new method.")
    METHODS[method.name] = method
    for column, help_text in method.settings.items():
        SETTINGS.setdefault(column, help_text)


for _method in (ACR(), ACRHiddenReference(), DCR(), Pairs()):
    register(_method)

USUAL = METHODS[ACR.name]
"""What a new study asks by, and what published ratings of single pictures become."""


class _Named(Protocol):
    @property
    def method(self) -> str: ...


def method_of(study: _Named) -> Method:
    """The method a study asks by. Raises KeyError for a name that nobody knows."""
    return METHODS[study.method]


def method_choices() -> list[tuple[str, str]]:
    """Name and label of every method; called whenever choices are looked at, so a new
    method needs no migration."""
    return [(method.name, method.label) for method in METHODS.values()]


def scale_choices() -> list[tuple[int, str]]:
    """The numbers of points that some method's scales have, likewise."""
    found: dict[int, str] = {}
    for method in METHODS.values():
        for points, words in method.scales.items():
            low, high = min(words), max(words)
            ends = "" if low == 1 else f" ({low} to {high})"
            found.setdefault(points, f"{points}{ends}")
    return sorted(found.items())


__all__ = [
    "METHODS",
    "SETTINGS",
    "USUAL",
    "Answers",
    "CannotAsk",
    "Choice",
    "Method",
    "method_choices",
    "method_of",
    "register",
    "scale_choices",
]
