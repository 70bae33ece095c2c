"""An objective as a function of pictures: its terms and its gradient.

One `Problem` holds the renders that are evaluated together: on a CPU one picture,
on a GPU as many of one shape as fit. Nothing of one picture reaches another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from generation.engine.network import Network
from generation.engine.objectives import OBJECTIVES, Objective
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

    rows: Tensor
    weights: Tensor
    target: Tensor

    def add(self, total: Tensor, losses: Tensor) -> Tensor:
        return total.index_add(0, self.rows, self.weights * losses)


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
            [cell.contents for cell in cells],
            [dict(each.content_layers) for each in settings],
        )
        self.style = self._layers(
            [cell.grams for cell in cells],
            [dict(each.style_layers) for each in settings],
        )
        self.layers = {*self.content, *self.style}

    def _column(self, values: Sequence[float]) -> Tensor:
        dtype, device = self.network.term_dtype, self.network.device
        return torch.tensor(values, dtype=dtype, device=device)

    def _layers(
        self,
        targets: Sequence[dict[str, Tensor]],
        weights: Sequence[dict[str, float]],
    ) -> dict[str, _Layer]:
        used = dict.fromkeys(layer for each in targets for layer in each)
        layers = {}
        for layer in used:
            rows = [row for row, each in enumerate(targets) if layer in each]
            layers[layer] = _Layer(
                rows=torch.tensor(rows, device=self.network.device),
                weights=self._column([weights[row][layer] for row in rows]),
                target=torch.cat([targets[row][layer] for row in rows]),
            )
        return layers

    def _read(self, features: Tensor, layer: _Layer) -> Tensor:
        everyone = len(layer.rows) == len(self.cells)
        return features if everyone else features[layer.rows]

    def layer_losses(
        self, pictures: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Content and style by layer, before w_l; shape (pictures that read it,)."""
        objective = self.objective
        read = self.network.features(pictures, self.layers, objective.means)
        pixels = pictures.shape[2] * pictures.shape[3]
        content = {
            name: content_loss(self._read(read[name], layer), layer.target, objective)
            for name, layer in self.content.items()
        }
        style = {
            name: style_loss(
                self._read(read[name], layer), layer.target, objective, pixels
            )
            for name, layer in self.style.items()
        }
        return content, style

    def terms(self, pictures: Tensor) -> Tensor:
        """Total, content, style and TV (Eq. 1, 4, 6, 7), shape (batch, 4).

        `pictures`: (batch, 3, height, width), RGB, 0-255.
        """
        content = style = torch.zeros_like(self.alpha)
        contents, styles = self.layer_losses(pictures)
        for name, losses in contents.items():
            content = self.content[name].add(content, losses)
        for name, losses in styles.items():
            style = self.style[name].add(style, losses)
        seen = pictures if self.has_tv else pictures.detach()
        tv = tv_loss(seen, self.objective)
        total = self.alpha * content + self.beta * style + self.tv_weight * tv
        return torch.stack([total, content, style, tv], 1)

    def evaluate(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The terms, and the gradient of each total by its picture."""
        pictures = pictures.detach().requires_grad_()
        terms = self.terms(pictures)
        (gradient,) = torch.autograd.grad(terms[:, 0].sum(), pictures)
        return terms.detach(), gradient


def gram(features: Tensor, objective: Objective) -> Tensor:
    """F F^T, over M where the objective says so (Eq. 5).

    `features`: (batch, N, height, width). Returns (batch, N, N) in float32 or more.
    """
    maps = features.flatten(2)
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    product = maps @ maps.transpose(1, 2)
    return product / maps.shape[2] if objective.gram == "area" else product


def content_loss(features: Tensor, target: Tensor, objective: Objective) -> Tensor:
    """Eq. 4 for one layer, shape (batch,): half the summed squares, or their mean."""
    difference = features.to(target.dtype) - target
    squares = difference.square().flatten(1)
    return squares.sum(1) / 2 if objective.content == "half-sum" else squares.mean(1)


def style_loss(
    features: Tensor, target: Tensor, objective: Objective, pixels: int
) -> Tensor:
    """Eq. 5 for one layer, shape (batch,), against the style's Gram `target`.

    `pixels` is the area of the generated picture.
    """
    squares = (gram(features, objective) - target).square().flatten(1)
    return squares.sum(1) * objective.style_factor(features.shape[1], pixels)


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
        return squares.mean(1)
    return squares.pow(1.25).sum(1)
