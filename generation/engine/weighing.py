"""What a typed α comes to as a balance: of which settings, and in words. No torch."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from generation.engine.settings import COMMON, WEIGHINGS, RenderSettings

# Settings that change how a picture is searched for, and neither S nor C of the two
# pictures that it lies between.
_OF_THE_SEARCH = frozenset(
    (
        "tv_weight", "start", "blend", "seed", "optimiser", "learning_rate",
        "evaluations", "pyramid", "precision", "range",
    )
)  # fmt: skip
_OF_THE_ENDS = tuple(
    name for name in COMMON if name not in {*_OF_THE_SEARCH, *WEIGHINGS, "beta"}
)
# Up to which balance, to the eye; between those that were looked at
# (docs/reference/engine.md) half way on a scale of decades.
_LOOKS = ((0.017, "style alone"), (0.055, "mostly style"), (0.17, "both"))
_ABOVE = "mostly content"


def has_balance(settings: RenderSettings) -> bool:
    """Whether an α was given to these settings that could be said as a balance."""
    return bool(
        settings.alpha
        and settings.beta
        and settings.how.balanced
        and settings.content_layer
        and settings.style_layers
    )


def key_of_ends(settings: RenderSettings) -> Hashable:
    """What settings with the same S(content photo) / C(style picture) share; quick."""
    return (*(getattr(settings, name) for name in _OF_THE_ENDS), settings.own)


def settings_of_ends(settings: RenderSettings) -> RenderSettings:
    """The settings that decide S(content photo) / C(style picture); the others, α and β
    among them, as if nobody had set them."""
    unset: dict[str, Any] = {name: COMMON[name] for name in _OF_THE_SEARCH}
    return replace(settings.with_alpha(1.0), beta=1.0, **unset)


def balance_in_words(balance: float) -> str:
    """What a picture painted with a balance looks like."""
    return next((words for top, words in _LOOKS if balance < top), _ABOVE)
