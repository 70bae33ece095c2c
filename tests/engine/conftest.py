"""Small pictures and networks that the engine's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from PIL import Image

from generation.engine.networks import weights
from generation.engine.networks.vgg import Network
from generation.engine.networks.weights import state_dict


def picture(seed: int, width: int = 32, height: int = 32) -> Image.Image:
    """A smooth coloured picture: noise at a quarter of the size, enlarged."""
    noise = np.random.default_rng(seed).integers(
        0, 256, (height // 4, width // 4, 3), dtype=np.uint8
    )
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="session", autouse=True)
def _draw_random_weights_once() -> Iterator[None]:
    """Fourteen million draws take a second, and the same seed draws the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_random", cache(weights._random))
        yield


@pytest.fixture(scope="session")
def network() -> Network:
    """VGG-16 with average pooling and the weights random:0."""
    state = state_dict("random:0", network="vgg16", folder=None)
    return Network(state, pooling="average")
