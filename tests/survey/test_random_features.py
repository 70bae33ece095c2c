"""The banner of random features belongs to the pictures, not to a form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from generation.models import Experiment
from survey.models import Stimulus, Study
from survey.studies.copying import as_stimulus
from survey.studies.versions import new_version
from tests.conftest import put_on_wall

pytestmark = pytest.mark.django_db


def said(client: Any, study: Study) -> bool:
    return "random features" in client.get(study.get_absolute_url()).content.decode()


def of_pictures(*weights: str | None) -> Study:
    study: Study = Study.objects.create(title="Theirs", state="open")
    Stimulus.objects.bulk_create(
        Stimulus(
            study=study, width=1, height=1,
            parameters={} if each is None else {"weights": each},
        )
        for each in weights
    )  # fmt: skip
    return study


def test_a_change_of_the_form_changes_no_banner(client: Any, study: Study) -> None:
    assert said(client, study)
    Experiment.objects.update(weights="imagenet")
    study = Study.objects.get()
    assert study.random_weights and said(client, study)
    Stimulus.objects.update(parameters={"weights": "imagenet"})
    Experiment.objects.update(weights="random:0")
    study = Study.objects.get()
    assert not study.random_weights and not said(client, study)


def test_a_study_without_an_experiment_says_it_too(client: Any) -> None:
    """An imported one, or one of pictures of one's own."""
    assert said(client, of_pictures("imagenet", "random:3"))
    assert not said(client, of_pictures("imagenet", None))


def test_a_draft_says_it_for_the_pictures_it_is_to_show(
    make_experiment: Callable[..., Any],
) -> None:
    experiment = make_experiment()
    draft = Study.objects.create(title="Draft", experiment=experiment)
    assert not draft.random_weights  # nothing is painted yet
    first, second = put_on_wall(experiment)
    assert draft.random_weights
    assert as_stimulus(draft, first).random_weights  # as the wizard previews it
    experiment.renders.filter(pk=first.pk).update(weights="imagenet")
    Study.objects.update(all_renders=False, chosen=[first.pk])
    assert not Study.objects.get().random_weights
    Study.objects.update(chosen=[second.pk])
    assert Study.objects.get().random_weights


def test_a_new_version_says_it_again() -> None:
    assert new_version(of_pictures("random:1")).random_weights
