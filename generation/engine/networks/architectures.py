"""The networks by name: their layers, and how deep each lies. No torch."""

from __future__ import annotations

from collections.abc import Iterable


def _layers(*convolutions: int) -> tuple[str, ...]:
    return tuple(
        f"conv{block}_{n}"
        for block, count in enumerate(convolutions, start=1)
        for n in range(1, count + 1)
    )


NETWORK_LAYERS: dict[str, tuple[str, ...]] = {
    "vgg16": _layers(2, 2, 3, 3, 3),
    "vgg19": _layers(2, 2, 4, 4, 4),
}
# Behind a layer's name: its values before the ReLU instead of after it.
PRE_RELU = ":pre"
POOLINGS = ("max", "average")
# The ImageNet means of the Caffe model, red, green, blue, 0-255.
CAFFE_MEANS = (123.68, 116.779, 103.939)


def least_side(layers: Iterable[str]) -> int:
    """The shortest side, in pixels, that leaves the deepest layer one value."""
    return max((2 ** (int(layer[4]) - 1) for layer in layers), default=1)


def map_area(size: tuple[int, int], layer: str) -> int:
    """M, the values of one of a layer's maps for a picture of (width, height)."""
    poolings = int(layer[4]) - 1
    return (size[0] >> poolings) * (size[1] >> poolings)


def convolutions(network: str) -> list[tuple[str, str, int, int]]:
    """The convolutions in order: layer, key in torchvision's state dict, in, out."""
    width = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
    rows = []
    index, block, channels = 0, 1, 3
    for layer in NETWORK_LAYERS[network]:
        if int(layer[4]) != block:
            block, index = int(layer[4]), index + 1  # a pooling stands between
        rows.append((layer, f"features.{index}", channels, width[block]))
        channels, index = width[block], index + 2  # the convolution and its ReLU
    return rows
