"""VGG's convolutions as a function from pictures to named features."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, MutableSequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from generation.engine.networks.architectures import (
    CAFFE_MEANS,
    PRE_RELU,
    convolutions,
)
from generation.engine.networks.state_dicts import StateDict, values_sha256

# Means and standard deviations that weights expect of RGB in [0, 1]. With those
# of IMAGENET1K_FEATURES the network sees 0-255 minus the means, Caffe's scale.
STANDARDISATIONS = {
    "features": ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
    "v1": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe-bgr": (
        (CAFFE_MEANS[0] / 255, CAFFE_MEANS[1] / 255, CAFFE_MEANS[2] / 255),
        (1 / 255, 1 / 255, 1 / 255),
    ),
}


# Layers that were read, and steps that take the gradient by what they gave to the
# gradient by what they were given; the last one first.
WayBack = MutableSequence[str | Callable[[Tensor], Tensor]]
Slope = Callable[[str, Tensor | None], Tensor]

_aten = torch.ops.aten


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
        self.pooling = pooling
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
        if expects == "caffe-bgr":
            layer, weight, bias = self.convolutions[0]
            weight = weight.flip(1).contiguous(memory_format=torch.channels_last)
            self.convolutions[0] = layer, weight, bias
        self.weights_sha256 = values_sha256(state, name)
        self._constants: dict[tuple[float, ...], Tensor] = {}
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
        way_back: WayBack | None = None,
    ) -> dict[str, Tensor]:
        """The features of `layers`, computing nothing after the last of them.

        `pictures`: (batch, 3, height, width), RGB, 0-255; `means` are subtracted
        from it instead of those the weights expect. Each feature has the shape
        (batch, N, height', width'), the sides halved (floor) by every pooling.
        `way_back` is filled with what `gradient` needs.
        """
        back: WayBack = deque(maxlen=0) if way_back is None else way_back
        values = self._standardised(pictures, means or self.means)
        back.append(self._unstandardised)
        read: dict[str, Tensor] = {}
        block = "1"
        rectified = True
        for layer, weight, bias in self.convolutions:
            if len(read) == len(layers):
                break
            if layer[4] != block:
                block = layer[4]
                if not rectified and self.pooling == "average":
                    values, rectified = _rectified(values, read, back), True
                values = self._pooled(values, back)
            if not rectified:  # after max pooling it is a quarter of the work
                values = _rectified(values, read, back)
            back.append(partial(_through_convolution, values, weight))
            values, rectified = (
                functional.conv2d(values, weight, bias, padding=1),
                False,
            )
            if layer + PRE_RELU in layers:
                read[layer + PRE_RELU] = values
                back.append(layer + PRE_RELU)
            if layer in layers:
                values, rectified = _rectified(values, read, back), True
                read[layer] = values
                back.append(layer)
        return read

    def gradient(self, way_back: WayBack, slope: Slope) -> Tensor:
        """The gradient by the pictures that `features` saw, which empties `way_back`.

        `slope(layer, above)` adds, in place if it likes, the gradient by a layer's
        features to what comes from the layers above it, None for the last one.
        """
        last = way_back.pop()
        while not isinstance(last, str):
            last = way_back.pop()
        gradient = slope(last, None)
        while way_back:
            step = way_back.pop()
            if isinstance(step, str):
                gradient = slope(step, gradient)
            else:
                gradient = step(gradient)
        return gradient

    def _pooled(self, values: Tensor, back: WayBack) -> Tensor:
        if self.pooling == "max":
            pooled, where = _aten.max_pool2d_with_indices(values, [2, 2], [2, 2])
            back.append(partial(_through_max_pool, values, where))
        else:
            pooled = functional.avg_pool2d(values, 2)
            back.append(partial(_through_average_pool, values))
        return pooled

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
        values = pictures - self._channels(means)
        if any(abs(scale - 1) > 1e-12 for scale in self.scales):
            values = values * self._channels(self.scales)
        return values.to(self.dtype, memory_format=torch.channels_last)

    def _unstandardised(self, gradient: Tensor) -> Tensor:
        gradient = gradient.to(self.term_dtype, memory_format=torch.contiguous_format)
        return gradient * self._channels(self.scales)

    def _channels(self, values: tuple[float, ...]) -> Tensor:
        """A value per channel, copied to the device once."""
        if values not in self._constants:
            self._constants[values] = torch.tensor(
                values, dtype=self.term_dtype, device=self.device
            ).view(1, 3, 1, 1)
        return self._constants[values]


def _rectified(values: Tensor, read: dict[str, Tensor], back: WayBack) -> Tensor:
    """The values after the ReLU, in place unless somebody reads those before it."""
    overwrite = all(values is not each for each in read.values())
    values = functional.relu_(values) if overwrite else functional.relu(values)
    back.append(partial(_through_relu, values))
    return values


def _through_convolution(values: Tensor, weight: Tensor, gradient: Tensor) -> Tensor:
    ones, only_by_values = [1, 1], [True, False, False]
    convolution = ones, ones, ones, False, [0, 0], 1  # stride, padding, dilation, ...
    by_values: Tensor = _aten.convolution_backward(
        gradient, values, weight, None, *convolution, only_by_values
    )[0]
    return by_values


def _through_relu(values: Tensor, gradient: Tensor) -> Tensor:
    """In place: nobody else holds the gradient."""
    into = _aten.threshold_backward.grad_input
    masked: Tensor = into(gradient, values, 0, grad_input=gradient)
    return masked


def _through_max_pool(values: Tensor, where: Tensor, gradient: Tensor) -> Tensor:
    window, padding, dilation = [2, 2], [0, 0], [1, 1]
    spread: Tensor = _aten.max_pool2d_with_indices_backward(
        gradient, values, window, window, padding, dilation, False, where
    )
    return spread


def _through_average_pool(values: Tensor, gradient: Tensor) -> Tensor:
    window, padding = [2, 2], [0, 0]
    spread: Tensor = _aten.avg_pool2d_backward(
        gradient, values, window, window, padding, False, True, None
    )
    return spread
