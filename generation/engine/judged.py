"""What the picture that people see is worth beside what its search reported. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generation.engine.settings import RenderSettings

# The search's losses and the finished picture's, each by term with its `total`.
Losses = Mapping[str, Mapping[str, float | None]]

# In the rows of a free search's curve that have it: the total of the picture of 8 bits.
SEEN = "picture"

# A picture with so much more than its search reported is another picture.
MOST_OFF = 1.05


def ratio(losses: Losses) -> float | None:
    """The finished picture's total over the search's; None where it is no number."""
    searched = losses.get("search", {}).get("total")
    finished = losses.get("picture", {}).get("total")
    if searched is None or finished is None or searched <= 0:
        return None
    return finished / searched


def belongs(settings: RenderSettings) -> bool:
    """Whether the convention of these settings was published with their range."""
    published = settings.how.published.get(settings.objective, {})
    return published.get("range") == settings.range


def warning(settings: RenderSettings, losses: Losses) -> str:
    """A sentence where the picture is not what was searched for, or nothing.

    A published convention that cuts its pictures is not warned of.
    """
    off = ratio(losses)
    if off is None or off <= MOST_OFF or belongs(settings):
        return ""
    instead = "; with range = inside nothing is cut" if settings.range == "free" else ""
    return (
        f"The finished picture of 8 bits has {off:.2f} times the objective that the "
        f"search reported{instead}."
    )


def kept_losses(losses: Any, curve: Any) -> dict[str, Any]:
    """The losses of the picture that was kept, by term.

    Those of a picture painted before they were computed are its search's: on the
    pyramid's finest level the evaluation of least total.
    """
    if losses:
        return dict(losses["picture"])
    finest = max((point["level"] for point in curve), default=1)
    finite = [
        point
        for point in curve
        if point["level"] == finest and point["total"] is not None
    ]
    return dict(min(finite, key=lambda point: point["total"], default={}))
