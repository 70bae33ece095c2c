"""What the design layer refuses, in sentences for the researcher."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


class DesignError(ValueError):
    """A design that cannot be; the text says why and what would do."""


def refuse_doubles(stimuli: Sequence[Hashable], what: str = "stimuli") -> None:
    """Raises DesignError where something is listed twice."""
    if len(set(stimuli)) != len(stimuli):
        twice = next(s for s in stimuli if stimuli.count(s) > 1)
        raise DesignError(f"The {what} list {twice!r} twice.")
