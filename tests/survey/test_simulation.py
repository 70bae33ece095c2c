from __future__ import annotations

import pytest

from survey.client import InProcess, take_part
from survey.models import Participant, Rating, Study
from survey.participant.joining import join, simulated_mark
from survey.simulation import rater, simulate, true_values

pytestmark = pytest.mark.django_db


def test_simulated_people_come_in_by_the_participants_door(study: Study) -> None:
    assert simulate(study, participants=5, seed=7) == 5
    assert Participant.objects.filter(simulated=True, status="finished").count() == 5
    assert Rating.objects.count() == 15


def test_asking_again_adds_nobody(study: Study) -> None:
    simulate(study, participants=3, seed=7)
    before = list(Rating.objects.values_list("pk", "rating"))
    assert simulate(study, participants=3, seed=7) == 0
    assert list(Rating.objects.values_list("pk", "rating")) == before


def test_a_run_that_was_killed_half_way_is_taken_up(study: Study) -> None:
    take_part(
        InProcess("testserver"),
        study.get_absolute_url(),
        choose=lambda code: 3,
        join_with={"simulated": simulated_mark(study)},
        most_trials=2,
    )
    simulate(study, participants=2, seed=7)
    assert Participant.objects.filter(simulated=True).count() == 2
    assert Rating.objects.count() == 6


def test_a_real_person_half_way_is_left_alone(study: Study) -> None:
    take_part(
        InProcess("testserver"),
        study.get_absolute_url(),
        choose=lambda code: 3,
        most_trials=2,
    )
    simulate(study, participants=2, seed=7)
    assert Rating.objects.filter(trial__participant__simulated=False).count() == 2


@pytest.mark.parametrize("mark", ["", "forged", "1:abc:def"])
def test_nobody_marks_as_simulated_without_the_labs_signature(
    study: Study, mark: str
) -> None:
    participant, _ = join(study, surroundings={}, simulated_mark=mark)
    assert not participant.simulated


def test_a_rater_is_the_same_for_the_same_seed(study: Study) -> None:
    truth = true_values(study, seed=1)
    first = [rater(truth, seed=1, number=0)(code) for code in truth for _ in range(3)]
    again = [rater(truth, seed=1, number=0)(code) for code in truth for _ in range(3)]
    assert first == again


def test_who_wants_more_than_the_scale_offers_says_its_end(study: Study) -> None:
    take_part(InProcess("testserver"), study.get_absolute_url(), choose=lambda code: 99)
    take_part(
        InProcess("testserver"), study.get_absolute_url(), choose=lambda code: -99
    )
    assert set(Rating.objects.values_list("rating", flat=True)) == {1, 5}
