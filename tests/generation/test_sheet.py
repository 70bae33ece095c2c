"""The contact sheet: factors, pages, what is open, comparing, painting again."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from PIL import Image

from generation.contact_sheet.contents import read_sheet
from generation.contact_sheet.layout import MOST_CELLS
from generation.experiments.forecast import GUESSED_SECONDS_AT_300, duration
from generation.models import Experiment, Pair, Render, SourceImage
from generation.queueing.batches import queue_experiment
from tests.conftest import put_on_wall

pytestmark = [pytest.mark.broker, pytest.mark.django_db]

CURVE = [
    {"evaluation": 1, "content": 10.0, "style": 5.0, "tv": 0.0, "total": 5.1},
    {"evaluation": 2, "content": 20.0, "style": 1.0, "tv": 0.0, "total": 1.2},
]


def address(experiment: Any, page: str = "sheet/") -> str:
    return f"/admin/generation/experiment/{experiment.pk}/{page}"


def shown(page: Any) -> list[int]:
    """The renders of a page, in its order."""
    text = page.content.decode()
    return [int(pk) for pk in re.findall(r'name="render"\s+value="(\d+)"', text)]


def headings(page: Any, scope: str) -> list[str]:
    cells = re.findall(rf'(?s)<th scope="{scope}">(.*?)</th>', page.content.decode())
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in cells]


def pretend_done(experiment: Any) -> None:
    """Renders that are done, all with the same file: for counting only."""
    first, *_ = put_on_wall_some(experiment, 1)
    experiment.renders.update(status="done", picture=first.picture.name, token=None)


def put_on_wall_some(experiment: Any, count: int) -> list[Render]:
    """Finish the first renders only."""
    from tests.conftest import png

    queue_experiment(experiment)
    renders = list(experiment.renders.order_by("pk")[:count])
    for render in renders:
        token = uuid.uuid4()
        render.begin(token=token, worker="test")
        render.finish(
            token=token, png=png(size=(32, 32)), pixel_sha256="0" * 64,
            curve=CURVE,
            environment={"device": "cpu", "torch": "9.9"}, seconds=0.1,
        )  # fmt: skip
    return renders


@pytest.fixture
def figure(make_experiment: Callable[..., Any], queues: None) -> Experiment:
    """Two layers × three ratios, painted."""
    experiment: Experiment = make_experiment(
        name="Figure", content_layer=["conv1_1", "conv2_1"], alpha_beta=[0.1, 0.01, 1]
    )
    put_on_wall(experiment)
    return experiment


# Laying out -------------------------------------------------------------------


def test_rows_and_columns_are_the_factors_of_the_grid(
    logged_in: Any, figure: Experiment
) -> None:
    page = logged_in.get(address(figure))
    assert headings(page, "row") == ["conv1_1", "conv2_1"]
    assert headings(page, "col") == ["0.01", "0.1", "1"]
    text = page.content.decode()
    assert "content layer ↓" in text
    assert "α/β →" in text
    assert "content image Red · style image Blue" in text
    swapped = logged_in.get(
        address(figure), {"rows": "alpha", "columns": "content_layer"}
    )
    assert headings(swapped, "row") == ["0.01", "0.1", "1"]
    by = logged_in.get(address(figure), {"rows": "", "columns": "alpha"})
    assert by.content.decode().count("<caption>") == 2, "a table for each other level"
    assert sorted(shown(by)) == sorted(shown(swapped)) == sorted(shown(page))
    nonsense = logged_in.get(address(figure), {"rows": "moon", "page": "-7"})
    assert sorted(shown(nonsense)) == sorted(shown(page))


def test_settings_without_a_column_are_factors_too(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    axes = {
        "optimiser": ["adam"], "learning_rate": [1.0, 5.0],
        "style_layers": ["conv1_1=0.3|conv2_1=0.7", "conv1_1=0.7|conv2_1=0.3"],
    }  # fmt: skip
    experiment = make_experiment(alpha_beta=[0.1], more_axes=axes)
    put_on_wall(experiment)
    page = logged_in.get(
        address(experiment), {"rows": "style_layers", "columns": "learning_rate"}
    )
    assert headings(page, "row") == ["conv1_1 0.3, conv2_1 0.7",
                                     "conv1_1 0.7, conv2_1 0.3"]  # fmt: skip
    assert headings(page, "col") == ["1", "5"]
    assert len(shown(page)) == 4


def test_pairs_show_their_thumbnails_as_headings(
    logged_in: Any, figure: Experiment
) -> None:
    pair = figure.pairs.get()
    figure.contents.set([pair.content, pair.style])
    figure.styles.set([pair.content, pair.style])
    queue_experiment(figure)
    page = logged_in.get(address(figure), {"rows": "pair", "columns": "alpha"})
    assert "Red × Blue" in headings(page, "row")
    assert f"/pictures/source/{pair.style_id}/thumbnail.png" in page.content.decode()


def test_a_sheet_of_many_asks_as_often_as_one_of_one(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    one = make_experiment(name="One", alpha_beta=[0.1])
    many = make_experiment(name="Many", alpha_beta=[n / 100 for n in range(1, 301)])
    for experiment in (one, many):
        pretend_done(experiment)

    def queries(page: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            response = logged_in.get(page)
        assert response.status_code == 200
        return len(asked)

    logged_in.get(address(one))
    few = queries(address(one))
    assert few <= 15
    assert queries(address(many)) == queries(address(many) + "?page=3") == few
    open_ones = ",".join(str(pk) for pk in many.renders.values_list("pk", flat=True))
    live = queries(address(one, "sheet/live/?open=1"))
    assert queries(address(many, f"sheet/live/?open={open_ones}")) == live

    pages = [logged_in.get(address(many), {"page": n}) for n in (1, 2, 3)]
    seen = [pk for page in pages for pk in shown(page)]
    assert sorted(seen) == sorted(many.renders.values_list("pk", flat=True))
    assert max(len(shown(page)) for page in pages) <= MOST_CELLS
    assert "Page 3 of 3" in logged_in.get(address(many), {"page": 99}).content.decode()


def test_an_experiment_without_renders_says_what_to_do(
    logged_in: Any, experiment: Any
) -> None:
    page = logged_in.get(address(experiment))
    assert "Nothing is queued yet" in page.content.decode()


def test_large_pictures_are_sent_small(logged_in: Any, figure: Experiment) -> None:
    render = figure.renders.order_by("pk")[0]
    assert (
        f"/pictures/render/{render.pk}.png"
        in logged_in.get(address(figure)).content.decode()
    )
    with Image.open(render.picture.path) as picture:
        picture.resize((900, 600)).save(render.picture.path)
    figure.renders.update(size=900)
    small = f"/pictures/render/{render.pk}/thumbnail.jpg"
    assert small in logged_in.get(address(figure)).content.decode()
    answer = logged_in.get(small)
    assert answer["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (320, 213)
    Path(render.picture.path).unlink()
    assert logged_in.get(small).status_code == 404


# While it is painted ----------------------------------------------------------


def test_only_what_is_open_is_asked_for_again(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(alpha_beta=[0.1, 0.2, 0.3])
    done, second, third = put_on_wall_some(
        experiment, 1
    ) and experiment.renders.order_by("pk")
    page = logged_in.get(address(experiment)).content.decode()
    found = re.search(r'hx-get="([^"]+)"', page)
    assert found is not None
    assert found[1].endswith(f"?open={second.pk},{third.pk}")
    token = uuid.uuid4()
    second.begin(token=token, worker="test")
    second.show_progress(token=token, progress={"evaluations": 1, "budget": 2})
    assert third.cancel()
    answer = logged_in.get(found[1]).content.decode()
    assert f'id="render-{done.pk}"' not in answer
    assert "running, 1 of 2" in answer
    assert "Cancelled by a researcher." in answer
    assert f"?open={second.pk}" in answer, "what has ended is not asked for any more"
    second.fail(token=token, reason="Too hot.")
    last = logged_in.get(found[1]).content.decode()
    assert "hx-get" not in last
    assert "Too hot." in last


# Painting again ---------------------------------------------------------------


def test_what_failed_is_painted_again_and_what_is_done_explains(
    logged_in: Any, figure: Experiment
) -> None:
    done, failed, refused, *_ = figure.renders.order_by("pk")
    figure.renders.filter(pk=failed.pk).update(status="failed", reason="Too hot.")
    figure.renders.filter(pk=refused.pk).update(status="refused")
    page = logged_in.get(address(figure))
    assert b"Paint all 2 without a picture again" in page.content
    chosen = {"render": [done.pk, failed.pk], "rows": "alpha", "columns": "", "page": 1}
    answer = logged_in.post(address(figure, "again/"), chosen, follow=True)
    text = answer.content.decode()
    assert "1 render is queued again" in text
    assert "1 render is done already" in text
    assert "rows=alpha" in answer.redirect_chain[-1][0], "the layout stays"
    states = dict(figure.renders.values_list("pk", "status"))
    assert (states[failed.pk], states[refused.pk]) == ("queued", "refused")
    assert states[done.pk] == "done"
    logged_in.post(address(figure, "again/"), {"all": "1"})
    assert not figure.renders.filter(status="refused").exists()
    nothing = logged_in.post(address(figure, "again/"), follow=True)
    assert "Tick renders that failed" in nothing.content.decode()


def test_painting_again_takes_the_right_and_keeps_to_its_experiment(
    logged_in: Any,
    researcher: Any,
    figure: Experiment,
    make_experiment: Callable[..., Any],
) -> None:
    from django.contrib.auth.models import Permission

    other = make_experiment(name="Other")
    queue_experiment(other)
    other.renders.update(status="failed")
    logged_in.post(address(figure, "again/"), {"render": [other.renders.first().pk]})
    assert set(other.renders.values_list("status", flat=True)) == {"failed"}
    group = researcher.groups.get()
    group.permissions.remove(Permission.objects.get(codename="queue_experiment"))
    assert logged_in.post(address(other, "again/"), {"all": "1"}).status_code == 403
    assert b"without a picture again" not in logged_in.get(address(other)).content
    assert set(other.renders.values_list("status", flat=True)) == {"failed"}


def test_what_is_not_painted_yet_is_cancelled_on_the_sheet(
    logged_in: Any, make_experiment: Callable[..., Any], client: Any, queues: None
) -> None:
    experiment = make_experiment()
    queue_experiment(experiment)
    text = logged_in.get(address(experiment)).content.decode()
    assert "no worker is there to paint" in text
    assert f'formaction="{address(experiment, "cancel/")}"' in text
    assert logged_in.get(address(experiment, "cancel/")).status_code == 405
    answer = logged_in.post(address(experiment, "cancel/"), {"page": 1}, follow=True)
    text = answer.content.decode()
    assert "2 renders were cancelled." in text
    assert "Cancel what is not" not in text
    assert "no worker is there" not in text, "there is nothing to paint"
    assert set(experiment.renders.values_list("status", flat=True)) == {"cancelled"}


def test_the_time_left_is_that_of_the_workers_present(
    logged_in: Any, make_experiment: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.pages.sheet.workers_of", lambda _: 2)
    experiment = make_experiment(evaluations=900, size=300)
    queue_experiment(experiment)
    seconds = 2 * 900 * GUESSED_SECONDS_AT_300 / 2
    said = f"about {duration(seconds)} of painting left on 2 workers"
    for page in (address(experiment), address(experiment, "sheet/live/")):
        assert said in logged_in.get(page).content.decode()


# Comparing --------------------------------------------------------------------


def test_renders_are_compared_at_an_address_of_their_own(
    logged_in: Any, figure: Experiment
) -> None:
    first, second, third, *_ = figure.renders.order_by("pk")
    keys = [third.pk, first.pk]
    answer = logged_in.post(address(figure, "compare/"), {"render": keys})
    assert answer.url == address(figure, f"compare/?render={keys[0]}&render={keys[1]}")
    page = logged_in.get(answer.url).content.decode()
    places = [page.index(f"/pictures/render/{pk}.png") for pk in keys]
    assert places == sorted(places), "in the order in which they were ticked"
    assert f"/pictures/render/{second.pk}.png" not in page
    assert f"/pictures/source/{first.content_id}/picture.png" in page
    assert f"/pictures/source/{first.style_id}/picture.png" in page
    for said in (f"content image: {first.content}", f"style image: {first.style}"):
        assert page.count(said) == 2, "to be heard and to be read"
    assert page.count("nst-view nst-stretched") == 2, "as square as the renders"
    differing = page[page.index("Where they differ") :]
    assert ">α<" in differing
    assert "seed" not in differing
    assert "random features: not the paper's network" in page


@pytest.mark.parametrize("count", [0, 1, 7])
def test_too_few_or_too_many_are_not_compared(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None, count: int
) -> None:
    experiment = make_experiment(alpha_beta=[n / 10 for n in range(1, 9)])
    renders = put_on_wall(experiment)
    for send in (logged_in.post, logged_in.get):
        answer = send(
            address(experiment, "compare/"),
            {"render": [render.pk for render in renders[:count]]},
            follow=True,
        )
        is_are = "is" if count == 1 else "are"
        said = f"Tick 2 to 6 finished renders to compare; {count} of those ticked"
        assert f"{said} {is_are} finished" in answer.content.decode()


# A render's own page ----------------------------------------------------------


def render_page(logged_in: Any, render: Render, **query: str) -> str:
    page = logged_in.get(f"/admin/generation/render/{render.pk}/change/", query)
    assert page.status_code == 200
    text: str = page.content.decode()
    return text


def test_a_renders_page_has_its_place_its_losses_and_its_settings(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(alpha_beta=[0.3, 0.1, 0.2])
    third, first, second = put_on_wall_some(experiment, 3)
    text = render_page(logged_in, second)
    assert re.search(rf'rel="prev"\s+href="/admin/generation/render/{first.pk}/', text)
    assert re.search(rf'rel="next"\s+href="/admin/generation/render/{third.pk}/', text)
    assert '<polyline class="nst-line-style"' in text
    assert "nst-line-tv" not in text, "its weight is 0"
    assert "content 20, style 1" in text
    assert "<dt>torch</dt><dd>9.9</dd>" in text
    assert "<dt>TV weight</dt><dd>0</dd>" in text
    assert "The same request paints the same picture" in text


def test_a_failed_render_is_painted_again_from_its_page(
    logged_in: Any, figure: Experiment
) -> None:
    render = figure.renders.order_by("pk")[0]
    Render.objects.filter(pk=render.pk).update(status="failed", reason="Too hot.")
    text = render_page(logged_in, render)
    assert "Too hot." in text
    assert f'formaction="{address(figure, "again/")}"' in text
    answer = logged_in.post(
        address(figure, "again/"), {"render": render.pk, "from": render.pk}
    )
    assert answer.url == f"/admin/generation/render/{render.pk}/change/"
    render.refresh_from_db()
    assert render.status == "queued"


def test_who_painted_a_shared_picture_is_said_on_both_sides(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    painter = make_experiment(name="Painter")
    put_on_wall(painter)
    taker = make_experiment(name="Taker", reuse=True)
    queue_experiment(taker)
    painted, taken = painter.renders.all()[0], taker.renders.all()[0]
    assert taken.reused_from == painted
    there, here = render_page(logged_in, painted), render_page(logged_in, taken)
    assert re.search(rf'render/{taken.pk}/change/">Taker</a>\.', there)
    assert re.search(
        rf'render/{painted.pk}/change/">Painter</a> \(which keeps it\)', here
    )
    assert "was not painted here" in here
    assert "was not painted here" not in there


# Who may look -----------------------------------------------------------------


@pytest.mark.parametrize(
    "page", ["sheet/", "sheet/live/", "compare/", "again/", "sheet.png", "sheet.pdf"]
)
def test_nobody_looks_without_the_right(
    client: Any, stranger: Any, figure: Experiment, page: str
) -> None:
    client.force_login(stranger)
    send = client.post if page == "again/" else client.get
    assert send(address(figure, page)).status_code in (403, 404)
    assert send(f"/admin/generation/experiment/999999/{page}").status_code == 404


def test_a_render_belongs_to_its_own_experiments_sheet(
    logged_in: Any, figure: Experiment, make_experiment: Callable[..., Any]
) -> None:
    other = make_experiment(name="Other")
    put_on_wall(other)
    assert SourceImage.objects.count() == Pair.objects.count() * 2
    foreign = ",".join(str(pk) for pk in other.renders.values_list("pk", flat=True))
    answer = logged_in.get(address(figure, f"sheet/live/?open={foreign}"))
    assert "render-" not in answer.content.decode()


def test_alpha_is_no_factor_of_a_sheet_where_a_balance_was_set(
    make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment(more_axes={"balance": [0.1, 0.3]}, tv_weight=[0.0])
    queue_experiment(experiment)
    for alpha, render in enumerate(experiment.renders.all(), 1):
        Render.objects.filter(pk=render.pk).update(alpha=alpha)
    sheet = read_sheet(experiment, QueryDict())
    assert "alpha" not in sheet.found and "alpha" not in sheet.fixed
    assert sheet.found["balance"].levels == (0.1, 0.3)

    # The form was changed: now some of them have an alpha that was typed.
    experiment.more_axes = {"alpha_beta": [0.5]}
    experiment.save()
    queue_experiment(experiment)
    sheet = read_sheet(experiment, QueryDict())
    assert set(sheet.found["alpha"].levels) == {None, 0.5}
    assert set(sheet.found["balance"].levels) == {None, 0.1, 0.3}
    assert len(sheet.found["alpha"].values) == 3
