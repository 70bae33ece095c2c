"""Gatys, Ecker & Bethge's method: a picture is searched for whose features are the
content's and whose Gram matrices are the style's. No torch until it paints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from generation.engine.errors import SettingsError
from generation.engine.methods.gatys.objectives import AS_PUBLISHED, OBJECTIVES
from generation.engine.methods.gatys.terms import EXTRA_TERMS
from generation.engine.networks.architectures import map_area
from generation.engine.registry import Method, Problem, Reader, Setting

if TYPE_CHECKING:
    from PIL import Image

    from generation.engine.networks.vgg import Network


class Gatys(Method):
    """The method of the paper, by every convention in `OBJECTIVES`."""

    name = "gatys"
    source = "Gatys, Ecker & Bethge, CVPR 2016"
    objectives = OBJECTIVES
    published = AS_PUBLISHED
    balanced = "content", "style"

    @property
    def settings(self) -> Sequence[Setting]:  # type: ignore[override]
        return [each.weight for each in EXTRA_TERMS.values()]

    @property
    def terms(self) -> Mapping[str, str]:  # type: ignore[override]
        extra = {name: each.weight.name for name, each in EXTRA_TERMS.items()}
        return {"content": "alpha", "style": "beta", "tv": "tv_weight", **extra}

    def check(self, settings: Any) -> None:
        if settings.tv_weight and OBJECTIVES[settings.objective].tv is None:
            raise SettingsError(
                "tv_weight",
                f"tv_weight must be 0: the objective {settings.objective} has no "
                "total variation.",
            )

    def layer_weight(self, setting: str, layers: int, objective: str) -> float:
        if setting == "content_layer" or objective not in OBJECTIVES or not layers:
            return 1.0
        return OBJECTIVES[objective].layer_weight(layers)

    def layers(self, settings: Any) -> Sequence[str]:
        weighed = [it for it in EXTRA_TERMS.values() if settings.value(it.weight.name)]
        extra = [layer for each in weighed for layer in each.layers]
        return [*super().layers(settings), *extra]

    def sums_content(self, settings: Any) -> bool:
        return OBJECTIVES[settings.objective].content != "mean"

    def lacks(self, settings: Any) -> frozenset[str]:
        return frozenset({"tv"} if OBJECTIVES[settings.objective].tv is None else ())

    def noise_offset(self, settings: Any) -> tuple[float, float, float]:
        return OBJECTIVES[settings.objective].noise_offset

    def rounding(self, settings: Any) -> Literal["nearest", "down"]:
        return OBJECTIVES[settings.objective].rounding

    def targets(
        self,
        read: Reader,
        settings: Any,
        network: Network,
        content: Image.Image,
        style: Image.Image,
    ) -> Any:
        from generation.engine.methods.gatys.problem import Cell, gram

        objective = OBJECTIVES[settings.objective]
        grams = read(
            ("gram", objective.gram),
            network,
            style,
            [layer for layer, _ in settings.style_layers if settings.beta],
            objective.means,
            lambda features: gram(features, objective),
        )
        if objective.gram == "raw":
            grams = {
                layer: target
                * (map_area(content.size, layer) / map_area(style.size, layer))
                for layer, target in grams.items()
            }
        contents = read(
            "features",
            network,
            content,
            [layer for layer, _ in settings.content_layer if settings.alpha],
            objective.means,
            lambda features: features.to(network.term_dtype),
        )
        return Cell(settings=settings, contents=contents, grams=grams)

    def problem(self, targets: Sequence[Any], network: Network) -> Problem:
        from generation.engine.methods.gatys.problem import Problem as Sum

        return Sum(targets, network)
