"""What a painter is asked for, tells on its way and answers in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from generation.engine.settings import RenderSettings


@dataclass(frozen=True)
class Progress:
    """One evaluation: `total` is weighted, the method's `terms` are not (Eq. 1).

    `picture` makes the picture that was evaluated; ask for it before you return.
    """

    evaluations: int
    budget: int
    total: float
    terms: Mapping[str, float]
    seconds: float
    picture: Callable[[], Image.Image] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Painted:
    """A finished render.

    `image` is the best iterate (evaluation `best_evaluation`), `last` the last one.
    `curve` has a row per evaluation: `evaluation`, the pyramid's `level` from 1, the
    weighted `total`, and the method's terms before their weights: Gatys's are
    `content`, `style` (Eq. 6) and `tv`, of which content and style are not computed
    but 0 where they have no weight. What is not finite is None, since JSON has no word
    for it. `digests` name what went in: the pixels of both pictures, the weights, and
    the caller's keys. `losses` has the curve's total and terms twice: of the best
    iterate (`search`), and of `image`, cut to 0-255 and rounded to 8 bits (`picture`),
    which is what people see. `alpha` is the weight of content that was painted with.
    `style_share` is the style loss of `image` over that of the content photo,
    `content_share` its content loss over that of the style picture, at its size; None
    where there is no such number.
    """

    image: Image.Image
    pixel_sha256: str
    evaluations: int
    seconds: float
    curve: list[dict[str, float | None]]
    environment: dict[str, Any]
    notes: tuple[str, ...]
    last: Image.Image
    best_evaluation: int
    digests: dict[str, str]
    losses: dict[str, dict[str, float | None]]
    alpha: float | None = None
    style_share: float | None = None
    content_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """One picture to paint; `Painter.render` says what its parts mean."""

    settings: RenderSettings
    content: Image.Image
    style: Image.Image
    content_key: str | None = None
    style_key: str | None = None
    start_picture: Image.Image | None = None
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
