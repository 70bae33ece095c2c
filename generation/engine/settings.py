"""What one render is asked to be: validated, canonical, digestible. No torch.

The web process builds, checks and digests `RenderSettings`; a worker paints them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from generation.engine import checks
from generation.engine.errors import SettingsError
from generation.engine.networks.architectures import (
    NETWORK_LAYERS,
    POOLINGS,
    PRE_RELU,
    least_side,
)
from generation.engine.optimisers import OPTIMISERS
from generation.engine.registry import METHODS, Method, Value
from generation.engine.shapes import CENTRE, FITS, Size, checked_focus, fitted
from nstlab.core import old_names
from nstlab.core.old_names import renamed

# Part of every request's digest: raise it when the same settings paint differently.
# 8: a picture to start from is cut to the render's shape unless `fit` is `square`; what
# leaves `fit` out keeps the aspect ratio.
ENGINE_VERSION = "8"


PAPER_STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
STARTS = ("noise", "content", "style", "blend", "picture:SHA256")
RESAMPLES = ("lanczos", "bicubic", "bilinear", "box", "nearest")
PRECISIONS = ("float32", "float64", "tf32", "bf16", "mixed")
COLOURS = ("free", "luminance", "histogram")
RANGES = ("inside", "free")
MIN_SIZE, MAX_SIZE = 8, 4096
MAX_LEVELS = 9
# How much more content weighs on the coarser levels of a pyramid.
LEAN = 3.0
MAX_EVALUATIONS = 100_000
# Each says how much content weighs: exactly one is given.
WEIGHINGS = ("balance", "alpha")
# What forms and commands begin with: to the eye it is both (docs/reference/engine.md).
USUAL_BALANCE = 0.1
ONE_WEIGHING = "Give one of balance and alpha, which both say how much content weighs."
# The part of a level's evaluations that `mixed` computes in bf16.
COARSE_SHARE = 0.85

Layers = tuple[tuple[str, float], ...]
LAYERS = ("content_layer", "style_layers")  # the settings that are such


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Everything that decides a render's pixels but the two pictures.

    | field | meaning, unit, range |
    | --- | --- |
    | method | a name in `METHODS`; what it brings besides these is in `own` |
    | network | `vgg16` or `vgg19` |
    | weights | `imagenet` (the original training, VGG-16 only), `imagenet-v1`, either
      with the sha256 of its values behind it, `imagenet:SHA256`; `random:SEED`,
      `file:SHA256`, or `file:SHA256:v1` and `file:SHA256:caffe-bgr` for a file that
      expects torchvision's usual input or Caffe's instead of IMAGENET1K_FEATURES's |
    | pooling | `max` or `average` |
    | content_layer, style_layers | (layer, weight above 0) pairs, the weights being
      Eq. 6's w_l; `conv3_1` is read after its ReLU, `conv3_1:pre` before it; style
      layers left out are the paper's five with the objective's own weights |
    | balance | α as a multiple, 0 or more, of β · S(content photo) / C(style picture)
      at `size`: what it comes to is known when it is painted |
    | alpha | the weight of content (Eq. 1), 0 or more; given instead of a balance |
    | beta, tv_weight | weights of the two other terms, 0 or more |
    | objective | the method's convention: a name among its `objectives` |
    | start | `noise`, `content`, `style`, `blend` (of noise and content), or
      `picture:SHA256`, a third picture named by its pixels' sha256 |
    | blend | the share of noise in the start `blend`, 0 to 1 |
    | seed | of the noise |
    | size | pixels: the long side, or that of a square |
    | fit | how a picture comes to its size: `aspect` keeps its aspect ratio, `crop`
      cuts a square around its focus, `square` squashes it into one, as the paper |
    | content_focus, style_focus | where `crop` cuts: shares of the picture's width and
      height, as `0.5 0.5`; with `aspect` where a style picture to start from is cut to
      the render's shape |
    | style_scale | the style picture's size as a multiple of `size` |
    | resample | the filter that resizes pictures |
    | optimiser | `lbfgs`, `adam`, or `scipy`: L-BFGS-B restarted every 20 |
    | learning_rate | Adam's, in grey levels |
    | evaluations | how often the objective and its gradient may be computed, over
      all levels of the pyramid |
    | pyramid | levels, each with twice the pixels of the one before; the finest gets
      two thirds of the evaluations, the others as many each |
    | precision | of the network; `tf32` and `bf16` need a GPU; `mixed` is bf16 first
      and float32 for the last part of each level, on what has bf16 instructions and
      not with `scipy` |
    | colour | `free`, `luminance` (content keeps its colours) or `histogram` (style
      takes the content's mean and covariance of colour) |
    | range | `inside` (every picture searched lies within 0-255, and noise starts at
      30 % of its contrast) or `free` (cut to 0-255 in the end) |
    | own | the settings that only this method has, by name |

    Raises `SettingsError`, which names the field and what it may be.
    """

    method: str = "gatys"
    network: str = "vgg16"
    weights: str = "imagenet"
    pooling: str = "max"
    content_layer: Layers = (("conv3_1", 1.0),)
    style_layers: Layers = None  # type: ignore[assignment]  # set in __post_init__
    balance: float | None = None
    alpha: float | None = None
    beta: float = 1.0
    tv_weight: float = 0.0
    objective: str = "paper"
    start: str = "noise"
    blend: float = 0.5
    seed: int = 0
    size: int = 300
    fit: str = "aspect"
    content_focus: str = CENTRE
    style_focus: str = CENTRE
    style_scale: float = 1.0
    resample: str = "lanczos"
    optimiser: str = "lbfgs"
    learning_rate: float = 5.0
    evaluations: int = 240
    pyramid: int = 1
    precision: str = "float32"
    colour: str = "free"
    range: str = "inside"
    own: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        self._one_of("method", METHODS)
        method = self.how
        self._one_of("network", method.networks)
        self._one_of("pooling", POOLINGS)
        self._one_of("objective", method.objectives)
        self._one_of("fit", FITS)
        for name in ("content_focus", "style_focus"):
            self._set(name, checked_focus(name, getattr(self, name)))
        self._one_of("resample", RESAMPLES)
        self._one_of("optimiser", OPTIMISERS)
        self._one_of("precision", PRECISIONS)
        self._one_of("colour", COLOURS)
        self._one_of("range", RANGES)
        if self.precision == "mixed" and self.optimiser == "scipy":
            raise SettingsError(
                "precision",
                "precision must be another than mixed for scipy, whose rounds forget "
                "what they learnt; lbfgs and adam go on with it.",
            )
        self._check_weights()
        self._check_start()
        for name in (self._weighing(), "beta", "tv_weight"):
            self._set(name, checks.number(name, getattr(self, name)))
        for name, low, high in (
            ("blend", 0.0, 1.0),
            ("style_scale", 0.1, 4.0),
            ("learning_rate", 1e-6, 255.0),
        ):
            self._set(name, checks.number(name, getattr(self, name), low, high))
        if self.content_weight == 0 and self.beta == 0:
            raise SettingsError(
                "alpha", "alpha and beta are both 0: at least one must be above 0."
            )
        if self.balance and self.beta == 0:
            raise SettingsError(
                "balance",
                "balance weighs content against style, so beta must be above 0 with "
                "it; give alpha = 1 instead to paint content alone.",
            )
        self._set("own", self._checked_own(method))
        method.check(self)
        if self.style_layers is None:
            weight = method.layer_weight(
                "style_layers", len(PAPER_STYLE_LAYERS), self.objective
            )
            layers = tuple((layer, weight) for layer in PAPER_STYLE_LAYERS)
            self._set("style_layers", layers)
        self._check_layers("content_layer", self._weighing(), self.content_weight)
        self._check_layers("style_layers", "beta", self.beta)
        self._integer("seed", 0, 2**63 - 1)
        self._integer("pyramid", 1, MAX_LEVELS)
        self._integer("evaluations", self.pyramid, MAX_EVALUATIONS)
        self._integer("size", MIN_SIZE, MAX_SIZE)
        self._check_depth()

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _weighing(self) -> str:
        """The setting that weighs content, of which there is one."""
        given = [name for name in WEIGHINGS if getattr(self, name) is not None]
        if len(given) != 1:
            raise SettingsError("balance" if given else "alpha", ONE_WEIGHING)
        return given[0]

    def _one_of(self, name: str, allowed: Iterable[str], **also: Any) -> None:
        checks.one_of(name, getattr(self, name), allowed, **also)

    def _integer(self, name: str, low: int, high: int) -> None:
        checks.integer(name, getattr(self, name), low, high)

    def _checked_own(self, method: Method) -> tuple[tuple[str, Value], ...]:
        """The method's own settings in its order, each with a value."""
        given = dict(self.own)
        own = tuple(
            (each.name, each.checked(given.pop(each.name, each.default)))
            for each in method.settings
        )
        for name in given:
            raise _unknown(name, method)
        for name in method.without:
            if getattr(self, name) != method.defaults.get(name, _default(name)):
                raise _unknown(name, method)
        return own

    def _check_weights(self) -> None:
        pattern = (
            r"imagenet(-v1)?(:[0-9a-f]{64})?|random:(0|[1-9]\d{0,17})"
            r"|file:[0-9a-f]{64}(:v1|:caffe-bgr)?"
        )
        value = self.weights
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise SettingsError(
                "weights",
                "weights must be imagenet or imagenet-v1 (and the sha256 of their "
                "values behind it), random:SEED with a whole number, or file:SHA256 "
                "with 64 lower-case hex digits (and :v1 or :caffe-bgr behind it); "
                f"got {value!r}.",
            )
        if value.partition(":")[0] == "imagenet" and self.network != "vgg16":
            raise SettingsError(
                "weights",
                f"weights must be imagenet-v1, random:SEED or file:SHA256 for "
                f"{self.network}: imagenet has vgg16 only.",
            )

    def _check_start(self) -> None:
        value = self.start
        if isinstance(value, str) and re.fullmatch(r"picture:[0-9a-f]{64}", value):
            return
        self._one_of("start", STARTS[:-1], also=STARTS[-1:])

    def _check_layers(self, name: str, weighed_by: str, weight: float) -> None:
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
            if not isinstance(layer, str) or layer.removesuffix(PRE_RELU) not in known:
                raise SettingsError(
                    name,
                    f"{name} knows no layer {layer!r}: {self.network} has "
                    f"{', '.join(known)}, each with {PRE_RELU} behind it to read it "
                    "before the ReLU.",
                )
            if layer in seen:
                raise SettingsError(name, f"{name} names {layer} twice.")
            seen.add(layer)
        if not pairs and weight > 0:
            raise SettingsError(
                name,
                f"{name} may be empty only when {weighed_by} is 0; "
                f"choose from {', '.join(known)}.",
            )
        weighed = []
        for layer, weight in pairs:
            value = checks.number(name, weight, -math.inf)
            if value <= 0:
                raise SettingsError(
                    name,
                    f"{name} needs a weight above 0 for {layer}; got {value:g}. "
                    "Leave the layer out instead.",
                )
            weighed.append((layer, value))
        self._set(name, tuple(weighed))

    def _check_depth(self) -> None:
        needed = least_side(self.layers)
        coarsest = self.level_size(0)
        side = min(coarsest, round(coarsest * self.style_scale))
        if side < needed:
            raise SettingsError(
                "size",
                f"size must be at least {needed} for the deepest layer used, on every "
                f"level of the pyramid and for the style picture; got {side}.",
            )

    @property
    def how(self) -> Method:
        """The method that these settings are for."""
        return METHODS[self.method]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are read."""
        return tuple(dict.fromkeys(self.how.layers(self)))

    @property
    def content_weight(self) -> float:
        """What weighs content, the balance or α: 0 where nothing does."""
        given = self.alpha if self.balance is None else self.balance
        return given or 0.0

    def with_alpha(self, alpha: float) -> RenderSettings:
        """The same settings with the α that their balance came to."""
        return replace(self, balance=None, alpha=alpha)

    def value(self, name: str) -> Any:
        """A setting's value by its name, also of one that only the method has."""
        own = dict(self.own)
        return own[name] if name in own else getattr(self, name)

    def changed(self, **values: Any) -> RenderSettings:
        """The same settings but for these; a balance takes the place of α, and the
        other way round."""
        return self.from_dict(weighed_as(values, self.to_dict()) | values)

    def level_size(self, level: int) -> int:
        """`size` on a level of the pyramid, 0 being the coarsest."""
        return round(self.size / 2 ** ((self.pyramid - 1 - level) / 2))

    def at_level(self, level: int) -> RenderSettings:
        """These settings, whose α is known, with the α for a level.

        A coarser level leans to content, by `LEAN`, as enlarging keeps content and
        blurs style. And where content sums over a feature map, a coarser level has
        fewer values to sum, while Gram matrices are as large there as on the finest.
        """
        if level == self.pyramid - 1:
            return self
        alpha = self.content_weight * LEAN
        if self.how.sums_content(self):
            alpha *= (self.size / self.level_size(level)) ** 2
        return self.with_alpha(alpha)

    def level_evaluations(self, level: int) -> int:
        """A level's share of the evaluations: the coarser ones have a third of them,
        as many each, and what does not divide is the finest's."""
        coarser = self.pyramid - 1
        each = max(1, self.evaluations // 3 // coarser) if coarser else 0
        return each if level < coarser else self.evaluations - each * coarser

    def coarse_evaluations(self, level: int) -> int:
        """How many of a level's evaluations `mixed` computes in bf16, at most."""
        if self.precision != "mixed":
            return 0
        return int(COARSE_SHARE * self.level_evaluations(level))

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON has them: layers are lists of [name, weight], what only
        the method has stands beside the others, and of balance and α the one given."""
        values = {name: getattr(self, name) for name in COMMON}
        values = {name: it for name, it in values.items() if it is not None}
        for name in LAYERS:
            values[name] = [list(pair) for pair in values[name]]
        return values | dict(self.own)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RenderSettings:
        """The inverse of `to_dict`; a name left out takes its default.

        Settings written down under names of before are read too.
        """
        values = renamed(values, old_names.SETTINGS)
        checks.one_of("method", values.get("method", cls.method), METHODS)
        method = METHODS[values.get("method", cls.method)]
        own = {each.name for each in method.settings}
        for name in values:
            if name not in COMMON and name not in own:
                raise _unknown(name, method)
        values = {**method.defaults, **values}
        if "alpha" in method.without and "balance" not in values:
            values.setdefault("alpha", _default("alpha"))
        return cls(
            **{name: value for name, value in values.items() if name not in own},
            own=tuple((name, values[name]) for name in values if name in own),
        )

    @classmethod
    def from_kept(cls, values: Mapping[str, Any]) -> RenderSettings:
        """Settings that a finished thing keeps: a picture, a row, a bundle.

        What they do not name was as it was before the name existed, not as it is by
        default now.
        """
        method = METHODS.get(values.get("method", cls.method))
        unused = method.unused if method else frozenset()
        before = {
            name: value
            for name, value in old_names.SETTINGS_BEFORE.items()
            if name not in unused
        }
        return cls.from_dict({**before, **values})

    def canonical_json(self) -> str:
        """One text per settings: sorted names, floats as their shortest repr."""
        return _canonical(self.to_dict())

    def digest(self) -> str:
        """The sha256 of the canonical JSON, as 64 hex digits."""
        return _sha256(self.canonical_json())


def check_shape(
    settings: RenderSettings, size: Size, role: str, side: int | None = None
) -> Size:
    """The size that a picture of `size`, whose role is `content` or `style`, is painted
    or read at where the render's side is `side`, left out: on the coarsest level.

    Raises `SettingsError` where that is too little for the deepest layer.
    """
    side = settings.level_size(0) if side is None else side
    if role == "style":
        side = round(side * settings.style_scale)
    kept = fitted(settings.fit, size, side)
    if settings.fit == "aspect" and min(kept) < (needed := least_side(settings.layers)):
        raise SettingsError(
            "size",
            f"size must be larger: the {role} picture of {size[0]} × {size[1]} becomes "
            f"{kept[0]} × {kept[1]}, and the deepest layer needs {needed}.",
        )
    return kept


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


# The settings that all methods share, in their order, each with its default; None:
# there is none.
COMMON = {each.name: each.default for each in fields(RenderSettings)}
del COMMON["own"]


def weighed_as(given: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """`others` without what weighs content if something else is `given` for it."""
    if given.keys().isdisjoint(WEIGHINGS):
        return dict(others)
    return {name: value for name, value in others.items() if name not in WEIGHINGS}


def _default(name: str) -> Any:
    """A common setting's default; α has one only where nobody asks for it."""
    return 1.0 if name == "alpha" else COMMON[name]


def settings_of(method: Method) -> tuple[str, ...]:
    """The settings that a method has, in their order, its own last."""
    own = tuple(each.name for each in method.settings)
    return (*(name for name in COMMON if name not in method.without), *own)


def parse_layers(
    text: str, *, share: Callable[[int], float], weight: Callable[[str], float]
) -> Layers:
    """Layers as people write them: `conv1_1|conv2_1=0.7`, also with commas; `none`.

    `share` gives the weight of each of so many layers where none stands behind them,
    `weight` reads what stands in a `LAYER=WEIGHT` that it is given whole.
    """
    parts = [part.strip() for part in text.replace("|", ",").split(",")]
    parts = [part for part in parts if part != "none"]
    each = share(len(parts)) if parts else 0.0
    layers = []
    for part in parts:
        layer, _, given = part.partition("=")
        layers.append((layer.strip(), weight(part) if given else each))
    return tuple(layers)


def _unknown(name: str, method: Method) -> SettingsError:
    known = ", ".join(settings_of(method))
    return SettingsError(str(name), f"There is no setting {name!r}: {known}.")


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
