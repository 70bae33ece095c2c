"""VGG's convolutions as a function from pictures to named features."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from generation.engine.settings import PRE_RELU
from generation.engine.weights import StateDict, convolutions

# Means and standard deviations that weights expect of RGB in [0, 1]. With those
# of IMAGENET1K_FEATURES the network sees 0-255 minus the means, Caffe's scale.
STANDARDISATIONS = {
    "features": ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
    "v1": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class Network:
    """The convolutional part of a VGG, its parameters frozen.

    Features are read after the ReLU (Keras's `block{b}_conv{n}` outputs), or before
    it where `:pre` follows the layer's name. `weights_sha256` names the parameters.
    """

    def __init__(
        self,
        state: StateDict,
        *,
        name: str = "vgg16",
        pooling: str = "max",
        expects: str = "features",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        tf32: bool = False,
    ) -> None:
        self.pool = functional.max_pool2d if pooling == "max" else functional.avg_pool2d
        self.device = torch.device(device)
        self.dtype = dtype
        # Grams, losses and pictures: float32 under a coarser network, or float64.
        self.term_dtype = torch.promote_types(dtype, torch.float32)
        self.tf32 = tf32
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
        self.weights_sha256 = _digest(state, name)
        # Two networks with one identity compute the same features.
        self.identity = self.weights_sha256, name, pooling, expects, str(dtype), tf32
        means, stds = STANDARDISATIONS[expects]
        self.means = tuple(255 * mean for mean in means)
        self.scales = tuple(1 / (255 * std) for std in stds)

    def features(
        self,
        pictures: Tensor,
        layers: Collection[str],
        means: tuple[float, ...] | None = None,
    ) -> dict[str, Tensor]:
        """The features of `layers`, computing nothing after the last of them.

        `pictures`: (batch, 3, height, width), RGB, 0-255; `means` are subtracted
        from it instead of those the weights expect. Each feature has the shape
        (batch, N, height', width'), the sides halved (floor) by every pooling.
        """
        values = self._standardised(pictures, means or self.means)
        read: dict[str, Tensor] = {}
        block = "1"
        for layer, weight, bias in self.convolutions:
            if len(read) == len(layers):
                break
            if layer[4] != block:
                values, block = self.pool(values, 2), layer[4]
            values = functional.conv2d(values, weight, bias, padding=1)
            if layer + PRE_RELU in layers:
                read[layer + PRE_RELU] = values
                values = functional.relu(values)
            else:  # nobody reads what this overwrites
                values = functional.relu_(values)
            if layer in layers:
                read[layer] = values
        return read

    def arithmetic(self) -> AbstractContextManager[object]:
        """On a GPU, the precision of convolutions; Grams are never TF32."""
        if self.device.type != "cuda":
            return nullcontext()
        return torch.backends.cudnn.flags(
            enabled=True,
            benchmark=True,
            deterministic=False,
            allow_tf32=self.tf32,
            fp32_precision="tf32" if self.tf32 else "ieee",
        )

    def bytes_per_pixel(self, layers: Collection[str]) -> float:
        """About what one picture's evaluation holds, per pixel of the picture."""
        deepest = max(layers, key=lambda layer: layer.removesuffix(PRE_RELU))
        total = 0.0
        for layer, weight, _ in self.convolutions:
            total += 4 * len(weight) * weight.element_size() / 4 ** (int(layer[4]) - 1)
            if layer == deepest.removesuffix(PRE_RELU):
                break
        return total

    def _standardised(self, pictures: Tensor, means: tuple[float, ...]) -> Tensor:
        shift = pictures.new_tensor(means).view(1, 3, 1, 1)
        values = pictures - shift
        if any(abs(scale - 1) > 1e-12 for scale in self.scales):
            values = values * pictures.new_tensor(self.scales).view(1, 3, 1, 1)
        return values.to(self.dtype, memory_format=torch.channels_last)


def _digest(state: StateDict, name: str) -> str:
    """The sha256 of the convolutions' float32 values, in the network's order."""
    digest = hashlib.sha256()
    for _, key, _, _ in convolutions(name):
        for part in ("weight", "bias"):
            digest.update(state[f"{key}.{part}"].float().contiguous().numpy().data)
    return digest.hexdigest()
