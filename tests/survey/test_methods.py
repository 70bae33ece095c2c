"""Each way to ask: what it plans, offers, stores and refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client

from survey.client import InProcess, take_part
from survey.methods import METHODS, method_of
from survey.models import Participant, Question, Rating, Study, Trial
from survey.participant.answering import answer
from survey.participant.joining import join
from survey.refusals import CannotOpen, NotOnTheScale
from survey.studies.lifecycle import open_study
from tests.conftest import put_on_wall

pytestmark = pytest.mark.django_db

REQUIRED = {"controller": "x", "contact": "y", "ethics_reference": "z"}


def rate(participant: Participant, **answers: str) -> Trial:
    trial = participant.trials.current()
    assert trial is not None
    answer(participant, trial_pk=trial.pk, answers=answers)
    return trial


@pytest.mark.parametrize(
    ("points", "values", "words"),
    [
        (5, range(5, 0, -1), {5: "Excellent", 4: "Good", 3: "Fair", 2: "Poor",
                              1: "Bad"}),
        (9, range(9, 0, -1), {9: "Excellent", 7: "Good", 5: "Fair", 3: "Poor",
                              1: "Bad"}),
        (11, range(10, -1, -1), {9: "Excellent", 7: "Good", 5: "Fair", 3: "Poor",
                                 1: "Bad"}),
    ],
)  # fmt: skip
def test_acr_offers_the_scales_of_p910(
    make_study: Callable[..., Study], points: int, values: range, words: dict[int, str]
) -> None:
    study = make_study(scale_points=points)
    choices = method_of(study).choices(study)
    assert [choice.value for choice in choices] == [str(value) for value in values]
    assert {int(c.value): str(c.label) for c in choices if c.label} == words
    take_part(InProcess("testserver"), study.get_absolute_url(), choose=lambda code: 0)
    row = Rating.objects.first()
    assert row is not None
    assert (row.scale_min, row.scale_max) == (values[-1], values[0])
    assert row.rating == values[-1]


def test_hidden_references_are_rated_among_the_others_unmarked(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(method="acr-hr")
    reference = study.stimuli.get(is_reference=True)
    assert reference.parameters == {"content": "Red"}
    assert {s.reference for s in study.stimuli.filter(is_reference=False)} == {
        reference
    }
    carrier = InProcess("testserver")
    assert take_part(carrier, study.get_absolute_url(), choose=lambda code: 3) == 4
    page = Client()
    page.post(f"/s/{study.slug}/join/", {"consent": "on"})
    assert "reference" not in page.get(f"/s/{study.slug}/rate/").content.decode()


def test_the_reference_has_the_size_and_the_pixels_of_the_content_image(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(method="dcr")
    reference = study.stimuli.get(is_reference=True)
    other = study.stimuli.filter(is_reference=False)[0]
    assert (reference.width, reference.height) == (other.width, other.height)


def test_dcr_shows_the_original_beside_and_stores_which(
    make_study: Callable[..., Study], client: Any
) -> None:
    study = make_study(method="dcr")
    client.post(f"/s/{study.slug}/join/", {"consent": "on"})
    trial = Participant.objects.get().trials.current()
    assert trial is not None and trial.second is not None and trial.stimulus is not None
    assert trial.second.is_reference
    page = client.get(f"/s/{study.slug}/rate/").content.decode()
    assert page.index(trial.second.code) < page.index(trial.stimulus.code)
    assert "Very annoying" in page and "Imperceptible" in page
    assert "Excellent" not in page
    assert Trial.objects.count() == 3


def test_pairs_are_all_pairs_of_one_content_and_sides_are_drawn(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(method="pairs", pictures=4)
    assert study.items.count() == 6
    sides = set()
    for _ in range(6):
        participant, _ = join(study, surroundings={})
        shown = list(participant.trials.all())
        assert len({frozenset((t.stimulus_id, t.second_id)) for t in shown}) == 6
        sides |= {trial.side for trial in shown}
    assert sides == {"left", "right"}


@pytest.mark.parametrize(
    ("side", "said", "stored"),
    [
        ("left", "left", "first"),
        ("left", "right", "second"),
        ("right", "left", "second"),
        ("right", "right", "first"),
        ("left", "tie", "tie"),
    ],
)
def test_a_choice_names_the_picture_not_the_side(
    make_study: Callable[..., Study], side: str, said: str, stored: str
) -> None:
    study = make_study(method="pairs", pictures=2, tie_allowed=True)
    participant, _ = join(study, surroundings={})
    participant.trials.update(side=side)
    trial = rate(participant, overall=said)
    row = trial.ratings.get()
    assert (row.choice, row.rating) == (stored, None)
    # The same again is replayed: what was stored is what was sent.
    answer(participant, trial_pk=trial.pk, answers={"overall": said})
    assert Rating.objects.count() == 1


def test_a_tie_is_offered_only_where_the_study_allows_it(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(method="pairs", pictures=2)
    participant, _ = join(study, surroundings={})
    with pytest.raises(NotOnTheScale):
        rate(participant, overall="tie")


def test_better_pictures_win_whatever_side_they_stand_on(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(method="pairs", pictures=3)
    worth = {code: n for n, code in enumerate(study.stimuli.values_list("code"))}
    quality = {code: worth[(code,)] for (code,) in worth}
    for _ in range(4):
        take_part(InProcess("testserver"), study.get_absolute_url(),
             choose=lambda code: quality[code], method=method_of(study))  # fmt: skip
    for row in Rating.objects.select_related("trial__stimulus", "trial__second"):
        first, second = row.trial.stimulus, row.trial.second
        assert first is not None and second is not None
        better = "first" if quality[first.code] > quality[second.code] else "second"
        assert row.choice == better


def test_several_questions_are_answered_together_or_not_at_all(
    make_study: Callable[..., Study], client: Any
) -> None:
    study = make_study(pictures=1)
    Question.objects.create(study=study, name="content", text="Content kept?")
    Question.objects.create(study=study, name="style", text="Style like?")
    client.post(f"/s/{study.slug}/join/", {"consent": "on"})
    page = client.get(f"/s/{study.slug}/rate/").content.decode()
    assert page.count("<fieldset") == 3 and "Content kept?" in page
    participant = Participant.objects.get()
    with pytest.raises(NotOnTheScale):
        rate(participant, overall="4", content="2")
    assert not Rating.objects.exists()
    rate(participant, overall="4", content="2", style="5")
    assert dict(Rating.objects.values_list("question", "rating")) == {
        "overall": 4, "content": 2, "style": 5,
    }  # fmt: skip


def test_a_row_is_a_rating_or_a_choice_and_never_both(study: Study) -> None:
    participant, _ = join(study, surroundings={})
    trial = participant.trials.current()
    for wrong in ({"rating": 3, "choice": "first"}, {}, {"choice": "third"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Rating.objects.create(trial=trial, **wrong)


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_is_played_from_the_door_to_the_thanks(
    make_study: Callable[..., Study], method: str
) -> None:
    study = make_study(method=method, repeats=1, instructed_catches=1, break_every=2)
    planned = study.items.count() + 2
    carrier = InProcess("testserver")
    assert take_part(carrier, study.get_absolute_url(), choose=lambda code: 3,
                method=method_of(study)) == planned  # fmt: skip
    assert Participant.objects.get().status == "finished"
    assert Rating.objects.count() == planned


def test_a_method_that_lacks_pictures_says_so(experiment: Any) -> None:
    experiment.alpha_beta = [0.1]
    experiment.save()
    put_on_wall(experiment)
    study = Study.objects.create(
        title="One", experiment=experiment, method="pairs", **REQUIRED
    )
    with pytest.raises(CannotOpen, match="no two pictures to compare"):
        open_study(study)
    assert study.state == Study.State.DRAFT


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"order": "williams", "trials_each": 2}, "only a random order"),
        ({"order": "blocked"}, "the factor that makes them"),
        ({"order": "williams", "apart": True}, "fixes every neighbour"),
        ({"method": "pairs", "target_half_width": 0.3}, "no interval to watch"),
        ({"method": "dcr", "scale_points": 9}, "Only ACR"),
        ({"repeats": 9}, "cannot be repeated"),
        ({"instructed_catches": 9}, "do not fit"),
    ],
)
def test_a_design_that_cannot_be_carried_out_says_why(
    experiment: Any, fields: dict[str, Any], sentence: str
) -> None:
    put_on_wall(experiment)
    study = Study.objects.create(title="No", experiment=experiment, **REQUIRED | fields)
    with pytest.raises((CannotOpen, ValidationError), match=sentence):
        open_study(study)
    study.refresh_from_db()
    assert study.state == Study.State.DRAFT
