"""Two posts that race leave one row, and the first answer wins."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from survey.models import Participant, Rating, Study, Trial
from survey.participant import joining, leaving
from survey.studies import lifecycle

pytestmark = pytest.mark.django_db(transaction=True)


def race(*runners: Callable[[], Any]) -> list[Any]:
    """Run all at once, each in a thread with a connection of its own."""
    start = threading.Barrier(len(runners))
    results: list[Any] = [None] * len(runners)

    def run(place: int, runner: Callable[[], Any]) -> None:
        try:
            start.wait()
            results[place] = runner()
        except Exception as error:
            results[place] = error
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=(place, runner))
        for place, runner in enumerate(runners)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def first_trial(study: Study) -> tuple[Participant, Trial, str]:
    participant, token = joining.join(study, surroundings={})
    trial = participant.trials.current()
    assert trial is not None
    return participant, trial, token


def post(study: Study, token: str, trial: Trial, rating: int) -> int:
    client = Client()
    client.cookies["participant"] = token
    response = client.post(
        f"/s/{study.slug}/rate/", {"trial": trial.pk, "answer-overall": rating}
    )
    return response.status_code


def test_equal_answers_that_race_leave_one_row(study: Study) -> None:
    _, trial, token = first_trial(study)
    codes = race(*[lambda: post(study, token, trial, 4)] * 8)
    assert codes == [302] * 8
    assert Rating.objects.get().rating == 4


def test_different_answers_that_race_leave_the_first(study: Study) -> None:
    for _ in range(5):
        _, trial, token = first_trial(study)
        codes = race(
            lambda t=trial, k=token: post(study, k, t, 1),  # type: ignore[misc]
            lambda t=trial, k=token: post(study, k, t, 5),  # type: ignore[misc]
        )
        assert sorted(codes) == [302, 409]
        assert trial.ratings.get().rating == (1 if codes[0] == 302 else 5)


def test_two_answers_that_wait_for_one_lock_leave_the_first(study: Study) -> None:
    """Both have come while another transaction holds what they need."""
    participant, trial, token = first_trial(study)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Participant.objects.select_for_update().get(pk=participant.pk)
            held.set()
            assert let_go.wait(20)

    def answer(rating: int) -> Callable[[], int]:
        def run() -> int:
            assert held.wait(20)
            return post(study, token, trial, rating)

        return run

    def release() -> None:
        assert held.wait(20)
        time.sleep(1)  # for both to arrive at the lock
        assert not Rating.objects.exists()
        let_go.set()

    *codes, _, _ = race(answer(1), answer(5), hold, release)
    assert sorted(codes) == [302, 409]
    assert trial.ratings.get().rating == (1 if codes[0] == 302 else 5)


def test_the_database_itself_refuses_a_second_row(study: Study) -> None:
    _, trial, _ = first_trial(study)
    Rating.objects.create(trial=trial, rating=5)
    with pytest.raises(IntegrityError), transaction.atomic():
        Rating.objects.create(trial=trial, rating=2)


@pytest.mark.parametrize("rating", [0, 6])
def test_the_database_itself_refuses_a_rating_off_its_scale(
    study: Study, rating: int
) -> None:
    _, trial, _ = first_trial(study)
    with pytest.raises(IntegrityError), transaction.atomic():
        Rating.objects.create(trial=trial, rating=rating)


def test_a_withdrawal_that_races_an_answer_leaves_nothing(study: Study) -> None:
    participant, trial, token = first_trial(study)
    race(
        lambda: post(study, token, trial, 3),
        lambda: leaving.withdraw(participant),
    )
    participant.refresh_from_db()
    assert participant.status == Participant.Status.WITHDRAWN
    assert not Rating.objects.exists()


@pytest.mark.parametrize("settle", [joining.forget_keys, leaving.mark_dropped])
def test_what_is_done_every_hour_holds_people_in_the_order_of_all(
    study: Study, settle: Callable[[], int]
) -> None:
    first, second = (
        joining.join(study, surroundings={}, key=key * 32)[0] for key in "ab"
    )
    long_ago = timezone.now() - dt.timedelta(days=2)
    # One after the other, so that the database finds the second before the first.
    for person in (second, first):
        Participant.objects.filter(pk=person.pk).update(
            seen_at=long_ago, key_expires_at=long_ago
        )
    held = threading.Event()

    def hold_both() -> None:
        with transaction.atomic():
            for person in (first, second):
                Participant.objects.select_for_update().get(pk=person.pk)
                held.set()
                time.sleep(0.5)  # for the other to arrive at the locks

    def later() -> int:
        assert held.wait(20)
        return settle()

    assert race(hold_both, later) == [None, 2]


def test_somebody_withdraws_while_a_platform_sends_them_again(study: Study) -> None:
    """Both hold the person and then the study. In another order the two would wait
    for each other."""
    sent = ("prolific", "5f1c", "")
    participant, _ = joining.join(study, surroundings={}, recruit=sent)
    held = threading.Event()

    def withdraw() -> None:
        with transaction.atomic():
            Participant.objects.select_for_update().get(pk=participant.pk)
            held.set()
            time.sleep(0.5)  # for the other to arrive at the lock
            leaving.withdraw(participant)

    def come_again() -> int:
        assert held.wait(20)
        return joining.join(study, surroundings={}, recruit=sent)[0].pk

    withdrawn, again = race(withdraw, come_again)
    assert withdrawn is None
    assert isinstance(again, int) and again != participant.pk
    participant.refresh_from_db()
    study.refresh_from_db()
    assert participant.status == Participant.Status.WITHDRAWN
    assert study.withdrawn_count == 1


def test_a_pilot_is_thrown_away_while_somebody_answers(
    make_study: Callable[..., Study],
) -> None:
    """Who answers holds themselves and then, where pictures are chosen meanwhile, the
    study. In another order the two would wait for each other."""
    study = make_study(trials_each=1)
    Study.objects.filter(pk=study.pk).update(state=Study.State.PILOTING)
    study.refresh_from_db()
    participant, _, _ = first_trial(study)
    held = threading.Event()

    def answer() -> None:
        with transaction.atomic():
            Participant.objects.select_for_update().get(pk=participant.pk)
            held.set()
            time.sleep(0.5)  # for the other to arrive at the lock
            Study.objects.select_for_update(no_key=True).get(pk=study.pk)

    def throw_away() -> int:
        assert held.wait(20)
        return lifecycle.throw_pilot_away(study)

    assert race(answer, throw_away) == [None, 1]
