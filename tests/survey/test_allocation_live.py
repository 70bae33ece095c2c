"""Allocation and precision mode over the real services: who is asked about what.

Nobody sleeps: time is told by moving `seen_at`, the last sign of life.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from survey import planning, refusals
from survey.design import VoteSums, assess
from survey.models import Item, Participant, Rating, Study, Trial
from survey.participant import answering, joining, leaving
from tests.survey.test_racing import race

pytestmark = pytest.mark.django_db


def come(study: Study, **given: Any) -> Participant:
    participant, _token = joining.join(study, surroundings={}, **given)
    return participant


def give(participant: Participant, value: int) -> bool:
    """Answer the next trial; whether there is another one after it."""
    trial = participant.trials.current()
    assert trial is not None
    answering.answer(participant, trial_pk=trial.pk, answers={"overall": str(value)})
    return participant.trials.current() is not None


def fall_silent(participant: Participant, study: Study) -> None:
    since = timezone.now() - timedelta(minutes=study.reserve_minutes, seconds=1)
    Participant.objects.filter(pk=participant.pk).update(seen_at=since)


def take_turns(
    study: Study, people: int, *, leave: float, seats: int, draw: random.Random
) -> int:
    """Let people come onto free seats and answer in any order; returns who left.

    A part `leave` of them goes silent after some answers, or before the first.
    """
    seated: list[tuple[Participant, int]] = []
    came = left = 0
    while seated or came < people:
        while len(seated) < seats and came < people:
            planned = study.trials_each or 0
            patience = draw.randrange(planned) if draw.random() < leave else planned
            seated.append((come(study), patience))
            came += 1
        place = draw.randrange(len(seated))
        participant, patience = seated.pop(place)
        if patience == 0:
            fall_silent(participant, study)
            left += 1
        elif give(participant, draw.randint(1, 5)):
            seated.append((participant, patience - 1))
    return left


def recounted(study: Study) -> dict[int, tuple[int, ...]]:
    """The sums of every item, from the ratings themselves in the order they came."""
    goal = planning.goal_of(study)
    sums = {}
    for item in study.items.all():
        scores = list(
            Rating.objects.filter(
                trial__item=item,
                trial__kind=Trial.Kind.RATING,
                trial__participant__simulated=False,
                trial__participant__pilot=False,
                trial__participant__excluded=False,
                question="overall",
            )
            .order_by("rated_at", "pk")
            .values_list("rating", flat=True)
        )
        looked = scores[: goal.look(len(scores))] if goal else []
        sums[item.pk] = (
            *(len(scores), sum(scores), sum(score**2 for score in scores)),
            *(len(looked), sum(looked), sum(score**2 for score in looked)),
        )
    return sums


def stored(study: Study) -> dict[int, tuple[int, ...]]:
    return {
        pk: tuple(sums) for pk, *sums in study.items.values_list("pk", *planning.SUMS)
    }


def test_votes_differ_by_two_at_most_although_a_third_goes_silently(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=12, trials_each=5)
    left = take_turns(study, 40, leave=0.3, seats=8, draw=random.Random(1))
    assert 6 <= left <= 20
    votes = list(study.items.values_list("votes", flat=True))
    assert sum(votes) == Rating.objects.count() > 120
    assert max(votes) - min(votes) <= 2
    assert stored(study) == recounted(study)


def test_what_a_silent_person_was_to_see_is_held_first_and_given_away_later(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=2, trials_each=1)
    waiting = come(study).trials.current()
    second = come(study).trials.current()
    assert waiting is not None and second is not None
    assert waiting.item_id != second.item_id
    give(second.participant, 3)
    fall_silent(waiting.participant, study)
    third = come(study).trials.current()
    assert third is not None and third.item_id == waiting.item_id


def test_somebody_who_comes_back_late_still_answers_what_they_were_shown(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=2, trials_each=1)
    late = come(study)
    trial = late.trials.current()
    fall_silent(late, study)
    give(come(study), 3)
    assert late.trials.current() == trial
    give(late, 4)
    assert stored(study) == recounted(study)


def test_simulated_and_pilot_people_move_no_counter_and_take_no_place(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=3, trials_each=2, target_half_width=0.3)
    mark = joining.simulated_mark(study)
    for _ in range(4):
        simulated = come(study, simulated_mark=mark)
        assert simulated.simulated
        while give(simulated, 5):
            pass
    Study.objects.filter(pk=study.pk).update(state=Study.State.PILOTING)
    study.refresh_from_db()
    pilot = come(study)
    assert pilot.pilot
    give(pilot, 1)
    assert Rating.objects.count() == 9
    assert set(stored(study).values()) == {(0, 0, 0, 0, 0, 0)}
    leaving.withdraw(pilot)
    study.refresh_from_db()
    assert study.withdrawn_count == 0
    assert set(stored(study).values()) == {(0, 0, 0, 0, 0, 0)}


TRUTH = {0: [3], 1: [2, 3, 3, 4], 2: [1, 1, 5, 5]}
"""What people say about each of three pictures: all the same, nearly, or not at all."""


def ask_until_nothing_is_open(study: Study, draw: random.Random) -> list[Participant]:
    """People come one by one until the study has no question left."""
    places = {pk: n for n, pk in enumerate(study.items.values_list("pk", flat=True))}
    people: list[Participant] = []
    for _ in range(400):
        try:
            participant = come(study)
        except refusals.StudyNotOpen:
            return people
        people.append(participant)
        while trial := participant.trials.current():
            assert trial.item_id is not None
            give(participant, draw.choice(TRUTH[places[trial.item_id]]))
    raise AssertionError("The study never had enough.")


def test_precision_mode_rests_what_is_precise_and_asks_on_about_the_rest(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=3, trials_each=2, target_half_width=0.7)
    people = ask_until_nothing_is_open(study, random.Random(5))
    goal = planning.goal_of(study)
    assert goal is not None
    alike, nearly, split = study.items.all()
    assert alike.votes == goal.minimum
    assert nearly.votes == goal.minimum  # ± 0.4 with an SD of 0.7 and 15 votes
    # SD 2 and ± 0.7 need (1.96 · 2 / 0.7)² ≈ 31 votes; looks are five apart.
    assert 25 <= split.votes <= 45
    for item in (alike, nearly, split):
        sums = VoteSums(item.pk, item.look_votes, item.look_total, item.look_squares)
        assert assess(sums, goal).done
    assert stored(study) == recounted(study)
    assert all(
        Participant.objects.get(pk=person.pk).status == Participant.Status.FINISHED
        for person in people
    )


def test_withdrawing_takes_votes_back_and_opens_what_is_wide_again(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=3, trials_each=3, target_half_width=0.7)
    people = ask_until_nothing_is_open(study, random.Random(6))
    before = stored(study)
    for gone in people[:8]:
        leaving.withdraw(gone)
    after = stored(study)
    assert after == recounted(study)
    assert all(after[pk][0] < before[pk][0] for pk in before)
    # Fewer than fifteen votes are no reason to rest: people are asked again.
    fewer = [item for item in Item.objects.filter(study=study) if item.votes < 15]
    assert fewer
    again = come(study).trials.current()
    assert again is not None and again.item_id in {item.pk for item in fewer}


def test_keeping_contents_apart_ends_no_session_while_a_picture_is_wide(
    make_study: Callable[..., Study],
) -> None:
    """Of content A two pictures are wide, with more votes than those of B, all done."""
    study = make_study(pictures=4, apart=True, target_half_width=0.3, trials_each=4)
    split = {"votes": 25, "total": 75, "squares": 275}
    unanimous = {"votes": 20, "total": 100, "squares": 500}
    for number, item in enumerate(study.items.select_related("stimulus")):
        item.stimulus.parameters["content"] = "A" if number < 2 else "B"
        item.stimulus.save()
        sums = split if number < 2 else unanimous
        looks = {f"look_{name}": value for name, value in sums.items()}
        Item.objects.filter(pk=item.pk).update(**sums, **looks)
    person = come(study)
    while give(person, 3):
        pass
    shown = Trial.objects.filter(participant=person).select_related("stimulus")
    assert [it.stimulus.parameters["content"] for it in shown if it.stimulus] == [
        "A",
        "A",
    ]


@pytest.mark.django_db(transaction=True)
def test_people_who_join_and_answer_at_the_same_moment_do_not_lock_each_other_out(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(pictures=4, trials_each=4)

    def take_part() -> int:
        participant = come(study)
        while give(participant, 3):
            pass
        return participant.trials.filter(answered_at__isnull=False).count()

    assert race(*[take_part] * 8) == [4] * 8
    assert set(study.items.values_list("votes", flat=True)) == {8}
