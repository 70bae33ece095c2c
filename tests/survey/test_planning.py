"""Sessions as rows: practice, checks, repeats, breaks, and choosing while they rate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from survey.methods import method_of
from survey.models import Item, Participant, Study, Trial
from survey.participant.answering import answer, end_break
from survey.participant.joining import join
from survey.participant.leaving import mark_dropped, withdraw

pytestmark = pytest.mark.django_db

Make = Callable[..., Study]


def person(study: Study) -> Participant:
    return join(study, surroundings={})[0]


def rate(participant: Participant, value: int = 3) -> Trial | None:
    """Answer the next trial; None when there is none."""
    trial = participant.trials.current()
    if trial is not None:
        answer(participant, trial_pk=trial.pk, answers={"overall": str(value)})
    return trial


def test_practice_comes_first_from_worst_to_best_and_does_not_count(
    make_study: Make,
) -> None:
    study = make_study(pictures=4)
    worst, best = study.stimuli.all()[:2]
    study.stimuli.filter(pk=best.pk).update(training_order=2)
    study.stimuli.filter(pk=worst.pk).update(training_order=1)
    participant = person(study)
    kinds = list(participant.trials.values_list("kind", flat=True))
    assert kinds == ["training"] * 2 + ["rating"] * 4
    shown = [trial.stimulus_id for trial in participant.trials.all()[:2]]
    assert shown == [worst.pk, best.pk]
    for _ in range(2):
        rate(participant)
    assert not Item.objects.filter(votes__gt=0).exists()


def test_repeats_come_later_and_count_nothing(make_study: Make) -> None:
    study = make_study(pictures=6, repeats=2)
    participant = person(study)
    repeats = participant.trials.filter(kind="repeat")
    assert repeats.count() == 2
    for trial in repeats:
        assert trial.repeat_of is not None
        assert trial.repeat_of.stimulus_id == trial.stimulus_id
        assert trial.index - trial.repeat_of.index >= 5
    while rate(participant):
        pass
    assert set(Item.objects.values_list("votes", flat=True)) == {1}


def test_instructed_checks_name_an_answer_and_are_judged_by_it(
    make_study: Make, client: Any
) -> None:
    study = make_study(pictures=4, instructed_catches=1)
    client.post(f"/s/{study.slug}/join/", {"consent": "on"})
    participant = Participant.objects.get()
    method = method_of(study)
    while (trial := participant.trials.current()) and trial.kind != "catch":
        rate(participant)
    assert trial is not None and trial.instructed
    spoken = {choice.value: choice.spoken for choice in method.choices(study)}
    page = client.get(f"/s/{study.slug}/rate/").content.decode()
    assert f"<strong>{spoken[trial.expected]}</strong>" in page
    wrong = next(value for value in spoken if value != trial.expected)
    answer(participant, trial_pk=trial.pk, answers={"overall": wrong})
    assert not method.passed(trial, trial.ratings.get())


@pytest.mark.parametrize(("said", "passed"), [(5, True), (4, True), (3, False)])
def test_a_gold_picture_passes_within_one_step(
    make_study: Make, said: int, passed: bool
) -> None:
    study = make_study(pictures=4)
    gold = study.stimuli.all()[0]
    study.stimuli.filter(pk=gold.pk).update(gold_answer=5)
    participant = person(study)
    while (trial := participant.trials.current()) and trial.kind != "catch":
        rate(participant)
    assert trial is not None and trial.stimulus_id == gold.pk
    answer(participant, trial_pk=trial.pk, answers={"overall": str(said)})
    assert method_of(study).passed(trial, trial.ratings.get()) is passed


def test_a_break_is_offered_and_ended_once(make_study: Make, client: Any) -> None:
    study = make_study(pictures=4, break_every=2)
    client.post(f"/s/{study.slug}/join/", {"consent": "on"})
    participant = Participant.objects.get()
    rate(participant), rate(participant)
    address = f"/s/{study.slug}/rate/"
    assert "Time for a break" in client.get(address).content.decode()
    trial = participant.trials.current()
    assert trial is not None
    client.post(address, {"break": trial.pk})
    assert "Time for a break" not in client.get(address).content.decode()
    trial.refresh_from_db()
    ended = trial.break_ended_at
    end_break(participant, trial.pk)
    trial.refresh_from_db()
    assert trial.break_ended_at == ended is not None


def test_williams_rows_balance_positions_over_people(make_study: Make) -> None:
    study = make_study(pictures=4, order="williams")
    people = [person(study) for _ in range(4)]
    for place in range(1, 5):
        at_place = {it.trials.get(index=place).stimulus_id for it in people}
        assert len(at_place) == 4


def test_only_two_trials_are_decided_ahead(make_study: Make) -> None:
    study = make_study(pictures=5, trials_each=4)
    participant = person(study)
    for answered in range(4):
        decided = participant.trials.filter(stimulus__isnull=False).count()
        assert decided == min(4, answered + 2)
        rate(participant)
    assert participant.trials.count() == 4
    participant.refresh_from_db()
    assert participant.status == "finished"
    stimuli = list(participant.trials.values_list("stimulus", flat=True))
    assert len(set(stimuli)) == 4


def test_who_comes_next_gets_the_least_rated(make_study: Make) -> None:
    study = make_study(pictures=4, trials_each=2)
    first, second = person(study), person(study)
    for _ in range(2):
        rate(first), rate(second)
    assert set(Item.objects.values_list("votes", flat=True)) == {1}


def test_a_silent_persons_reservations_are_freed(make_study: Make) -> None:
    study = make_study(pictures=3, trials_each=1, reserve_minutes=10)
    silent = person(study)
    reserved = silent.trials.get().item_id
    others = [person(study) for _ in range(2)]
    assert reserved not in {it.trials.get().item_id for it in others}
    for other in others:
        rate(other)
    Participant.objects.filter(pk=silent.pk).update(
        seen_at=timezone.now() - timedelta(minutes=11)
    )
    assert person(study).trials.get().item_id == reserved


def test_dropped_people_are_marked_and_brought_back_by_an_answer(study: Study) -> None:
    participant = person(study)
    assert mark_dropped() == 0
    assert mark_dropped(timezone.now() + timedelta(hours=3)) == 1
    participant.refresh_from_db()
    assert participant.status == "dropped"
    rate(participant)
    participant.refresh_from_db()
    assert participant.status == "started"


def test_repeats_of_pictures_chosen_late_repeat_them(make_study: Make) -> None:
    study = make_study(pictures=8, trials_each=6, repeats=1)
    participant = person(study)
    while rate(participant):
        pass
    again = participant.trials.get(kind="repeat")
    assert again.repeat_of is not None
    assert again.stimulus_id == again.repeat_of.stimulus_id is not None


def test_neighbours_of_one_content_are_kept_apart_while_votes_stay_even(
    make_study: Make,
) -> None:
    study = make_study(pictures=6, trials_each=4, apart=True)
    for number, stimulus in enumerate(study.stimuli.all()):
        stimulus.parameters["content"] = f"content {number % 2}"
        stimulus.save()
    alike = 0
    for _ in range(6):
        participant = person(study)
        while rate(participant):
            pass
        shown = [t.stimulus.parameters["content"] for t in participant.trials.all()
                 if t.stimulus]  # fmt: skip
        alike += sum(a == b for a, b in pairwise(shown))
    votes = list(Item.objects.values_list("votes", flat=True))
    assert max(votes) - min(votes) <= 2
    assert alike <= 6  # of 18 neighbours; about half would be alike by chance


def test_withdrawing_takes_votes_back(make_study: Make) -> None:
    study = make_study(pictures=3, trials_each=3)
    stays, leaves = person(study), person(study)
    for value in (1, 3, 5):
        rate(stays, value), rate(leaves, 2)
    withdraw(leaves)
    sums = sorted(Item.objects.values_list("votes", "total", "squares"))
    assert sums == [(1, 1, 1), (1, 3, 9), (1, 5, 25)]
