"""Experiments and source images are deleted whole, by their owners, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone

from generation.experiments.forecast import NoRoom, check_room
from generation.experiments.removal import InUse, delete_experiment
from generation.models import Batch, Experiment, Pair, Render, SourceImage, lease_end
from generation.pictures.source_images import add_source_image
from generation.queueing.batches import queue_experiment
from survey.models import Study
from tests.conftest import png, put_on_wall

pytestmark = [pytest.mark.django_db, pytest.mark.broker]


def delete(logged_in: Client, row: Any, **options: Any) -> Any:
    kind = row._meta.model_name
    page = f"/admin/generation/{kind}/{row.pk}/delete/"
    return logged_in.post(page, {"post": "yes"}, **options)


def test_an_experiment_is_deleted_with_its_renders_and_their_files(
    logged_in: Client, experiment: Experiment, queues: None,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    names = [it.picture.name for it in put_on_wall(experiment)]
    page = logged_in.get(f"/admin/generation/experiment/{experiment.pk}/delete/")
    assert "Renders, with those pictures" in page.content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        said = delete(logged_in, experiment, follow=True).content.decode()
    assert "was deleted successfully" in said
    for model in (Experiment, Pair, Batch, Render):
        assert not model.objects.exists()
    assert SourceImage.objects.count() == 2, "they are for other experiments too"
    assert not any(default_storage.exists(name) for name in names)
    assert LogEntry.objects.filter(action_flag=DELETION).get().object_repr == "Small"


def test_deleting_makes_room_in_the_quota(
    logged_in: Client,
    experiment: Experiment,
    researcher: Any,
    settings: Any,
    queues: None,
) -> None:
    put_on_wall(experiment)
    settings.NSTLAB_QUOTA_MB = 1
    Render.objects.update(picture_bytes=500_000)
    with pytest.raises(NoRoom, match="Delete experiments"):
        check_room(500_000, researcher)
    delete(logged_in, experiment)
    check_room(500_000, researcher)


def test_a_picture_that_others_show_stays_and_counts_in_their_quota(
    make_experiment: Callable[..., Any], make_account: Callable[..., Any],
    queues: None, django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    painter = make_experiment(name="Painter")
    painted = put_on_wall(painter)
    takers = [make_experiment(name=name, reuse=True) for name in ("First", "Second")]
    for taker in takers:
        queue_experiment(taker)
    first, second = (list(taker.renders.order_by("pk")) for taker in takers)
    lost = second[1]
    lost.lose_picture(lost.picture.name)
    with django_capture_on_commit_callbacks(execute=True):
        delete_experiment(painter)
    for render, before in zip(first, painted, strict=True):
        render.refresh_from_db()
        assert render.reused_from is None
        assert render.picture_bytes == before.picture_bytes > 0
        assert default_storage.exists(render.picture.name)
    for render in second:
        render.refresh_from_db()
        assert render.picture_bytes == 0
    assert (second[0].reused_from, lost.reused_from) == (first[0], None)
    with django_capture_on_commit_callbacks(execute=True):
        delete_experiment(takers[0])
        delete_experiment(takers[1])
    assert not any(default_storage.exists(it.picture.name) for it in painted)


def test_what_a_study_shows_is_not_deleted_and_the_page_names_it(
    logged_in: Client, study: Study, make_account: Callable[..., Any], queues: None
) -> None:
    page = delete(logged_in, study.experiment).content.decode()
    assert f"is used by the study “{study}”" in page
    assert f'href="/admin/generation/experiment/{study.experiment_id}/change/"' in page
    with pytest.raises(InUse, match="How good"):
        delete_experiment(study.experiment)
    # Somebody else's study keeps it as well, without its name.
    Study.objects.update(owner=make_account("eve", "Researcher"), title="Secret")
    page = delete(logged_in, study.experiment).content.decode()
    assert "somebody else&#x27;s study" in page
    assert "Secret" not in page
    Study.objects.update(experiment=None)
    delete(logged_in, study.experiment)
    assert not Render.objects.exists()
    assert study.stimuli.count() == 3
    for stimulus in study.stimuli.all():
        assert default_storage.exists(stimulus.picture.name), "its own copy"


def test_what_is_being_painted_is_cancelled_first(
    logged_in: Client, experiment: Experiment, queues: None
) -> None:
    queue_experiment(experiment)
    page = delete(logged_in, experiment).content.decode()
    assert "2 renders are queued or being painted: cancel first" in page
    asked = {"action": "delete_selected", "_selected_action": [experiment.pk]}
    address = "/admin/generation/experiment/"
    page = logged_in.post(address, asked | {"post": "yes"}).content.decode()
    assert "cancel first" in page and "Back to the list" in page
    experiment.renders.cancel()
    Batch.objects.update(lease_until=lease_end())
    page = delete(logged_in, experiment).content.decode()
    assert "A worker is just leaving it" in page
    Batch.objects.update(lease_until=timezone.now())
    logged_in.post(address, asked | {"post": "yes"})
    assert not Experiment.objects.exists()


def test_only_its_owner_deletes_an_experiment(
    experiment: Experiment, make_account: Callable[..., Any], client: Client
) -> None:
    grace = make_account("grace", "Researcher")
    experiment.shared_with.add(grace)
    client.force_login(grace)
    assert delete(client, experiment).status_code == 403
    client.post(
        "/admin/generation/experiment/",
        {"action": "delete_selected", "_selected_action": [experiment.pk],
         "post": "yes"},
    )  # fmt: skip
    assert Experiment.objects.exists()
    client.force_login(make_account("root", is_superuser=True))
    assert delete(client, experiment).status_code == 302
    assert not Experiment.objects.exists()


def test_a_source_image_that_only_a_start_names_is_kept(
    logged_in: Client,
    make_experiment: Callable[..., Any],
    researcher: Any,
    queues: None,
) -> None:
    image, _ = add_source_image(data=png((9, 200, 9)), title="Green", owner=researcher)
    start = f"picture:{image.pixel_sha256}"
    put_on_wall(make_experiment(alpha_beta=[0.01], more_axes={"start": [start]}))
    page = delete(logged_in, image).content.decode()
    assert "Small" in page
    assert SourceImage.objects.filter(pk=image.pk).exists()


def test_a_source_image_that_is_used_says_by_what(
    logged_in: Client, experiment: Experiment, researcher: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    used = experiment.pairs.get().content
    page = delete(logged_in, used).content.decode()
    assert "“Red” is used by the experiment “Small”." in page
    assert f'href="/admin/generation/sourceimage/{used.pk}/change/"' in page
    chosen, _ = add_source_image(data=png(), title="Chosen", owner=researcher)
    experiment.styles.add(chosen)
    assert "used by the experiment" in delete(logged_in, chosen).content.decode()
    experiment.styles.clear()
    with django_capture_on_commit_callbacks(execute=True):
        delete(logged_in, chosen)
    assert SourceImage.objects.count() == 2
    for name in (chosen.picture.name, chosen.thumbnail.name):
        assert not default_storage.exists(name)
