from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from generation.engine.errors import WeightsMissing, WeightsRefused
from generation.engine.networks.architectures import convolutions
from generation.engine.networks.fetching import IMAGENET_WHEEL
from generation.engine.networks.kept import keep, kept_in
from generation.engine.networks.state_dicts import open_file, values_sha256
from generation.engine.networks.weights import (
    credit,
    describe,
    expects,
    imagenet_at_hand,
    is_random,
    named_with_input,
    names_at_hand,
    state_dict,
    with_values,
)
from generation.engine.settings import RenderSettings

FEATURES_FILE = "vgg16_features-amdegroot-88682ab5.pth"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    """An empty torch hub cache; the folder its files go to."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    yield folder
    torch.hub.set_dir(before)


def add_file(path: Path, folder: Path) -> str:
    return f"file:{keep(path, folder).sha256}"


def random_state(seed: int = 0) -> dict[str, torch.Tensor]:
    return state_dict(f"random:{seed}", network="vgg16", folder=None)


def test_it_draws_the_random_weights_that_torchvision_draws() -> None:
    torch.manual_seed(3)
    theirs = torchvision.models.vgg16(weights=None).features.state_dict()
    ours = random_state(3)

    assert len(ours) == 26
    for name, tensor in theirs.items():
        assert torch.equal(ours[f"features.{name}"], tensor)


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_it_knows_every_convolution_of_torchvisions_network(network: str) -> None:
    with torch.device("meta"):
        theirs = torchvision.models.get_model(network).features
    expected = [
        (f"features.{index}", each.in_channels, each.out_channels)
        for index, each in enumerate(theirs)
        if isinstance(each, torch.nn.Conv2d)
    ]
    assert [row[1:] for row in convolutions(network)] == expected


def test_it_loads_the_imagenet_weights_through_torchvision(hub: Path) -> None:
    torch.save(random_state(), hub / FEATURES_FILE)

    assert "torchvision's file" in imagenet_at_hand(None)
    loaded = state_dict("imagenet", network="vgg16", folder=None)
    assert torch.equal(
        loaded["features.28.weight"], random_state()["features.28.weight"]
    )


def test_imagenet_with_values_behind_it_is_those_and_no_others(
    hub: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    torch.save(random_state(), hub / FEATURES_FILE)
    theirs = with_values("imagenet", network="vgg16", folder=folder)
    assert theirs == f"imagenet:{values_sha256(random_state(), 'vgg16')}"
    assert with_values(theirs, network="vgg16", folder=None) == theirs
    assert RenderSettings(alpha=1, weights=theirs).weights == theirs

    torch.save(random_state(1), tmp_path / "other.pth")
    kept = keep(tmp_path / "other.pth", folder)
    other = f"imagenet:{kept.values_sha256}"
    for spec, seed in ((theirs, 0), (other, 1), ("imagenet", 0)):
        read = state_dict(spec, network="vgg16", folder=folder)
        assert torch.equal(
            read["features.0.weight"], random_state(seed)["features.0.weight"]
        )
    with pytest.raises(WeightsMissing, match=r"it has torchvision's, .*--from torchv"):
        state_dict(f"imagenet:{'0' * 64}", network="vgg16", folder=folder)
    index = f"imagenet:{IMAGENET_WHEEL.values_sha256}"
    with pytest.raises(WeightsMissing, match=r"values 25d244c5fdb8… .*--from index`"):
        state_dict(index, network="vgg16", folder=folder)
    assert describe(index) == "ImageNet, original VGG training"
    assert describe(theirs) == f"{describe(index)}, values {theirs[9:17]}…"
    assert expects(index) == "features"
    assert expects(f"imagenet-v1:{'0' * 64}") == "v1"


def test_a_kept_file_of_torchvisions_is_what_they_call_so(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights"
    known = {}
    for seed, stands_for in enumerate(
        [("imagenet", "vgg16"), ("imagenet-v1", "vgg16")]
    ):
        torch.save(random_state(seed), tmp_path / "file.pth")
        kept = keep(tmp_path / "file.pth", folder)
        known[kept.sha256[:8]] = stands_for
    monkeypatch.setattr("generation.engine.networks.weights._TORCHVISIONS", known)
    for seed, kind in enumerate(["imagenet", "imagenet-v1"]):
        named = with_values(kind, network="vgg16", folder=folder)
        assert named == f"{kind}:{values_sha256(random_state(seed), 'vgg16')}"
        assert named in names_at_hand(folder)
        assert imagenet_at_hand(folder, kind=kind).startswith("file:")
    with pytest.raises(WeightsMissing, match="get imagenet-v1 --network vgg19"):
        state_dict("imagenet-v1", network="vgg19", folder=folder)


def test_it_says_which_command_brings_missing_weights(hub: Path) -> None:
    assert imagenet_at_hand(hub) == ""
    with pytest.raises(WeightsMissing, match=r"by `--weights FILE`"):
        state_dict("imagenet", network="vgg16", folder=None)
    with pytest.raises(
        WeightsMissing, match=r"Fetch them with `manage.py weights get`"
    ):
        state_dict("imagenet", network="vgg16", folder=hub)
    with pytest.raises(WeightsMissing, match=r"get imagenet-v1 --network vgg19`"):
        state_dict("imagenet-v1", network="vgg19", folder=hub)


@pytest.mark.parametrize("damaged", [b"", b"nonsense", b"PK\x03\x04 cut short"])
def test_it_names_the_downloaded_file_that_is_damaged(
    hub: Path, damaged: bytes
) -> None:
    (hub / FEATURES_FILE).write_bytes(damaged)

    with pytest.raises(WeightsMissing, match=rf"Remove .*{FEATURES_FILE}"):
        state_dict("imagenet", network="vgg16", folder=None)


def test_it_keeps_a_weights_file_under_its_hash(tmp_path: Path) -> None:
    file, folder = tmp_path / "mine.pth", tmp_path / "weights"
    torch.save(random_state(1), file)
    spec = add_file(file, folder)

    assert {path.name for path in folder.iterdir()} == {
        spec[5:] + ".pth", spec[5:] + ".json",
    }  # fmt: skip
    loaded = state_dict(spec, network="vgg16", folder=folder)
    assert torch.equal(
        loaded["features.0.weight"], random_state(1)["features.0.weight"]
    )
    assert add_file(file, folder) == spec


def test_it_reads_a_folder_from_before_there_were_notes_or_with_broken_ones(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "weights"
    torch.save(random_state(1), tmp_path / "mine.pth")
    kept = keep(tmp_path / "mine.pth", folder, source="a drawer", licence="CC0")
    again = keep(tmp_path / "mine.pth", folder)
    assert again == kept  # where it comes from is not forgotten
    note = folder / f"{kept.sha256}.json"
    for broken in ("", "[]", "{}", '{"sha256": 3, "network": 4, "values_sha256": []}'):
        note.write_text(broken)
        (found,) = kept_in(folder)
        assert found.values_sha256 == kept.values_sha256
        assert found.source == ""
    note.unlink()
    (folder / f"{'0' * 64}.pth").write_text("cut short")
    assert [each.sha256 for each in kept_in(folder)] == [kept.sha256]
    assert note.is_file()


def test_it_reads_a_file_that_names_convolutions_by_their_layers(
    tmp_path: Path,
) -> None:
    state = state_dict("random:0", network="vgg19", folder=None)
    by_layer = {
        f"{layer}.{part}": state[f"{key}.{part}"]
        for layer, key, _, _ in convolutions("vgg19")
        for part in ("weight", "bias")
    }
    torch.save(by_layer, tmp_path / "vgg_conv.pth")
    _, network, read = open_file(tmp_path / "vgg_conv.pth")
    assert network == "vgg19"
    assert all(torch.equal(read[name], state[name]) for name in state)


def test_it_refuses_what_is_not_the_weights_of_a_vgg(tmp_path: Path) -> None:
    text, other, odd = (tmp_path / name for name in ("a.pth", "b.pth", "c.pth"))
    text.write_text("not weights")
    torch.save({"layer.weight": torch.zeros(3)}, other)
    torch.save(random_state() | {"features.2.bias": torch.zeros(65)}, odd)

    for file, sentence in (
        (text, "a.pth is not a file of weights"),
        (other, "not the weights of a vgg16: features.0.weight"),
        (odd, r"features.2.bias \(conv1_2\)"),
        (tmp_path / "none.pth", "no file none.pth"),
    ):
        with pytest.raises(WeightsRefused, match=sentence):
            add_file(file, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


FIRST = "features.0.weight"
SHAPE = (64, 3, 3, 3)


def odd_weights() -> dict[str, tuple[Any, str]]:
    """What other programs save, and what is said to do about it."""
    plain = torch.zeros(SHAPE)
    return {
        "complex": ({FIRST: plain.to(torch.complex64)}, "type complex64: bring"),
        "whole": ({FIRST: plain.to(torch.int8)}, "type int8: bring"),
        "truths": ({FIRST: plain.bool()}, "type bool: bring"),
        "eighth": ({FIRST: plain.to(torch.float8_e5m2)}, "type float8_e5m2: bring"),
        "sparse": ({FIRST: plain.to_sparse()}, r"sparse: call .to_dense\(\)"),
        "quantised": (
            {FIRST: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)},
            r"quantised: call .dequantize\(\)",
        ),
        "meta": ({FIRST: plain.to("meta")}, "without values"),
        "overflow": ({FIRST: plain.double() + 1e300}, "not all finite"),
        "checkpoint": (
            {"epoch": 3, "state_dict": {FIRST: plain}},
            r"torch.load\(FILE\)\['state_dict'\]",
        ),
        "parallel": ({f"module.{FIRST}": plain}, r"removeprefix\('module\.'\)"),
        "compiled": (
            {f"_orig_mod.model.{FIRST}": plain},
            r"removeprefix\('_orig_mod\.model\.'\)",
        ),
        "layers": ({"module.conv1_1.weight": plain}, r"removeprefix\('module\.'\)"),
        "list": ([plain], "holds a list, not a state dict"),
        "tensor": (plain, "holds a Tensor, not a state dict"),
        "empty": ({}, "not the weights of a vgg16"),
        "text": ({FIRST: "conv"}, "not the weights of a vgg16"),
    }


@pytest.mark.parametrize("kind", odd_weights())
def test_it_says_what_to_do_about_odd_weights(tmp_path: Path, kind: str) -> None:
    saved, sentence = odd_weights()[kind]
    torch.save(saved, tmp_path / "odd.pth")
    with pytest.raises(WeightsRefused, match=sentence):
        add_file(tmp_path / "odd.pth", tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_it_says_what_to_do_about_a_whole_model(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WeightsRefused, match=r"save model.state_dict\(\)"):
        add_file(tmp_path / "model.pth", tmp_path / "weights")


def test_it_takes_parameters_and_half_precision_as_plain_numbers(
    tmp_path: Path,
) -> None:
    state = {
        name: torch.nn.Parameter(tensor.half())
        for name, tensor in random_state().items()
    }
    torch.save(state, tmp_path / "half.pth")
    _, _, read = open_file(tmp_path / "half.pth")
    for name, tensor in random_state().items():
        assert read[name].dtype == torch.float32
        assert not read[name].requires_grad
        assert torch.equal(read[name], tensor.half().float())


def test_a_published_file_is_named_with_the_input_that_it_expects() -> None:
    for prefix, expected in (
        ("397923af", "v1"), ("dcbb9e9d", "v1"),
        ("00b39a1b", "caffe-bgr"), ("d01eb7cb", "caffe-bgr"),
    ):  # fmt: skip
        spec = f"file:{prefix}{'0' * 56}"
        named, sentence = named_with_input(spec)
        assert named == f"{spec}:{expected}"
        assert sentence.endswith(f":{expected}.")
        assert named_with_input(named) == (named, "")
    for spec in (f"file:{'0' * 64}", "random:39792", "imagenet", "imagenet-v1"):
        assert named_with_input(spec) == (spec, "")


def test_it_refuses_weights_that_are_not_finite(tmp_path: Path) -> None:
    state = random_state() | {"features.0.bias": torch.full((64,), torch.nan)}
    torch.save(state, tmp_path / "a.pth")

    with pytest.raises(WeightsRefused, match="not all finite"):
        add_file(tmp_path / "a.pth", tmp_path)


def test_it_refuses_a_kept_file_that_was_altered_or_lost(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save(random_state(), file)
    spec = add_file(file, tmp_path)
    kept = tmp_path / f"{spec[5:]}.pth"

    torch.save(random_state(1), kept)
    with pytest.raises(WeightsRefused, match="not what its name says"):
        state_dict(spec, network="vgg16", folder=tmp_path)
    kept.unlink()
    with pytest.raises(WeightsMissing, match="weights add FILE"):
        state_dict(spec, network="vgg16", folder=tmp_path)


def test_it_names_weights_in_words() -> None:
    assert is_random("random:0")
    assert not is_random("imagenet")
    assert "seed 7" in describe("random:7")
    assert "ImageNet" in describe("imagenet")
    assert credit("imagenet").endswith("Zisserman, 2015), CC BY 4.0")
