"""The experiments of Patel & Krishnan (ICIME 2017) as grids. Data only.

Pictures are named by their files, as `content/portrait.jpg`. The style layers are the
paper's five wherever no axis names them, with w_l = 1/5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from generation.engine.factors import RATIO
from generation.engine.grid import Axes, PicturePair
from generation.engine.methods.gatys.objectives import AS_PUBLISHED
from generation.engine.settings import PAPER_STYLE_LAYERS, USUAL_BALANCE

# The paper's equations, and the code that its pictures came from.
PRESET_OBJECTIVES = ("paper", "notebook")
# What must be known before the printed ratios are painted under another objective.
ABOUT_RATIOS = (
    "The printed ratios belong to the objective notebook at 300 pixels: under paper "
    "they paint the photo with little style. A balance paints the same mixture under "
    "both."
)


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One experiment of the paper: its pairs of picture files and its axes.

    `balances` are offered in place of its ratios: as many, or one for each pair.
    """

    title: str
    description: str
    pairs: tuple[PicturePair, ...]
    axes: Axes = field(default_factory=dict)
    balances: tuple[float, ...] = (USUAL_BALANCE,)

    @property
    def has_ratios(self) -> bool:
        """Whether it was printed with ratios α/β."""
        return any(
            RATIO in axes for axes in (self.axes, *(it.axes for it in self.pairs))
        )

    def with_balances(self) -> Preset:
        """The same with balances in place of the printed ratios; without ratios, as it
        is."""
        if not self.has_ratios:
            return self
        return replace(
            self,
            title=f"{self.title}, balances",
            description=f"{self.description} Balances in place of the printed ratios.",
            axes=_weighed(self.axes, self.balances),
            pairs=tuple(
                replace(pair, axes=_weighed(pair.axes, self.balances))
                for pair in self.pairs
            ),
        )

    def about_ratios(self, objective: str) -> str:
        """A sentence on its ratios where they are another objective's; else none."""
        return ABOUT_RATIOS if self.has_ratios and objective != "notebook" else ""

    @property
    def files(self) -> tuple[str, ...]:
        """The pictures it needs, each once, contents and styles as they come."""
        return tuple(
            dict.fromkeys(
                file for pair in self.pairs for file in (pair.content, pair.style)
            )
        )


def _weighed(axes: Axes, balances: tuple[float, ...]) -> Axes:
    """Axes with balances where the ratio was."""
    return {
        "balance" if name == RATIO else name: (
            list(balances) if name == RATIO else levels
        )
        for name, levels in axes.items()
    }


def picture_title(file: str) -> str:
    """The title of a preset's picture in the lab: its file's name without ending."""
    return PurePath(file).stem


def published_settings(objective: str) -> dict[str, Any]:
    """The settings an objective was published with, but those that the experiments
    vary; 300 pixels, squares and 240 evaluations where nothing is printed."""
    varied = ("content_layer", "alpha", "beta", "tv_weight")
    published = AS_PUBLISHED.get(objective, {})
    return {
        "size": 300,
        "fit": "square",
        "evaluations": 240,
        **{name: published[name] for name in published if name not in varied},
        "objective": objective,
    }


def _experiment_3(content: str, style: str, layer: str, ratio: float) -> PicturePair:
    axes: Axes = {"content_layer": [layer], "alpha_beta": [ratio]}
    return PicturePair(content, style, axes)


_EXPERIMENT_3 = {
    "A": ("landscape", _experiment_3(
        "content/yosemite.jpg", "style/scream.jpg", "conv3_1", 0.01)),
    "B": ("portrait", _experiment_3(
        "content/portrait.jpg", "style/stained_glass_tree.jpg", "conv2_1", 0.05)),
    "C": ("botanic", _experiment_3(
        "content/violets.jpg", "style/marilyn.jpg", "conv3_1", 0.01)),
    "D": ("animal", _experiment_3(
        "content/cat.jpg", "style/wave.jpg", "conv3_1", 0.01)),
    "E": ("cityscape", _experiment_3(
        "content/toronto.jpeg", "style/group_of_seven.jpg", "conv3_1", 0.05)),
    "F": ("logo", _experiment_3(
        "content/sar_logo.jpg", "style/warhol_self.jpg", "conv2_1", 0.1)),
    "G": ("reverse, Fig. 4.4", _experiment_3(
        "style/starry_night.jpg", "content/sunflower.jpg", "conv3_1", 0.01)),
}  # fmt: skip
# Not printed in the paper: the notebook's setting.
_TV_OF_EXPERIMENT_3 = {"tv_weight": [1.0]}
_PORTRAIT_AND_NIGHT = (
    PicturePair("content/portrait.jpg", "style/starry_night.jpg"),
)  # fmt: skip

PRESETS: dict[str, Preset] = {
    "1": Preset(
        title="Experiment 1",
        description="Content layer × α/β on a portrait and Starry Night (Fig. 4.1).",
        pairs=_PORTRAIT_AND_NIGHT,
        axes={
            "content_layer": list(PAPER_STYLE_LAYERS),
            "alpha_beta": [0.001, 0.01, 0.1, 0.25, 0.5],
            "tv_weight": [0.0],
        },
        balances=(0.01, 0.03, 0.1, 0.3, 1.0),
    ),
    "2": Preset(
        title="Experiment 2",
        description="Without and with total variation (Fig. 4.2). The paper does not "
        "name the two pairs: these are our choice.",
        pairs=(
            *_PORTRAIT_AND_NIGHT,
            PicturePair("content/cat.jpg", "style/wave.jpg"),
        ),
        axes={
            "content_layer": ["conv2_2"],
            "alpha_beta": [0.01],
            "tv_weight": [0.0, 1.0],
        },
    ),
    "3": Preset(
        title="Experiment 3, A–G",
        description="The seven pictures that were rated (Table 4.1).",
        pairs=tuple(pair for _, pair in _EXPERIMENT_3.values()),
        axes=_TV_OF_EXPERIMENT_3,
    ),
    **{
        f"3{letter}": Preset(
            title=f"Experiment 3 {letter}",
            description=f"One of the seven pictures that were rated: {kind}.",
            pairs=(pair,),
            axes=_TV_OF_EXPERIMENT_3,
        )
        for letter, (kind, pair) in _EXPERIMENT_3.items()
    },
    "3.2-content": Preset(
        title="Figure 3.2, content",
        description="Content reconstructed from one layer each. Which pictures the "
        "figure shows is not said: this is our choice.",
        pairs=_PORTRAIT_AND_NIGHT,
        axes={
            "content_layer": list(PAPER_STYLE_LAYERS),
            "alpha": [1.0],
            "tv_weight": [0.0],
            "beta": [0.0],
        },
    ),
    "3.2-style": Preset(
        title="Figure 3.2, style",
        description="Style reconstructed from growing sets of layers. Which pictures "
        "the figure shows is not said: this is our choice.",
        pairs=_PORTRAIT_AND_NIGHT,
        axes={
            "content_layer": ["none"],
            "alpha": [0.0],
            "tv_weight": [0.0],
            "beta": [1.0],
            "style_layers": ["|".join(PAPER_STYLE_LAYERS[:n]) for n in range(1, 6)],
        },
    ),
}
