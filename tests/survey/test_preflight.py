"""What researchers are told about a study before it opens."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from scipy import stats

from survey.design.effort import votes_for
from survey.models import Stimulus, Study
from survey.studies.preflight import remarks
from tests.conftest import put_on_wall

pytestmark = pytest.mark.django_db


@pytest.fixture
def draft(experiment: Any) -> Study:
    return Study.objects.create(title="Draft", experiment=experiment)


def said(study: Study) -> str:
    return "\n".join(remark.text for remark in remarks(study))


def picture(study: Study, **parameters: Any) -> None:
    Stimulus.objects.create(
        study=study, width=1, height=1, pixel_sha256="", parameters=parameters
    )


def test_what_stops_a_study_comes_first(draft: Study) -> None:
    found = remarks(draft)
    stopping = [remark.stops for remark in found]
    assert stopping[:4] == [True] * 4
    assert sorted(stopping, reverse=True) == stopping
    assert "has no pictures" in said(draft) and "an ethics reference" in said(draft)


def test_renders_without_a_picture_and_random_features_are_counted(
    draft: Study,
) -> None:
    put_on_wall(draft.experiment)
    assert draft.experiment is not None
    draft.experiment.renders.filter(pk=draft.experiment.renders.first().pk).update(
        status="failed"
    )
    assert "1 of 2 renders have no picture" in said(draft)
    assert "1 finished renders are copied" in said(draft)
    picture(draft, weights="random:0")
    assert "2 pictures were painted with random features" in said(draft)


def test_unbalanced_and_confounded_factors_are_named(db: None) -> None:
    study = Study.objects.create(title="Own")
    for content, style, alpha in (("a", "x", 1), ("a", "x", 2), ("b", "y", 1)):
        picture(study, content=content, style=style, alpha=alpha)
    text = said(study)
    assert "content and style always change together" in text
    assert "alpha and content" not in text and "content and alpha" not in text
    assert "content is unbalanced: from 1 to 2" in text


def test_one_level_and_gaps_are_no_factor(db: None) -> None:
    """A picture of one's own among renders has no network, and that parts nothing."""
    study = Study.objects.create(title="Own")
    for content in "ab":
        for style in "xy":
            made = {} if content + style == "by" else {"network": "vgg19"}
            picture(study, content=content, style=style, **made)
    assert "network" not in said(study)


def test_a_factor_nested_in_another_is_named(db: None) -> None:
    study = Study.objects.create(title="Own", order="blocked", block_by="contnet")
    for content, style in (("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")):
        for alpha in (1, 2):
            picture(study, content=content, style=style, alpha=alpha)
    text = said(study)
    assert "Every level of content comes with one level of style only" in text
    assert "of alpha comes" not in text and "comes with one level of alpha" not in text
    (blocks,) = [it for it in remarks(study) if "contnet" in it.text]
    assert blocks.stops and blocks.mend == "Take one of these: alpha, content, style."
    study.block_by = "style"
    assert "Blocks are to be" not in said(study)


def test_pictures_that_are_still_to_come_are_looked_at_too(draft: Study) -> None:
    put_on_wall(draft.experiment)
    with CaptureQueriesContext(connection) as asked:
        text = said(draft)
    # A thousand curves of hundreds of evaluations need not be read for this.
    assert not [it for it in asked.captured_queries if '"curve"' in it["sql"]]
    assert not draft.stimuli.exists()
    assert "2 pictures were painted with random features" in text
    assert "has no licence" in text


def test_a_crossed_design_is_neither(db: None) -> None:
    study = Study.objects.create(title="Own")
    for content in "ab":
        for style in "xy":
            picture(study, content=content, style=style, alpha=1)
    assert "together" not in said(study) and "unbalanced" not in said(study)


@pytest.mark.parametrize("half_width", [0.1, 0.25, 0.5, 1.0])
def test_the_people_needed_are_the_fewest_whose_interval_is_narrow_enough(
    half_width: float,
) -> None:
    n = votes_for(half_width)

    def width(people: int) -> float:
        return float(stats.t.ppf(0.975, people - 1)) * 0.9 / people**0.5

    assert width(n) <= half_width < width(n - 1)


def test_a_session_of_pairs_counts_its_practice_in_pairs(draft: Study) -> None:
    """Three pictures to practise with are two comparisons, as they are planned."""
    Study.objects.filter(pk=draft.pk).update(method="pairs", trials_each=5)
    draft.refresh_from_db()
    for order in range(3):
        picture(draft, content="cat", style=f"practised {order}")
        newest = draft.stimuli.order_by("-pk").first()
        assert newest is not None
        Stimulus.objects.filter(pk=newest.pk).update(training_order=order)
    for order in range(4):
        picture(draft, content="cat", style=f"shown {order}")

    assert "A session is 7 trials" in said(draft)
