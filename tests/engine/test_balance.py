"""Content against style on a scale that means the same everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from generation.engine.errors import SettingsError
from generation.engine.networks.vgg import Network
from generation.engine.painter import Painter, render
from generation.engine.pictures.canvas import resized, to_tensor
from generation.engine.provenance import story
from generation.engine.settings import RenderSettings

from .conftest import picture


def settings(**values: Any) -> RenderSettings:
    defaults: dict[str, Any] = {
        "weights": "random:0",
        "pooling": "average",
        "size": 32,
        "evaluations": 6,
    }
    if "alpha" not in values:
        defaults["balance"] = 0.1
    return RenderSettings(**(defaults | values))


def losses(
    of: Any, asked: RenderSettings, content: Any, style: Any, network: Network
) -> tuple[float, float]:
    """Content and style loss of a picture as it is, by the terms themselves."""
    weighed = replace(asked, balance=None, alpha=1.0, pyramid=1, beta=1.0)
    with Painter() as painter:
        cell, seen = painter.cell(weighed, network, content, style, weighed.size)
        size = seen.shape[3], seen.shape[2]
        pixels = to_tensor(resized(of, size, asked.resample)).to(network.term_dtype)
        with torch.no_grad():
            terms = asked.how.problem([cell], network).terms(pixels)[0].tolist()
    return terms[1], terms[2]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"beta": 3.0, "objective": "notebook", "content_layer": (("conv2_1", 0.5),)},
        {"pyramid": 3, "fit": "aspect", "size": 64},
    ],
)
def test_it_comes_to_an_alpha_that_paints_the_same_picture(
    network: Network, values: dict[str, Any]
) -> None:
    asked = settings(**values)
    content, style = picture(1, 48, 40), picture(2, 40, 24)

    painted = render(asked, content, style, network=network)

    at_content = losses(content, asked, content, style, network)[1]
    at_style = losses(style, asked, content, style, network)[0]
    assert painted.alpha == pytest.approx(
        0.1 * asked.beta * at_content / at_style, rel=1e-6
    )
    typed = render(
        replace(asked, balance=None, alpha=painted.alpha),
        content,
        style,
        network=network,
    )
    assert typed.pixel_sha256 == painted.pixel_sha256
    assert typed.curve == painted.curve


def test_a_finished_picture_lies_between_its_two_ends(network: Network) -> None:
    content, style = picture(1), picture(2)
    for asked in (settings(), settings(alpha=0.0), settings(alpha=1.0, beta=0.0)):
        painted = render(asked, content, style, network=network)
        of_content, of_style = (
            losses(each, asked, content, style, network) for each in (content, style)
        )
        of_it = losses(painted.image, asked, content, style, network)
        assert painted.content_share == pytest.approx(of_it[0] / of_style[0])
        assert painted.style_share == pytest.approx(of_it[1] / of_content[1])


def test_without_layers_there_is_no_share(network: Network) -> None:
    painted = render(
        settings(alpha=0.0, content_layer=()), picture(1), picture(2), network=network
    )
    assert (painted.style_share, painted.content_share) == (None, None)


def test_more_balance_keeps_more_of_the_content(network: Network) -> None:
    shares = []
    for balance in (0.0, 0.1, 10.0):
        asked = settings(balance=balance, evaluations=30)
        painted = render(asked, picture(1), picture(2), network=network)
        shares.append(painted.content_share)
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) == 3


def test_the_story_tells_the_balance_and_what_it_came_to(network: Network) -> None:
    asked = settings(evaluations=2)
    painted = render(asked, picture(1), picture(2), network=network)
    told = story(asked, painted)
    assert told["settings"]["balance"] == 0.1
    assert "alpha" not in told["settings"]
    assert told["alpha"] == painted.alpha
    assert told["style_share"] == painted.style_share
    assert RenderSettings.from_dict(told["settings"]) == asked


def test_luminance_is_judged_by_what_was_painted(network: Network) -> None:
    """The content photo itself, whose colours are put back, is still its own end."""
    asked = settings(alpha=1.0, beta=0.0, start="content", colour="luminance")
    painted = render(asked, picture(1), picture(2), network=network)
    assert painted.content_share == pytest.approx(0, abs=1e-2)
    assert painted.style_share == pytest.approx(1, abs=5e-2)


@pytest.mark.parametrize(
    ("values", "said"),
    [({}, "the style of the style picture"), ({"style_scale": 0.5}, "the content of")],
)
def test_one_picture_for_both_has_nothing_to_balance(
    network: Network, values: dict[str, Any], said: str
) -> None:
    one = picture(1)
    with pytest.raises(SettingsError, match=f"balance has nothing to weigh.*{said}"):
        render(settings(**values), one, one, network=network)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"balance": None}, "one of balance and alpha"),
        ({"balance": 0.1, "alpha": 1.0}, "one of balance and alpha"),
        ({"balance": -1.0}, "balance"),
        ({"balance": float("nan")}, "balance"),
        ({"beta": 0.0}, "beta must be above 0"),
        ({"content_layer": ()}, "content_layer may be empty only when balance is 0"),
    ],
)
def test_what_cannot_be_balanced_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        RenderSettings(**({"balance": 0.1, "weights": "random:0"} | values))


def test_a_balance_changes_the_request_and_alpha_is_not_in_it() -> None:
    digests = {settings(balance=each).digest() for each in (0.1, 0.3)}
    digests.add(settings(alpha=0.1).digest())
    assert len(digests) == 3
    assert "alpha" not in settings().to_dict()
    assert settings().changed(alpha=2.0) == settings(alpha=2.0)
    assert settings(alpha=2.0).changed(balance=0.3) == settings(balance=0.3)
