"""The paper's experiments, held to the table in which the paper gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from generation.engine.grid import PicturePair, expand
from generation.engine.settings import RenderSettings
from generation.experiments.making import experiment_from_preset
from generation.models import Experiment, SourceImage, WeightsAtHost
from generation.pictures.source_images import add_source_image
from generation.presets import PRESET_OBJECTIVES, PRESETS, Preset, picture_title
from tests.conftest import png

FIVE = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
PORTRAIT, NIGHT = "content/portrait.jpg", "style/starry_night.jpg"
CAT, WAVE = "content/cat.jpg", "style/wave.jpg"

# content, style, content layers, style layers, α, β, TV weight: every row a render.
Row = tuple[str, str, tuple[str, ...], tuple[str, ...], float, float, float]


def rated(content: str, style: str, layer: str, ratio: float) -> list[Row]:
    return [(content, style, (layer,), FIVE, ratio, 1.0, 1.0)]


SEVEN = {
    "3A": rated("content/yosemite.jpg", "style/scream.jpg", "conv3_1", 0.01),
    "3B": rated(PORTRAIT, "style/stained_glass_tree.jpg", "conv2_1", 0.05),
    "3C": rated("content/violets.jpg", "style/marilyn.jpg", "conv3_1", 0.01),
    "3D": rated(CAT, WAVE, "conv3_1", 0.01),
    "3E": rated("content/toronto.jpeg", "style/group_of_seven.jpg", "conv3_1", 0.05),
    "3F": rated("content/sar_logo.jpg", "style/warhol_self.jpg", "conv2_1", 0.1),
    "3G": rated(NIGHT, "content/sunflower.jpg", "conv3_1", 0.01),
}
TABLE: dict[str, list[Row]] = {
    "1": [
        (PORTRAIT, NIGHT, (layer,), FIVE, ratio, 1.0, 0.0)
        for layer in FIVE
        for ratio in (1e-3, 1e-2, 1e-1, 0.25, 0.5)
    ],
    "2": [
        (content, style, ("conv2_2",), FIVE, 0.01, 1.0, tv_weight)
        for content, style in ((PORTRAIT, NIGHT), (CAT, WAVE))
        for tv_weight in (0.0, 1.0)
    ],
    "3": [row for rows in SEVEN.values() for row in rows],
    **SEVEN,
    "3.2-content": [
        (PORTRAIT, NIGHT, (layer,), FIVE, 1.0, 0.0, 0.0) for layer in FIVE
    ],
    "3.2-style": [
        (PORTRAIT, NIGHT, (), FIVE[: n + 1], 0.0, 1.0, 0.0) for n in range(5)
    ],
}  # fmt: skip
COUNTS = {"1": 25, "2": 4, "3": 7, "3.2-content": 5, "3.2-style": 5} | dict.fromkeys(
    SEVEN, 1
)

PUBLISHED: dict[str, dict[str, Any]] = {
    "paper": {"objective": "paper", "optimiser": "lbfgs", "resample": "lanczos"},
    "notebook": {"objective": "notebook", "optimiser": "scipy", "resample": "nearest"},
}
EVERYWHERE = {"network": "vgg16", "weights": "imagenet", "pooling": "max",
              "start": "noise", "size": 300, "evaluations": 240,
              "fit": "square"}  # fmt: skip


@pytest.fixture
def wall(db: None) -> Callable[[Preset], dict[str, SourceImage]]:
    """Stand-ins for a preset's pictures: one colour each."""

    def make(preset: Preset) -> dict[str, SourceImage]:
        return {
            file: add(file, number) for number, file in enumerate(sorted(preset.files))
        }

    def add(file: str, number: int) -> SourceImage:
        return SourceImage.objects.create(
            title=picture_title(file), width=48, height=32, sha256=f"{number:064}",
            pixel_sha256=f"{number:064}",
        )  # fmt: skip

    return make


def test_every_experiment_of_the_table_is_a_preset() -> None:
    assert list(PRESETS) == list(TABLE)
    assert {name: len(rows) for name, rows in TABLE.items()} == COUNTS


@pytest.mark.parametrize("objective", PRESET_OBJECTIVES)
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_paints_what_the_table_says(
    name: str, objective: str, wall: Callable[[Preset], dict[str, SourceImage]]
) -> None:
    pictures = wall(PRESETS[name])
    experiment = experiment_from_preset(
        preset=PRESETS[name], objective=objective, pictures=pictures
    )
    file_of = {image.pk: file for file, image in pictures.items()}
    cells = experiment.cells()
    assert [
        (
            file_of[cell.content],
            file_of[cell.style],
            tuple(layer for layer, _ in cell.settings.content_layer),
            tuple(layer for layer, _ in cell.settings.style_layers),
            cell.settings.alpha,
            cell.settings.beta,
            cell.settings.tv_weight,
        )
        for cell in cells
    ] == TABLE[name]
    expected = EVERYWHERE | PUBLISHED[objective]
    for cell in cells:
        settings = cell.settings
        assert {name: getattr(settings, name) for name in expected} == expected
        shares = {weight for _, weight in settings.style_layers}
        assert shares == {1 / len(settings.style_layers)}
        assert all(weight == 1.0 for _, weight in settings.content_layer)


def test_the_same_settings_by_hand_have_the_same_digests(
    wall: Callable[[Preset], dict[str, SourceImage]],
) -> None:
    preset = PRESETS["1"]
    pictures = wall(preset)
    made = experiment_from_preset(preset=preset, objective="paper", pictures=pictures)
    by_hand = expand(
        pairs=[PicturePair(PORTRAIT, NIGHT)],
        pixel_digests={file: image.pixel_sha256 for file, image in pictures.items()},
        axes={"content_layer": list(FIVE), "alpha_beta": [1e-3, 1e-2, 0.1, 0.25, 0.5]},
        fixed={"fit": "square"},
    )
    assert [cell.digest for cell in made.cells()] == [cell.digest for cell in by_hand]
    assert by_hand[0].settings == RenderSettings(
        content_layer=(("conv1_1", 1.0),), alpha=0.001, fit="square"
    )


@pytest.mark.parametrize("name", PRESETS)
def test_balances_take_the_place_of_the_printed_ratios(
    name: str, wall: Callable[[Preset], dict[str, SourceImage]]
) -> None:
    printed = PRESETS[name]
    assert printed.about_ratios("notebook") == ""
    if name.startswith("3.2"):  # reconstructions have no ratio
        assert printed.with_balances() is printed
        assert printed.about_ratios("paper") == ""
        return
    pictures = wall(printed)
    ratios, balances = (
        experiment_from_preset(preset=preset, objective="paper", pictures=pictures)
        for preset in (printed, printed.with_balances())
    )
    cells = list(zip(ratios.cells(), balances.cells(), strict=True))
    for ratio, balance in cells:
        assert balance.settings.balance and balance.settings.alpha is None
        assert balance.settings.changed(alpha=ratio.settings.alpha) == ratio.settings
    assert "belong to the objective notebook" in ratios.description
    assert "in place of the printed ratios" in balances.description


# The command ------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, file in enumerate(PRESETS["2"].files):
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png((60 * number, 90, 120)))
    return tmp_path


def paper(*words: str) -> None:
    """The command; whose it will be where the lab has an account."""
    owner = get_user_model().objects.values_list("username", flat=True).first()
    call_command("paper", *words, *(("--owner", owner) if owner else ()))


def test_the_command_makes_an_experiment_from_a_folder(
    db: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper("2", "--images", str(folder), "--weights", "random:0", "--size", "32")
    assert "Experiment 2, paper: The grid has 4 renders" in capsys.readouterr().out
    experiment = Experiment.objects.get()
    assert (experiment.size, experiment.weights) == (32, "random:0")
    assert [str(pair) for pair in experiment.pairs.all()] == [
        "portrait × starry_night",
        "cat × wave",
    ]


def test_the_command_says_whose_the_ratios_are_and_offers_balances(
    db: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper("2", "--images", str(folder))
    assert "Give --balances" in capsys.readouterr().out
    paper("2", "--images", str(folder), "--objective", "notebook")
    paper("2", "--images", str(folder), "--balances")
    said = capsys.readouterr().out
    assert "Give --balances" not in said
    assert "Experiment 2, balances, paper: The grid has 4 renders" in said


def test_both_objectives_share_the_pictures(db: None, folder: Path) -> None:
    for objective in PRESET_OBJECTIVES:
        paper("2", "--images", str(folder), "--objective", objective)
    assert Experiment.objects.count() == 2
    assert SourceImage.objects.count() == 4


def test_the_command_queues_when_asked(db: None, folder: Path) -> None:
    paper("2", "--images", str(folder), "--weights", "random:0", "--queue")
    assert Experiment.objects.get().renders.count() == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["3A"], "missing: content/yosemite.jpg, style/scream.jpg"),
        (["2", "--weights", "nonsense"], "weights must be"),
        (["2", "--size", "4"], "size must be"),
    ],
)
def test_what_cannot_be_made_is_said_and_leaves_nothing(
    db: None, folder: Path, words: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        paper(*words, "--images", str(folder))
    assert not Experiment.objects.exists()


def test_a_second_experiment_of_the_same_name_is_refused(
    db: None, folder: Path
) -> None:
    paper("2", "--images", str(folder))
    with pytest.raises(CommandError, match="already"):
        paper("2", "--images", str(folder))
    paper("2", "--images", str(folder), "--name", "Again")
    assert Experiment.objects.count() == 2


# The page ---------------------------------------------------------------------

ADDRESS = "/admin/generation/experiment/preset/"


def upload(number: int, name: str) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, png((60 * number, 90, 120)), "image/png")


def test_the_desk_offers_the_presets(logged_in: Any) -> None:
    assert ADDRESS in logged_in.get("/admin/generation/experiment/").content.decode()
    page = logged_in.get(ADDRESS).content.decode()
    assert "Experiment 3, A–G" in page
    assert "content/toronto.jpeg" in page


def test_the_desk_makes_one_from_pictures_here_and_uploaded(
    logged_in: Any, researcher: Any
) -> None:
    for number, title in enumerate(("portrait", "starry_night", "cat")):
        add_source_image(
            data=png((60 * number, 90, 120)), title=title, owner=researcher
        )
    form = {"preset": "2", "objective": "notebook", "weights": "random:0",
            "weighing": "printed"}  # fmt: skip
    page = logged_in.post(ADDRESS, form, follow=True).content.decode()
    assert "Upload these pictures, or title them so: wave." in page
    page = logged_in.post(
        ADDRESS, form | {"uploads": [upload(3, "wave.jpg")]}, follow=True
    ).content.decode()
    assert "Experiment 2, notebook is made. The grid has 4 renders" in page
    experiment = Experiment.objects.get()
    assert experiment.owner.username == "ada"
    assert experiment.more_axes == {
        "resample": ["nearest"],
        "optimiser": ["scipy"],
        "range": ["free"],
    }
    assert SourceImage.objects.count() == 4


def test_an_upload_that_is_no_picture_is_refused(logged_in: Any) -> None:
    form = {"preset": "3D", "objective": "paper", "weights": "random:0",
            "weighing": "balance"}  # fmt: skip
    files = [upload(0, "cat.jpg"), SimpleUploadedFile("wave.jpg", b"no picture")]
    page = logged_in.post(ADDRESS, form | {"uploads": files}).content.decode()
    assert "not a picture in a supported format" in page
    assert not Experiment.objects.exists()
    assert not SourceImage.objects.exists()


def test_missing_weights_are_said_before_anything_is_made_or_queued(
    logged_in: Any,
    folder: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.NSTLAB_WEIGHTS = folder / "none"
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    paper("2", "--images", str(folder), "--size", "32", "--name", "Before")
    assert "no render worker has told what its host has" in capsys.readouterr().out
    WeightsAtHost.objects.tell("gpu1", {})
    text = logged_in.get(ADDRESS).content.decode()
    assert "missing: ImageNet, original VGG training" in text
    assert "No render host has ImageNet, original VGG training" in text
    assert 'href="/admin/generation/experiment/hosts/"' in text
    with pytest.raises(CommandError, match=r"No render host has .*Nothing was made"):
        paper("2", "--images", str(folder), "--size", "32", "--queue")
    assert [each.name for each in Experiment.objects.all()] == ["Before"]
    paper("2", "--images", str(folder), "--size", "32")
    assert "`manage.py weights get` on the host" in capsys.readouterr().out


def test_a_file_is_named_by_its_first_digits(
    logged_in: Any, folder: Path, settings: Any, tmp_path: Path
) -> None:
    settings.NSTLAB_WEIGHTS = tmp_path / "none"
    told = {"network": "vgg16", "words": "VGG-16 · a file of weights · a drawer"}
    name = f"file:{'c0ffee12' * 8}:v1"
    WeightsAtHost.objects.tell("gpu1", {name: told})
    assert "a drawer (c0ffee12…)" in logged_in.get(ADDRESS).content.decode()
    images = ("--images", str(folder), "--size", "32")
    paper("2", *images, "--weights", "file:c0ffee12")
    assert Experiment.objects.get().weights == name
    with pytest.raises(CommandError, match="they have: a file of weights, c0ffee12…"):
        paper("2", *images, "--name", "Other", "--weights", "file:decaf123")


def test_weights_that_cannot_be_are_refused_and_leave_nothing(logged_in: Any) -> None:
    form = {"preset": "3D", "objective": "paper", "weights": "nonsense",
            "weighing": "balance"}  # fmt: skip
    files = [upload(0, "cat.jpg"), upload(1, "wave.jpg")]
    page = logged_in.post(ADDRESS, form | {"uploads": files}).content.decode()
    assert "weights must be" in page
    assert not SourceImage.objects.exists()


def test_presets_take_the_right_to_add(client: Any, stranger: Any) -> None:
    client.force_login(stranger)
    assert client.get(ADDRESS).status_code == 403
