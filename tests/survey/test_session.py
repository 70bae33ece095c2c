"""A participant's way through a study, page by page, without a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from survey.client import InProcess, form_of, take_part
from survey.models import Participant, Rating, Study, Trial

pytestmark = pytest.mark.django_db


def join(client: Any, study: Study, **data: str) -> Participant:
    response = client.post(f"/s/{study.slug}/join/", {"consent": "on"} | data)
    assert response.status_code == 302, response.content.decode()
    return Participant.objects.latest("pk")


def current(participant: Participant) -> Trial:
    trial = participant.trials.current()
    assert trial is not None
    return trial


def answer(client: Any, study: Study, trial: Trial, rating: object) -> Any:
    return client.post(
        f"/s/{study.slug}/rate/", {"trial": trial.pk, "answer-overall": rating}
    )


def test_it_leads_from_welcome_to_thanks(study: Study) -> None:
    carrier = InProcess("testserver")
    given = take_part(carrier, study.get_absolute_url(), choose=lambda code: 4)
    assert given == 3
    participant = Participant.objects.get()
    assert participant.status == Participant.Status.FINISHED
    assert not participant.simulated
    assert list(Rating.objects.values_list("rating", flat=True)) == [4, 4, 4]
    assert "All 3 answers are stored." in carrier.get(study.get_absolute_url()).html


def test_it_shows_the_scale_of_p910_best_first_and_nothing_chosen(
    client: Any, study: Study
) -> None:
    join(client, study)
    page = client.get(f"/s/{study.slug}/rate/").content.decode()
    places = [
        page.index(f"<b>{value}</b> {label}")
        for value, label in [
            (5, "Excellent"),
            (4, "Good"),
            (3, "Fair"),
            (2, "Poor"),
            (1, "Bad"),
        ]
    ]
    assert places == sorted(places)
    assert "checked" not in page
    assert "1 / 3" in page


def test_consent_is_needed(client: Any, study: Study) -> None:
    response = client.post(f"/s/{study.slug}/join/", {})
    assert response.status_code == 400
    assert "tick the box" in response.content.decode()
    assert not Participant.objects.exists()


def test_looking_at_the_welcome_page_writes_nothing(
    client: Any, study: Study, django_assert_num_queries: Any
) -> None:
    client.get(study.get_absolute_url())
    assert not Participant.objects.exists()
    assert "participant" not in client.cookies
    assert "sessionid" not in client.cookies


def test_the_plan_is_rows_in_an_order_of_the_participants_own(study: Study) -> None:
    orders = set()
    for _ in range(12):
        participant = join(Client(), study)
        trials = list(participant.trials.all())
        assert [trial.index for trial in trials] == [1, 2, 3]
        orders.add(tuple(trial.stimulus_id for trial in trials))
    assert all(len(set(order)) == 3 for order in orders)
    assert len(orders) > 1


def test_an_answer_asks_the_database_little(
    client: Any, study: Study, django_assert_max_num_queries: Any
) -> None:
    """It is what a study asks for most; with a page of its own for the script."""
    trial = current(join(client, study))
    client.get(f"/s/{study.slug}/rate/")  # the first picture is noted, once
    sent = {"trial": trial.pk, "answer-overall": 4}
    with django_assert_max_num_queries(9):  # the test's two savepoints among them
        page = client.post(
            f"/s/{study.slug}/rate/", sent, headers={"X-Survey": "1"}
        ).content.decode()
    assert "2 / 3" in page
    assert Rating.objects.get().rating == 4


def test_a_reload_shows_the_same_picture(client: Any, study: Study) -> None:
    participant = join(client, study)
    trial = current(participant)
    for _ in range(2):
        page = client.get(f"/s/{study.slug}/rate/").content.decode()
        assert trial.stimulus is not None and trial.stimulus.code in page
    answer(client, study, trial, 2)
    assert (
        trial.stimulus.code not in client.get(f"/s/{study.slug}/rate/").content.decode()
    )


def test_joining_twice_in_one_browser_is_one_participant(
    client: Any, study: Study
) -> None:
    join(client, study)
    join(client, study)
    assert Participant.objects.count() == 1


def test_the_token_is_stored_only_as_a_hash(client: Any, study: Study) -> None:
    join(client, study)
    cookie = client.cookies["participant"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax"
    assert cookie["path"] == f"/s/{study.slug}/"
    row = Participant.objects.values().get()
    assert cookie.value not in map(str, row.values())


def test_nothing_about_the_person_is_stored(client: Any, study: Study) -> None:
    client.post(
        f"/s/{study.slug}/join/",
        {"consent": "on", "viewport": "390x844", "touch": "1", "pixel_ratio": "3"},
        headers={"user-agent": "Strange Browser 9", "x-forwarded-for": "203.0.113.9"},
    )
    row = Participant.objects.values().get()
    assert row["device_class"] == "phone"
    assert row["viewport"] == "390x844"
    stored = " ".join(map(str, row.values()))
    for trace in ("Strange", "203.0.113.9", "127.0.0.1"):
        assert trace not in stored


@pytest.mark.parametrize("rating", [0, 6, -1, 999, "", "good", "4.5", "left"])
def test_what_is_not_offered_shows_the_same_picture_with_a_sentence(
    client: Any, study: Study, rating: object
) -> None:
    participant = join(client, study)
    trial = current(participant)
    response = answer(client, study, trial, rating)
    assert response.status_code == 400
    page = response.content.decode()
    assert "choose one of the answers offered" in page
    assert trial.stimulus is not None and trial.stimulus.code in page
    assert not Rating.objects.exists()


def test_the_same_answer_again_is_no_second_row(client: Any, study: Study) -> None:
    trial = current(join(client, study))
    for _ in range(3):
        assert answer(client, study, trial, 5).status_code == 302
    assert Rating.objects.count() == 1


def test_another_answer_to_the_same_picture_gets_409(client: Any, study: Study) -> None:
    trial = current(join(client, study))
    answer(client, study, trial, 5)
    response = answer(client, study, trial, 1)
    assert response.status_code == 409
    assert "already answered this picture with 5 Excellent" in response.content.decode()
    assert Rating.objects.get().rating == 5


def test_a_picture_that_comes_later_cannot_be_answered_now(
    client: Any, study: Study
) -> None:
    later = join(client, study).trials.get(index=3)
    assert answer(client, study, later, 3).status_code == 409
    assert not Rating.objects.exists()


def test_another_participants_trial_is_refused(client: Any, study: Study) -> None:
    other = current(join(Client(), study))
    join(client, study)
    response = answer(client, study, other, 3)
    assert response.status_code == 403
    assert "not part of your session" in response.content.decode()
    assert not Rating.objects.exists()


@pytest.mark.parametrize("token", ["", "forged", "x" * 5000, "caf\u00e9"])
def test_a_forged_token_leads_to_the_welcome_page(
    client: Any, study: Study, token: str
) -> None:
    client.cookies["participant"] = token
    response = client.get(f"/s/{study.slug}/rate/")
    assert response.status_code == 302
    assert response["Location"] == study.get_absolute_url()


def test_a_closed_study_takes_no_answer_and_keeps_those_it_has(
    client: Any, study: Study
) -> None:
    participant = join(client, study)
    answer(client, study, current(participant), 4)
    study.close()
    response = answer(client, study, current(participant), 4)
    assert response.status_code == 410
    assert "closed" in response.content.decode()
    assert client.get(f"/s/{study.slug}/rate/").status_code == 410
    assert Client().get(study.get_absolute_url()).status_code == 410
    assert Client().post(f"/s/{study.slug}/join/", {"consent": "on"}).status_code == 410
    assert Rating.objects.count() == 1


def test_a_draft_has_no_page(client: Any, experiment: Any) -> None:
    study = Study.objects.create(title="Draft", experiment=experiment)
    assert client.get(study.get_absolute_url()).status_code == 404


def test_a_pilot_marks_its_people(client: Any, study: Study) -> None:
    Study.objects.filter(pk=study.pk).update(state="piloting")
    participant = join(client, study)
    assert participant.pilot
    page = client.get(f"/s/{study.slug}/rate/").content.decode()
    assert "Pilot: nothing you answer here counts" in page


def test_thanks_comes_only_after_every_planned_answer(
    client: Any, study: Study
) -> None:
    participant = join(client, study)
    answer(client, study, current(participant), 4)
    response = client.get(f"/s/{study.slug}/thanks/")
    assert response["Location"].endswith("/rate/")


def test_withdrawing_deletes_the_answers_and_keeps_a_count(
    client: Any, study: Study
) -> None:
    participant = join(client, study)
    answer(client, study, current(participant), 4)
    response = client.post(f"/s/{study.slug}/withdraw/")
    assert "deleted" in response.content.decode()
    study.refresh_from_db()
    assert study.withdrawn_count == 1
    assert not Rating.objects.exists()
    assert not Trial.objects.exists()
    assert client.get(f"/s/{study.slug}/rate/").status_code == 302


def test_texts_cannot_run_as_html(
    client: Any, make_study: Callable[..., Study]
) -> None:
    script = "<script>alert(1)</script>"
    study = make_study(
        title=script, welcome=script, consent=script, question=script, contact=script
    )
    pages = [client.get(study.get_absolute_url())]
    join(client, study)
    pages.append(client.get(f"/s/{study.slug}/rate/"))
    for page in pages:
        assert script not in page.content.decode()


def test_a_post_without_the_csrf_token_is_refused_with_a_sentence(
    study: Study,
) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.post(f"/s/{study.slug}/join/", {"consent": "on"})
    assert response.status_code == 403
    assert "reload the page" in response.content.decode()


def test_the_random_weights_are_said_on_every_page(client: Any, study: Study) -> None:
    sentence = "random features: not the paper&#x27;s network"
    pages = [client.get(study.get_absolute_url())]
    join(client, study)
    pages.append(client.get(f"/s/{study.slug}/rate/"))
    for page in pages:
        assert sentence.replace("&#x27;", "'") in page.content.decode().replace(
            "&#x27;", "'"
        )


def test_pictures_are_for_participants_of_their_study(
    client: Any, make_study: Callable[..., Study], logged_in: Any
) -> None:
    study, other = make_study(), make_study()
    address = f"/s/{study.slug}/picture/{study.stimuli.all()[0].code}.png"
    outsider = Client()
    assert outsider.get(address).status_code == 403
    join(outsider, other)
    assert outsider.get(address).status_code == 403
    insider = Client()
    join(insider, study)
    response = insider.get(address)
    assert response["Content-Type"] == "image/png"
    assert "immutable" in response["Cache-Control"]
    assert "private" in response["Cache-Control"]
    assert logged_in.get(address).status_code == 200


def test_who_withdrew_sees_no_picture_and_everybody_else_does(study: Study) -> None:
    address = f"/s/{study.slug}/picture/{study.stimuli.all()[0].code}.png"
    leaves, stays = Client(), Client()
    for person in (leaves, stays):
        join(person, study)
    token = leaves.cookies["participant"].value
    leaves.post(f"/s/{study.slug}/withdraw/")
    leaves.cookies["participant"] = token
    assert leaves.get(address).status_code == 403
    assert stays.get(address).status_code == 200


def test_the_form_carries_what_a_browser_without_a_script_needs(
    client: Any, study: Study
) -> None:
    carrier = InProcess("testserver")
    form = form_of(carrier.get(study.get_absolute_url()))
    page = carrier.post(form.action, form.data)
    form = form_of(page)
    assert form.choices == {"answer-overall": ["5", "4", "3", "2", "1"]}
    assert set(form.data) == {
        "csrfmiddlewaretoken",
        "trial",
        "client_id",
        "response_ms",
        "displayed_scale",
        "load_failures",
    }


def test_a_picture_that_fails_is_counted_once_and_logged(
    client: Any, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    """What is sent is how often it failed so far: a repeated post adds nothing."""
    trial = current(join(client, study))
    other = current(join(Client(), study))

    def tell(about: Trial, failures: int) -> int:
        sent = {"trial": about.pk, "missing": "1", "load_failures": failures}
        response = client.post(f"/s/{study.slug}/rate/", sent)
        about.refresh_from_db()
        assert response.status_code == 204
        return about.load_failures

    with caplog.at_level("WARNING", "survey"):
        assert [tell(trial, number) for number in (1, 2, 2, 1)] == [1, 2, 2, 2]
        assert tell(other, 1) == 0  # somebody else's
    told = [it for it in caplog.records if it.name == "survey.participant.answering"]
    assert [study.slug in it.getMessage() for it in told] == [True, True]
    assert 'data-failures="2"' in client.get(f"/s/{study.slug}/rate/").content.decode()
    answer(client, study, trial, 4)
    trial.refresh_from_db()
    answered_with = trial.load_failures
    assert tell(trial, 9) == answered_with


def test_every_page_of_a_study_says_that_it_is_the_labs_own(
    client: Any, study: Study
) -> None:
    address = study.get_absolute_url()
    assert client.get(address)["X-Survey"] == "welcome"
    trial = current(join(client, study))
    sent = {"trial": trial.pk, "answer-overall": 4}
    by_script = {"X-Survey": "fetch"}
    reply = client.post(f"{address}rate/", sent, headers=by_script)
    assert reply["X-Survey"] == "trial"
    sent["answer-overall"] = 1
    refused = client.post(f"{address}rate/", sent, headers=by_script)
    assert (refused.status_code, refused["X-Survey"]) == (409, "refused")
    study.close()
    assert client.get(f"{address}rate/")["X-Survey"] == "closed"
