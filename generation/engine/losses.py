"""The terms of an objective, as pure functions of features and pictures.

Each takes a batch and returns one value per picture, shape (batch,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from generation.engine.objectives import Objective


def gram(features: Tensor, objective: Objective) -> Tensor:
    """G = F F^T over the objective's divisor (Eq. 5).

    `features`: (batch, N, height, width). Returns (batch, N, N).
    """
    maps = features.flatten(2)
    product = maps @ maps.transpose(1, 2)
    return product / maps.shape[2] if objective.gram == "area" else product


def content_loss(features: Tensor, target: Tensor, objective: Objective) -> Tensor:
    """Eq. 4 for one layer: half the summed squares, or their mean."""
    squares = (features - target).square().flatten(1)
    return squares.sum(1) / 2 if objective.content == "half-sum" else squares.mean(1)


def style_loss(
    features: Tensor, target: Tensor, objective: Objective, pixels: int
) -> Tensor:
    """Eq. 5 for one layer, against the style's Gram matrix `target`.

    `pixels` is the area of the generated picture.
    """
    squares = (gram(features, objective) - target).square().flatten(1)
    return squares.sum(1) * objective.style_factor(features.shape[1], pixels)


def tv_loss(pictures: Tensor, objective: Objective) -> Tensor:
    """Eq. 7, summed over the three channels of (batch, 3, height, width), 0-255."""
    down = (pictures[:, :, 1:] - pictures[:, :, :-1]).abs().flatten(1)
    right = (pictures[..., 1:] - pictures[..., :-1]).abs().flatten(1)
    return torch.sum(down, 1) + torch.sum(right, 1)
