"""The two ends between which a picture lies, and where between them it is.

With S the style loss and C the content loss, as the objective weighs its layers, at a
render's own size: the content photo has a C of 0 and the style picture, resized to the
render, an S near 0. `S(content photo)` and `C(style picture)` are the scales on which
every other picture's S and C mean something, whatever objective, layer and size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from generation.engine.errors import SettingsError
from generation.engine.networks.vgg import Network
from generation.engine.pictures.canvas import grey, resized, to_tensor
from generation.engine.settings import RenderSettings

# Targets of settings at a side, and the content's pixels: `Painter.cell`.
Targets = Callable[
    [RenderSettings, Network, Image.Image, Image.Image, int], tuple[object, Tensor]
]


@dataclass(frozen=True)
class Ends:
    """A render's two ends: S of the content photo and C of the style picture.

    What they are measured with is made anew each time, for features are large and the
    painter keeps them.
    """

    measure: Callable[[Image.Image | None], tuple[float, float]]
    luminance: bool
    style_of_content: float
    content_of_style: float

    def shares(self, picture: Image.Image) -> tuple[float | None, float | None]:
        """s = S / S(content photo) and c = C / C(style picture) of a finished picture;
        None where that has no number."""
        if self.luminance:  # its colours are not painted
            picture = grey(picture)
        content, style = self.measure(picture)
        return _share(style, self.style_of_content), _share(
            content, self.content_of_style
        )


def ends_of(
    settings: RenderSettings,
    network: Network,
    content: Image.Image,
    style: Image.Image,
    targets: Targets,
) -> Ends | None:
    """Measure both ends at the final size, from pictures as `prepared` makes them.

    None where the method has no balance, or no layers of one of the terms are read.
    """
    method = settings.how
    if not (method.balanced and settings.content_layer and settings.style_layers):
        return None
    names = method.balanced
    # Both terms are weighed, whatever the render does: others are not computed.
    weighed = replace(settings.with_alpha(1.0), beta=settings.beta or 1.0)

    def measure(picture: Image.Image | None) -> tuple[float, float]:
        """Content and style loss, before α and β; None is the content photo."""
        target, seen = targets(weighed, network, content, style, settings.size)
        if picture is not None:
            size = seen.shape[3], seen.shape[2]
            seen = to_tensor(resized(picture, size, settings.resample))
        pixels = seen.to(network.device, network.term_dtype)
        with torch.no_grad():
            values = method.problem([target], network).terms(pixels)[0, 1:].tolist()
        losses = dict(zip(method.terms, values, strict=True))
        return losses[names[0]], losses[names[1]]

    return Ends(
        measure=measure,
        luminance=settings.colour == "luminance",
        style_of_content=measure(None)[1],
        content_of_style=measure(style)[0],
    )


def alpha_of(settings: RenderSettings, ends: Ends | None) -> float | None:
    """The α that a balance comes to, or the one that was given.

    α = balance · β · S(content photo) / C(style picture). Raises `SettingsError` where
    one of the two is 0 or no number: there is nothing to balance then.
    """
    if not settings.balance:
        return settings.alpha if settings.balance is None else 0.0
    if ends is None or not _counts(ends.style_of_content):
        raise SettingsError(
            "balance",
            "balance has nothing to weigh: to the objective the content photo already "
            "has the style of the style picture. Take another picture or other style "
            "layers, or give alpha instead.",
        )
    if not _counts(ends.content_of_style):
        raise SettingsError(
            "balance",
            "balance has nothing to weigh: to the objective the style picture already "
            "has the content of the content photo. Take another picture or another "
            "content layer, or give alpha instead.",
        )
    alpha = settings.balance * settings.beta
    return alpha * ends.style_of_content / ends.content_of_style


def _share(loss: float, whole: float) -> float | None:
    return loss / whole if _counts(whole) and math.isfinite(loss) else None


def _counts(whole: float) -> bool:
    return whole > 0 and math.isfinite(whole)
