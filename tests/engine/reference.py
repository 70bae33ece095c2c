"""VGG and the published objectives again, in float64 numpy from their definitions.

Shares no code with the engine: what both compute must agree.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

VGG16 = {
    "conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10,
    "conv3_2": 12, "conv3_3": 14, "conv4_1": 17, "conv4_2": 19, "conv4_3": 21,
    "conv5_1": 24, "conv5_2": 26, "conv5_3": 28,
}  # fmt: skip
POOLED_BEFORE = ("conv2_1", "conv3_1", "conv4_1", "conv5_1")


def convolve(maps: Array, weight: Array, bias: Array) -> Array:
    """3 x 3, stride 1, zeros around. `maps`: (channels, height, width)."""
    height, width = maps.shape[1:]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for row in range(3):
        for column in range(3):
            part = padded[:, row : row + height, column : column + width]
            total += np.einsum("oi,ihw->ohw", weight[:, :, row, column], part)
    return total


def pool(maps: Array, kind: str) -> Array:
    channels, height, width = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    blocks = even.reshape(channels, height // 2, 2, width // 2, 2)
    return blocks.max((2, 4)) if kind == "max" else blocks.mean((2, 4))


def features(
    picture: Array, state: Mapping[str, Array], means: Array, kind: str
) -> dict[str, Array]:
    """Every layer after its ReLU, and before it under `:pre`.

    `picture`: (height, width, 3), RGB, 0-255; `means` in the same order.
    """
    maps = np.moveaxis(picture.astype(float) - means, 2, 0)
    read = {}
    for layer, index in VGG16.items():
        if layer in POOLED_BEFORE:
            maps = pool(maps, kind)
        weight = state[f"features.{index}.weight"]
        maps = convolve(maps, weight, state[f"features.{index}.bias"])
        read[layer + ":pre"] = maps
        maps = np.maximum(maps, 0)
        read[layer] = maps
    return read


def gram(maps: Array) -> Array:
    flat = maps.reshape(len(maps), -1)
    return flat @ flat.T


def equation_4(content: Array, generated: Array) -> float:
    return float(0.5 * ((content - generated) ** 2).sum())


def equation_5(style: Array, generated: Array) -> float:
    """1 / (4 N^2 M^2) sum (GM - GM)^2, each Gram with its own M."""
    n = len(style)
    difference = gram(style) / style[0].size - gram(generated) / generated[0].size
    return float((difference**2).sum() / (4 * n**2))


def notebook_style(style: Array, generated: Array, pixels: int) -> float:
    """channels = 3; size = the picture's; sum(square(S - C)) / (4 * 9 * size**2).

    It knows pictures of one size: another one's Gram is taken to the generated M."""
    difference = gram(style) / style[0].size * generated[0].size - gram(generated)
    return float((difference**2).sum() / (4 * 3**2 * pixels**2))


def gatys_code_style(style: Array, generated: Array) -> float:
    """1e3 / n**2 * MSELoss()(G(S) / (h w), G(C) / (h w))."""
    difference = gram(style) / style[0].size - gram(generated) / generated[0].size
    return float(1e3 / len(style) ** 2 * (difference**2).mean())


def johnson_style(style: Array, generated: Array) -> float:
    """MSECriterion()(G / nElement, G / nElement)."""
    difference = gram(style) / style.size - gram(generated) / generated.size
    return float((difference**2).mean())


def pystiche_style(style: Array, generated: Array) -> float:
    """mse_loss(gram_matrix(normalize=True), gram_matrix(normalize=True))."""
    difference = gram(style) / style[0].size - gram(generated) / generated[0].size
    return float((difference**2).mean())


def equation_7(picture: Array) -> float:
    return float(
        np.abs(np.diff(picture, axis=0)).sum() + np.abs(np.diff(picture, axis=1)).sum()
    )


def squared_steps(picture: Array) -> Array:
    """dx^2 + dy^2 where both neighbours are: the last row and column left out."""
    corner = picture[:-1, :-1]
    return (picture[1:, :-1] - corner) ** 2 + (picture[:-1, 1:] - corner) ** 2
