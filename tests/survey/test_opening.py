from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from survey.models import Study
from survey.refusals import CannotOpen
from survey.studies.copying import copy_pictures
from survey.studies.lifecycle import open_study
from tests.conftest import put_on_wall

pytestmark = pytest.mark.django_db

REQUIRED = {"controller": "The lab", "contact": "a@b.example", "ethics_reference": "1"}


@pytest.mark.parametrize("field", list(REQUIRED))
def test_it_does_not_open_without_what_participants_must_know(
    experiment: Any, field: str
) -> None:
    put_on_wall(experiment)
    study = Study.objects.create(
        title="S", experiment=experiment, **REQUIRED | {field: " "}
    )
    with pytest.raises(CannotOpen, match="cannot open without"):
        open_study(study)
    assert study.state == Study.State.DRAFT


def test_it_does_not_open_without_a_picture(experiment: Any) -> None:
    study = Study.objects.create(title="S", experiment=experiment, **REQUIRED)
    with pytest.raises(CannotOpen, match="no render of “Small” is done"):
        open_study(study)


def test_a_stimulus_has_the_losses_of_the_finest_levels_least_finite_total(
    experiment: Any,
) -> None:
    put_on_wall(experiment)
    terms = {"level": 2, "content": 1.0, "style": 2.0, "tv": 0.0}
    curve = [
        # A coarser level's totals are of another picture, and of another α.
        {"evaluation": 1, "total": 0.5, **terms, "level": 1, "content": 9.0},
        {"evaluation": 2, "total": None, **terms, "content": None},
        {"evaluation": 3, "total": 3.0, **terms},
    ]
    experiment.renders.update(curve=curve)
    study = Study.objects.create(title="S", experiment=experiment, **REQUIRED)
    copy_pictures(study)
    stimulus = study.stimuli.first()
    assert stimulus is not None
    assert stimulus.parameters["content_loss"] == 1.0


def test_a_stimulus_has_the_losses_of_the_picture_that_people_see(
    experiment: Any,
) -> None:
    put_on_wall(experiment)
    searched = {"total": 3.0, "content": 1.0, "style": 2.0, "tv": 0.0}
    seen = {"total": 9.0, "content": 4.0, "style": 5.0, "tv": None}
    experiment.renders.update(
        curve=[{"evaluation": 1, "level": 1, **searched}],
        losses={"search": searched, "picture": seen},
    )
    study = Study.objects.create(title="S", experiment=experiment, **REQUIRED)
    copy_pictures(study)
    stimulus = study.stimuli.first()
    assert stimulus is not None
    assert stimulus.parameters["content_loss"] == 4.0
    assert stimulus.parameters["style_loss"] == 5.0
    assert "tv_loss" not in stimulus.parameters


def test_a_stimulus_is_a_copy_without_metadata_under_a_random_name(
    study: Study,
) -> None:
    for stimulus in study.stimuli.all():
        assert stimulus.render is not None
        assert stimulus.picture.name != stimulus.render.picture.name
        with stimulus.picture.open() as file:
            picture = Image.open(io.BytesIO(file.read()))
        assert picture.info == {}
        assert stimulus.pixel_sha256 == stimulus.render.pixel_sha256
        assert stimulus.parameters["weights"] == "random:0"
        assert stimulus.parameters["content"] == "Red"


def test_a_new_render_does_not_change_an_open_study(study: Study) -> None:
    experiment = study.experiment
    experiment.tv_weight = [0.0, 1.0]
    experiment.save()
    put_on_wall_more(experiment)
    with pytest.raises(CannotOpen, match="frozen"):
        copy_pictures(study)
    assert study.stimuli.count() == 3


def put_on_wall_more(experiment: Any) -> None:
    from generation.models import Render
    from generation.queueing.batches import queue_experiment

    queue_experiment(experiment)
    Render.objects.filter(status="queued").update(status="cancelled")


def test_a_lost_render_leaves_the_study_whole(study: Study) -> None:
    render = study.experiment.renders.all()[0]
    render.delete()
    assert study.stimuli.count() == 3
    orphan = study.stimuli.get(render=None)
    with orphan.picture.open() as file:
        Image.open(io.BytesIO(file.read())).verify()


def test_opening_and_closing_name_the_state_they_leave(
    make_study: Callable[..., Study],
) -> None:
    study = make_study()
    assert not study.open()
    assert not study.pilot()
    assert study.close()
    assert not study.close()
    first_opened = study.opened_at
    assert study.open()
    assert study.opened_at == first_opened
