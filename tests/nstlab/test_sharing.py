"""What researchers' pages show and take, by whose it is and who sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from generation.models import Experiment, Render, SourceImage
from generation.pictures.source_images import add_source_image
from nstlab.models import Entry
from survey.models import Study
from survey.studies.versions import new_version
from tests.analysis.test_exports import people_answer
from tests.conftest import png

pytestmark = pytest.mark.django_db


@pytest.fixture
def log_in(make_account: Callable[..., Any]) -> Callable[..., Client]:
    """A factory of browsers of people in a group, by name."""

    def enter(name: str, group: str = "Researcher", **fields: Any) -> Client:
        client = Client()
        client.user = make_account(name, group, **fields)  # type: ignore[attr-defined]
        client.force_login(client.user)  # type: ignore[attr-defined]
        return client

    return enter


LISTS = [
    "generation/sourceimage", "generation/experiment", "generation/render",
    "generation/batch", "survey/study", "survey/stimulus", "survey/participant",
    "survey/rating", "analysis/report", "nstlab/entry",
]  # fmt: skip


@pytest.fixture
def busy(study: Study, logged_in: Client, queues: None) -> Study:
    """A study with an answer, a report and a line in the history."""
    people_answer(study, 4)
    logged_in.get(f"/admin/analysis/report/study/{study.pk}/")
    return study


@pytest.mark.broker
@pytest.mark.parametrize("page", LISTS)
def test_a_list_has_ones_own_rows_and_those_one_may_see(
    page: str, busy: Study, logged_in: Client, log_in: Callable[..., Client]
) -> None:
    def rows(client: Client) -> int:
        return client.get(f"/admin/{page}/").context["cl"].result_count

    assert rows(logged_in) > 0
    assert rows(log_in("eve")) == 0
    assert rows(log_in("olga", "Observer")) == rows(logged_in)


@pytest.mark.broker
def test_no_list_filter_or_choice_names_what_one_may_not_see(
    busy: Study, log_in: Callable[..., Client]
) -> None:
    busy.title = "Secret study"
    busy.save()
    Experiment.objects.update(name="Secret experiment")
    SourceImage.objects.update(title="Secret picture")
    eve = log_in("eve")
    for page in (
        *(f"{page}/" for page in LISTS),
        "", "generation/experiment/add/", "generation/experiment/preset/",
        "survey/study/add/",
        f"generation/render/?experiment={busy.experiment_id}",
        f"survey/stimulus/?study__id__exact={busy.pk}",
    ):  # fmt: skip
        shown = eve.get(f"/admin/{page}").content.decode()
        assert "Secret" not in shown, page
    for app, model, field in (
        ("generation", "pair", "content"), ("generation", "experiment", "styles"),
        ("survey", "study", "experiment"),
    ):  # fmt: skip
        offered = eve.get(
            "/admin/autocomplete/",
            {"app_label": app, "model_name": model, "field_name": field},
        )
        assert offered.json()["results"] == [], model


def test_a_form_does_not_take_what_one_may_not_see(
    experiment: Any, log_in: Callable[..., Client]
) -> None:
    eve = log_in("eve")
    theirs = SourceImage.objects.all()[0]
    form = {
        "name": "Mine", "content_layer": ["conv2_1"], "alpha_beta": "0.1",
        "tv_weight": "0", "size": 32, "fit": "square", "evaluations": 2, "seed": 0,
        "pooling": "average", "start": "content", "weights": "random:0",
        "network": "vgg16", "objective": "paper", "contents": [theirs.pk],
        "pairs-TOTAL_FORMS": 1, "pairs-INITIAL_FORMS": 0,
        "pairs-0-content": theirs.pk, "pairs-0-style": theirs.pk,
    }  # fmt: skip
    page = eve.post("/admin/generation/experiment/add/", form).content.decode()
    assert page.count("Select a valid choice") == 3
    assert not Experiment.objects.filter(name="Mine").exists()


def test_who_sees_an_experiment_sees_its_pictures_and_cannot_change_them(
    experiment: Any, log_in: Callable[..., Client]
) -> None:
    grace = log_in("grace")
    spare, _ = add_source_image(data=png(), title="Spare", owner=experiment.owner)
    image = experiment.pairs.get().content
    address = f"/pictures/source/{image.pk}/picture.png"
    assert grace.get(address).status_code == 404
    experiment.shared_with.add(grace.user)  # type: ignore[attr-defined]
    assert grace.get(address).status_code == 200
    assert grace.get(f"/pictures/source/{spare.pk}/picture.png").status_code == 404
    change = f"/admin/generation/sourceimage/{image.pk}/change/"
    assert grace.get(change).status_code == 200
    assert grace.post(change, {"title": "Mine now"}).status_code == 403


def test_only_the_owner_shares_and_the_history_says_with_whom(
    experiment: Any, logged_in: Client, log_in: Callable[..., Client]
) -> None:
    grace, eve = log_in("grace"), log_in("eve")
    address = f"/admin/generation/experiment/{experiment.pk}/people/"
    key = grace.user.pk  # type: ignore[attr-defined]
    assert logged_in.post(address, {"shared_with": [key]}).status_code == 302
    assert list(experiment.shared_with.all()) == [grace.user]  # type: ignore[attr-defined]
    assert grace.post(address, {"shared_with": []}).status_code == 403
    assert eve.post(address, {"shared_with": []}).status_code == 404
    assert experiment.shared_with.count() == 1
    said = Entry.objects.get(object_id=str(experiment.pk)).get_change_message()
    assert said == "It is ada's, shared with grace."
    # Its owner cannot give it away by a field that the form does not have.
    logged_in.post(address, {"shared_with": [key], "owner": key})
    experiment.refresh_from_db()
    assert experiment.owner.username == "ada"


def test_a_superuser_gives_to_another_what_somebody_left(
    experiment: Any, logged_in: Client, log_in: Callable[..., Client]
) -> None:
    heir = log_in("heir")
    root = log_in("root", "", is_superuser=True)
    address = f"/admin/generation/experiment/{experiment.pk}/"
    root.post(address + "people/", {"owner": heir.user.pk})  # type: ignore[attr-defined]
    assert heir.get(address + "sheet/").status_code == 200
    assert logged_in.get(address + "sheet/").status_code == 404


def test_what_is_nobodys_is_seen_by_those_who_see_all(
    make_experiment: Callable[..., Any],
    logged_in: Client,
    log_in: Callable[..., Client],
) -> None:
    address = f"/admin/generation/experiment/{make_experiment(owner=None).pk}/sheet/"
    assert logged_in.get(address).status_code == 404
    assert log_in("olga", "Observer").get(address).status_code == 200


def test_actions_leave_out_what_is_other_peoples(
    study: Study, log_in: Callable[..., Client], make_account: Callable[..., Any]
) -> None:
    """Also for a researcher who sees everything."""
    head = log_in("head")
    head.user.groups.add(  # type: ignore[attr-defined]
        log_in("olga", "Observer").user.groups.get()  # type: ignore[attr-defined]
    )
    page = head.post(
        "/admin/survey/study/",
        {"action": "close", "_selected_action": [study.pk]},
        follow=True,
    )
    assert "other people" in page.content.decode()
    study.refresh_from_db()
    assert study.state == Study.State.OPEN
    Render.objects.update(status="failed")
    chosen = list(Render.objects.values_list("pk", flat=True))
    retry = {"action": "retry", "_selected_action": chosen}
    head.post("/admin/generation/render/", retry)
    assert not Render.objects.filter(status="queued").exists()
    log_in("oscar", "Operator").post("/admin/generation/render/", retry)
    assert Render.objects.filter(status="queued").count() == len(chosen)
    assert "renders queued again." in Entry.objects.get().change_message


def test_a_studys_picture_is_for_its_participants_and_those_who_may_see_it(
    make_study: Callable[..., Any], client: Client, log_in: Callable[..., Client]
) -> None:
    draft, other = make_study(), make_study()
    Study.objects.filter(pk=draft.pk).update(state="draft", opened_at=None)
    stimulus = draft.stimuli.all()[0]
    address = f"/s/{draft.slug}/picture/{stimulus.code}.png"
    assert len(stimulus.code) >= 10 and len(stimulus.picture.name) > 24
    assert client.get(address).status_code == 403
    client.post(f"/s/{other.slug}/join/", {"consent": "on"})
    mine = other.stimuli.all()[0]
    assert client.get(f"/s/{other.slug}/picture/{mine.code}.png").status_code == 200
    # Whoever takes part in another study gets nothing of this one.
    for cookie in client.cookies.values():
        cookie["path"] = "/"
    assert client.get(address).status_code == 403
    assert log_in("eve").get(address).status_code == 404
    assert log_in("oscar", "Operator").get(address).status_code == 403
    assert log_in("olga", "Observer").get(address).status_code == 200


def test_a_new_version_is_shared_with_the_same_people(
    study: Study, make_account: Callable[..., Any]
) -> None:
    grace = make_account("grace", "Researcher")
    study.shared_with.add(grace)
    copy = new_version(study)
    assert copy.owner == study.owner
    assert list(copy.shared_with.all()) == [grace]


def test_migrate_makes_the_groups(transactional_db: None) -> None:
    from django.contrib.auth.models import Group
    from django.core.management import call_command

    Group.objects.all().delete()
    call_command("migrate", verbosity=0)
    rights = {
        group.name: {it.codename for it in group.permissions.all()}
        for group in Group.objects.all()
    }
    assert set(rights) == {"Researcher", "Observer", "Operator"}
    assert all(name.startswith(("view_", "see_all_")) for name in rights["Observer"]), (
        "an observer changes nothing"
    )
    assert "queue_all_experiments" in rights["Operator"]
    assert "admin" in rights["Operator"], "the queues' dashboard"
    assert not {it for it in rights["Operator"] if "stud" in it or "rating" in it}
    assert not {it for it in rights["Researcher"] if "all" in it}
