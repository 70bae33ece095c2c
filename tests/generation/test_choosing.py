"""The form of an experiment: pictures by thumbnail, what it would paint, copies."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from generation.models import Experiment, Pair, Render, SourceImage
from generation.pictures.fields import OFFERED
from generation.pictures.source_images import add_source_image
from tests.conftest import png, put_on_wall
from tests.generation.test_experiment_pages import ADD, form

pytestmark = [pytest.mark.broker, pytest.mark.django_db]

NEW = "/admin/generation/experiment/forecast/"
TILES = "/admin/generation/experiment/pictures/"


def said(page: Any) -> str:
    """The words of an answer, without its marks."""
    text = re.sub(r"<[^>]+>", " ", page.content.decode())
    return re.sub(r"\s+", " ", text)


# The forecast -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "renders 6 to paint 6"),
        ({"name": ""}, "renders 6"),
        ({"more_axes": "start = noise\nseed = 0, 1, 2"}, "renders 18"),
        ({"pairs-0-axes": "alpha_beta = 1\ncontent_layer = conv3_1"}, "renders 1 "),
        ({"alpha_beta": "0.1, lots"}, "α/β: 'lots' is not a number"),
        ({"alpha_beta": ""}, "Balances: Give levels of balance"),
        ({"more_axes": "sede = 1"}, "There is no setting"),
        ({"more_axes": "seed = 1, 2"}, "would paint the same picture"),
        ({"pairs-0-axes": "alpha_beta = few"}, "takes numbers"),
        ({"pairs-0-content": "", "pairs-0-style": ""}, "give at least one pair"),
        ({"pairs-0-style": ""}, "required"),
        ({"size": "8"}, "size must be at least 16"),
        (
            {
                "alpha_beta": " ".join(str(n) for n in range(1, 1001)),
                "tv_weight": " ".join(str(n) for n in range(500)),
            },
            "1,000,000 renders; at most 20,000",
        ),
    ],
)
def test_the_forecast_says_what_saving_would_say(
    logged_in: Any, experiment: Any, changes: dict[str, Any], sentence: str
) -> None:
    page = logged_in.post(NEW, form(experiment, **changes))
    assert page.status_code == 200
    assert sentence in said(page).replace("&#x27;", "'")
    assert Experiment.objects.count() == 1
    assert not Render.objects.exists()


def test_the_forecast_crosses_pictures_that_are_only_ticked(
    logged_in: Any, experiment: Any
) -> None:
    pair = experiment.pairs.get()
    both = [str(pair.content_id), str(pair.style_id)]
    changes = {
        "pairs-0-content": "", "pairs-0-style": "", "contents": both, "styles": both,
    }  # fmt: skip
    assert "renders 24 " in said(logged_in.post(NEW, form(experiment, **changes)))


def test_what_is_painted_here_and_elsewhere_is_counted(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    here = make_experiment(name="Here", reuse=True)
    put_on_wall(here)
    pair = here.pairs.get()
    data = form(here, content_layer=["conv2_1"], alpha_beta="0.01, 0.1, 0.2")
    data |= {"reuse": "on", "name": "Here"}
    other = said(logged_in.post(NEW, data | {"name": "Other"}))
    assert "to paint 1 " in other
    assert "painted by other experiments 2" in other
    address = f"/admin/generation/experiment/{here.pk}/forecast/"
    data |= {"pairs-INITIAL_FORMS": "1", "pairs-0-id": str(pair.pk),
             "pairs-0-experiment": str(here.pk)}  # fmt: skip
    own = said(logged_in.post(address, data))
    assert "renders 3 to paint 1 here already 2" in own
    here.refresh_from_db()
    assert here.alpha_beta == [0.01, 0.1], "nothing was saved"
    deleted = said(logged_in.post(address, data | {"pairs-0-DELETE": "on"}))
    assert "give at least one pair" in deleted


def test_pictures_that_would_not_fit_are_said(
    logged_in: Any, experiment: Any, settings: Any
) -> None:
    settings.NSTLAB_DISK_RESERVE_MB = 10**9
    assert "The pictures would not fit" in said(logged_in.post(NEW, form(experiment)))


def test_the_forecast_is_for_those_who_may_change(
    client: Any, stranger: Any, experiment: Any, logged_in: Any
) -> None:
    own = f"/admin/generation/experiment/{experiment.pk}/forecast/"
    assert logged_in.get(own).status_code == 405
    client.force_login(stranger)
    for address in (NEW, own, TILES):
        data = form(experiment)
        answer = client.get(address) if address == TILES else client.post(address, data)
        assert answer.status_code in (403, 404), address


# Thumbnails -------------------------------------------------------------------


@pytest.fixture
def many(researcher: Any) -> list[SourceImage]:
    first, _ = add_source_image(data=png(), title="Sunflower", owner=researcher)
    copies = [
        SourceImage(
            title=f"Picture {n}", width=48, height=32, picture=first.picture.name,
            thumbnail=first.thumbnail.name, pixel_sha256=f"{n:064}", sha256="",
            owner=researcher,
        )
        for n in range(60)
    ]  # fmt: skip
    return [first, *SourceImage.objects.bulk_create(copies)]


def offered(page: Any, name: str = "contents") -> list[int]:
    text = page.content.decode()
    return [int(pk) for pk in re.findall(rf'name="{name}"\s+value="(\d+)"', text)]


def test_a_form_offers_some_pictures_and_a_search_finds_the_others(
    logged_in: Any, many: list[SourceImage]
) -> None:
    page = logged_in.get(ADD)
    assert len(offered(page)) == len(offered(page, "styles")) == OFFERED
    assert many[0].pk not in offered(page)
    assert f"{61 - OFFERED} more" in page.content.decode()
    found = logged_in.get(TILES, {"field": "contents", "contents_search": "FLOWER sun"})
    assert offered(found) == [many[0].pk]
    none = logged_in.get(TILES, {"field": "styles", "styles_search": "<moon>"})
    assert "No picture’s title has “&lt;moon&gt;”" in none.content.decode()
    without_script = logged_in.get(ADD, {"styles_search": "sunflower"})
    assert offered(without_script, "styles") == [many[0].pk]
    assert logged_in.get(TILES, {"field": "owner"}).status_code == 404


def test_what_is_ticked_stays_while_one_searches(
    logged_in: Any, many: list[SourceImage]
) -> None:
    ticked = [many[3].pk, many[0].pk]
    found = logged_in.get(
        TILES, {"field": "styles", "styles_search": "picture 59", "styles": ticked}
    )
    assert set(offered(found, "styles")) == {*ticked, many[-1].pk}
    assert found.content.decode().count("checked") == 2


def test_the_form_of_many_pictures_asks_as_often_as_that_of_few(
    logged_in: Any, experiment: Any, many: list[SourceImage]
) -> None:
    address = f"/admin/generation/experiment/{experiment.pk}/change/"

    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert logged_in.get(address).status_code == 200
        return len(asked)

    logged_in.get(address)
    before = queries()
    experiment.contents.set(many[:50])
    experiment.styles.set(many[:50])
    assert queries() == before


def test_presets_are_reached_from_the_form(logged_in: Any) -> None:
    assert b"/admin/generation/experiment/preset/" in logged_in.get(ADD).content
    page = logged_in.get(
        "/admin/generation/experiment/preset/?preset=3A"
    ).content.decode()
    assert '<option value="3A" selected>' in page


# Copies -----------------------------------------------------------------------


@pytest.fixture
def whole(make_experiment: Callable[..., Any]) -> Any:
    experiment = make_experiment(
        name="Whole", more_axes={"seed": [0, 1]}, start="noise"
    )
    Pair.objects.update(axes={"alpha_beta": [0.5]})
    pair = experiment.pairs.get()
    experiment.contents.set([pair.style])
    experiment.styles.set([pair.content])
    put_on_wall(experiment)
    return experiment


def test_a_duplicate_has_all_but_the_renders(
    logged_in: Any, researcher: Any, whole: Any
) -> None:
    address = f"/admin/generation/experiment/{whole.pk}/duplicate/"
    answer = logged_in.post(address, {"name": "ignored"}, follow=True)
    copy = Experiment.objects.get(name="Whole (copy)")
    assert answer.redirect_chain[-1][0].endswith(f"/{copy.pk}/change/")
    assert copy.owner == researcher
    assert not copy.renders.exists()
    assert [cell.digest for cell in copy.cells()] == [
        cell.digest for cell in whole.cells()
    ]
    logged_in.post(address)
    assert Experiment.objects.filter(name="Whole (copy 2)").exists()
    logged_in.post(f"/admin/generation/experiment/{copy.pk}/duplicate/")
    assert Experiment.objects.filter(name="Whole (copy 3)").exists()
    assert whole.renders.count() == 6


def test_the_list_duplicates_too_and_a_look_does_not(
    logged_in: Any, whole: Any
) -> None:
    logged_in.get(f"/admin/generation/experiment/{whole.pk}/duplicate/")
    assert Experiment.objects.count() == 1
    data = {"action": "duplicate", "_selected_action": [whole.pk]}
    logged_in.post("/admin/generation/experiment/", data)
    assert Experiment.objects.filter(name="Whole (copy)").exists()


def test_a_long_name_is_cut_for_its_copy(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    experiment = make_experiment(name="x" * 120)
    logged_in.post(f"/admin/generation/experiment/{experiment.pk}/duplicate/")
    assert Experiment.objects.filter(name="x" * 113 + " (copy)").exists()


def test_nobody_duplicates_without_the_right(
    client: Any, stranger: Any, whole: Any
) -> None:
    client.force_login(stranger)
    answer = client.post(f"/admin/generation/experiment/{whole.pk}/duplicate/")
    assert answer.status_code in (403, 404)
    assert Experiment.objects.count() == 1
