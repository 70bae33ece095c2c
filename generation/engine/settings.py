"""What one render is asked to be: validated, canonical, digestible. No torch.

The web process builds, checks and digests `RenderSettings`; a worker paints them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from generation.engine.errors import SettingsError
from generation.engine.objectives import OBJECTIVES as OBJECTIVES

# Part of every request's digest: raise it when the same settings paint differently.
ENGINE_VERSION = "1"


def _layers(*convolutions: int) -> tuple[str, ...]:
    return tuple(
        f"conv{block}_{n}"
        for block, count in enumerate(convolutions, start=1)
        for n in range(1, count + 1)
    )


NETWORK_LAYERS: dict[str, tuple[str, ...]] = {
    "vgg16": _layers(2, 2, 3, 3, 3),
}
PAPER_STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
POOLINGS = ("max", "average")
STARTS = ("noise", "content")
OPTIMISERS = ("lbfgs",)
MIN_SIZE, MAX_SIZE = 8, 4096
MAX_EVALUATIONS = 100_000

Layers = tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Everything that decides a render's pixels but the two pictures.

    `alpha`, `beta` and `tv_weight` weigh the objective's three terms (Eq. 1);
    layers are (name, weight) pairs, the weights being Eq. 6's w_l; `size` is the
    side of the square both pictures are resized to, in pixels; `evaluations` is
    how often the objective and its gradient may be computed.

    Raises `SettingsError`, which names the field and what it may be.
    """

    network: str = "vgg16"
    weights: str = "imagenet"
    pooling: str = "max"
    content_layers: Layers = (("conv3_1", 1.0),)
    style_layers: Layers = tuple((name, 0.2) for name in PAPER_STYLE_LAYERS)
    alpha: float
    beta: float = 1.0
    tv_weight: float = 0.0
    objective: str = "paper"
    start: str = "noise"
    seed: int = 0
    size: int = 300
    optimiser: str = "lbfgs"
    evaluations: int = 240

    def __post_init__(self) -> None:
        self._one_of("network", NETWORK_LAYERS)
        self._one_of("pooling", POOLINGS)
        self._one_of("objective", OBJECTIVES)
        self._one_of("start", STARTS)
        self._one_of("optimiser", OPTIMISERS)
        self._check_weights()
        for name in ("alpha", "beta", "tv_weight"):
            self._set(name, _number(name, getattr(self, name)))
        if self.alpha == 0 and self.beta == 0:
            raise SettingsError(
                "alpha", "alpha and beta are both 0: at least one must be above 0."
            )
        self._check_layers("content_layers", weighed_by="alpha")
        self._check_layers("style_layers", weighed_by="beta")
        self._integer("seed", 0, 2**63 - 1)
        self._integer("evaluations", 1, MAX_EVALUATIONS)
        self._integer("size", MIN_SIZE, MAX_SIZE)
        self._check_depth()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _one_of(self, name: str, allowed: Iterable[str]) -> None:
        value = getattr(self, name)
        allowed = list(allowed)
        if value not in allowed:
            raise SettingsError(
                name, f"{name} must be one of {', '.join(allowed)}; got {value!r}."
            )

    def _integer(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingsError(name, f"{name} must be a whole number; got {value!r}.")
        if not low <= value <= high:
            raise SettingsError(
                name, f"{name} must be between {low} and {high}; got {value}."
            )

    def _check_weights(self) -> None:
        pattern = r"imagenet|random:(0|[1-9]\d{0,17})|file:[0-9a-f]{64}"
        value = self.weights
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise SettingsError(
                "weights",
                "weights must be imagenet, random:SEED with a whole number, or "
                f"file:SHA256 with 64 lower-case hex digits; got {value!r}.",
            )

    def _check_layers(self, name: str, *, weighed_by: str) -> None:
        value = getattr(self, name)
        try:
            pairs = [(layer, weight) for layer, weight in value]
        except (TypeError, ValueError):
            raise SettingsError(
                name, f"{name} must be pairs of a layer and its weight; got {value!r}."
            ) from None
        known = NETWORK_LAYERS[self.network]
        seen = set()
        for layer, _ in pairs:
            if layer not in known:
                raise SettingsError(
                    name,
                    f"{name} knows no layer {layer!r}: {self.network} has "
                    f"{', '.join(known)}.",
                )
            if layer in seen:
                raise SettingsError(name, f"{name} names {layer} twice.")
            seen.add(layer)
        if not pairs and getattr(self, weighed_by) > 0:
            raise SettingsError(
                name,
                f"{name} may be empty only when {weighed_by} is 0; "
                f"choose from {', '.join(known)}.",
            )
        weighed = tuple((layer, _number(name, weight)) for layer, weight in pairs)
        if any(weight == 0 for _, weight in weighed):
            raise SettingsError(
                name, f"{name} needs weights above 0; leave a layer out instead."
            )
        self._set(name, weighed)

    def _check_depth(self) -> None:
        if self.size < (needed := least_side(self.layers)):
            raise SettingsError(
                "size",
                f"size must be at least {needed} for the deepest layer used; "
                f"got {self.size}.",
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are read, in the network's order."""
        used = {layer for layer, _ in self.content_layers + self.style_layers}
        return tuple(layer for layer in NETWORK_LAYERS[self.network] if layer in used)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON has them: layers are lists of [name, weight]."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("content_layers", "style_layers"):
            values[name] = [list(pair) for pair in values[name]]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RenderSettings:
        """The inverse of `to_dict`; a name left out takes its default."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise SettingsError(
                    str(name), f"There is no setting {name!r}: {', '.join(known)}."
                )
        if "alpha" not in values:
            raise SettingsError("alpha", "alpha is missing: it has no default.")
        return cls(**values)

    def canonical_json(self) -> str:
        """One text per settings: sorted names, floats as their shortest repr."""
        return _canonical(self.to_dict())

    def digest(self) -> str:
        """The sha256 of the canonical JSON, as 64 hex digits."""
        return _sha256(self.canonical_json())

    def columns(self) -> dict[str, str | float | int]:
        """The factors under the column names that tables and exports use."""
        return {
            "content_layer": "|".join(layer for layer, _ in self.content_layers),
            "style_layers": "|".join(layer for layer, _ in self.style_layers),
            "alpha": self.alpha,
            "beta": self.beta,
            "tv_weight": self.tv_weight,
            "objective": self.objective,
            "network": self.network,
            "pooling": self.pooling,
            "weights": self.weights,
            "start": self.start,
            "size": self.size,
            "evaluations": self.evaluations,
            "seed": self.seed,
        }


def request_digest(
    settings: RenderSettings, *, content_sha256: str, style_sha256: str
) -> str:
    """Name a render by what was asked: 64 hex digits.

    Covers the settings, the bytes of both pictures and the engine's version.
    """
    return _sha256(
        _canonical(
            {
                "engine": ENGINE_VERSION,
                "settings": settings.to_dict(),
                "content": content_sha256,
                "style": style_sha256,
            }
        )
    )


def least_side(layers: Iterable[str]) -> int:
    """The shortest side, in pixels, that leaves the deepest layer one value."""
    return max((2 ** (int(layer[4]) - 1) for layer in layers), default=1)


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SettingsError(field, f"{field} must be a number; got {value!r}.")
    if not math.isfinite(value) or value < 0:
        raise SettingsError(
            field, f"{field} must be a finite number of 0 or more; got {value!r}."
        )
    return float(value) + 0.0  # + 0.0 makes -0.0 the same request as 0.0


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
