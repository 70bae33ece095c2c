"""VGG's convolutions as a function from pictures to named features."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from generation.engine.weights import StateDict, convolutions

# How IMAGENET1K_FEATURES expects its input; its standard deviation is 1/255, so
# features of a 0-255 picture minus 255 * mean are on the original Caffe scale.
FEATURES_MEAN = (0.48235, 0.45882, 0.40784)
FEATURES_STD = (1 / 255, 1 / 255, 1 / 255)


class Network:
    """The convolutional part of a VGG, its parameters frozen.

    Features are read after the ReLU (Keras's `block{b}_conv{n}` outputs). No ReLU
    works in place, so what is read is what the next convolution saw.
    """

    def __init__(
        self,
        state: StateDict,
        *,
        name: str = "vgg16",
        pooling: str = "max",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self.pool = functional.max_pool2d if pooling == "max" else functional.avg_pool2d
        self.device = torch.device(device)
        self.dtype = dtype
        self.convolutions = [
            (
                layer,
                state[f"{key}.weight"].to(
                    device, dtype, memory_format=torch.channels_last
                ),
                state[f"{key}.bias"].to(device, dtype),
            )
            for layer, key, _, _ in convolutions(name)
        ]
        self.mean = torch.tensor(FEATURES_MEAN, dtype=dtype).view(1, 3, 1, 1)
        self.std = torch.tensor(FEATURES_STD, dtype=dtype).view(1, 3, 1, 1)

    def features(
        self, pictures: Tensor, layers: Collection[str]
    ) -> Mapping[str, Tensor]:
        """The features of `layers`, computing nothing after the last of them.

        `pictures`: (batch, 3, height, width), RGB, 0-255. Each feature has the
        shape (batch, N, height', width') with the sides halved (floor) per pooling.
        """
        mean = (255 * self.mean).to(self.device)
        std = (255 * self.std).to(self.device)
        read: dict[str, Tensor] = {}
        values = ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)
        block = "1"
        for layer, weight, bias in self.convolutions:
            if len(read) == len(layers):
                break
            if layer[4] != block:
                values, block = self.pool(values, 2), layer[4]
            values = functional.relu(functional.conv2d(values, weight, bias, padding=1))
            if layer in layers:
                read[layer] = values
        return read
