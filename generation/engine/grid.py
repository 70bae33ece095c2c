"""Expansion of a parameter grid into render settings. Pure: no Django, no torch.

An axis is the name of a setting (a field of `RenderSettings`) and its levels; an axis
with one level is a fixed setting. `alpha_beta` is an axis of its own: α is the level
and β is 1. A level of `content_layer` or `style_layers` is a set of layers written
as `conv1_1|conv2_1`, or `conv1_1=0.3|conv2_1=0.7` with weights; `none` is no layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from generation.engine.errors import SettingsError
from generation.engine.factors import (
    FACTORS,
    RATIO,
    setting_names,
    settings_that_vary,
)
from generation.engine.networks.weights import named_with_input
from generation.engine.registry import METHODS, Method, foreign_settings
from generation.engine.settings import (
    COMMON,
    LAYERS,
    WEIGHINGS,
    RenderSettings,
    check_shape,
    parse_layers,
    request_digest,
)
from generation.engine.shapes import CENTRE, Size

MOST_RENDERS = 20_000
# Exactly one of them is an axis.
WEIGHING_AXES = (*WEIGHINGS, RATIO)

Axes = Mapping[str, Sequence[Any]]
NameWeights = Callable[[str, str], str]

_NOTHING: Mapping[Any, Any] = MappingProxyType({})
# The settings that say where a picture is cut, by the picture's role in a pair.
_FOCUSES = {"content_focus": "content", "style_focus": "style"}


class ImpossibleGrid(ValueError):
    """The grid cannot be painted; the text says which part and what is possible."""


@dataclass(frozen=True)
class PicturePair:
    """Two pictures, and the axes of this pair that replace the grid's own.

    `content` and `style` are whatever keys the caller names the pictures by.
    """

    content: Any
    style: Any
    axes: Axes = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One render to paint: a pair of pictures and everything that paints it."""

    content: Any
    style: Any
    settings: RenderSettings
    digest: str


def crossed(contents: Iterable[Any], styles: Sequence[Any]) -> list[PicturePair]:
    """Every content picture with every style picture, contents first."""
    return [PicturePair(content, style) for content in contents for style in styles]


def overridden(axes: Axes, own: Axes) -> dict[str, Sequence[Any]]:
    """`axes` with those of the same name replaced; what weighs content replaces what
    else does."""
    replaced: set[str] = set()
    if not own.keys().isdisjoint(WEIGHING_AXES):
        replaced = {*WEIGHING_AXES}
    if RATIO in own:
        replaced.add("beta")
    kept = {name: levels for name, levels in axes.items() if name not in replaced}
    return {**kept, **own}


def expand(
    *,
    pairs: Sequence[PicturePair],
    pixel_digests: Mapping[Any, str],
    axes: Axes,
    fixed: Mapping[str, Any],
    focuses: Mapping[Any, str] = _NOTHING,
    sizes: Mapping[Any, Size] = _NOTHING,
    weights: NameWeights = lambda name, network: name,
) -> list[Cell]:
    """Every combination, ordered by pair, then by axis; the last axis varies fastest.

    Equal cells appear once, where they appear first; so do cells that differ only in
    a setting that does nothing there, as the seed without noise. `pixel_digests` gives
    each picture's pixel sha256; `fixed` the settings that no axis names; `focuses`
    where pictures are cut, unless an axis or `fixed` says so; `sizes` their pixels;
    `weights` the name under which weights of a network are painted with.

    Raises ImpossibleGrid for an empty or unknown axis, for more than MOST_RENDERS
    cells (counted before any is made), for an axis that changes nothing and for a
    combination the engine refuses, a picture too narrow for its network among them.
    """
    per_pair = [overridden(axes, pair.axes) for pair in pairs]
    _check_axes(pairs, [axes, *per_pair])
    count = sum(_size(each) for each in per_pair)
    if count > MOST_RENDERS:
        raise ImpossibleGrid(
            f"The grid has {count:,} renders; at most {MOST_RENDERS:,} are possible. "
            "Take levels or pairs away."
        )
    # Few conditions meet many pairs of pictures of few sizes.
    focused, check = cache(_focused), cache(_check_shape)
    cells: dict[str, Cell] = {}
    shared: list[RenderSettings] | None = None
    for pair, own in zip(pairs, per_pair, strict=True):
        if pair.axes:
            conditions = _conditions(own, fixed, weights)
        else:
            conditions = shared = shared or _conditions(axes, fixed, weights)
        told = {name for name in _FOCUSES if name in own or name in fixed}
        asked = tuple(
            (name, focuses.get(getattr(pair, role), CENTRE))
            for name, role in _FOCUSES.items()
            if name not in told
        )
        for condition in conditions:
            settings = focused(condition, asked)
            for role in _FOCUSES.values():
                if size := sizes.get(getattr(pair, role)):
                    check(condition, size, role)
            digest = request_digest(
                settings,
                content_sha256=pixel_digests[pair.content],
                style_sha256=pixel_digests[pair.style],
            )
            cells.setdefault(digest, Cell(pair.content, pair.style, settings, digest))
    return list(cells.values())


def _focused(
    settings: RenderSettings, asked: tuple[tuple[str, str], ...]
) -> RenderSettings:
    """The settings with the pictures' focus, where it makes a difference."""
    changed: dict[str, Any] = {
        name: focus
        for name, focus in asked
        if focus != getattr(settings, name) and FACTORS[name].matters(settings)
    }
    return replace(settings, **changed) if changed else settings


def _check_shape(settings: RenderSettings, size: Size, role: str) -> None:
    try:
        check_shape(settings, size, role)
    except SettingsError as refused:
        raise ImpossibleGrid(str(refused)) from refused


def _check_axes(pairs: Sequence[PicturePair], all_axes: Iterable[Axes]) -> None:
    missing = [] if pairs else ["pair of pictures"]
    for axes in all_axes:
        for name, levels in axes.items():
            _check_name(name)
            if isinstance(levels, str) or not isinstance(levels, Sequence):
                raise ImpossibleGrid(f"The levels of {name} must be a list.")
            if not levels:
                missing.append(FACTORS[name].label or name)
        weighing = [name for name in WEIGHING_AXES if name in axes]
        if not weighing:
            missing.append("balance or α/β")
        elif len(weighing) > 1 and "balance" in axes:
            raise ImpossibleGrid(
                "Give levels of one of balance, alpha and α/β: each says how much "
                "content weighs."
            )
        elif RATIO in axes and ("alpha" in axes or "beta" in axes):
            raise ImpossibleGrid(
                "With α/β levels, α is the ratio and β is 1. Give either those or "
                "levels of alpha and beta."
            )
    if missing:
        lacking = " and one ".join(dict.fromkeys(missing))
        raise ImpossibleGrid(f"The grid has 0 renders: give at least one {lacking}.")


def _check_name(name: str) -> None:
    known = setting_names()
    if name not in known and name != RATIO:
        raise ImpossibleGrid(
            f"There is no setting {name!r}; an axis is one of alpha_beta, "
            f"{', '.join(settings_that_vary())}."
        )


def _size(axes: Axes) -> int:
    count = 1
    for levels in axes.values():
        count *= len(levels)
    return count


def _conditions(
    axes: Axes, fixed: Mapping[str, Any], weights: NameWeights
) -> list[RenderSettings]:
    """The settings of every combination of levels, each once."""
    # Each level of a setting that does nothing would paint the same picture again.
    varied = [
        FACTORS[name]
        for name, levels in axes.items()
        if FACTORS[name].where and (len(levels) > 1 or name not in COMMON)
    ]
    mattered = set()
    conditions: dict[RenderSettings, None] = {}
    try:
        for values in combinations(axes, fixed):
            settings = _settings(values)
            for factor in varied:
                name = factor.name
                if factor.matters(settings):
                    mattered.add(name)
                elif name in COMMON:
                    first = _settings({**values, name: axes[name][0]})
                    settings = replace(settings, **{name: getattr(first, name)})
            named = weights(settings.weights, settings.network)
            if named != settings.weights:
                settings = replace(settings, weights=named)
            conditions.setdefault(settings)
    except SettingsError as refused:
        raise ImpossibleGrid(str(refused)) from refused
    for factor in varied:
        if factor.name not in mattered:
            raise ImpossibleGrid(
                f"Levels of {factor.label or factor.name} change nothing here: every "
                f"one would paint the same picture. It matters where {factor.where}."
            )
    return list(conditions)


def combinations(axes: Axes, fixed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every combination of levels, with what is fixed; the last axis varies fastest."""
    for levels in itertools.product(*axes.values()):
        yield {**fixed, **dict(zip(axes, levels, strict=True))}


def _settings(values: Mapping[str, Any]) -> RenderSettings:
    values = dict(values)
    if RATIO in values:
        values |= {"alpha": values.pop(RATIO), "beta": 1.0}
    if (method := METHODS.get(values.get("method", RenderSettings.method))) is not None:
        # Beside cells of this method may stand others, with settings that it has not.
        for name in foreign_settings(method):
            values.pop(name, None)
    settings = RenderSettings.from_dict(read_layers(values, _weight))
    name, sentence = named_with_input(settings.weights)
    if sentence:
        raise SettingsError("weights", f"{sentence} Write {name}.")
    return settings


def read_layers(
    values: Mapping[str, Any], weight: Callable[[str, str], float]
) -> dict[str, Any]:
    """Settings in which layers that are written as texts are read.

    Without weights, content layers count 1 each and style layers what the method's
    convention gives them. `weight` reads the weight of a setting's `LAYER=WEIGHT`.
    """
    method = METHODS.get(values.get("method", RenderSettings.method))
    objective = values.get("objective", RenderSettings.objective)
    read = dict(values)
    for name in LAYERS:
        if isinstance(values.get(name), str) and method is not None:
            read[name] = parse_layers(
                values[name],
                share=partial(_share, method, name, objective),
                weight=partial(weight, name),
            )
    return read


def _share(method: Method, name: str, objective: str, layers: int) -> float:
    return method.layer_weight(name, layers, objective)


def _weight(name: str, part: str) -> float:
    return _number(name, part.partition("=")[2])


# Axes as people write them ----------------------------------------------------


def parse_axes(text: str) -> dict[str, list[Any]]:
    """Read axes from lines such as `seed = 0, 1, 2`.

    Raises ImpossibleGrid, naming what cannot be read.
    """
    axes: dict[str, list[Any]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, rest = (part.strip() for part in line.partition("="))
        if not equals:
            raise ImpossibleGrid(
                f"{line!r} is not an axis; write one a line, as: seed = 0, 1, 2."
            )
        if name in axes:
            raise ImpossibleGrid(f"There are two lines for {name}; write one.")
        levels = [
            _level(name, word.strip()) for word in rest.split(",") if word.strip()
        ]
        axes[name] = list(dict.fromkeys(levels))
        _check_name(name)
        if not axes[name]:
            raise ImpossibleGrid(f"{name} needs at least one level.")
    return axes


def axes_text(axes: Axes) -> str:
    """The inverse of `parse_axes`."""
    return "\n".join(
        f"{name} = {', '.join(str(level) for level in levels)}"
        for name, levels in axes.items()
    )


def _level(name: str, word: str) -> Any:
    kind = FACTORS[name].level_type if name in FACTORS else str
    if kind is int:
        try:
            return int(word)
        except ValueError:
            raise ImpossibleGrid(
                f"{name} takes whole numbers; {word!r} is none."
            ) from None
    return _number(name, word) if kind is float else word


def _number(name: str, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ImpossibleGrid(f"{name} takes numbers; {word!r} is none.") from None
