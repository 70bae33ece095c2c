"""Gatys's objective as a function of pictures: content, style and total variation.

The slopes of content and style are written by hand, as each is one product where
autograd takes several passes over a layer's features; total variation is a loss only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from generation.engine.methods.gatys.objectives import OBJECTIVES, Objective
from generation.engine.methods.gatys.terms import EXTRA_TERMS
from generation.engine.networks.vgg import Network
from generation.engine.settings import RenderSettings
from generation.engine.terms import AddSlope, Features, LossTerm, Term, TermSum


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


class _LayersTerm(Term):
    """A term that sums losses of layers, each with its target and its w_l."""

    def __init__(
        self,
        name: str,
        weights: Tensor,
        objective: Objective,
        targets: Sequence[Mapping[str, Tensor]],
        layer_weights: Sequence[Mapping[str, float]],
    ) -> None:
        super().__init__(name, weights)
        self.objective = objective
        self.by_layer = {
            layer: self._layer(layer, targets, layer_weights)
            for layer in dict.fromkeys(layer for each in targets for layer in each)
        }
        self.layers = tuple(self.by_layer)

    def _layer(
        self,
        layer: str,
        targets: Sequence[Mapping[str, Tensor]],
        layer_weights: Sequence[Mapping[str, float]],
    ) -> _Layer:
        which = [row for row, each in enumerate(targets) if layer in each]
        rows = torch.tensor(which, device=self.weights.device)
        column = _column([layer_weights[row][layer] for row in which], self.weights)
        return _Layer(
            rows=None if len(which) == len(targets) else rows,
            weights=column,
            strength=column * self.weights[rows],
            target=torch.cat([targets[row][layer] for row in which]),
        )

    def layer_losses(self, pictures: Tensor, features: Features) -> dict[str, Tensor]:
        """The losses by layer, before w_l; shape (pictures that read it,)."""
        return self._losses(self._differences(features), pictures)

    def losses(self, pictures: Tensor, features: Features) -> Tensor:
        return self._summed(self.layer_losses(pictures, features))

    def sloped(
        self, pictures: Tensor, features: Features
    ) -> tuple[Tensor, AddSlope | None, Tensor | None]:
        differences = self._differences(features)
        losses = self._summed(self._losses(differences, pictures))
        pixels = pictures.shape[2] * pictures.shape[3]

        def add(layer: str, above: Tensor, read: Tensor) -> None:
            if layer in differences:
                self._add_slope(
                    above, read, differences.pop(layer), self.by_layer[layer], pixels
                )

        return losses, add, None

    def _summed(self, losses: Mapping[str, Tensor]) -> Tensor:
        total = torch.zeros_like(self.weights)
        for name, values in losses.items():
            layer = self.by_layer[name]
            layer.onto(total, layer.weights * values)
        return total

    def _differences(self, features: Features) -> dict[str, Tensor]:
        raise NotImplementedError

    def _losses(
        self, differences: Mapping[str, Tensor], pictures: Tensor
    ) -> dict[str, Tensor]:
        raise NotImplementedError

    def _add_slope(
        self,
        above: Tensor,
        features: Tensor,
        difference: Tensor,
        layer: _Layer,
        pixels: int,
    ) -> None:
        raise NotImplementedError


class ContentTerm(_LayersTerm):
    """How far a picture's features are from the content's (Eq. 4)."""

    def _differences(self, features: Features) -> dict[str, Tensor]:
        return {
            name: layer.of(features[name]).to(layer.target.dtype) - layer.target
            for name, layer in self.by_layer.items()
        }

    def _losses(
        self, differences: Mapping[str, Tensor], pictures: Tensor
    ) -> dict[str, Tensor]:
        return {
            name: content_loss(each, self.objective)
            for name, each in differences.items()
        }

    def _add_slope(
        self,
        above: Tensor,
        features: Tensor,
        difference: Tensor,
        layer: _Layer,
        pixels: int,
    ) -> None:
        """The slope of Eq. 4: the difference, or twice its part in the mean."""
        factor = (
            1 if self.objective.content == "half-sum" else 2 / difference[0].numel()
        )
        layer.onto(
            above, difference.mul_((factor * layer.strength)[:, None, None, None])
        )


class StyleTerm(_LayersTerm):
    """How far a picture's Gram matrices are from the style's (Eq. 6)."""

    def _differences(self, features: Features) -> dict[str, Tensor]:
        return {
            name: gram(layer.of(features[name]), self.objective) - layer.target
            for name, layer in self.by_layer.items()
        }

    def _losses(
        self, differences: Mapping[str, Tensor], pictures: Tensor
    ) -> dict[str, Tensor]:
        pixels = pictures.shape[2] * pictures.shape[3]
        return {
            name: style_loss(each, self.objective, pixels)
            for name, each in differences.items()
        }

    def _add_slope(
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


class TvTerm(Term):
    """Total variation (Eq. 7)."""

    reads_pictures = True

    def __init__(
        self, name: str, weights: Tensor, objective: Objective, *, counts: bool
    ) -> None:
        super().__init__(name, weights, counts=counts)
        self.objective = objective

    def losses(self, pictures: Tensor, features: Features) -> Tensor:
        return tv_loss(pictures, self.objective)


class Problem(TermSum):
    """The objective of cells that share a network, a shape and a convention."""

    def __init__(self, cells: Sequence[Cell], network: Network) -> None:
        self.cells = cells
        objective = OBJECTIVES[cells[0].settings.objective]
        settings = [cell.settings for cell in cells]
        like = torch.zeros((), dtype=network.term_dtype, device=network.device)

        def column(name: str) -> Tensor:
            return _column([each.value(name) for each in settings], like)

        self.content = ContentTerm(
            "content",
            column("alpha"),
            objective,
            [cell.contents for cell in cells],
            [dict(each.content_layer) for each in settings],
        )
        self.style = StyleTerm(
            "style",
            column("beta"),
            objective,
            [cell.grams for cell in cells],
            [dict(each.style_layers) for each in settings],
        )

        def counts(name: str) -> bool:
            return any(each.value(name) for each in settings)

        tv = TvTerm("tv", column("tv_weight"), objective, counts=counts("tv_weight"))
        extra = [
            LossTerm(
                name,
                column(each.weight.name),
                each.loss,
                counts=counts(each.weight.name),
                layers=each.layers,
            )
            for name, each in EXTRA_TERMS.items()
        ]
        super().__init__(
            [self.content, self.style, tv, *extra], network, objective.means
        )

    def layer_losses(
        self, pictures: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Content and style by layer, before w_l; shape (pictures that read it,)."""
        losses = self.by_layer(pictures)
        return losses["content"], losses["style"]


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)


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
