from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from generation.engine.cli.main import main
from generation.engine.cli.options import layer_weight
from generation.engine.environment import differences
from generation.engine.grid import read_layers
from generation.engine.methods.gatys.objectives import AS_PUBLISHED
from generation.engine.networks.weights import state_dict
from generation.engine.painter import Painter
from generation.engine.pictures.files import pixel_sha256
from generation.engine.provenance import read_story, signed_png
from generation.engine.settings import USUAL_BALANCE, Layers, RenderSettings
from nstlab.core.version import software

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
    assert software().items() <= told["environment"].items()
    assert [row["evaluation"] for row in told["curve"]] == [1, 2, 3]
    with Image.open(folder / "o.png") as image:
        assert pixel_sha256(image) == told["pixel_sha256"]
        assert "srgb" in image.info
    assert (folder / "l.png").exists()


def test_the_last_iterate_and_a_picture_painted_again_tell_their_stories(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaping = ["--optimiser", "adam", "--learning-rate", "200", "--start", "content"]
    paint("o.png", "--last", "l.png", *leaping)
    last = read_story(folder / "l.png")
    assert last["iterate"] == "last"
    assert last["pixel_sha256"] != read_story(folder / "o.png")["pixel_sha256"]
    for name in ("l.png", "o.png"):
        assert main(["rerender", name, "--out", "again.png"]) == 0
        for out in (name, "again.png"):
            told = read_story(folder / out)
            with Image.open(folder / out) as image:
                assert pixel_sha256(image) == told["pixel_sha256"]
                assert "srgb" in image.info


def test_it_keeps_a_checkpoint_until_the_picture_is_stored(folder: Path) -> None:
    often = ["--checkpoint", "half.pt", "--checkpoint-seconds", "0"]
    in_the_way = folder / "o.png.part"
    in_the_way.mkdir()
    assert paint("o.png", *often) == 2
    assert (folder / "half.pt").exists()
    in_the_way.rmdir()
    assert paint("o.png", *often) == 0
    assert not (folder / "half.pt").exists()
    half_way = read_story(folder / "o.png")
    paint("whole.png")
    assert half_way["curve"] == read_story(folder / "whole.png")["curve"]


def test_it_paints_without_further_numbers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = ["--content", "c.png", "--style", "s.png", "--out", "o.png"]
    assert main(["render", *pair, *QUICK]) == 0
    told = read_story(folder / "o.png")
    assert told["settings"]["balance"] == USUAL_BALANCE
    assert "alpha" not in told["settings"]
    assert told["alpha"] > 0
    with pytest.raises(SystemExit):
        main(["render", "--help"])
    assert f"mostly content [{USUAL_BALANCE:g}]" in " ".join(
        capsys.readouterr().out.split()
    )


def test_it_paints_a_picture_again_and_compares(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint("o.png")
    assert main(["rerender", "o.png"]) == 0
    assert "The pixels match." in capsys.readouterr().out

    told = read_story(folder / "o.png") | {"pixel_sha256": "0" * 64}
    told["environment"] = told["environment"] | {"torch": "1.0"}
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


@pytest.mark.parametrize("weightless", ["content", "style"])
def test_it_tells_the_layers_of_a_term_without_weight_too(
    folder: Path, capsys: pytest.CaptureFixture[str], weightless: str
) -> None:
    picture(3).save(folder / "g.png")
    asked = "losses --content c.png --style s.png --image g.png --size 32 --json "
    asked += "--weights random:0 --content-layer conv1_1 --content-layer conv2_1 "

    def printed(more: str) -> dict[str, Any]:
        assert main((asked + more).split()) == 0
        values: dict[str, Any] = json.loads(capsys.readouterr().out)
        return values

    whole = printed("")
    assert list(whole["content"]) == ["conv1_1", "conv2_1"]
    weight, other = ("alpha", "style")
    if weightless == "style":
        weight, other = ("beta", "content")
    bare = printed(f"--{weight} 0")
    assert {name: bare[name] for name in ("content", "style", "tv")} == {
        name: whole[name] for name in ("content", "style", "tv")
    }
    mixed = 0.2 if other == "style" else 1.0
    assert bare["total"] == pytest.approx(mixed * sum(bare[other].values()))


def test_it_judges_the_luminance_where_only_that_is_painted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(1, 48, 40).save(folder / "c.png")
    asked = "losses --content c.png --style s.png --size 32 --json --colour luminance "
    asked += "--weights random:0 --image "

    def printed(image: str) -> dict[str, Any]:
        assert main([*asked.split(), image]) == 0
        values: dict[str, Any] = json.loads(capsys.readouterr().out)
        return values

    picture(3).save(folder / "g.png")
    of_other = printed("g.png")["content"]["conv3_1"]
    assert printed("c.png")["content"]["conv3_1"] <= 1e-9 * of_other
    # Colours of the luma 0, but for rounding to 8 bits, change nothing.
    shifted = np.asarray(picture(3), float) / 2 + 40
    Image.fromarray(shifted.round().astype(np.uint8)).save(folder / "g.png")
    shifted += np.array([20.0, -20 * 0.299 / 0.587, 0.0])
    Image.fromarray(shifted.round().astype(np.uint8)).save(folder / "h.png")
    plain, tinted = printed("g.png"), printed("h.png")
    assert tinted["total"] == pytest.approx(plain["total"], rel=0.02)


def test_it_says_when_the_judged_picture_is_resampled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(3, 48, 40).save(folder / "g.png")
    asked = "losses --content c.png --style s.png --size 32 --json --weights random:0"
    assert main([*asked.split(), "--image", "g.png"]) == 0
    said = capsys.readouterr().err
    assert "image g.png: resampled from 48 × 40 to 32 × 32 pixels." in said
    assert main([*asked.split(), "--image", "s.png"]) == 0
    assert capsys.readouterr().err == ""


def test_it_tells_no_total_variation_where_the_objective_has_none(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "losses --content c.png --style s.png --image s.png --size 32 --json "
    assert main([*asked.split(), "--objective", "gatys-code", *QUICK[:4]]) == 0
    assert json.loads(capsys.readouterr().out)["tv"] is None


def grid(folder: Path, factors: dict[str, Any], **settings: Any) -> int:
    spec = {
        "pairs": [["c.png", "s.png"]],
        "settings": {
            "weights": "random:0", "size": 32, "evaluations": 2, "alpha": 1e-3,
        } | settings,
        "factors": factors,
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    return main(["grid", "spec.json", "--out", "grid"])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "grid" / "grid.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_cell_of_a_grid_that_fails_does_not_stop_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert grid(folder, {"alpha": [1e38, 1e-3]}) == 2
    bad, good = (folder / "grid" / row["picture"] for row in table(folder))
    assert f"{bad.name} failed: The objective is not finite" in capsys.readouterr().err
    assert (bad.exists(), good.exists()) == (False, True)
    good.unlink()
    good.mkdir()
    assert grid(folder, {"alpha": [1e-3, 1e-2]}) == 2
    said = capsys.readouterr().err
    assert f"{good.name} failed: " in said
    assert "1 of 2 cells failed." in said


def test_what_breaks_the_engine_costs_its_own_cell_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real memory does not run out on demand."""
    cell = Painter.cell

    def broken(self: Painter, settings: RenderSettings, *arguments: Any) -> Any:
        if settings.alpha == 2:
            raise RuntimeError("out of memory")
        return cell(self, settings, *arguments)

    monkeypatch.setattr(Painter, "cell", broken)
    assert grid(folder, {"alpha": [1, 2, 3]}) == 2
    there = [(folder / "grid" / row["picture"]).exists() for row in table(folder)]
    assert there == [True, False, True]
    assert "failed: out of memory" in capsys.readouterr().err


def test_a_grids_table_tells_its_cells_apart(folder: Path) -> None:
    factors = {
        "optimiser": ["lbfgs", "adam"],
        "colour": ["free", "luminance"],
        "style_layers": ["conv1_1=1|conv2_1=2", "conv1_1=2|conv2_1=1"],
    }
    assert grid(folder, factors) == 0
    rows = table(folder)
    cells = {(row["optimiser"], row["colour"], row["style_weights"]) for row in rows}
    assert len(cells) == 8
    assert "pyramid" not in rows[0]


def test_a_damaged_picture_of_a_grid_is_painted_again(folder: Path) -> None:
    assert grid(folder, {"seed": [0, 1]}) == 0
    first, second = (folder / "grid" / row["picture"] for row in table(folder))
    whole = read_story(first)
    first.write_bytes(first.read_bytes()[:-500])
    picture(3).save(second)
    assert grid(folder, {"seed": [0, 1]}) == 0
    assert read_story(first)["pixel_sha256"] == whole["pixel_sha256"]
    assert read_story(second)["settings"]["seed"] == 1
    assert not list((folder / "grid").glob("*.part"))


def test_a_grid_takes_starts_and_weights_from_files(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state_dict("random:0", network="vgg16", folder=None), folder / "w.pth")
    assert grid(folder, {"start": ["s.png", "noise"]}, weights="w.pth") == 0
    starts = [row["start"] for row in table(folder)]
    assert starts == [f"picture:{pixel_sha256(picture(2))}", "noise"]
    told = read_story(folder / "grid" / table(folder)[0]["picture"])
    assert told["settings"]["weights"].startswith("file:")
    first = str(folder / "grid" / table(folder)[0]["picture"])
    assert main(["rerender", first, "--weights", "w.pth"]) == 0
    assert main(["grid", "spec.json", "--out", "grid", "--weights-input", "v1"]) == 0
    assert grid(folder, {"seed": [0]}) == 0
    assert main(["grid", "spec.json", "--out", "grid", "--weights-input", "v1"]) == 2
    assert "--weights-input is for a weights file" in capsys.readouterr().err
    spec = {"weights": "w.pth", "network": "vgg19"}
    assert grid(folder, {"seed": [0]}, **spec) == 2
    assert "network must be vgg16: w.pth holds" in capsys.readouterr().err


def test_the_table_of_a_grid_of_balances_has_no_alpha_yet(folder: Path) -> None:
    spec = {
        "pairs": [["c.png", "s.png"]],
        "settings": {"weights": "random:0", "size": 32, "evaluations": 2},
        "factors": {"balance": [0.03, 0.3]},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    assert main(["grid", "spec.json", "--out", "grid"]) == 0
    rows = table(folder)
    assert [(row["balance"], row["alpha"], row["beta"]) for row in rows] == [
        ("0.03", "", "1.0"),
        ("0.3", "", "1.0"),
    ]
    assert [read_story(folder / "grid" / it["picture"])["alpha"] > 0 for it in rows]


def test_it_paints_a_grid_and_paints_nothing_twice(folder: Path) -> None:
    spec: dict[str, Any] = {
        "contents": ["c.png"],
        "styles": ["s.png"],
        "settings": {"weights": "random:0", "size": 32, "evaluations": 2},
        "factors": {"alpha": [0.001, 0.01], "content_layer": ["conv1_1", "conv2_1"]},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    assert main(["grid", "spec.json", "--out", "grid"]) == 0

    rows = (folder / "grid" / "grid.csv").read_text().splitlines()
    assert len(rows) == 5
    assert rows[0].startswith("picture,content,style,content_layer,style_layers,alpha")
    pictures = sorted((folder / "grid").glob("*.png"))
    assert len(pictures) == 4
    before = [path.stat().st_mtime_ns for path in pictures]
    spec["factors"]["content_layers"] = spec["factors"].pop("content_layer")
    (folder / "spec.json").write_text(json.dumps(spec))  # as before version 7
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
        (["--precision", "bf16"], "on this cpu: bf16 needs a GPU"),
        (["--objective", "gatys-code", "--tv-weight", "1"], "tv_weight must be 0"),
        (["--style-layers", "conv1_1=many"], "style_layers: 'conv1_1=many' is not"),
        (["--content-layers", "x=y"], "content_layer: 'x=y' is not LAYER or LAYER="),
        (["--content-layers", "conv1_1=inf"], "must be a finite number; got inf."),
        (["--weights-input", "v1"], "for a weights file; random:0 is none"),
        (["--checkpoint-seconds", "nan"], "a finite number of 0 or more; got nan"),
        (["--checkpoint-seconds", "-1"], "a finite number of 0 or more; got -1"),
        (["--content", "none.png"], "content none.png: There is no such file."),
        (["--style", "none.png"], "style none.png: There is no such file."),
        (["--start", "nois"], "start is noise, content, style, blend or a picture"),
        (["--content-layers", "conv1_1=-1"], "above 0 for conv1_1; got -1"),
        (["--device", "foo"], "--device must be one of cpu"),
        (["--device", "cuda:99"], "--device must be one of cpu"),
        (["--threads", "-1"], "--threads must be between 1 and"),
        (["--threads", "0"], "--threads must be between 1 and"),
        (["--out", "there"], "--out must name a file; there is none"),
        (["--out", "c.png/o.png"], "--out: c.png is no folder"),
        (["--out", "o.json"], "--out must end in .png; got o.json"),
        (["--out", "o.jpg"], "--out must end in .png; got o.jpg"),
        (["--last", "l.jpg"], "--last must end in .png; got l.jpg"),
        (["--out", "c.png"], "--out would overwrite c.png"),
        (["--out", "w.png", "--weights", "w.png"], "--out would overwrite w.png"),
        (["--checkpoint", "w", "--weights", "w"], "--checkpoint would overwrite w"),
        (["--checkpoint", "o.png"], "--checkpoint is no picture: o.png"),
        (["--out", "mygrid.png"], "--out would overwrite mygrid.json"),
        (["--last", "odd.png"], "--last would overwrite odd.json"),
        (["--last", "o.PNG"], "--last must have another name than --out"),
        (["--checkpoint", "no/x.pt"], "--checkpoint: there is no folder no"),
        (["--as-published"], "--as-published knows no settings of paper"),
        (["--weights", f"file:{'0' * 64}"], f"{'0' * 64} is not at hand"),
    ],
)
def test_it_refuses_in_a_sentence(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    (folder / "there").mkdir()
    (folder / "mygrid.json").write_text('{"pairs": [["c.png", "s.png"]]}')
    (folder / "odd.json").write_bytes(b"\xff")
    before = sorted(folder.iterdir())
    assert paint("o.png", *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "[]",
        "{}",
        '{"pairs": []}',
        '{"pairs": [["c.png"]]}',
        '{"pairs": 3}',
        '{"contents": "c.png", "styles": ["s.png"]}',
        '{"pairs": [["c.png", "s.png"]], "factors": {"alpha": 1}}',
        '{"pairs": [["c.png", "s.png"]], "styles": ["s.png"]}',
        '{"pairs": [["c.png", "s.png"]], "factor": {"alpha": [1]}}',
    ],
)
def test_it_refuses_what_is_no_grid(
    folder: Path, capsys: pytest.CaptureFixture[str], spec: str
) -> None:
    (folder / "spec.json").write_text(spec)
    assert main(["grid", "spec.json", "--out", "grid"]) == 2
    assert "spec.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["pairs", "contents", "styles"])
def test_a_grids_pictures_are_lists(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    spec = {"contents": ["c.png"], "styles": ["s.png"]} if name != "pairs" else {}
    (folder / "spec.json").write_text(json.dumps({**spec, name: "c.png"}))
    assert main(["grid", "spec.json", "--out", "grid"]) == 2
    assert f"spec.json: {name} must be a list." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pair", "settings", "sentence"),
    [
        (["none.png", "s.png"], {}, "content none.png: There is no such file."),
        (["c.png", "none.png"], {}, "style none.png: There is no such file."),
        (["c.png", "s.png"], {"start": "none.png"}, "start none.png: There is no"),
        (["c.png", "s.png"], {"weights": "none.pth"}, "no file none.pth"),
        (["c.png", "s.png"], {"weights": f"file:{'0' * 64}"}, "by `--weights FILE`"),
    ],
)
def test_a_grid_names_the_file_that_is_not_there(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    pair: list[str],
    settings: dict[str, Any],
    sentence: str,
) -> None:
    usual = {"weights": "random:0", "size": 32, "alpha": 1}
    spec = {"pairs": [pair], "settings": usual | settings}
    (folder / "spec.json").write_text(json.dumps(spec))
    assert main(["grid", "spec.json", "--out", "grid"]) == 2
    assert sentence in capsys.readouterr().err


def test_it_names_the_weights_file_that_a_picture_was_painted_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state_dict("random:0", network="vgg16", folder=None), folder / "w.pth")
    paint("o.png", "--weights", "w.pth")
    sha256 = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()
    assert main(["rerender", "o.png"]) == 2
    said = capsys.readouterr().err
    assert f"sha256 {sha256} is not at hand: name it by `--weights FILE`" in said
    assert main(["rerender", "o.png", "--weights", "w.pth"]) == 0


def test_it_takes_the_input_that_a_published_file_expects_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state_dict("random:0", network="vgg16", folder=None), folder / "w.pth")
    sha256 = hashlib.sha256((folder / "w.pth").read_bytes()).hexdigest()
    known = {sha256[:8]: ("torchvision's own", "v1")}
    monkeypatch.setattr("generation.engine.networks.weights.PUBLISHED_FILES", known)
    paint("o.png", "--weights", "w.pth")
    assert "weights w.pth: The file is torchvision's own" in capsys.readouterr().err
    assert read_story(folder / "o.png")["settings"]["weights"] == f"file:{sha256}:v1"
    assert main(["rerender", "o.png", "--weights", "w.pth"]) == 0

    paint("p.png", "--weights", "w.pth", "--weights-input", "features")
    assert read_story(folder / "p.png")["settings"]["weights"] == f"file:{sha256}"
    assert main(["rerender", "p.png", "--weights", "w.pth"]) == 0


@pytest.mark.parametrize("objective", AS_PUBLISHED)
def test_what_was_published_can_be_painted(objective: str) -> None:
    settings = {"alpha": 1.0, "objective": objective, "weights": "random:0"}
    RenderSettings.from_dict(settings | AS_PUBLISHED[objective])


def test_it_takes_published_settings_where_none_is_given(folder: Path) -> None:
    torch.save(state_dict("random:0", network="vgg19", folder=None), folder / "w.pth")
    published = ["--objective", "johnson", "--as-published", "--weights", "w.pth"]
    published += ["--weights-input", "caffe-bgr", "--size", "32", "--evaluations", "3"]
    pair = ["--content", "c.png", "--style", "s.png", "--out", "o.png"]
    assert main(["render", *pair, *published, "--beta", "7"]) == 0
    told = read_story(folder / "o.png")["settings"]
    assert (told["alpha"], told["beta"], told["tv_weight"]) == (5, 7, 1e-3)
    assert (told["network"], told["content_layer"]) == ("vgg19", [["conv4_2", 1]])
    assert told["weights"].endswith(":caffe-bgr")
    assert main(["rerender", "o.png", "--weights", "w.pth"]) == 0


@pytest.mark.parametrize(
    ("objective", "weights"),
    [
        ("gatys-paper", []),
        ("gatys-code", []),
        ("johnson", []),
        ("johnson", ["--weights", "imagenet-v1"]),
        ("johnson", ["--weights", "random:0"]),
        ("johnson", ["--weights", f"file:{'0' * 64}"]),
        ("johnson", ["--weights", "16.pth"]),
        ("johnson", ["--weights", "19.pth", "--weights-input", "v1"]),
    ],
)
def test_published_weights_of_terms_want_the_network_they_fit(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    objective: str,
    weights: list[str],
) -> None:
    if "16.pth" in weights or "19.pth" in weights:
        network = f"vgg{weights[1][:2]}"
        state = state_dict("random:0", network=network, folder=None)
        torch.save(state, folder / weights[1])
    pair = ["--content", "c.png", "--style", "s.png", "--out", "o.png"]
    published = ["--objective", objective, "--as-published", *weights]
    assert main(["render", *pair, *published]) == 2
    said = capsys.readouterr().err
    assert f"--as-published needs --weights FILE for {objective}" in said
    assert "vgg19-d01eb7cb.pth" in said


def test_it_starts_from_a_picture_and_rerenders_from_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(3).save(folder / "b.png")
    assert paint("o.png", "--start", "b.png") == 0
    assert main(["rerender", "o.png", "--start", "b.png"]) == 0
    assert main(["rerender", "o.png", "--out", "again.png"]) == 0
    assert main(["rerender", "again.png"]) == 0
    assert main(["rerender", "o.png", "--start", "c.png"]) == 2
    assert "c.png is not the start picture" in capsys.readouterr().err
    (folder / "b.png").unlink()
    assert main(["rerender", "o.png"]) == 2
    assert "The start picture b.png is not here" in capsys.readouterr().err


def test_it_refuses_to_rerender_what_it_has_not_painted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rerender", "c.png"]) == 2
    assert "c.png is not a PNG that this engine has painted" in capsys.readouterr().err
    paint("o.png")
    told = read_story(folder / "o.png")
    stories: list[Any] = [[]]
    for missing in ("settings", "digests", "environment", "pixel_sha256"):
        stories.append({name: told[name] for name in told if name != missing})
    for story in stories:
        (folder / "odd.png").write_bytes(signed_png(picture(1), story))
        assert main(["rerender", "odd.png"]) == 2
        said = capsys.readouterr().err
        assert "odd.png is not a PNG that this engine has painted" in said


def test_a_picture_as_small_as_can_be_painted_can_be_judged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--size", "8", "--style-layers", "conv1_1,conv2_1"]
    assert paint("o.png", *small) == 0
    judged = ["losses", "--content", "c.png", "--style", "s.png", "--image", "o.png"]
    assert main([*judged, *QUICK, *small, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["total"] > 0


def test_it_gives_layers_the_objectives_own_weights() -> None:
    def mixed(text: str, objective: str) -> Layers:
        values = {"style_layers": text, "objective": objective}
        layers: Layers = read_layers(values, layer_weight)["style_layers"]
        return layers

    assert mixed("conv1_1,conv2_1", "paper") == (("conv1_1", 0.5), ("conv2_1", 0.5))
    assert mixed("conv1_1|conv2_1=3", "johnson") == (("conv1_1", 1), ("conv2_1", 3))
    assert mixed("none", "paper") == ()


def test_it_names_the_fields_in_which_two_environments_differ() -> None:
    then = {"torch": "2.15", "threads": 2, "python": "3.11"}
    now = {"torch": "2.15", "threads": 1, "python": "3.12", **software()}
    assert differences(then, now) == ["threads: 2 then, 1 now"]


def test_it_teaches_by_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("render", "grid", "losses", "rerender"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "usage: python -m generation.engine" in capsys.readouterr().out
