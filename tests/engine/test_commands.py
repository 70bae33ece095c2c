from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from generation.engine.commands import layers, main
from generation.engine.images import pixel_sha256
from generation.engine.provenance import differences, read_story
from generation.engine.weights import state_dict

from .conftest import picture

QUICK = [
    "--weights",
    "random:0",
    "--pooling",
    "average",
    "--size",
    "32",
    "--evaluations",
    "3",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with c.png and s.png in it."""
    picture(1).save(tmp_path / "c.png")
    picture(2).save(tmp_path / "s.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paint(out: str, *more: str) -> int:
    pair = ["--content", "c.png", "--style", "s.png", "--out", out]
    return main(["render", *pair, "--alpha", "0.001", *QUICK, *more])


def test_it_paints_a_picture_that_tells_its_story(folder: Path) -> None:
    assert paint("o.png", "--last", "l.png", "--tv-weight", "0.5") == 0

    told = read_story(folder / "o.png")
    assert told == json.loads((folder / "o.json").read_text())
    assert told["settings"]["tv_weight"] == 0.5
    assert told["settings"]["alpha"] == 0.001
    assert told["digests"]["content"] == pixel_sha256(picture(1))
    assert len(told["digests"]["weights"]) == 64
    assert told["environment"]["threads"] == torch.get_num_threads()
    assert [row["evaluation"] for row in told["curve"]] == [1, 2, 3]
    with Image.open(folder / "o.png") as image:
        assert pixel_sha256(image) == told["pixel_sha256"]
        assert "srgb" in image.info
    assert (folder / "l.png").exists()


def test_it_paints_a_picture_again_and_compares(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint("o.png")
    assert main(["rerender", "o.png"]) == 0
    assert "The pixels match." in capsys.readouterr().out

    told = read_story(folder / "o.png") | {"pixel_sha256": "0" * 64}
    told["environment"] = told["environment"] | {"torch": "1.0"}
    from generation.engine.provenance import signed_png

    (folder / "other.png").write_bytes(signed_png(picture(3), told))
    assert main(["rerender", "other.png"]) == 1
    assert f"torch: 1.0 then, {torch.__version__} now" in capsys.readouterr().out

    picture(4).save(folder / "c.png")
    assert main(["rerender", "o.png"]) == 2
    assert "not the content picture" in capsys.readouterr().err
    (folder / "c.png").unlink()
    assert main(["rerender", "o.png"]) == 2
    assert "--content" in capsys.readouterr().err


def test_it_evaluates_an_objective_on_a_finished_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(3).save(folder / "g.png")
    torch.save(state_dict("random:0", network="vgg16", folder=None), folder / "w.pth")
    asked = "losses --content c.png --style s.png --image g.png --objective johnson "
    asked += "--content-layer conv2_2 --size 32 --json --tv-weight 0.5 --alpha 2"

    def printed(weights: str) -> dict[str, Any]:
        assert main([*asked.split(), "--weights", weights]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1
        values: dict[str, Any] = json.loads(lines[0])
        return values

    values = printed("random:0")
    assert values == printed("w.pth")
    assert values["objective"] == "johnson"
    assert list(values["content"]) == ["conv2_2"]
    assert list(values["style"]) == [f"conv{block}_1" for block in range(1, 6)]
    total = 2 * sum(values["content"].values()) + sum(values["style"].values())
    assert values["total"] == pytest.approx(total + 0.5 * values["tv"])


def test_it_paints_a_grid_and_paints_nothing_twice(folder: Path) -> None:
    spec = {
        "contents": ["c.png"],
        "styles": ["s.png"],
        "settings": {"weights": "random:0", "size": 32, "evaluations": 2},
        "factors": {"alpha": [0.001, 0.01], "content_layers": ["conv1_1", "conv2_1"]},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    assert main(["grid", "spec.json", "--out", "grid"]) == 0

    rows = (folder / "grid" / "grid.csv").read_text().splitlines()
    assert len(rows) == 5
    assert rows[0].startswith("picture,content,style,content_layer,style_layers,alpha")
    pictures = sorted((folder / "grid").glob("*.png"))
    assert len(pictures) == 4
    before = [path.stat().st_mtime_ns for path in pictures]
    assert main(["grid", "spec.json", "--out", "grid"]) == 0
    assert [path.stat().st_mtime_ns for path in pictures] == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--style-layers", "conv9_1"], "style_layers knows no layer 'conv9_1'"),
        (["--evaluations", "0"], "evaluations must be between 1"),
        (["--alpha", "0", "--beta", "0"], "alpha and beta are both 0"),
        (["--content", "none.png"], "no such file"),
        (["--weights", "none.pth"], "no file none.pth"),
        (["--precision", "bf16"], "precision must be float32 or float64"),
        (["--objective", "gatys-code", "--tv-weight", "1"], "tv_weight must be 0"),
        (["--style-layers", "conv1_1=many"], "not LAYER or LAYER=WEIGHT"),
    ],
)
def test_it_refuses_in_a_sentence(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    assert paint("o.png", *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not (folder / "o.png").exists()


@pytest.mark.parametrize(
    "spec", ["", "[]", "{}", '{"pairs": []}', '{"pairs": [["c.png"]]}', '{"pairs": 3}']
)
def test_it_refuses_what_is_no_grid(
    folder: Path, capsys: pytest.CaptureFixture[str], spec: str
) -> None:
    (folder / "spec.json").write_text(spec)
    assert main(["grid", "spec.json", "--out", "grid"]) == 2
    assert "spec.json" in capsys.readouterr().err


def test_it_starts_from_a_picture_and_rerenders_from_it(folder: Path) -> None:
    picture(3).save(folder / "b.png")
    assert paint("o.png", "--start", "b.png") == 0
    assert main(["rerender", "o.png", "--start", "b.png"]) == 0
    assert main(["rerender", "o.png"]) == 2


def test_it_refuses_to_rerender_what_it_has_not_painted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerender", "c.png"]) == 2
    assert "c.png is not a PNG that this engine has painted" in capsys.readouterr().err


def test_it_gives_layers_the_objectives_own_weights() -> None:
    assert layers("conv1_1,conv2_1", "paper") == (("conv1_1", 0.5), ("conv2_1", 0.5))
    assert layers("conv1_1|conv2_1=3", "johnson") == (("conv1_1", 1), ("conv2_1", 3))
    assert layers("none", "paper") == ()


def test_it_names_the_fields_in_which_two_environments_differ() -> None:
    then = {"torch": "2.15", "threads": 2, "python": "3.11"}
    now = {"torch": "2.15", "threads": 1, "python": "3.12"}
    assert differences(then, now) == ["threads: 2 then, 1 now"]


def test_it_teaches_by_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("render", "grid", "losses", "rerender"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "usage: python -m generation.engine" in capsys.readouterr().out
