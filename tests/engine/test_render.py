from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from generation.engine.errors import Cancelled, ImageRefused, NotFinite
from generation.engine.networks.vgg import Network
from generation.engine.painter import Painter, render
from generation.engine.provenance import story
from generation.engine.request import Progress
from generation.engine.settings import RenderSettings

from .conftest import picture


def settings(**values: Any) -> RenderSettings:
    defaults: dict[str, Any] = {
        "alpha": 1e-4,
        "weights": "random:0",
        "pooling": "average",
        "start": "content",
        "size": 32,
        "evaluations": 12,
    }
    return RenderSettings(**(defaults | values))


def test_it_paints_a_picture_of_the_size_asked_that_is_nearer_its_objective(
    network: Network,
) -> None:
    painted = render(settings(), picture(1), picture(2, 40, 24), network=network)

    assert painted.image.size == (32, 32)
    assert painted.image.mode == "RGB"
    totals = [row["total"] for row in painted.curve]
    assert min(totals) < 0.5 * totals[0]
    assert painted.evaluations == len(painted.curve) == 12
    assert painted.notes == (
        "Painted with random weights, which no picture has trained.",
    )
    assert painted.environment["device"] == "cpu"


def test_it_moves_the_colours_towards_the_style(network: Network) -> None:
    content, style = picture(1), picture(2)
    red = np.asarray(style).copy()
    red[..., 1:] //= 8
    reddish = Image.fromarray(red)

    painted = render(settings(evaluations=40), content, reddish, network=network)

    def redness(image: Image.Image) -> float:
        mean = np.asarray(image, float).mean((0, 1))
        return float(mean[0] - mean[1:].mean())

    assert redness(painted.image) > redness(content) + 20


@pytest.mark.parametrize("start", ["noise", "content"])
def test_it_paints_the_same_pixels_again(network: Network, start: str) -> None:
    first, second = (
        render(settings(start=start), picture(1), picture(2), network=network)
        for _ in range(2)
    )
    assert first.pixel_sha256 == second.pixel_sha256
    assert first.curve == second.curve


def test_it_paints_another_picture_from_another_seed(network: Network) -> None:
    first, second = (
        render(
            settings(start="noise", seed=seed), picture(1), picture(2), network=network
        )
        for seed in (0, 1)
    )
    assert first.pixel_sha256 != second.pixel_sha256


def test_it_starts_a_content_render_with_no_content_loss(network: Network) -> None:
    painted = render(settings(evaluations=1), picture(1), picture(2), network=network)

    assert painted.curve[0]["content"] == 0
    assert np.array_equal(np.asarray(painted.image), np.asarray(picture(1)))


def test_it_adds_the_terms_up_as_equation_1_says(network: Network) -> None:
    painted = render(
        settings(alpha=0.3, beta=2.0, tv_weight=1.5, start="noise"),
        picture(1),
        picture(2),
        network=network,
    )
    for row in painted.curve:
        expected = 0.3 * row["content"] + 2.0 * row["style"] + 1.5 * row["tv"]
        assert row["total"] == pytest.approx(expected, rel=1e-6)
    assert painted.curve[0]["tv"] > 0


def test_it_reconstructs_content_alone_and_style_alone(network: Network) -> None:
    for alone in (
        {"alpha": 1.0, "beta": 0.0, "style_layers": []},
        {"alpha": 0.0, "content_layer": []},
    ):
        painted = render(
            settings(start="noise", **alone), picture(1), picture(2), network=network
        )
        totals = [row["total"] for row in painted.curve]
        assert min(totals) < 0.5 * totals[0]


def test_it_reports_every_evaluation(network: Network) -> None:
    seen: list[Progress] = []
    painted = render(
        settings(), picture(1), picture(2), network=network, on_progress=seen.append
    )
    assert [step.evaluations for step in seen] == list(range(1, 13))
    assert {step.budget for step in seen} == {12}
    assert [step.total for step in seen] == [row["total"] for row in painted.curve]


def test_it_stops_at_the_next_evaluation_when_told_to(network: Network) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        render(
            settings(),
            picture(1),
            picture(2),
            network=network,
            on_progress=seen.append,
            should_stop=lambda: len(seen) == 3,
        )
    assert len(seen) == 3


def test_it_says_when_the_objective_is_not_finite(network: Network) -> None:
    with pytest.raises(NotFinite, match="alpha"):
        render(
            settings(alpha=1e38, start="noise"),
            picture(1),
            picture(2),
            network=network,
        )


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_an_evaluation_that_is_not_finite_does_not_spoil_the_picture(
    network: Network, optimiser: str
) -> None:
    """The start is the content, so its first evaluation has no content loss."""
    asked = settings(alpha=1e37, evaluations=6, optimiser=optimiser)
    painted = render(asked, picture(1), picture(2), network=network)

    totals = [row["total"] for row in painted.curve]
    assert painted.best_evaluation == 1
    assert totals[0] is not None
    assert None in totals
    told = story(asked, painted)
    assert json.loads(json.dumps(told, allow_nan=False))["curve"] == painted.curve


def test_it_refuses_a_picture_that_was_not_opened_as_rgb(network: Network) -> None:
    with pytest.raises(ImageRefused, match="style picture is in mode L"):
        render(settings(), picture(1), picture(2).convert("L"), network=network)


def test_it_computes_targets_once_for_renders_that_share_them(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[object] = []
    features = network.features

    def counted(*arguments: Any) -> Any:
        passes.append(arguments)
        return features(*arguments)

    monkeypatch.setattr(network, "features", counted)
    with Painter() as painter:
        for alpha in (1e-4, 1e-3):
            painter.render(
                settings(alpha=alpha, evaluations=1),
                picture(1),
                picture(2),
                content_key="one",
                style_key="two",
                network=network,
            )
    # Two targets; of each render both ends, an evaluation and the finished
    # picture twice: of its own objective, and between the ends.
    assert len(passes) == 2 + 2 * (2 + 1 + 2)
