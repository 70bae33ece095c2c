"""Researchers' lists ask the database as often for many rows as for few."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from generation.models import Pair, Render
from generation.pictures.source_images import add_source_image
from generation.queueing.batches import queue_experiment
from tests.conftest import png, put_on_wall

pytestmark = [pytest.mark.django_db]

LISTS = [
    "render/",
    "render/?p=2",
    "render/?status__exact=done",
    "render/?q=Red",
    "render/?experiment={pk}&content_layer=conv2_1",
    "experiment/",
    "batch/",
    "sourceimage/",
]


def queries(logged_in: Any, page: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        response = logged_in.get(f"/admin/generation/{page}")
    assert response.status_code == 200
    return len(asked)


@pytest.mark.parametrize("page", LISTS)
def test_a_list_of_many_takes_as_many_queries_as_one_of_few(
    page: str, logged_in: Any, make_experiment: Callable[..., Any], settings: Any
) -> None:
    settings.NSTLAB_BATCH_SECONDS = 0  # as many batches as renders
    few = make_experiment(name="Few", alpha_beta=[(n + 1) / 100 for n in range(51)])
    put_on_wall(few)
    page = page.format(pk=few.pk)
    logged_in.get("/admin/generation/render/")
    before = queries(logged_in, page)
    assert before <= 15
    for number in range(4):
        more = make_experiment(
            name=f"More {number}", alpha_beta=[(n + 1) / 100 for n in range(60)]
        )
        queue_experiment(more)
    assert queries(logged_in, page) == before


def test_levels_are_offered_for_the_experiment_that_is_chosen(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    experiment = make_experiment(content_layer=["conv1_1", "conv3_1"])
    queue_experiment(experiment)
    assert b"content_layer=" not in logged_in.get("/admin/generation/render/").content
    page = f"/admin/generation/render/?experiment={experiment.pk}"
    assert b"content_layer=conv3_1" in logged_in.get(page).content
    chosen = logged_in.get(f"{page}&content_layer=conv3_1").context["cl"].queryset
    assert {row.content_layer for row in chosen} == {"conv3_1"}
    assert chosen.count() == 2
    for nonsense in ("&tv_weight=x", "&content_layer=x"):
        assert logged_in.get(page + nonsense).context["cl"].queryset.count() == 4
    nobody = logged_in.get("/admin/generation/render/?experiment=x").context["cl"]
    assert nobody.queryset.count() == 0


def test_a_render_is_found_by_its_digest_and_by_its_pictures(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    render, other = put_on_wall(make_experiment())
    assert isinstance(render, Render)

    def found(words: str) -> set[int]:
        page = logged_in.get("/admin/generation/render/", {"q": words})
        return {row.pk for row in page.context["cl"].queryset}

    assert found(render.digest) == {render.pk}
    assert found(render.pixel_sha256) == {render.pk}
    assert found("red") == found("red blue") == {render.pk, other.pk}
    assert found("green") == set()


def test_the_form_of_many_pairs_takes_as_many_queries_as_that_of_one(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    experiment = make_experiment()
    page = f"experiment/{experiment.pk}/change/"
    queries(logged_in, page)
    before = queries(logged_in, page)
    assert before <= 15
    for number in range(12):
        pictures = [
            add_source_image(
                data=png((number, 9, style), (32, 32)),
                title=f"Picture {number} {style}",
                owner=experiment.owner,
            )[0]
            for style in (0, 1)
        ]
        Pair.objects.create(
            experiment=experiment, content=pictures[0], style=pictures[1]
        )
    assert queries(logged_in, page) == before
    shown = logged_in.get(f"/admin/generation/{page}").content.decode()
    # Each is there as the choice of its pair.
    for number in range(12):
        assert re.search(rf"<option [^>]*selected>Picture {number} 1</option>", shown)


def test_a_form_that_is_refused_shows_what_was_chosen_in_it(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    experiment = make_experiment()
    pair = experiment.pairs.get()
    page = logged_in.post(
        "/admin/generation/experiment/add/",
        {
            "name": "",
            "pairs-TOTAL_FORMS": "1",
            "pairs-INITIAL_FORMS": "0",
            "pairs-0-content": str(pair.content_id),
            "pairs-0-style": "999999",
        },
    ).content.decode()
    chosen = rf'<option value="{pair.content_id}"[^>]* selected>{pair.content}</option>'
    assert len(re.findall(chosen, page)) == 1
    assert "999999" not in page


def test_random_features_are_named_where_their_pictures_are_listed(
    logged_in: Any, make_experiment: Callable[..., Any]
) -> None:
    put_on_wall(make_experiment(name="Random"))
    plain = make_experiment(name="Plain", weights="imagenet")
    put_on_wall(plain)
    page = "/admin/generation/render/"
    assert b"painted with random features" in logged_in.get(page).content
    shown = logged_in.get(f"{page}?experiment={plain.pk}").content.decode()
    assert "painted with random features" not in shown
    assert "Weight α" in shown, "and no capital alpha"
    # How many are found is said of what was searched or filtered.
    assert "2 results" in shown
    assert "results (" not in logged_in.get(page).content.decode()
