"""How a picture comes to its size: kept in shape, cut around a focus, squashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from generation.engine.errors import Cancelled, SettingsError
from generation.engine.networks.vgg import Network
from generation.engine.painter import Painter, render
from generation.engine.pictures.canvas import start_pixels, to_tensor
from generation.engine.pictures.files import pixel_sha256
from generation.engine.request import Painted, Request
from generation.engine.settings import RenderSettings
from generation.engine.shapes import cut, fitted

from .conftest import picture
from .test_render import settings

LYING, STANDING = (48, 32), (32, 48)


@pytest.mark.parametrize(
    ("size", "shape", "focus", "box"),
    [
        (LYING, (1, 1), "0.5 0.5", (8, 0, 40, 32)),
        (LYING, (1, 1), "0 0", (0, 0, 32, 32)),
        (LYING, (1, 1), "1 0.2", (16, 0, 48, 32)),
        (LYING, (1, 1), "0.4 0.5", (3, 0, 35, 32)),
        (STANDING, (1, 1), "0.5 0.6", (0, 13, 32, 45)),
        (LYING, (3, 2), "0.1 0.1", (0, 0, 48, 32)),
        (LYING, (2, 3), "0.5 0.5", (14, 0, 35, 32)),
        ((5000, 10), (1, 1), "0.5 0.5", (2495, 0, 2505, 10)),
        ((1, 900), (4, 1), "0.5 1", (0, 899, 1, 900)),
    ],
)
def test_the_cut_is_the_largest_part_around_the_focus(
    size: Any, shape: Any, focus: str, box: Any
) -> None:
    assert cut(size, shape, focus) == box


def test_a_size_keeps_its_aspect_ratio_unless_a_square_is_asked_for() -> None:
    assert fitted("aspect", (600, 400), 192) == (192, 128)
    assert fitted("aspect", (10, 4000), 192) == (1, 192), "no side is nothing"
    assert fitted("crop", (600, 400), 192) == fitted("square", (6, 4), 192)
    assert RenderSettings(alpha=1.0).fit == "aspect"


@pytest.mark.parametrize("focus", ["", "0.5", "0.5 1.2", "a b", "nan 0.5", 0.5])
def test_a_focus_that_is_none_is_refused(focus: Any) -> None:
    with pytest.raises(SettingsError, match="style_focus must be two shares"):
        RenderSettings(alpha=1.0, style_focus=focus)


def test_a_focus_has_one_text() -> None:
    told = [RenderSettings(alpha=1.0, content_focus=it) for it in (".3 1", "0.30/1.0")]
    assert told[0].content_focus == "0.3 1"
    assert told[0].digest() == told[1].digest()


@pytest.mark.parametrize("colour", ["free", "luminance", "histogram"])
def test_what_is_cut_is_painted_as_if_it_were_all_there_is(
    network: Network, colour: str
) -> None:
    content, style = picture(1, *LYING), picture(2, 40, 64)
    asked = settings(
        fit="crop", content_focus="0 0.5", style_focus="0.5 1", colour=colour, size=24
    )
    cut_by_hand = content.crop((0, 0, 32, 32)), style.crop((0, 24, 40, 64))
    painted = render(asked, content, style, network=network)
    by_hand = render(asked.changed(fit="square"), *cut_by_hand, network=network)

    assert painted.image.size == (24, 24)
    assert painted.pixel_sha256 == by_hand.pixel_sha256
    assert painted.curve == by_hand.curve
    assert painted.digests["content"] == pixel_sha256(content), "the whole picture's"
    told = "The content picture of 48 × 32 was cut to a square."
    assert told in painted.notes
    assert told not in by_hand.notes


def test_a_start_of_another_shape_is_cut_and_only_the_papers_way_squashes() -> None:
    style = picture(2, 64, 24)
    canvas = to_tensor(picture(1, 32, 24))
    kept = settings(fit="aspect", start="style", style_focus="1 0.5")
    part = to_tensor(style.crop((32, 0, 64, 24)))
    assert np.array_equal(start_pixels(kept, canvas, style, None), part)
    squashed = to_tensor(style.resize((32, 24), 1))
    asked = kept.changed(fit="square")
    assert np.array_equal(start_pixels(asked, canvas, style, None), squashed)


def test_pictures_of_different_shapes_share_a_batch(network: Network) -> None:
    asked: list[tuple[dict[str, Any], tuple[int, int]]] = [
        ({"fit": "aspect"}, LYING),
        ({"fit": "aspect", "start": "noise"}, STANDING),
        ({"fit": "crop", "content_focus": "1 1"}, LYING),
        ({"fit": "aspect", "pyramid": 2}, STANDING),
    ]
    requests = [
        Request(
            settings=settings(size=48, evaluations=3, **changes),
            content=picture(number, *size),
            style=picture(9, 40, 24),
        )
        for number, (changes, size) in enumerate(asked)
    ]
    with Painter() as painter:
        painter.together = len(requests)
        together = dict(painter.render_many(requests, network=network))
    for index, request in enumerate(requests):
        alone = render(
            request.settings, request.content, request.style, network=network
        )
        among = together[index]
        assert isinstance(among, Painted)
        size = (48, 48) if request.settings.fit == "crop" else asked[index][1]
        assert among.image.size == size
        assert among.pixel_sha256 == alone.pixel_sha256


def test_a_picture_that_is_no_square_goes_on_from_its_checkpoint(
    network: Network, tmp_path: Path
) -> None:
    asked = settings(fit="aspect", size=48, evaluations=6, pyramid=2)
    pictures = picture(1, *LYING), picture(2, *STANDING)
    whole = render(asked, *pictures, network=network)
    file = tmp_path / "half.pt"
    with pytest.raises(Cancelled):
        render(
            asked,
            *pictures,
            network=network,
            checkpoint=file,
            checkpoint_seconds=0,
            should_stop=file.exists,
        )
    resumed = render(asked, *pictures, network=network, checkpoint=file)
    assert resumed.image.size == LYING
    assert resumed.pixel_sha256 == whole.pixel_sha256
