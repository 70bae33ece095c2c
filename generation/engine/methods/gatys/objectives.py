"""The objectives by name: each convention as a small table of choices. No torch.

All of them are sums of the same three terms,

    total = alpha * content + beta * style + tv_weight * tv,
    content = sum of w_l * content_l,  style = sum of w_l * style_l,

and differ in the choices an `Objective` lists. Pictures are RGB, 0-255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from generation.engine.networks.architectures import CAFFE_MEANS


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One convention.

    With F the N x M matrix of a layer's N feature maps of M = height * width
    values, its Gram matrix is F F^T ("raw") or F F^T / M ("area"), and its style
    loss ``style_factor(N, S) * sum((G_style - G_generated)**2)``, S being the
    number of pixels of the generated picture. The style picture may have another
    size, M' values: an "area" Gram is over its own M', a "raw" one times M / M'.
    """

    source: str
    gram: Literal["raw", "area"]
    style_factor: Callable[[int, int], float]
    # Half the sum of squared differences, or their mean.
    content: Literal["half-sum", "mean"]
    # "l1-sum": sum |dx| + |dy|; "power-sum": sum (dx^2 + dy^2)^1.25 and
    # "square-mean": mean dx^2 + dy^2, both without the last row and column, the
    # latter of a picture in 0-1.
    tv: Literal["l1-sum", "power-sum", "square-mean"] | None
    # The w_l of style layers that are not given weights: 1/L or 1.
    layer_mix: Literal["mean", "sum"] = "mean"
    # What is subtracted from red, green and blue; None: the weights' own means.
    means: tuple[float, float, float] | None = None
    # What is added to noise that is uniform in 0-255.
    noise_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    # How the finished picture becomes 8 bits, after clipping to 0-255.
    rounding: Literal["nearest", "down"] = "nearest"

    def layer_weight(self, layers: int) -> float:
        """The w_l of each of `layers` style layers without weights of their own."""
        return 1 / layers if self.layer_mix == "mean" else 1.0


OBJECTIVES: dict[str, Objective] = {
    "paper": Objective(
        source="Patel & Krishnan, ICIME 2017, doi 10.1145/3149572.3149592, Eq. 1-7",
        gram="area",
        style_factor=lambda n, s: 1 / (4 * n**2),  # Eq. 5; its M is in the Grams
        content="half-sum",
        tv="l1-sum",
    ),
    "notebook": Objective(
        source="the notebook published with Patel & Krishnan 2017",
        gram="raw",
        # Its N is the 3 channels of the picture, its M the picture's own pixels.
        style_factor=lambda n, s: 1 / (4 * 3**2 * s**2),
        content="half-sum",
        tv="power-sum",
        # The means of blue, green and red, taken from red, green and blue.
        means=(103.939, 116.779, 123.68),
        # uniform(0, 255) - 128 is drawn after the means are gone.
        noise_offset=(103.939 - 128, 116.779 - 128, 123.68 - 128),
        rounding="down",
    ),
    "gatys-paper": Objective(
        source="Gatys, Ecker & Bethge, CVPR 2016, Eq. 1-7",
        gram="area",
        style_factor=lambda n, s: 1 / (4 * n**2),  # Eq. 4; its M is in the Grams
        content="half-sum",
        tv=None,
        means=CAFFE_MEANS,
    ),
    "gatys-code": Objective(
        source="leongatys/PytorchNeuralStyleTransfer, NeuralStyleTransfer.ipynb",
        gram="area",
        # A mean over N^2 entries, weighted by 1e3 / N^2.
        style_factor=lambda n, s: 1e3 / n**4,
        content="mean",
        tv=None,
        layer_mix="sum",
        means=(0.48501961 * 255, 0.45795686 * 255, 0.40760392 * 255),
    ),
    "johnson": Objective(
        source="jcjohnson/neural-style as ProGamerGov/neural-style-pt computes it",
        gram="area",
        # Grams over N M and a mean over N^2 entries.
        style_factor=lambda n, s: 1 / n**4,
        content="mean",
        tv="l1-sum",
        layer_mix="sum",
        means=CAFFE_MEANS,
    ),
    "pystiche": Objective(
        source="pystiche 1.0, GramLoss, FeatureReconstructionLoss, "
        "TotalVariationLoss, CaffePreprocessing",
        gram="area",
        style_factor=lambda n, s: 1 / n**2,
        content="mean",
        tv="square-mean",
        means=(0.485 * 255, 0.458 * 255, 0.408 * 255),
    ),
}

# The VGG-19 files of Caffe's scale with which sources ran: their input is BGR, 0-255
# minus `CAFFE_MEANS`. torchvision's own VGG-19 is no substitute: its input is divided
# by about 58, so that a published alpha or TV weight means something else to it.
CAFFE_VGG19 = (
    "vgg19-d01eb7cb.pth of jcjohnson/pytorch-vgg or vgg_conv.pth of "
    "leongatys/PytorchNeuralStyleTransfer"
)

# The other settings with which an objective's source ran, where it fixes them. Beside
# vgg19 a file of `CAFFE_VGG19` is wanted.
AS_PUBLISHED: dict[str, dict[str, object]] = {
    "notebook": {
        "content_layer": (("conv2_1", 1.0),),
        "alpha": 0.1,
        "tv_weight": 1.0,
        "size": 300,
        "fit": "square",
        "resample": "nearest",
        "optimiser": "scipy",
        "evaluations": 240,
        "range": "free",
    },
    "gatys-paper": {
        "network": "vgg19",
        "pooling": "average",
        "content_layer": (("conv4_2", 1.0),),
        "range": "free",
    },
    "gatys-code": {
        "network": "vgg19",
        "content_layer": (("conv4_2", 1.0),),
        "alpha": 1.0,
        "start": "content",
        "range": "free",
    },
    "johnson": {
        "network": "vgg19",
        "content_layer": (("conv4_2", 1.0),),
        "alpha": 5.0,
        "beta": 100.0,
        "tv_weight": 1e-3,
        "fit": "aspect",
        "range": "free",
    },
}
