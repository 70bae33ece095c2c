"""What CONTRIBUTING.md's table calls one file's work, done from outside.

A throw-away optimiser, objective, loss term and style-transfer method, each put into
its table only, are offered on the command line, paint a picture and are in its story.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from generation.engine.cli.main import main
from generation.engine.errors import SettingsError
from generation.engine.factors import FACTORS, choices_of
from generation.engine.grid import PicturePair, expand
from generation.engine.methods.gatys.objectives import OBJECTIVES
from generation.engine.methods.gatys.problem import Problem
from generation.engine.methods.gatys.terms import EXTRA_TERMS, ExtraTerm
from generation.engine.networks.vgg import Network
from generation.engine.optimisers import OPTIMISERS, Optimiser
from generation.engine.optimisers.adam import Adam
from generation.engine.painter import Painter, render
from generation.engine.pictures.canvas import to_tensor
from generation.engine.provenance import read_story
from generation.engine.registry import METHODS, Cost, Method, Reader, Setting
from generation.engine.request import Progress
from generation.engine.settings import RenderSettings
from generation.engine.terms import LossTerm, TermSum

from .conftest import picture


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    picture(1).save(tmp_path / "c.png")
    picture(2).save(tmp_path / "s.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def story(*more: str) -> dict[str, Any]:
    """The story of a picture painted by the command line."""
    quick = ["--weights", "random:0", "--pooling", "average", "--size", "32"]
    files = ["--content", "c.png", "--style", "s.png", "--out", "o.png"]
    assert main(["render", *files, *quick, *more]) == 0
    return read_story(Path("o.png"))


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command's help says, in one line."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return " ".join(capsys.readouterr().out.split())


def test_an_optimiser_is_an_entry_in_its_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    built = []

    def build(start: Tensor, settings: Any, evaluations: int, state: Any) -> Adam:
        built.append(evaluations)
        return Adam(start, 20.0, state)

    monkeypatch.setitem(OPTIMISERS, "steep", Optimiser("this test", build))
    assert "lbfgs,adam,scipy,steep" in options_of("render", capsys)
    told = story("--optimiser", "steep", "--evaluations", "3")
    assert built == [3]
    assert told["settings"]["optimiser"] == "steep"
    totals = [row["total"] for row in told["curve"]]
    assert totals[-1] < totals[0]
    assert "steep" in dict(choices_of("optimiser"))


def test_an_objective_is_an_entry_in_its_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = replace(OBJECTIVES["paper"], source="this test", content="mean")
    monkeypatch.setitem(OBJECTIVES, "mine", mine)
    assert "pystiche,mine}" in options_of("losses", capsys)
    told, others = (
        story("--objective", name, "--evaluations", "1") for name in ("mine", "paper")
    )
    assert told["settings"]["objective"] == "mine"
    first, other = told["curve"][0], others["curve"][0]
    assert first["style"] == other["style"]
    values = 256 * 8 * 8  # of conv3_1, for 32 × 32 pixels
    assert first["content"] == pytest.approx(other["content"] * 2 / values, rel=1e-4)
    assert ("mine", "mine: this test") in choices_of("objective")


def dark(pictures: Tensor, features: Any) -> Tensor:
    """A loss of pictures and features, without a slope."""
    bright = pictures.square().mean((1, 2, 3))
    return bright / 255**2 + features["conv2_1"].square().mean((1, 2, 3)) / 1e4


@pytest.fixture
def darkness(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = Setting(name="darkness_weight", default=0.0, help="weight of darkness")
    term = ExtraTerm(weight=weight, loss=dark, layers=["conv2_1"])
    monkeypatch.setitem(EXTRA_TERMS, "darkness", term)


@pytest.mark.usefixtures("darkness")
def test_a_loss_term_is_a_loss_and_the_setting_that_weighs_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--darkness-weight DARKNESS_WEIGHT weight of darkness [0]" in options_of(
        "render", capsys
    )
    weighed = ("--evaluations", "4", "--alpha", "0.01", "--darkness-weight", "1e7")
    told = story(*weighed)
    assert told["settings"]["darkness_weight"] == 1e7
    for row in told["curve"]:
        parts = 0.01 * row["content"] + row["style"] + 1e7 * row["darkness"]
        assert row["total"] == pytest.approx(parts, rel=1e-5)
    assert told["curve"][-1]["darkness"] < told["curve"][0]["darkness"]
    settings = RenderSettings.from_dict(told["settings"])
    assert settings.how.weights_of_terms(settings)["darkness"] == 1e7
    assert story("--evaluations", "1")["curve"][0]["darkness"] == 0


@pytest.mark.usefixtures("darkness")
def test_the_slope_of_a_loss_term_is_autograds(network: Network) -> None:
    painter = Painter()
    common = {"alpha": 1e-3, "weights": "random:0", "size": 32, "pooling": "average"}
    # The second picture of the batch does not weigh the term.
    cells = [
        painter.cell(
            RenderSettings.from_dict({**common, "darkness_weight": weight}),
            network,
            picture(1),
            picture(2),
            32,
        )[0]
        for weight in (1e7, 0.0)
    ]
    points = torch.cat([to_tensor(picture(seed)) for seed in (3, 4)])
    terms, gradients = Problem(cells, network).evaluate(points)
    leaf = points.clone().requires_grad_()
    totals = Problem(cells, network).terms(leaf)[:, 0]
    (expected,) = torch.autograd.grad(totals.sum(), leaf)
    assert (gradients - expected).norm() < 1e-4 * expected.norm()
    alone, slope = Problem(cells[1:], network).evaluate(points[1:])
    assert torch.allclose(terms[1:, :4], alone[:, :4], rtol=1e-5)
    assert (gradients[1:] - slope).norm() < 1e-4 * slope.norm()


class Means(Method):
    """A picture whose mean colour is the style's; it looks through no network."""

    name = "means"
    source = "this test"
    objectives = {"colour": OBJECTIVES["paper"]}
    settings = [
        Setting(name="strength", default=1.0, low=0.5, high=9.0, help="how strongly"),
        Setting(name="side", default="both", choices=["both", "left"], help="where"),
    ]
    terms = {"colour_gap": "strength"}
    defaults = {"objective": "colour", "start": "content", "evaluations": 4}
    unused = frozenset({"alpha", "tv_weight"})

    def layers(self, settings: Any) -> Sequence[str]:
        return []

    def cost(self, settings: Any) -> Cost:
        return Cost(settings.evaluations, time=3.0)

    def targets(
        self,
        read: Reader,
        settings: Any,
        network: Network,
        content: Image.Image,
        style: Image.Image,
    ) -> Any:
        return settings.value("strength"), to_tensor(style).mean((2, 3))

    def problem(self, targets: Sequence[Any], network: Network) -> TermSum:
        weights = torch.tensor([strength for strength, _ in targets])
        wanted = torch.cat([mean for _, mean in targets])

        def gap(pictures: Tensor, features: Any) -> Tensor:
            return (pictures.mean((2, 3)) - wanted).square().sum(1)

        return TermSum([LossTerm("colour_gap", weights, gap)], network)


class Inverted(Means):
    """A method that paints in one forward pass; its objective is its curve."""

    name = "inverted"
    defaults = {**Means.defaults, "evaluations": 1}
    unused = Means.unused | {"evaluations", "optimiser"}

    def forward(
        self, settings: Any, network: Network, content: Tensor, style: Image.Image
    ) -> Tensor:
        return 255 - content


@pytest.fixture
def means(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in (Means(), Inverted()):
        monkeypatch.setitem(METHODS, method.name, method)


@pytest.mark.usefixtures("means")
def test_a_method_brings_its_settings_terms_and_targets(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = options_of("render", capsys)
    assert "--method {gatys,means,inverted}" in said
    assert "--strength STRENGTH how strongly [1]" in said
    assert "--side {both,left} where [both]" in said
    told = story("--method", "means", "--strength", "2.5")
    settings = told["settings"]
    assert (settings["method"], settings["objective"]) == ("means", "colour")
    assert (settings["strength"], settings["side"]) == (2.5, "both")
    row = told["curve"][-1]
    assert list(row) == ["evaluation", "level", "total", "colour_gap"]
    assert row["total"] == pytest.approx(2.5 * row["colour_gap"])
    assert row["colour_gap"] < told["curve"][0]["colour_gap"]
    assert main(["rerender", "o.png"]) == 0
    assert "The pixels match." in capsys.readouterr().out
    pair = ["--content", "c.png", "--style", "s.png", "--weights", "random:0"]
    judged = ["losses", *pair, "--size", "32", "--image", "o.png", "--json"]
    assert main([*judged, "--method", "means", "--strength", "2.5"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["total"] == pytest.approx(2.5 * printed["colour_gap"])
    files = [*pair, "--out", "o.png"]
    assert main(["render", *files, "--method", "means", "--strength", "99"]) == 2
    assert "strength must be a finite number 0.5 to 9" in capsys.readouterr().err
    assert main(["render", *files, "--strength", "2"]) == 2  # of Gatys
    assert "There is no setting 'strength'" in capsys.readouterr().err


@pytest.mark.usefixtures("means")
def test_a_method_may_paint_in_one_pass(network: Network) -> None:
    seen: list[Progress] = []
    settings = RenderSettings.from_dict(
        {"method": "inverted", "weights": "random:0", "size": 32}
    )
    painted = render(
        settings, picture(1), picture(2), network=network, on_progress=seen.append
    )
    expected = 255 - to_tensor(picture(1))
    assert torch.equal(to_tensor(painted.image), expected)
    assert [row["evaluation"] for row in painted.curve] == [1]
    assert [list(step.terms) for step in seen] == [["colour_gap"]]
    assert not [note for note in painted.notes if "ended before" in note]
    with pytest.raises(SettingsError, match="no setting 'evaluations'"):
        settings.changed(evaluations=2)


@pytest.mark.usefixtures("means")
def test_a_grid_crosses_methods_and_gives_each_its_own_settings() -> None:
    cells = expand(
        pairs=[PicturePair(0, 0)],
        pixel_digests={0: ""},
        axes={
            "method": ["gatys", "means"],
            "alpha_beta": [0.01, 0.1],
            "strength": [1.0, 2.0],
        },
        fixed={"size": 32, "weights": "random:0"},
    )
    told = [
        (each.settings.method, each.settings.alpha, dict(each.settings.own))
        for each in cells
    ]
    both = {"side": "both"}
    assert told == [
        ("gatys", 0.01, {}),
        ("gatys", 0.1, {}),
        ("means", 1.0, {"strength": 1.0, **both}),
        ("means", 1.0, {"strength": 2.0, **both}),
    ]
    again = RenderSettings.from_dict(json.loads(cells[3].settings.canonical_json()))
    assert again == cells[3].settings
    assert FACTORS["strength"].where == "method is means or inverted"
