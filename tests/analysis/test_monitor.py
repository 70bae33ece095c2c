"""The monitor: sums that agree with the report's, whatever the number of rows."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analysis import exclusions, monitor
from analysis.reports import compute
from survey.models import Participant, Question, Rating, Study, Trial
from survey.participant import joining
from survey.participant.leaving import withdraw
from tests.analysis.test_exports import people_answer

pytestmark = pytest.mark.django_db


def many(study: Study, people: int) -> None:
    """`people` more who rated every picture, written at once."""
    first = study.participants.count()
    stimuli = list(study.stimuli.all())
    start = timezone.now() - dt.timedelta(hours=2)
    rows = Participant.objects.bulk_create(
        Participant(
            study=study, code=f"p-{n}", token_sha256=f"{study.pk}-{n}", study_version=1,
            consent_sha256="", seed=n, status="finished",
            finished_at=start + dt.timedelta(minutes=n + 1),
        )
        for n in range(first, first + people)
    )  # fmt: skip
    Participant.objects.filter(pk__in=[row.pk for row in rows]).update(started_at=start)
    trials = Trial.objects.bulk_create(
        Trial(participant=person, index=k, stimulus=stimulus, answered_at=start)
        for person in rows
        for k, stimulus in enumerate(stimuli, start=1)
    )
    Rating.objects.bulk_create(
        Rating(trial=trial, rating=1 + (3 * n + n // 7) % 5, response_ms=900,
               rated_at=start)
        for n, trial in enumerate(trials)
    )  # fmt: skip


def page(study: Study) -> str:
    return f"/admin/analysis/report/study/{study.pk}/monitor/"


def test_it_says_what_the_report_says(study: Study) -> None:
    people_answer(study, 1, 2, 5)
    watched = monitor.watch(study)
    _, report = compute.build(study, include_simulated=False)
    text = compute.report_files(report)["mos_by_stimulus.csv"].decode()
    for row, each in zip(csv.DictReader(io.StringIO(text)), watched.votes, strict=True):
        assert (row["stimulus"], int(row["n"])) == (each.code, each.n)
        assert float(row["mos"]) == pytest.approx(each.mean, rel=1e-12)
        assert float(row["ci_half_width"]) == pytest.approx(each.half_width, rel=1e-9)


def test_people_are_counted_by_what_became_of_them(study: Study) -> None:
    people_answer(study, 1, 2, 3)
    people_answer(study, 4, most_trials=1)
    people_answer(study, 4, most_trials=2)
    first, second, _, _, idle = Participant.objects.order_by("pk")
    withdraw(first)
    Participant.objects.filter(pk=second.pk).update(excluded=True)
    long_ago = timezone.now() - dt.timedelta(hours=1)
    Participant.objects.filter(pk=idle.pk).update(seen_at=long_ago)
    people = monitor.watch(study).people
    assert people.started == 5
    assert (people.finished, people.withdrawn, people.excluded) == (2, 1, 1)
    assert (people.active, people.away) == (1, 1)


def test_pilot_excluded_and_simulated_votes_do_not_count(study: Study) -> None:
    people_answer(study, 1, 2, 3, 4)
    pilot, excluded, simulated, _ = Participant.objects.order_by("pk")
    Participant.objects.filter(pk=pilot.pk).update(pilot=True)
    Participant.objects.filter(pk=excluded.pk).update(excluded=True)
    Participant.objects.filter(pk=simulated.pk).update(simulated=True)
    assert {each.mean for each in monitor.watch(study).votes} == {4}
    everyone = monitor.watch(study, include_simulated=True)
    assert {each.n for each in everyone.votes} == {2}


def test_the_median_session_is_of_those_who_finished(study: Study) -> None:
    many(study, 5)  # they took 1, 2, 3, 4 and 5 minutes
    assert monitor.watch(study).session == dt.timedelta(minutes=3)


def test_the_pace_is_votes_over_hours(study: Study) -> None:
    many(study, 4)  # 12 votes, all two hours ago
    assert monitor.watch(study).per_hour == pytest.approx(6, rel=1e-2)


def test_the_pace_is_that_of_the_answers_that_are_missing(
    study: Study, logged_in: Any
) -> None:
    """A second question makes nobody rate the pictures any faster."""
    many(study, 4)
    Study.objects.filter(pk=study.pk).update(max_participants=8)
    study.refresh_from_db()
    alone = monitor.watch(study)
    Question.objects.create(study=study, name="style", text="How bold?")
    Rating.objects.bulk_create(
        Rating(trial_id=it.trial_id, question="style", rating=3, rated_at=it.rated_at)
        for it in Rating.objects.all()
    )
    watched = monitor.watch(study)
    assert (watched.ratings, watched.missing) == (2 * alone.ratings, alone.missing)
    assert watched.per_hour == pytest.approx(alone.per_hour, rel=1e-2)
    assert (
        "on the main question are missing"
        in logged_in.get(page(study)).content.decode()
    )


def test_one_who_always_answers_the_same_is_worth_a_look(make_study: Any) -> None:
    study = make_study(pictures=5)
    people_answer(study, 3)
    (suspect,) = monitor.suspicious(study)
    assert suspect.words == ("constant",)
    assert suspect.sentences[0].startswith("Every rating is the same")


def test_the_page_asks_for_those_worth_a_look(make_study: Any, logged_in: Any) -> None:
    study = make_study(pictures=5)
    people_answer(study, 3)
    assert (
        f'hx-get="{page(study)}suspects/"'.encode()
        in logged_in.get(page(study)).content
    )
    part = logged_in.get(f"{page(study)}suspects/").content.decode()
    assert Participant.objects.get().code in part and "<html" not in part


@pytest.mark.parametrize("method", ["acr", "pairs", "dcr"])
def test_the_sums_that_are_kept_are_those_of_the_ratings(
    make_study: Any, method: str, researcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(method=method)
    answers = (1, 2, 5) if method != "pairs" else ("first", "second", "first")
    people_answer(study, *answers)
    exclusions.exclude(Participant.objects.all()[0], reason="odd", by=researcher)
    by_items = monitor.watch(study)
    assert monitor._kept_sums(study, False, timezone.now()) is not None
    monkeypatch.setattr(monitor, "_kept_sums", lambda *_: None)
    by_ratings = monitor.watch(study)
    assert by_items.votes == by_ratings.votes
    assert by_items.ratings == by_ratings.ratings
    assert by_items.per_hour == pytest.approx(by_ratings.per_hour, rel=1e-2)


def test_the_queries_do_not_grow_with_the_answers(study: Study, logged_in: Any) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert logged_in.get(page(study)).status_code == 200
        return len(caught)

    many(study, 3)
    queries()  # content types and the like are remembered from here on
    few = queries()
    Participant.objects.all().delete()
    many(study, 400)
    assert queries() == few <= 20


def test_the_page_updates_itself_only_while_people_can_answer(
    study: Study, logged_in: Any
) -> None:
    people_answer(study, 2, 4)
    assert b"every 10s" in logged_in.get(page(study)).content
    part = logged_in.get(page(study), headers={"HX-Request": "true"}).content
    assert part.split()[:2] == [b"<div", b'id="monitor"'] and b"<html" not in part
    study.close()
    closed = logged_in.get(page(study)).content
    assert b"every 10s" not in closed and b"is closed" in closed


def test_what_is_missing_comes_from_what_the_study_wants(study: Study) -> None:
    assert monitor.watch(study).missing is None
    many(study, 4)
    Study.objects.update(max_participants=10)
    study.refresh_from_db()
    watched = monitor.watch(study)
    assert {(each.n, each.target) for each in watched.votes} == {(4, 10)}
    assert watched.missing == 18  # six more for each of three pictures
    assert watched.ready_at is not None
    left = watched.ready_at - timezone.now()
    assert left / dt.timedelta(hours=1) == pytest.approx(3, rel=1e-2)  # 6 an hour
    Study.objects.update(target_half_width=0.5)
    study.refresh_from_db()
    assert (monitor.watch(study).missing or 0) >= 3 * 11  # 15 at the first look


def test_strangers_do_not_watch(client: Any, study: Study, stranger: Any) -> None:
    client.force_login(stranger)
    assert client.get(page(study)).status_code == 403


def test_it_says_when_a_platforms_link_was_never_filled_in(
    logged_in: Any, study: Study
) -> None:
    sentence = "was never filled in"
    assert sentence not in logged_in.get(page(study)).content.decode()
    came = [{"unfilled_link": True}] * 2
    mark = joining.simulated_mark(study)
    for more in (*came, {}, {"unfilled_link": True, "simulated_mark": mark}):
        joining.join(study, surroundings={}, **more)
    last = dt.datetime(2026, 3, 4, 5, 6, tzinfo=dt.UTC)
    real = Participant.objects.filter(unfilled_link=True, simulated=False)
    real.update(started_at=last)
    shown = logged_in.get(page(study)).content.decode()
    assert "2 people came by" in shown and sentence in shown
    assert "{{%PROLIFIC_PID%}}" in shown and "2026-03-04 05:06 UTC" in shown
    Participant.objects.update(pilot=True)
    assert sentence not in logged_in.get(page(study)).content.decode()
    Study.objects.filter(pk=study.pk).update(state=Study.State.PILOTING)
    assert sentence in logged_in.get(page(study)).content.decode()
