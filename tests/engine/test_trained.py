"""The trained network itself, where it is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.engine.networks.architectures import convolutions
from generation.engine.networks.weights import (
    expects,
    names_at_hand,
    state_dict,
    with_values,
)
from generation.engine.painter import Painter
from generation.engine.settings import RenderSettings
from tests.engine.conftest import picture

# First value and first bias, from a printout of the published network.
PRINTED = {
    "conv5_1": (-0.0006068934, 0.09722325),
    "conv5_2": (-0.0011261065, 0.21327873),
    "conv5_3": (0.00040788297, 0.18837857),
}


def test_its_deepest_layers_begin_as_they_were_published(trained: Path) -> None:
    state = state_dict("imagenet", network="vgg16", folder=trained)
    keys = {layer: key for layer, key, _, _ in convolutions("vgg16")}
    for layer, (weight, bias) in PRINTED.items():
        first = state[f"{keys[layer]}.weight"].flatten()[0].item()
        assert first == pytest.approx(weight, rel=1e-6)
        of_first = state[f"{keys[layer]}.bias"][0].item()
        assert of_first == pytest.approx(bias, rel=1e-6)


def test_a_picture_is_painted_with_it_by_the_name_with_its_values(
    trained: Path,
) -> None:
    name = with_values("imagenet", network="vgg16", folder=trained)
    assert name in names_at_hand(trained)
    assert expects(name) == "features"
    settings = RenderSettings(
        alpha=1e-4, weights=name, size=32, evaluations=8, start="content"
    )
    with Painter(device="cpu", weights_folder=trained) as painter:
        painted = painter.render(settings, picture(1), picture(2))
    assert painted.digests["weights"] == name.partition(":")[2]
    assert painted.curve[-1]["total"] < painted.curve[0]["total"]
