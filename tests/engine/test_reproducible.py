from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.engine.checkpoint import CheckpointRefused
from generation.engine.errors import Cancelled, NotFinite, SettingsError
from generation.engine.networks.vgg import Network
from generation.engine.painter import Painter, render
from generation.engine.pictures.canvas import (
    canvas_size,
    prepared,
    start_pixels,
    to_tensor,
)
from generation.engine.pictures.files import pixel_sha256
from generation.engine.request import Painted, Request

from .conftest import picture
from .test_render import settings

needs_no_gpu = pytest.mark.skipif(
    torch.cuda.is_available(), reason="A GPU can read what another has written."
)


def test_it_paints_alike_alone_and_among_others(network: Network) -> None:
    choices: list[dict[str, Any]] = [
        {"alpha": 1e-3, "evaluations": 5},
        {"start": "noise"},
        {"optimiser": "adam", "objective": "notebook"},
        {"content_layer": (("conv1_1", 1.0),), "size": 40},
    ]
    requests = [
        Request(settings=settings(**choice), content=picture(1), style=picture(2))
        for choice in choices
    ]
    with Painter() as painter:
        together = dict(painter.render_many(requests, network=network))

    for index, request in enumerate(requests):
        alone = render(request.settings, picture(1), picture(2), network=network)
        among = together[index]
        assert isinstance(among, Painted)
        assert among.pixel_sha256 == alone.pixel_sha256
        assert among.curve == alone.curve


def test_a_batch_ends_where_its_pictures_end_alone(network: Network) -> None:
    """Evaluated together, rounding differs: median within 1 %, worst within 5 %."""
    requests = [
        Request(
            settings=settings(
                alpha=alpha,
                content_layer=((layer, 1.0),),
                style_layers=(("conv1_1", 0.5), ("conv3_1", 0.5)),
                size=16,
                evaluations=15,
            ),
            content=picture(1),
            style=picture(2),
        )
        for layer in ("conv1_1", "conv2_1", "conv3_1")
        for alpha in (1e-4, 1e-3, 1e-2)
    ]

    def ends(together: int) -> np.ndarray:
        with Painter() as painter:
            painter.together = together
            results = [each for _, each in painter.render_many(requests)]
        painted = [each for each in results if isinstance(each, Painted)]
        assert {each.environment["batch"] for each in painted} == {together}
        return np.array([min(row["total"] for row in each.curve) for each in painted])

    apart = np.abs(ends(9) / ends(1) - 1)
    assert np.median(apart) <= 0.01
    assert apart.max() <= 0.05


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("optimiser", ["lbfgs", "adam", "scipy"])
def test_a_bad_cell_costs_the_others_nothing(
    tmp_path: Path, optimiser: str, together: int
) -> None:
    requests = [
        Request(
            settings=each,
            content=picture(1),
            style=picture(2),
            checkpoint=tmp_path / f"{index}.pt",
            checkpoint_seconds=0,
        )
        for index, each in enumerate(
            (
                settings(alpha=1e38, start="noise", optimiser=optimiser, evaluations=4),
                settings(optimiser=optimiser, evaluations=4),
                settings(start="picture:" + "0" * 64),
                settings(evaluations=4, precision="bf16"),
            )
        )
    ]
    with Painter() as painter:
        painter.together = together
        results = dict(painter.render_many(requests))

    assert isinstance(results[0], NotFinite)
    assert isinstance(results[1], Painted)
    assert isinstance(results[2], SettingsError)
    assert "precision" in str(results[3])


def test_it_cancels_one_of_many(network: Network) -> None:
    requests = [
        Request(settings=settings(), content=picture(1), style=picture(2))
        for _ in range(2)
    ]
    with Painter() as painter:
        first, second = painter.render_many(
            requests, network=network, should_stop=lambda index: index == 0
        )
    assert isinstance(first[1], Cancelled)
    assert isinstance(second[1], Painted)


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"optimiser": "adam"},
        {"optimiser": "scipy", "evaluations": 50},
        {"pyramid": 2, "evaluations": 20},
    ],
)
@pytest.mark.parametrize("stop", [3, 10, 15])
def test_a_resumed_render_equals_an_uninterrupted_one(
    network: Network, tmp_path: Path, choice: dict[str, Any], stop: int
) -> None:
    shallow = {"size": 16, "style_layers": (("conv1_1", 1.0), ("conv2_1", 1.0))}
    asked = settings(**({"evaluations": 16, "start": "noise", **shallow} | choice))
    whole = render(asked, picture(1), picture(2), network=network)
    file = tmp_path / "half.pt"
    done: list[int] = []
    with pytest.raises(Cancelled):
        render(
            asked,
            picture(1),
            picture(2),
            network=network,
            checkpoint=file,
            checkpoint_seconds=0,
            on_progress=lambda step: done.append(step.evaluations),
            should_stop=lambda: len(done) == stop,
        )
    assert file.exists()
    resumed = render(asked, picture(1), picture(2), network=network, checkpoint=file)

    assert resumed.pixel_sha256 == whole.pixel_sha256
    assert resumed.curve == whole.curve
    assert pixel_sha256(resumed.last) == pixel_sha256(whole.last)
    assert file.exists()  # nobody has stored the picture yet


def half_painted(network: Network, folder: Path) -> Path:
    """The checkpoint of a render that was stopped."""
    file = folder / "half.pt"
    with pytest.raises(Cancelled):
        render(
            settings(),
            picture(1),
            picture(2),
            network=network,
            checkpoint=file,
            checkpoint_seconds=0,
            should_stop=file.exists,
        )
    return file


def test_it_refuses_a_checkpoint_of_another_request(
    network: Network, tmp_path: Path
) -> None:
    file = half_painted(network, tmp_path)
    with pytest.raises(CheckpointRefused, match="another request"):
        render(
            settings(seed=1), picture(1), picture(2), network=network, checkpoint=file
        )
    file.write_bytes(b"nonsense")
    with pytest.raises(CheckpointRefused, match="cannot be read"):
        render(settings(), picture(1), picture(2), network=network, checkpoint=file)


@needs_no_gpu
def test_it_names_the_device_of_a_checkpoint_from_a_gpu(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = torch.load(half_painted(network, tmp_path), weights_only=True)
    kept["environment"]["device"] = "NVIDIA H100"
    with monkeypatch.context() as patch:  # tensors as they lie in a file of a GPU
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(kept, tmp_path / "half.pt")
    with pytest.raises(CheckpointRefused, match="device: NVIDIA H100 then, cpu now"):
        render(
            settings(),
            picture(1),
            picture(2),
            network=network,
            checkpoint=tmp_path / "half.pt",
        )


@pytest.mark.parametrize(
    "changed", ["engine", "torch", "numpy", "scipy", "threads", "device"]
)
def test_it_refuses_a_checkpoint_of_another_environment(
    network: Network, tmp_path: Path, changed: str
) -> None:
    file = half_painted(network, tmp_path)
    kept = torch.load(file, weights_only=True)
    now = kept["environment"][changed]
    kept["environment"][changed] = "another"
    torch.save(kept, file)
    with pytest.raises(
        CheckpointRefused, match=rf"{changed}: another then, {re.escape(str(now))} now"
    ):
        render(settings(), picture(1), picture(2), network=network, checkpoint=file)


def test_it_counts_evaluations_over_the_levels_of_a_pyramid(network: Network) -> None:
    painted = render(
        settings(pyramid=3, evaluations=12), picture(1), picture(2), network=network
    )
    assert [row["level"] for row in painted.curve] == [1] * 2 + [2] * 2 + [3] * 8
    assert painted.image.size == (32, 32)
    assert painted.best_evaluation > 4


@pytest.mark.parametrize(
    ("levels", "budget", "shares"),
    [
        (1, 240, [240]),
        (2, 10, [3, 7]),
        (5, 240, [20, 20, 20, 20, 160]),
        (5, 5, [1, 1, 1, 1, 1]),
    ],
)
def test_two_thirds_of_a_pyramids_evaluations_are_the_finest_levels(
    levels: int, budget: int, shares: list[int]
) -> None:
    asked = settings(size=300, pyramid=levels, evaluations=budget)
    assert [asked.level_evaluations(level) for level in range(levels)] == shares
    sizes = [asked.level_size(level) for level in range(levels)]
    assert sizes == [75, 106, 150, 212, 300][-levels:]


# Levels of 16 and 23 pixels lean to content, and have fewer values than one of 32.
LEANS = {1: 3.0, 2: 3.0}
LARGER = {1: 3.0 * 4, 2: 3.0 * (32 / 23) ** 2}


@pytest.mark.parametrize(
    ("objective", "times"),
    [("paper", LARGER), ("notebook", LARGER), ("johnson", LEANS)],
)
def test_a_coarser_level_leans_to_content_and_makes_up_for_a_smaller_sum(
    network: Network, objective: str, times: dict[int, float]
) -> None:
    asked = settings(objective=objective, pyramid=3, evaluations=6)
    painted = render(asked, picture(1), picture(2), network=network)
    for row in painted.curve:
        alpha = asked.alpha * times.get(int(row["level"]), 1)
        assert row["total"] == pytest.approx(
            alpha * row["content"] + asked.beta * row["style"], rel=1e-5
        )


def test_it_starts_where_it_is_told_to() -> None:
    content, style, third = picture(1), picture(2), picture(3)
    pixels = to_tensor(content)

    def start(name: str, **values: Any) -> np.ndarray:
        asked = settings(start=name, seed=4, **values)
        return start_pixels(asked, pixels, style, third).numpy()

    assert np.array_equal(start("content"), pixels.numpy())
    assert np.array_equal(start("style"), to_tensor(style).numpy())
    named = f"picture:{pixel_sha256(third)}"
    assert np.array_equal(start(named), to_tensor(third).numpy())
    mixed = 0.25 * start("noise") + 0.75 * pixels.numpy()
    assert np.allclose(start("blend", blend=0.25), mixed, atol=1e-3)
    with pytest.raises(SettingsError, match="sha256"):
        start("picture:" + "0" * 64)


def test_it_keeps_the_aspect_ratio_when_asked() -> None:
    asked = settings(fit="aspect", size=60)
    assert canvas_size(asked, picture(1, 40, 20), 60) == (60, 30)
    assert canvas_size(asked, picture(1, 20, 40), 60) == (30, 60)
    with pytest.raises(SettingsError, match=r"60 × 10.*needs 16"):
        canvas_size(asked, picture(1, 240, 40), 60)


def test_it_paints_pictures_that_are_not_square(network: Network) -> None:
    painted = render(
        settings(fit="aspect", size=40, style_scale=0.8, evaluations=3),
        picture(1, 80, 48),
        picture(2, 32, 64),
        network=network,
    )
    assert painted.image.size == (40, 24)


def test_it_resamples_nothing_that_has_its_size_already(network: Network) -> None:
    for resample in ("nearest", "lanczos"):
        painted = render(
            settings(resample=resample, evaluations=1),
            picture(1),
            picture(2),
            network=network,
        )
        assert pixel_sha256(painted.image) == pixel_sha256(picture(1))


def statistics(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    flat = np.asarray(image, float).reshape(-1, 3)
    return flat.mean(0), np.cov(flat.T)


def test_it_gives_the_style_the_contents_colour_statistics() -> None:
    muted = picture(1).point(lambda value: 100 + value // 8)
    _, style = prepared(settings(colour="histogram"), muted, picture(2))

    for ours, wanted in zip(statistics(style), statistics(muted), strict=True):
        assert np.allclose(ours, wanted, rtol=0.05, atol=1.0)


def test_it_keeps_the_contents_colours_and_paints_its_luminance(
    network: Network,
) -> None:
    muted = picture(1).point(lambda value: 90 + value // 4)
    painted = render(
        settings(colour="luminance", evaluations=8), muted, picture(2), network=network
    )
    before, after = (np.asarray(each, float) for each in (muted, painted.image))
    luma = np.array([0.299, 0.587, 0.114])

    inside = ((after > 0) & (after < 255)).all(2)
    chroma = [image - (image @ luma)[..., None] for image in (before, after)]
    assert inside.mean() > 0.5
    assert np.abs(chroma[0] - chroma[1])[inside].max() <= 1.5
    assert np.abs((before - after) @ luma).mean() > 1
