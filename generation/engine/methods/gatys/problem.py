"""An objective as a function of pictures: its terms and its gradient.

One `Problem` holds the renders that are evaluated together: on a CPU one picture,
on a GPU as many of one shape as fit. Nothing of one picture reaches another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from generation.engine.methods.gatys.objectives import OBJECTIVES, Objective
from generation.engine.networks.vgg import Network, WayBack
from generation.engine.settings import RenderSettings


@dataclass(frozen=True)
class Cell:
    """One render's settings and targets: features (1, N, h, w), Grams (1, N, N)."""

    settings: RenderSettings
    contents: dict[str, Tensor]
    grams: dict[str, Tensor]


@dataclass(frozen=True)
class _Layer:
    """The part one layer plays in a term, for the pictures that read it."""

    rows: Tensor | None  # which of the batch; None: every one
    weights: Tensor  # w_l
    strength: Tensor  # alpha w_l or beta w_l
    target: Tensor

    def of(self, features: Tensor) -> Tensor:
        return features if self.rows is None else features[self.rows]

    def onto(self, total: Tensor, values: Tensor) -> Tensor:
        """`total` with the values of those pictures added to it, in place."""
        if self.rows is None:
            return total.add_(values)
        return total.index_add_(0, self.rows, values.to(total.dtype))


class Problem:
    """The objective of cells that share a network, a shape and an objective."""

    def __init__(self, cells: Sequence[Cell], network: Network) -> None:
        self.cells = cells
        self.network = network
        self.objective = OBJECTIVES[cells[0].settings.objective]
        settings = [cell.settings for cell in cells]
        self.alpha = self._column([each.alpha for each in settings])
        self.beta = self._column([each.beta for each in settings])
        self.tv_weight = self._column([each.tv_weight for each in settings])
        self.has_tv = any(each.tv_weight for each in settings)
        self.content = self._layers(
            self.alpha,
            [cell.contents for cell in cells],
            [dict(each.content_layer) for each in settings],
        )
        self.style = self._layers(
            self.beta,
            [cell.grams for cell in cells],
            [dict(each.style_layers) for each in settings],
        )
        self.layers = {*self.content, *self.style}

    def _column(self, values: Sequence[float]) -> Tensor:
        dtype, device = self.network.term_dtype, self.network.device
        return torch.tensor(values, dtype=dtype, device=device)

    def _layers(
        self,
        strengths: Tensor,
        targets: Sequence[dict[str, Tensor]],
        weights: Sequence[dict[str, float]],
    ) -> dict[str, _Layer]:
        used = dict.fromkeys(layer for each in targets for layer in each)
        layers = {}
        for layer in used:
            which = [row for row, each in enumerate(targets) if layer in each]
            rows = torch.tensor(which, device=self.network.device)
            column = self._column([weights[row][layer] for row in which])
            layers[layer] = _Layer(
                rows=None if len(which) == len(targets) else rows,
                weights=column,
                strength=column * strengths[rows],
                target=torch.cat([targets[row][layer] for row in which]),
            )
        return layers

    def layer_losses(
        self, pictures: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Content and style by layer, before w_l; shape (pictures that read it,)."""
        with self.network.arithmetic():
            _, content, style = self._differences(pictures)
            return self._losses(pictures, content, style)

    def terms(self, pictures: Tensor) -> Tensor:
        """Total, content, style and TV (Eq. 1, 4, 6, 7), shape (batch, 4).

        `pictures`: (batch, 3, height, width), RGB, 0-255.
        """
        losses = self.layer_losses(pictures)
        return self._summed(*losses, tv_loss(pictures, self.objective))

    def evaluate(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The terms, and the gradient of each total by its picture.

        The way back through the network is walked by hand: every gradient is one
        buffer that each layer adds its own part to, where autograd would make three.
        """
        with torch.no_grad(), self.network.arithmetic():
            way_back: WayBack = []
            read, content, style = self._differences(pictures, way_back)
            tv, slope_of_tv = self._tv(pictures)
            terms = self._summed(*self._losses(pictures, content, style), tv)

            def slope(name: str, above: Tensor | None) -> Tensor:
                features = read.pop(name)
                if above is None:
                    above = torch.zeros_like(features)
                if name in content:
                    self._add_content(above, content.pop(name), self.content[name])
                if name in style:
                    pixels = pictures.shape[2] * pictures.shape[3]
                    self._add_style(
                        above, features, style.pop(name), self.style[name], pixels
                    )
                return above

            gradient = self.network.gradient(way_back, slope)
            if slope_of_tv is not None:
                gradient += slope_of_tv
        return terms, gradient

    def _differences(
        self, pictures: Tensor, way_back: WayBack | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """Features by layer, and what separates them and their Grams from targets."""
        objective = self.objective
        read = self.network.features(pictures, self.layers, objective.means, way_back)
        content = {
            name: layer.of(read[name]).to(layer.target.dtype) - layer.target
            for name, layer in self.content.items()
        }
        style = {
            name: gram(layer.of(read[name]), objective) - layer.target
            for name, layer in self.style.items()
        }
        return read, content, style

    def _losses(
        self, pictures: Tensor, content: dict[str, Tensor], style: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        objective = self.objective
        pixels = pictures.shape[2] * pictures.shape[3]
        return (
            {name: content_loss(each, objective) for name, each in content.items()},
            {name: style_loss(each, objective, pixels) for name, each in style.items()},
        )

    def _summed(
        self, contents: dict[str, Tensor], styles: dict[str, Tensor], tv: Tensor
    ) -> Tensor:
        content, style = torch.zeros_like(self.alpha), torch.zeros_like(self.alpha)
        for name, losses in contents.items():
            self.content[name].onto(content, self.content[name].weights * losses)
        for name, losses in styles.items():
            self.style[name].onto(style, self.style[name].weights * losses)
        total = self.alpha * content + self.beta * style + self.tv_weight * tv
        return torch.stack([total, content, style, tv], 1)

    def _tv(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_tv:
            return tv_loss(pictures, self.objective), None
        with torch.enable_grad():
            pictures = pictures.detach().requires_grad_()
            tv = tv_loss(pictures, self.objective)
            (slope,) = torch.autograd.grad(tv, pictures, self.tv_weight)
        return tv.detach(), slope

    def _add_content(self, above: Tensor, difference: Tensor, layer: _Layer) -> None:
        """The slope of Eq. 4: the difference, or twice its part in the mean."""
        factor = (
            1 if self.objective.content == "half-sum" else 2 / difference[0].numel()
        )
        layer.onto(
            above, difference.mul_((factor * layer.strength)[:, None, None, None])
        )

    def _add_style(
        self,
        above: Tensor,
        features: Tensor,
        difference: Tensor,
        layer: _Layer,
        pixels: int,
    ) -> None:
        """The slope of factor * sum D^2: 4 factor D F over the Gram's divisor."""
        factor = 4 * self.objective.style_factor(features.shape[1], pixels)
        if self.objective.gram == "area":
            factor /= features.shape[2] * features.shape[3]
        scaled = difference.mul_((factor * layer.strength)[:, None, None])
        maps = _maps(layer.of(features))
        if layer.rows is None:
            _maps(above).baddbmm_(maps, scaled.to(maps.dtype))
        else:
            _maps(above).index_add_(0, layer.rows, maps @ scaled.to(maps.dtype))


def gram(features: Tensor, objective: Objective) -> Tensor:
    """F F^T, over M where the objective says so (Eq. 5).

    `features`: (batch, N, height, width). Returns (batch, N, N) in float32 or more.
    """
    maps = _maps(features)
    if maps.is_cuda and maps.dtype == torch.bfloat16:
        product = torch.bmm(maps.transpose(1, 2), maps, out_dtype=torch.float32)
    else:
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        product = maps.transpose(1, 2) @ maps
    return product.div_(maps.shape[1]) if objective.gram == "area" else product


def _maps(features: Tensor) -> Tensor:
    """F^T, (batch, M, N): a view of features that are channels-last in memory."""
    batch, channels = features.shape[:2]
    return features.permute(0, 2, 3, 1).reshape(batch, -1, channels)


def content_loss(difference: Tensor, objective: Objective) -> Tensor:
    """Eq. 4 for one layer, shape (batch,): half the summed squares, or their mean."""
    squares = difference.square()
    if objective.content == "half-sum":
        return squares.sum((1, 2, 3)) / 2
    return squares.mean((1, 2, 3))


def style_loss(difference: Tensor, objective: Objective, pixels: int) -> Tensor:
    """Eq. 5 for one layer, shape (batch,): `difference` of Grams (batch, N, N).

    `pixels` is the area of the generated picture.
    """
    factor = objective.style_factor(difference.shape[1], pixels)
    return factor * difference.square().sum((1, 2))


def tv_loss(pictures: Tensor, objective: Objective) -> Tensor:
    """Eq. 7 or the objective's own form, over the three channels; shape (batch,)."""
    if objective.tv is None:
        return pictures.new_zeros(len(pictures))
    down = pictures[:, :, 1:] - pictures[:, :, :-1]
    right = pictures[..., 1:] - pictures[..., :-1]
    if objective.tv == "l1-sum":
        return down.abs().flatten(1).sum(1) + right.abs().flatten(1).sum(1)
    squares = (down[..., :-1].square() + right[:, :, :-1].square()).flatten(1)
    if objective.tv == "square-mean":
        # One row or column has no such neighbours, and a mean of nothing is no number.
        return (squares.mean(1) if squares.shape[1] else squares.sum(1)) / 255**2
    return squares.pow(1.25).sum(1)
