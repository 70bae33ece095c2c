"""The admin of pictures, experiments and renders, used as a Researcher."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from generation.models import Experiment, Render
from tests.conftest import put_on_wall

pytestmark = [pytest.mark.broker, pytest.mark.django_db]

ADD = "/admin/generation/experiment/add/"


def form(experiment: Any, **changes: Any) -> dict[str, Any]:
    pair = experiment.pairs.get()
    return {
        "name": "New",
        "description": "",
        "content_layer": ["conv1_1", "conv2_1"],
        "alpha_beta": "0.001, 0.01 0.1",
        "tv_weight": "0",
        "more_axes": "",
        "pooling": "average",
        "start": "content",
        "weights": "random:0",
        "network": "vgg16",
        "objective": "paper",
        "seed": "0",
        "size": "32",
        "fit": "square",
        "evaluations": "2",
        "pairs-TOTAL_FORMS": "1",
        "pairs-INITIAL_FORMS": "0",
        "pairs-MIN_NUM_FORMS": "0",
        "pairs-MAX_NUM_FORMS": "1000",
        "pairs-0-content": str(pair.content_id),
        "pairs-0-style": str(pair.style_id),
    } | changes


def test_saving_an_experiment_says_how_many_renders_it_has(
    logged_in: Any, experiment: Any
) -> None:
    response = logged_in.post(ADD, form(experiment), follow=True)
    assert "The grid has 6 renders" in response.content.decode()
    new = Experiment.objects.get(name="New")
    assert new.alpha_beta == [0.001, 0.01, 0.1]
    assert new.owner is not None and new.owner.username == "ada"
    assert not Render.objects.exists()


def test_save_and_queue_queues(logged_in: Any, experiment: Any, queues: None) -> None:
    response = logged_in.post(ADD, form(experiment, _queue="1"), follow=True)
    page = response.content.decode()
    assert "6 of 6 renders are queued" in page
    assert "0 of 6 done" in page
    assert Render.objects.filter(status="queued").count() == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"alpha_beta": "0.1, lots"}, "is not a number"),
        ({"alpha_beta": "-1"}, "must be 0 or more"),
        ({"alpha_beta": ""}, "Give levels of balance, as 0.1, or of α/β."),
        ({"balance": "0.1"}, "Give levels of one of balance, alpha and α/β"),
        ({"content_layer": []}, "required"),
        (
            {
                "alpha_beta": " ".join(str(n) for n in range(1, 1001)),
                "tv_weight": " ".join(str(n) for n in range(500)),
            },
            "1,000,000 renders; at most 20,000",
        ),
        ({"evaluations": "0"}, "greater than or equal to 1"),
        ({"more_axes": "sede = 1"}, "There is no setting"),
        ({"more_axes": "seed = 1, 2"}, "would paint the same picture"),
        ({"more_axes": "beta = 2"}, "β is 1"),
        ({"pairs-0-axes": "alpha_beta = few"}, "takes numbers"),
    ],
)
def test_an_impossible_grid_is_refused_with_a_sentence(
    logged_in: Any, experiment: Any, changes: dict[str, Any], sentence: str
) -> None:
    response = logged_in.post(ADD, form(experiment, **changes), follow=True)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not Experiment.objects.filter(name="New").exists()


def test_any_setting_can_be_an_axis_of_the_form(
    logged_in: Any, experiment: Any
) -> None:
    changes = {"more_axes": "start = noise\nseed = 0, 1, 2", "start": "content"}
    response = logged_in.post(ADD, form(experiment, **changes), follow=True)
    assert "The grid has 18 renders" in response.content.decode()
    new = Experiment.objects.get(name="New")
    assert new.more_axes == {"start": ["noise"], "seed": [0, 1, 2]}
    page = logged_in.get(f"/admin/generation/experiment/{new.pk}/change/")
    assert "start = noise\nseed = 0, 1, 2" in page.content.decode()


def test_alpha_and_beta_take_the_place_of_their_ratio(
    logged_in: Any, experiment: Any
) -> None:
    changes = {"alpha_beta": "", "more_axes": "alpha = 1\nbeta = 0"}
    response = logged_in.post(ADD, form(experiment, **changes), follow=True)
    assert "The grid has 2 renders" in response.content.decode()
    cell = Experiment.objects.get(name="New").cells()[0]
    assert (cell.settings.alpha, cell.settings.beta) == (1.0, 0.0)


def test_a_balance_takes_the_place_of_the_ratio(
    logged_in: Any, experiment: Any
) -> None:
    begun = logged_in.get(ADD).context["adminform"].form
    assert (begun["balance"].value(), begun["alpha_beta"].value()) == ("0.1", "")
    changes = {"alpha_beta": "", "balance": begun["balance"].value()}
    logged_in.post(ADD, form(experiment, **changes), follow=True)
    cell = Experiment.objects.get(name="New").cells()[0]
    assert (cell.settings.balance, cell.settings.alpha) == (0.1, None)
    instead = {"alpha_beta": "", "more_axes": "balance = 0.2", "name": "Line"}
    logged_in.post(ADD, form(experiment, **instead), follow=True)
    cell = Experiment.objects.get(name="Line").cells()[0]
    assert (cell.settings.balance, cell.settings.alpha) == (0.2, None)

    both = {"alpha_beta": "", "more_axes": "balance = 0.1\nalpha = 1", "name": "Two"}
    page = logged_in.post(ADD, form(experiment, **both), follow=True)
    assert "Give levels of one of balance" in page.content.decode()


def test_contents_are_crossed_with_styles(logged_in: Any, experiment: Any) -> None:
    pair = experiment.pairs.get()
    both = [str(pair.content_id), str(pair.style_id)]
    changes = {
        "pairs-0-content": "",
        "pairs-0-style": "",
        "alpha_beta": "0.1",
        "content_layer": ["conv1_1"],
        "contents": both,
        "styles": both,
    }
    response = logged_in.post(ADD, form(experiment, **changes), follow=True)
    assert "The grid has 4 renders" in response.content.decode()


def test_a_pair_can_be_given_levels_of_its_own(logged_in: Any, experiment: Any) -> None:
    changes = {"pairs-0-axes": "alpha_beta = 1\ncontent_layer = conv3_1"}
    response = logged_in.post(ADD, form(experiment, **changes), follow=True)
    assert "The grid has 1 render" in response.content.decode()


def test_a_grid_without_a_pair_is_said_to_have_0_renders(
    logged_in: Any, experiment: Any
) -> None:
    changes = {"pairs-0-content": "", "pairs-0-style": "", "_queue": "1"}
    page = logged_in.post(
        ADD, form(experiment, **changes), follow=True
    ).content.decode()
    assert "The grid has 0 renders" in page
    assert "pair of pictures" in page


def test_a_size_too_small_for_the_deepest_layer_is_said(
    logged_in: Any, experiment: Any
) -> None:
    page = logged_in.post(
        ADD, form(experiment, size="8", _queue="1"), follow=True
    ).content.decode()
    assert "size must be at least 16" in page
    assert not Experiment.objects.filter(name="New").exists()
    assert not Render.objects.exists()


def test_the_sheet_shows_pictures_and_says_the_weights(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    renders = put_on_wall(experiment)
    page = logged_in.get(f"/admin/generation/experiment/{experiment.pk}/sheet/")
    text = page.content.decode()
    for render in renders:
        assert f"/pictures/render/{render.pk}.png" in text
        assert logged_in.get(f"/pictures/render/{render.pk}.png").status_code == 200
    assert "random features: not the paper's network" in text
    assert "hx-trigger" not in text, "a finished sheet need not ask again"


@pytest.mark.parametrize(
    "page", ["generation/render/", "survey/stimulus/", "generation/render/{}/change/"]
)
def test_every_page_with_pictures_of_random_features_says_so(
    logged_in: Any, study: Any, page: str
) -> None:
    address = page.format(study.experiment.renders.all()[0].pk)
    text = logged_in.get(f"/admin/{address}").content.decode()
    assert "random features: not the paper's network" in text


def test_actions_cancel_and_retry(
    logged_in: Any, experiment: Any, queues: None
) -> None:
    logged_in.post(
        "/admin/generation/experiment/",
        {"action": "queue", "_selected_action": [experiment.pk]},
    )
    keys = list(Render.objects.values_list("pk", flat=True))
    for action, status in (("cancel", "cancelled"), ("retry", "queued")):
        logged_in.post(
            "/admin/generation/render/", {"action": action, "_selected_action": keys}
        )
        assert set(Render.objects.values_list("status", flat=True)) == {status}


def test_staff_without_the_right_see_and_do_nothing(
    client: Any, stranger: Any, experiment: Any
) -> None:
    client.force_login(stranger)
    for page in ("sourceimage", "experiment", "render", "batch"):
        assert client.get(f"/admin/generation/{page}/").status_code == 403
    address = f"/admin/generation/experiment/{experiment.pk}/sheet/"
    assert client.get(address).status_code == 404


@pytest.mark.parametrize(
    "page",
    [
        "generation/sourceimage/", "generation/experiment/", "generation/render/",
        "generation/batch/", "survey/study/", "survey/stimulus/", "survey/participant/",
        "survey/rating/", "analysis/report/", "",
    ],
)  # fmt: skip
def test_every_list_of_the_admin_opens(
    logged_in: Any, study: Any, page: str, queues: None
) -> None:
    assert logged_in.get(f"/admin/{page}").status_code == 200


def test_every_row_of_the_admin_opens(logged_in: Any, study: Any, queues: None) -> None:
    render = study.experiment.renders.all()[0]
    for page in (
        f"generation/sourceimage/{render.content_id}/change/",
        f"generation/experiment/{study.experiment_id}/change/",
        f"generation/render/{render.pk}/change/",
        f"survey/study/{study.pk}/change/",
        f"survey/stimulus/{study.stimuli.all()[0].pk}/change/",
    ):
        response = logged_in.get(f"/admin/{page}")
        assert response.status_code == 200, page


# Looking without changing -----------------------------------------------------


def test_somebody_who_only_looks_reads_levels_in_words_and_sees_the_pictures(
    client: Any, make_experiment: Callable[..., Any], make_account: Callable[..., Any]
) -> None:
    experiment = make_experiment(tv_weight=[0.0, 1.0], more_axes={"seed": [3, 4]})
    pair = experiment.pairs.get()
    experiment.contents.add(pair.content)
    page = f"/admin/generation/experiment/{experiment.pk}/change/"
    client.force_login(make_account("olga", "Observer"))
    text = client.get(page).content.decode()
    assert "<dt>α/β</dt><dd>0.01, 0.1</dd>" in text
    assert "<dt>TV weight</dt><dd>0, 1</dd>" in text
    assert "<dt>seed</dt><dd>3, 4</dd>" in text
    assert text.count("<dt>seed</dt>") == 1
    assert "icon-no" not in text
    for raw in ("[0.0", "[&#x27;conv", "{&quot;seed", "Α/β"):
        assert raw not in text
    address = reverse("generation:source_picture", args=[pair.content_id, "thumbnail"])
    assert text.count(f'src="{address}"') == 2
    assert 'type="submit"' not in text.partition('id="experiment_form"')[2]
    # An operator, who keeps renders moving, sees what they are painted from.
    client.force_login(make_account("oscar", "Operator"))
    text = client.get(page).content.decode()
    assert "<dt>α/β</dt>" in text
    assert text.count(f'src="{address}"') == 2


def test_a_pair_is_chosen_on_the_experiments_page_and_changed_on_its_own(
    logged_in: Any, experiment: Any
) -> None:
    text = logged_in.get(
        f"/admin/generation/experiment/{experiment.pk}/change/"
    ).content
    assert b"related-widget-wrapper-link" not in text
    study = logged_in.get("/admin/survey/study/add/").content
    assert b'id="delete_id_experiment"' not in study


def test_the_experiments_page_has_one_row_of_buttons_the_main_one_first(
    logged_in: Any, experiment: Any
) -> None:
    page = f"/admin/generation/experiment/{experiment.pk}/change/"
    text = logged_in.get(page).content.decode()
    assert text.count('class="submit-row') == 1
    buttons = re.findall(
        r'<input\s+type="submit"[^>]*value="([^"]*)"[^>]*?( hidden)?\s*>', text
    )
    shown = [name for name, hidden in buttons if not hidden]
    assert shown[0] == "Save and queue the renders"
    assert {"Save", "Duplicate"} <= set(shown)
    # What the Enter key presses.
    assert buttons[0] == ("Save", " hidden")


def test_queueing_says_what_is_left_and_what_was_there(
    logged_in: Any, make_experiment: Callable[..., Any], queues: None
) -> None:
    experiment = make_experiment()
    page = "/admin/generation/experiment/"

    def said(action: str) -> str:
        asked = {"action": action, "_selected_action": [experiment.pk]}
        return str(*logged_in.post(page, asked, follow=True).context["messages"])

    first = said("queue")
    assert "2 of 2 renders are queued now" in first and "already" not in first
    assert said("queue") == "Small: Nothing is left to paint."
    Experiment.objects.update(alpha_beta=[0.01, 0.1, 1.0])
    assert said("queue").endswith("2 were there already.")
    assert said("cancel") == "3 renders were cancelled."
    assert said("cancel") == "Nothing is left to cancel."
    words = [it.get_change_message() for it in LogEntry.objects.order_by("pk")]
    assert words == ["2 renders queued.", "1 render queued.", "3 renders cancelled."]
