from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from generation.engine.factors import column_values
from generation.engine.networks.architectures import NETWORK_LAYERS
from generation.engine.settings import RenderSettings, request_digest


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("network", {"network": "vgg13"}),
        ("weights", {"weights": "random"}),
        ("weights", {"weights": "random:-1"}),
        ("weights", {"weights": "file:abc"}),
        ("weights", {"weights": "imagenet:abc"}),
        ("weights", {"weights": f"imagenet:{'0' * 64}", "network": "vgg19"}),
        ("pooling", {"pooling": "min"}),
        ("objective", {"objective": "gatys"}),
        ("start", {"start": "picture"}),
        ("optimiser", {"optimiser": "sgd"}),
        ("alpha", {"alpha": -1}),
        ("alpha", {"alpha": float("nan")}),
        ("alpha", {"alpha": "1"}),
        ("alpha", {"alpha": True}),
        ("beta", {"beta": float("inf")}),
        ("tv_weight", {"tv_weight": -0.5}),
        ("alpha", {"alpha": 10**400}),
        ("alpha", {"alpha": -(10**5000)}),
        ("content_layer", {"content_layer": [("conv1_1", 10**400)]}),
        ("seed", {"seed": 10**5000}),
        ("alpha", {"alpha": 0, "beta": 0}),
        ("content_layer", {"content_layer": []}),
        ("style_layers", {"style_layers": []}),
        ("style_layers", {"style_layers": [("conv6_1", 1.0)]}),
        ("style_layers", {"style_layers": [("conv1_1", -1.0)]}),
        ("style_layers", {"style_layers": [("conv1_1", 0.0)]}),
        ("style_layers", {"style_layers": [("conv1_1", 1.0), ("conv1_1", 1.0)]}),
        ("style_layers", {"style_layers": "conv1_1"}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 1.5}),
        ("evaluations", {"evaluations": 0}),
        ("size", {"size": 15}),
        ("size", {"size": 100_000}),
    ],
)
def test_it_refuses_a_bad_setting_in_a_sentence_that_names_it(
    field: str, values: dict[str, Any]
) -> None:
    with pytest.raises(ValueError) as refusal:
        RenderSettings(**{"alpha": 1.0, **values})

    assert refusal.value.field == field  # type: ignore[attr-defined]
    assert field in str(refusal.value)
    assert str(refusal.value).endswith(".")


def test_it_lists_the_allowed_layers_when_one_is_unknown() -> None:
    with pytest.raises(ValueError, match=r"conv1_1, conv1_2, .*conv5_3"):
        RenderSettings(alpha=1, content_layer=(("relu1", 1),))


def test_it_knows_the_thirteen_convolutions_of_vgg16() -> None:
    assert len(NETWORK_LAYERS["vgg16"]) == 13
    assert NETWORK_LAYERS["vgg16"][-1] == "conv5_3"


def test_it_needs_no_layers_of_a_term_that_has_no_weight() -> None:
    RenderSettings(alpha=0, content_layer=())
    RenderSettings(alpha=1, beta=0, style_layers=())


def test_it_needs_no_more_pixels_than_the_deepest_layer_does() -> None:
    RenderSettings(alpha=1, style_layers=(("conv3_1", 1),), size=8)


def test_it_survives_a_round_trip_through_json() -> None:
    settings = RenderSettings(alpha=0.1, tv_weight=1e-6, seed=2**62)
    again = RenderSettings.from_dict(json.loads(settings.canonical_json()))

    assert again == settings
    assert again.digest() == settings.digest()


def test_it_reads_settings_under_the_names_of_before() -> None:
    """As pictures and rows of engine version 6 have them."""
    told = {"alpha": 1, "content_layers": [["conv2_1", 0.5]]}

    assert RenderSettings.from_dict(told).content_layer == (("conv2_1", 0.5),)


def test_it_reads_requests_of_before_as_they_were_painted() -> None:
    """Those of engine version 7 say `square`, and know of no focus."""
    told = RenderSettings(alpha=1.0, fit="square").to_dict()
    old = {name: told[name] for name in told if not name.endswith("_focus")}

    again = RenderSettings.from_dict(json.loads(json.dumps(old)))
    assert (again.fit, again.content_focus, again.style_focus) == (
        "square", "0.5 0.5", "0.5 0.5",
    )  # fmt: skip


def test_it_refuses_a_setting_it_does_not_know() -> None:
    with pytest.raises(ValueError, match=r"no setting 'gamma'.*tv_weight"):
        RenderSettings.from_dict({"alpha": 1, "gamma": 2})
    with pytest.raises(ValueError, match="one of balance and alpha"):
        RenderSettings.from_dict({})


def test_it_gives_equal_requests_one_digest_and_others_another() -> None:
    whole = RenderSettings.from_dict(
        {"alpha": 1, "style_layers": [["conv1_1", 1]], "tv_weight": -0.0}
    )
    real = RenderSettings(alpha=1.0, style_layers=(("conv1_1", 1.0),), tv_weight=0)

    def named(settings: RenderSettings, content: str = "a", style: str = "b") -> str:
        return request_digest(settings, content_sha256=content, style_sha256=style)

    assert named(whole) == named(real)
    assert len({named(real), named(real, "b"), named(real, "b", "a")}) == 3
    assert named(RenderSettings(alpha=0.1)) != named(RenderSettings(alpha=0.1, seed=1))


def test_it_names_its_columns_as_the_tables_do() -> None:
    columns = column_values(RenderSettings(alpha=0.01))

    assert columns["content_layer"] == "conv3_1"
    assert columns["style_layers"] == "conv1_1|conv2_1|conv3_1|conv4_1|conv5_1"
    assert list(columns) == [
        "content_layer",
        "style_layers",
        "alpha",
        "beta",
        "tv_weight",
        "objective",
        "network",
        "pooling",
        "weights",
        "start",
        "size",
        "evaluations",
        "seed",
    ]


def test_it_is_importable_without_torch_and_numpy() -> None:
    heavy = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, generation.engine.settings, generation.engine.pictures.files, "
            "generation.engine.methods.gatys.objectives, "
            "generation.engine.networks.weights;"
            "print({'torch', 'numpy', 'django'} & set(sys.modules))",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert heavy.stdout.strip() == "set()"
