"""Expansion of a parameter grid into render settings. Pure: no Django, no torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generation.engine.errors import SettingsError
from generation.engine.settings import RenderSettings, request_digest

MOST_RENDERS = 20_000


class ImpossibleGrid(ValueError):
    """The grid cannot be painted; the text says which part and what is possible."""


@dataclass(frozen=True)
class Cell:
    """One render to paint: a pair of pictures and everything that paints it.

    `content` and `style` are whatever keys the caller named the pictures by.
    """

    content: Any
    style: Any
    settings: RenderSettings
    digest: str


def expand(
    *,
    pairs: Sequence[tuple[Any, Any]],
    pixel_digests: Mapping[Any, str],
    content_layers: Sequence[str],
    alpha_beta: Sequence[float],
    tv_weights: Sequence[float],
    fixed: Mapping[str, Any],
) -> list[Cell]:
    """Every combination, in the order pair, content layer, α/β, TV weight.

    An α/β level means α = the ratio and β = 1. Equal cells appear once, where they
    appear first. `pixel_digests` gives each picture's pixel sha256; `fixed` the other
    fields of RenderSettings.

    Raises ImpossibleGrid for an empty axis, for more than MOST_RENDERS cells (counted
    before any is made) and for a combination the engine refuses.
    """
    axes = {
        "pair of pictures": pairs,
        "content layer": content_layers,
        "α/β": alpha_beta,
        "TV weight": tv_weights,
    }
    empty = [name for name, levels in axes.items() if not levels]
    if empty:
        raise ImpossibleGrid(
            f"The grid has 0 renders: give at least one {' and one '.join(empty)}."
        )
    count = 1
    for levels in axes.values():
        count *= len(levels)
    if count > MOST_RENDERS:
        raise ImpossibleGrid(
            f"The grid has {count:,} renders; at most {MOST_RENDERS:,} are possible. "
            "Take levels or pairs away."
        )
    cells: dict[str, Cell] = {}
    for (content, style), layer, ratio, tv_weight in itertools.product(
        pairs, content_layers, alpha_beta, tv_weights
    ):
        try:
            settings = RenderSettings(
                **fixed,
                content_layers=((layer, 1.0),),
                alpha=ratio,
                beta=1.0,
                tv_weight=tv_weight,
            )
        except SettingsError as refused:
            raise ImpossibleGrid(str(refused)) from refused
        digest = request_digest(
            settings,
            content_sha256=pixel_digests[content],
            style_sha256=pixel_digests[style],
        )
        cells.setdefault(digest, Cell(content, style, settings, digest))
    return list(cells.values())
