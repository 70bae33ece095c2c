"""Objectives as weighted sums of terms. A term needs a loss; its slope is autograd's.

    total = sum of weight * loss(pictures, features)

The pictures of one sum are evaluated together: on a CPU one, on a GPU as many of one
shape as fit. Nothing of one picture reaches another. The way back through the network
is walked by hand: every gradient is one buffer that each layer adds its own part to,
where autograd would make three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from generation.engine.networks.vgg import Network, WayBack

Features = Mapping[str, Tensor]
# Adds, in place, a term's part of the gradient by one layer's features to `above`.
AddSlope = Callable[[str, Tensor, Tensor], None]


class Term(ABC):
    """One term of an objective, for a batch of pictures.

    `weights` are its weights in the totals, shape (batch,), and `counts` says whether
    one of them is not 0. `layers` are those whose features it reads; `reads_pictures`
    says whether it looks at the pictures too.
    """

    layers: Collection[str] = ()
    reads_pictures = False

    def __init__(self, name: str, weights: Tensor, *, counts: bool = True) -> None:
        self.name = name
        self.weights = weights
        self.counts = counts

    @abstractmethod
    def losses(self, pictures: Tensor, features: Features) -> Tensor:
        """The loss of each picture before its weight, shape (batch,).

        `pictures`: (batch, 3, height, width), RGB, 0-255; `features` by layer, (batch,
        N, height', width').
        """

    def layer_losses(
        self, pictures: Tensor, features: Features
    ) -> dict[str, Tensor] | None:
        """The losses by layer, before any weight; None for a term that is not split."""
        return None

    def sloped(
        self, pictures: Tensor, features: Features
    ) -> tuple[Tensor, AddSlope | None, Tensor | None]:
        """The losses, what adds the slopes of the layers, and the pictures' own slope.

        Slopes are those of the weighted losses. Overwrite it where a slope written by
        hand is measurably faster.
        """
        if not self.counts:
            return self.losses(pictures, features), None, None
        with torch.enable_grad():
            seen = pictures.detach()
            read = {
                name: features[name].detach().requires_grad_() for name in self.layers
            }
            if self.reads_pictures:
                seen.requires_grad_()
            losses = self.losses(seen, {**features, **read})
            leaves = [*read.values(), *([seen] if self.reads_pictures else [])]
            slopes = list(torch.autograd.grad(losses, leaves, self.weights))
        of_pictures = slopes.pop() if self.reads_pictures else None
        by_layer = dict(zip(read, slopes, strict=True))

        def add(layer: str, above: Tensor, _: Tensor) -> None:
            if layer in by_layer:
                above += by_layer.pop(layer)

        return losses.detach(), add, of_pictures


class LossTerm(Term):
    """A term by a function of pictures and features, as `Term.losses`."""

    def __init__(
        self,
        name: str,
        weights: Tensor,
        loss: Callable[[Tensor, Features], Tensor],
        *,
        counts: bool = True,
        layers: Sequence[str] = (),
    ) -> None:
        super().__init__(name, weights, counts=counts)
        self._loss = loss
        # What no picture weighs is not computed.
        self.layers = tuple(layers) if self.counts else ()
        self.reads_pictures = self.counts

    def losses(self, pictures: Tensor, features: Features) -> Tensor:
        if not self.counts:
            return torch.zeros_like(self.weights)
        return self._loss(pictures, features).to(self.weights.dtype)


class TermSum:
    """An objective made of terms, for pictures that share a network and a shape.

    `means` are subtracted from pictures instead of those the weights expect.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        network: Network,
        means: tuple[float, float, float] | None = None,
    ) -> None:
        self.each = terms
        self.network = network
        self.means = means
        self.layers = {layer for term in terms for layer in term.layers}

    def terms(self, pictures: Tensor) -> Tensor:
        """The total and every term before its weight, shape (batch, 1 + terms).

        `pictures`: (batch, 3, height, width), RGB, 0-255.
        """
        with self.network.arithmetic():
            features = self._features(pictures)
            return self._summed([each.losses(pictures, features) for each in self.each])

    def by_layer(self, pictures: Tensor) -> dict[str, dict[str, Tensor]]:
        """The losses, before any weight, of the terms that are split by layer."""
        with self.network.arithmetic():
            features = self._features(pictures)
            losses = {
                each.name: each.layer_losses(pictures, features) for each in self.each
            }
        return {name: each for name, each in losses.items() if each is not None}

    def evaluate(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The terms, and the gradient of each total by its picture."""
        with torch.no_grad(), self.network.arithmetic():
            way_back: WayBack = []
            features = self._features(pictures, way_back)
            results = [each.sloped(pictures, features) for each in self.each]
            terms = self._summed([losses for losses, _, _ in results])
            adding = [add for _, add, _ in results if add is not None]

            def slope(name: str, above: Tensor | None) -> Tensor:
                read = features.pop(name)
                if above is None:
                    above = torch.zeros_like(read)
                for add in adding:
                    add(name, above, read)
                return above

            gradient = torch.zeros_like(pictures)
            if self.layers:
                gradient = self.network.gradient(way_back, slope)
            for _, _, of_pictures in results:
                if of_pictures is not None:
                    gradient += of_pictures
        return terms, gradient

    def _features(
        self, pictures: Tensor, way_back: WayBack | None = None
    ) -> dict[str, Tensor]:
        return self.network.features(pictures, self.layers, self.means, way_back)

    def _summed(self, losses: Sequence[Tensor]) -> Tensor:
        first, *others = zip(self.each, losses, strict=True)
        total = first[0].weights * first[1]
        for term, loss in others:
            total = total + term.weights * loss
        return torch.stack([total, *losses], 1)
