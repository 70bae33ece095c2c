"""Leaving somebody out: by a person, for a reason, in the log, and back again."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry

from analysis import exclusions
from analysis.reports import snapshot
from survey.models import Participant, Study
from survey.participant.joining import join
from survey.participant.leaving import withdraw
from tests.analysis.test_exports import people_answer
from tests.survey.test_racing import post, race

pytestmark = pytest.mark.django_db


def address(study: Study, code: str = "") -> str:
    base = f"/admin/analysis/report/study/{study.pk}/participants/"
    return f"{base}{code}/" if code else base


def test_the_mark_is_set_and_lifted_and_both_are_logged(
    study: Study, logged_in: Any, researcher: Any
) -> None:
    people_answer(study, 1, 5)
    person = Participant.objects.order_by("pk").first()
    assert person is not None
    before = snapshot.fingerprint(study)
    response = logged_in.post(
        address(study, person.code), {"reason": " Clicked  through. "}, follow=True
    )
    assert "is left out of the statistics" in response.content.decode()
    person.refresh_from_db()
    assert (person.excluded, person.exclusion_reason) == (True, "Clicked through.")
    left_out = snapshot.fingerprint(study)
    assert left_out != before
    assert person.trials.filter(ratings__rating=1).count() == 3  # nothing is deleted

    page = logged_in.post(address(study, person.code), {"lift": "1"}, follow=True)
    person.refresh_from_db()
    assert (person.excluded, person.exclusion_reason) == (False, "")
    assert snapshot.fingerprint(study) == before
    text = page.content.decode()
    assert "Excluded: Clicked through." in text
    assert "Exclusion lifted. The reason had been: Clicked through." in text
    entries = LogEntry.objects.order_by("pk")
    assert [entry.user for entry in entries] == [researcher] * 2
    assert {entry.object_repr for entry in entries} == {person.code}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201])
def test_without_a_reason_that_can_be_kept_nobody_is_excluded(
    study: Study, logged_in: Any, reason: str
) -> None:
    people_answer(study, 1)
    person = Participant.objects.get()
    page = logged_in.post(address(study, person.code), {"reason": reason}, follow=True)
    assert "reason" in page.content.decode()
    assert not Participant.objects.get().excluded
    assert not LogEntry.objects.exists()


def test_two_researchers_at_once_make_one_mark(study: Study, researcher: Any) -> None:
    people_answer(study, 1)
    person = Participant.objects.get()
    exclusions.exclude(person, reason="first", by=researcher)
    with pytest.raises(exclusions.CannotExclude, match="already"):
        exclusions.exclude(person, reason="second", by=researcher)
    assert Participant.objects.get().exclusion_reason == "first"
    assert LogEntry.objects.count() == 1


def test_who_withdrew_cannot_be_excluded(study: Study, researcher: Any) -> None:
    people_answer(study, 1)
    withdraw(Participant.objects.get())
    with pytest.raises(exclusions.CannotExclude, match="withdrawn"):
        exclusions.exclude(Participant.objects.get(), reason="x", by=researcher)


def test_who_withdraws_or_is_deleted_leaves_no_word_in_the_history(
    study: Study,
    logged_in: Any,
    researcher: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    people_answer(study, 1, 5, 3)
    gone, purged, stays = Participant.objects.order_by("pk")
    exclusions.exclude(gone, reason="told me of her illness", by=researcher)
    exclusions.lift(Participant.objects.get(pk=gone.pk), by=researcher)
    exclusions.exclude(purged, reason="is my neighbour", by=researcher)
    exclusions.exclude(stays, reason="clicked through", by=researcher)
    Participant.objects.filter(pk=purged.pk).delete()
    with django_capture_on_commit_callbacks(execute=True):
        withdraw(gone)
    said = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert list(said) == [
        (gone.code, "Excluded."),
        (gone.code, "Exclusion lifted."),
        (purged.code, "Excluded."),
        (stays.code, "Excluded: clicked through"),
    ]
    assert set(LogEntry.objects.values_list("user", flat=True)) == {researcher.pk}


def votes(study: Study) -> list[int]:
    return list(study.items.values_list("votes", flat=True))


def test_allocation_and_precision_count_only_who_is_not_excluded(
    make_study: Any, researcher: Any
) -> None:
    study = make_study(pictures=2, trials_each=2, target_half_width=0.5)
    people_answer(study, *[1] * 15)
    sums = study.items.values_list("votes", "total", "look_votes", "look_total")
    assert set(sums) == {(15, 15, 15, 15)}
    person = Participant.objects.order_by("pk")[3]
    exclusions.exclude(person, reason="odd", by=researcher)
    assert set(sums.all()) == {(14, 14, 0, 0)}
    person.refresh_from_db()
    exclusions.lift(person, by=researcher)
    assert set(sums.all()) == {(15, 15, 15, 15)}
    exclusions.exclude(person, reason="odd", by=researcher)
    withdraw(person)
    assert set(sums.all()) == {(14, 14, 0, 0)}


def test_who_is_excluded_half_way_goes_on_and_counts_from_the_start_again_when_lifted(
    make_study: Any, researcher: Any
) -> None:
    study = make_study(pictures=3)
    participant, token = join(study, surroundings={})
    trial = participant.trials.current()
    assert trial is not None
    assert post(study, token, trial, 4) == 302
    exclusions.exclude(participant, reason="odd", by=researcher)
    while trial := participant.trials.current():
        assert post(study, token, trial, 4) == 302
    assert votes(study) == [0, 0, 0]
    exclusions.lift(Participant.objects.get(), by=researcher)
    assert votes(study) == [1, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_an_answer_that_races_an_exclusion_does_not_count(
    make_study: Any, researcher: Any
) -> None:
    study = make_study(pictures=3)
    for _ in range(4):
        participant, token = join(study, surroundings={})
        trial = participant.trials.current()
        assert trial is not None
        assert post(study, token, trial, 3) == 302
        trial = participant.trials.current()
        assert trial is not None
        assert race(
            lambda t=trial, k=token: post(study, k, t, 5),  # type: ignore[misc]
            lambda p=participant: exclusions.exclude(  # type: ignore[misc]
                p, reason="odd", by=researcher
            ),
        ) == [302, None]
        assert votes(study) == [0, 0, 0]


def test_only_those_with_the_right_may(
    client: Any, study: Study, researcher: Any, stranger: Any
) -> None:
    from django.contrib.auth.models import Permission

    people_answer(study, 1)
    person = Participant.objects.get()
    client.force_login(stranger)
    assert client.get(address(study)).status_code == 403
    stranger.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_report", "see_all_studies"])
    )
    client.force_login(type(stranger).objects.get(pk=stranger.pk))
    page = client.get(address(study, person.code))
    assert page.status_code == 200 and b"Reason for leaving" not in page.content
    post = client.post(address(study, person.code), {"reason": "because"})
    assert post.status_code == 403
    assert not Participant.objects.get().excluded


def test_a_person_of_another_study_is_not_found(
    make_study: Any, study: Study, logged_in: Any
) -> None:
    other = make_study(pictures=2)
    people_answer(other, 1)
    code = Participant.objects.get().code
    assert logged_in.get(address(study, code)).status_code == 404


def test_the_list_shows_what_looks_odd_and_never_decides(
    study: Study, make_study: Any, logged_in: Any
) -> None:
    wide = make_study(pictures=5)
    people_answer(wide, 3)
    page = logged_in.get(address(wide)).content.decode()
    assert "Every rating is the same" in page
    assert not Participant.objects.get().excluded
