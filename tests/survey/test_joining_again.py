"""A consent form that is sent again, a one-time link that is opened again."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from survey.codes import token_hash
from survey.models import FormItem, Invitation, Participant, Rating, Study
from survey.participant import answering, joining, leaving
from survey.studies.invitations import invite
from survey.studies.lifecycle import open_study
from survey.studies.versions import new_version
from tests.survey.test_coming_and_leaving import MOVED, text_of
from tests.survey.test_racing import race

pytestmark = pytest.mark.django_db

Make = Callable[..., Study]
ASKS = "Go on, or start anew?"


def opened(study: Study, **data: str) -> dict[str, str]:
    """What the consent form sends that was opened just now, with its box ticked."""
    page = Client().get(study.get_absolute_url())
    return sent_by(page) | data


def sent_by(page: Any) -> dict[str, str]:
    html = page.content.decode()
    names = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html)
    fields = {name: value for name, value in names if name != "csrfmiddlewaretoken"}
    return fields | {"consent": "on"}


def send(study: Study, form: dict[str, str], client: Client | None = None) -> Any:
    """Post a form in a browser of its own: as after a reply that was lost."""
    return (client or Client()).post(f"/s/{study.slug}/join/", form)


def code_in(response: Any) -> str:
    return str(response.cookies["participant"].value)


def later(seconds: int = 61) -> None:
    """As if what was sent had been sent so much earlier."""
    for person in Participant.objects.exclude(key_expires_at=None):
        assert person.key_expires_at is not None
        person.key_expires_at -= dt.timedelta(seconds=seconds)
        person.save()


def show(study: Study, code: str) -> Client:
    """Open the page with pictures in the browser that has this code."""
    client = Client()
    client.cookies["participant"] = code
    assert client.get(f"/s/{study.slug}/rate/").status_code == 200
    return client


def answer(study: Study, client: Client) -> None:
    person = Participant.objects.get(
        token_sha256=token_hash(client.cookies["participant"].value)
    )
    trial = person.trials.current()
    assert trial is not None
    sent: dict[str, Any] = {"trial": trial.pk, "answer-overall": 4}
    assert client.post(f"/s/{study.slug}/rate/", sent).status_code == 302


# The key --------------------------------------------------------------------------


def test_every_page_has_a_key_of_its_own_that_nobody_can_guess_or_keep(
    study: Study,
) -> None:
    pages = [Client().get(study.get_absolute_url()) for _ in range(5)]
    keys = {sent_by(page)["key"] for page in pages}
    assert len(keys) == 5
    assert all(len(key) == 32 for key in keys)  # six bits each: 192
    assert all("no-store" in page["Cache-Control"] for page in pages)
    form = opened(study)
    reply = send(study, form)
    assert form["key"] not in reply["Location"] + str(reply.headers)
    person = Participant.objects.get()
    kept = " ".join(
        map(str, Participant.objects.filter(pk=person.pk).values()[0].values())
    )
    assert form["key"] not in kept and person.key_sha256 in kept


def test_what_no_page_ever_made_is_no_key(study: Study) -> None:
    for key in ("", "a", "x" * 33, "ü" * 32, "a b" * 10 + "ab"):
        for _ in range(2):
            assert send(study, opened(study) | {"key": key}).status_code == 302
    assert Participant.objects.count() == 10
    assert set(Participant.objects.values_list("key_sha256", flat=True)) == {""}


def test_another_studys_key_or_another_key_returns_nobodys_session(
    make_study: Make,
) -> None:
    study, other = make_study(), make_study()
    form = opened(study)
    first = send(study, form)
    elsewhere = send(other, form)
    assert Participant.objects.count() == 2
    assert code_in(elsewhere) != code_in(first)
    near = form["key"][:-1] + ("A" if form["key"][-1] != "A" else "B")
    assert code_in(send(study, form | {"key": near})) != code_in(first)
    assert Participant.objects.count() == 3


def test_a_key_is_forgotten_after_a_day_and_with_whoever_withdraws(
    study: Study,
) -> None:
    form = opened(study)
    send(study, form)
    later(24 * 3600)
    assert send(study, form).status_code == 302
    assert Participant.objects.count() == 2
    call_command("purge_participants")
    keys = Participant.objects.order_by("pk").values_list("key_sha256", flat=True)
    assert keys[0] == "" and keys[1]
    last = Participant.objects.latest("pk")
    leaving.withdraw(last)
    last.refresh_from_db()
    assert (last.key_sha256, last.key_expires_at) == ("", None)


# Double click, lost reply -----------------------------------------------------------


def test_a_lost_reply_costs_neither_the_session_nor_a_second_person(
    study: Study,
) -> None:
    form = opened(study)
    lost = send(study, form)
    again = send(study, form)
    assert again.status_code == 302 and again["Location"] == lost["Location"]
    # Of two replies a browser may keep either cookie: it is the same one.
    assert code_in(again) == code_in(lost)
    assert Participant.objects.count() == 1
    show(study, code_in(again))
    assert code_in(send(study, form)) == code_in(lost), "nothing was answered yet"


def test_after_a_minute_the_page_asks_and_goes_on_or_starts_anew(study: Study) -> None:
    form = opened(study)
    first = send(study, form)
    later()
    page = send(study, form)
    assert page.status_code == 409 and ASKS in text_of(page)
    assert "participant" not in page.cookies and Participant.objects.count() == 1
    on = send(study, sent_by(page) | {"again": "go-on"})
    assert code_in(on) == code_in(first)
    # Started anew: a consent to read, and the place of who has seen nothing is free.
    person = Participant.objects.get()
    page = send(study, sent_by(page) | {"again": "anew"})
    assert page.status_code == 200 and "Consent" in text_of(page)
    assert Participant.objects.get() == person
    fresh = sent_by(page)
    assert fresh["key"] != form["key"] == fresh["instead"]
    assert send(study, fresh).status_code == 302
    anew = Participant.objects.get()
    assert anew.pk != person.pk and anew.number == person.number


def test_somebody_else_at_a_shared_computer_gets_no_session_that_has_answers(
    study: Study,
) -> None:
    form = opened(study)
    owner = show(study, code_in(send(study, form)))
    answer(study, owner)
    for more in ({}, {"again": "go-on"}):
        page = send(study, form | more)
        assert page.status_code == 409 and ASKS in text_of(page)
        assert "participant" not in page.cookies
        assert "go-on" not in page.content.decode()
        assert f"/s/{study.slug}/resume/" in page.content.decode()
    fresh = sent_by(send(study, form | {"again": "anew"}))
    other = send(study, fresh)
    assert Participant.objects.count() == 2 and Rating.objects.count() == 1
    assert code_in(other) != owner.cookies["participant"].value
    # The browser that has the cookie goes on, whenever.
    later()
    assert send(study, form, owner)["Location"] == f"/s/{study.slug}/rate/"


def test_a_form_before_the_pictures_is_an_answer_too(study: Study) -> None:
    FormItem.objects.create(study=study, name="age", text="Age?", kind="text")
    form = opened(study)
    client = Client()
    send(study, form, client)
    client.post(f"/s/{study.slug}/before/", {"age": "33"})
    assert ASKS in text_of(send(study, form | {"again": "go-on"}))
    # Nor does it make way for whoever starts anew from that page.
    send(study, sent_by(send(study, form | {"again": "anew"})))
    assert Participant.objects.count() == 2
    assert client.get(f"/s/{study.slug}/rate/").status_code == 200


def test_a_closed_study_says_so_whatever_the_link(invited: tuple[Study, str]) -> None:
    study, link = invited
    form = opened(study)
    study.close()
    for code in ("", "wrong", link):
        assert send(study, form | {"invitation": code}).status_code == 410


@pytest.mark.parametrize("state", ["closed", "full"])
def test_who_began_gets_their_session_also_when_nobody_else_joins(
    make_study: Make, state: str
) -> None:
    study = make_study(max_participants=1)
    form = opened(study)
    first = send(study, form)
    if state == "closed":
        study.close()
    assert code_in(send(study, form)) == code_in(first)
    assert send(study, form | {"key": joining.consent_key()}).status_code == 410


def test_a_full_study_has_the_place_of_a_session_that_has_shown_nothing(
    make_study: Make,
) -> None:
    study = make_study(max_participants=1)
    form = opened(study)
    send(study, form)
    later()
    fresh = sent_by(send(study, form | {"again": "anew"}))
    code = code_in(send(study, fresh))
    assert Participant.objects.count() == 1
    show(study, code)
    later()
    fresh = sent_by(send(study, fresh | {"again": "anew"}))
    assert send(study, fresh).status_code == 410
    # Nor is a place made where the one before had given theirs up by silence.
    Participant.objects.update(
        shown_at=None, seen_at=timezone.now() - dt.timedelta(hours=3)
    )
    assert send(study, opened(study)).status_code == 302
    assert send(study, fresh).status_code == 410


def test_a_platforms_person_who_clicks_twice_keeps_one_code(study: Study) -> None:
    sent = {"PROLIFIC_PID": "5f1c"}
    one, two = opened(study, **sent), opened(study, **sent)
    first = send(study, one)
    assert code_in(send(study, one)) == code_in(first)
    answer(study, show(study, code_in(first)))
    # In a second browser too, where the first answer is given already.
    second = send(study, two)
    assert code_in(second) != code_in(first)
    assert code_in(send(study, two)) == code_in(second)
    later()
    assert code_in(send(study, two)) == code_in(second), "the platform says who it is"
    assert Participant.objects.count() == 1


# One-time links ---------------------------------------------------------------------


@pytest.fixture
def invited(make_study: Make) -> tuple[Study, str]:
    study = make_study(source="invitation")
    return study, invite(study, 1)[0]


def test_a_double_click_burns_no_one_time_link(invited: tuple[Study, str]) -> None:
    study, link = invited
    form = opened(study, invitation=link)
    assert code_in(send(study, form)) == code_in(send(study, form))
    assert Participant.objects.count() == 1
    assert Invitation.objects.get().used


def test_a_session_makes_way_that_has_its_first_code_again(
    invited: tuple[Study, str],
) -> None:
    """Two browsers take a platform's person in turn, and then the link is opened."""
    study, link = invited
    sent = {"PROLIFIC_PID": "5f1c", "invitation": link}
    one, two = opened(study, **sent), opened(study, **sent)
    first, second, third = (send(study, form) for form in (one, two, one))
    assert code_in(first) == code_in(third) != code_in(second)
    anew = send(study, opened(study, invitation=link))
    assert anew.status_code == 302 and Participant.objects.count() == 1
    former = {token_hash(code_in(each)) for each in (first, second)}
    person = Participant.objects.get()
    assert set(person.former_tokens.values_list("token_sha256", flat=True)) == former


def test_a_one_time_link_whose_reply_was_lost_is_opened_again(
    invited: tuple[Study, str],
) -> None:
    """In another browser, an hour later: nobody has seen anything."""
    study, link = invited
    first = send(study, opened(study, invitation=link, viewport="390x844"))
    person = Participant.objects.get()
    later(3600)
    second = send(study, opened(study, invitation=link))
    assert second.status_code == 302
    renewed = Participant.objects.get()
    assert renewed.pk != person.pk and renewed.viewport == ""
    assert renewed.number == person.number
    show(study, code_in(second))
    # Whoever has the first browser open is told.
    before = Client()
    before.cookies["participant"] = code_in(first)
    assert MOVED in text_of(before.get(f"/s/{study.slug}/rate/"))
    sent: dict[str, Any] = {"trial": 1, "answer-overall": 4}
    assert before.post(f"/s/{study.slug}/rate/", sent).status_code == 409


def test_a_one_time_link_is_one_persons_once_they_see_a_picture(
    invited: tuple[Study, str],
) -> None:
    study, link = invited
    client = show(study, code_in(send(study, opened(study, invitation=link))))
    # Who used it is forgotten by then.
    assert Invitation.objects.get().participant is None
    for act in (lambda: None, lambda: answer(study, client), later):
        act()
        refused = send(study, opened(study, invitation=link))
        assert refused.status_code == 403 and "was used before" in text_of(refused)
    assert Participant.objects.count() == 1


def test_who_withdraws_before_the_first_picture_has_used_their_link(
    invited: tuple[Study, str],
) -> None:
    study, link = invited
    client = Client()
    send(study, opened(study, invitation=link), client)
    client.post(f"/s/{study.slug}/withdraw/", {"code": ""})
    assert Invitation.objects.get().participant is None
    assert send(study, opened(study, invitation=link)).status_code == 403


def test_a_one_time_link_goes_on_to_the_next_version_before_a_picture_is_seen(
    invited: tuple[Study, str],
) -> None:
    study, link = invited
    send(study, opened(study, invitation=link))
    open_study(new_version(study))
    assert send(study, opened(study, invitation=link)).status_code == 302
    assert Participant.objects.get().study_version == 2


def test_a_form_sent_while_its_session_makes_way_is_not_lost_without_a_word(
    invited: tuple[Study, str],
) -> None:
    study, link = invited
    send(study, opened(study, invitation=link))
    stale = Participant.objects.select_related("study").get()
    send(study, opened(study, invitation=link))
    assert not joining.note_shown(stale)
    with pytest.raises(Participant.DoesNotExist):
        answering.keep_form(stale, "before", {"age": "33"})


# Races, and what it costs -----------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("source", ["link", "invitation"])
def test_five_clicks_at_once_make_one_participant(
    make_study: Make, source: str
) -> None:
    study = make_study(source=source, trials_each=2)
    link = invite(study, 1)[0] if source == "invitation" else ""
    form = opened(study, invitation=link)
    replies = race(*[lambda: send(study, form)] * 5)
    assert [reply.status_code for reply in replies] == [302] * 5
    assert len({code_in(reply) for reply in replies}) == 1
    assert Participant.objects.get().planned == 2


@pytest.mark.django_db(transaction=True)
def test_one_link_in_five_browsers_at_once_is_one_participants(
    make_study: Make,
) -> None:
    study = make_study(source="invitation")
    link = invite(study, 1)[0]

    def come() -> int:
        client = Client()
        if send(study, opened(study, invitation=link), client).status_code != 302:
            return 403
        return client.get(f"/s/{study.slug}/rate/").status_code

    statuses = race(*[come] * 5)
    assert sorted(set(statuses)) in ([200, 403], [200, 409], [200, 403, 409])
    assert statuses.count(200) == 1
    person = Participant.objects.get()
    assert person.shown_at is not None
    assert person.trials.count() == 3


def test_joining_asks_the_database_little_more_than_before(study: Study) -> None:
    """Two queries for a form with a key: who began with it, and the mark on the first
    picture; none of them grows with the people there are."""

    def queries(**more: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            joining.join(study, surroundings={}, **more)
        return len(asked)

    queries()
    without = queries()
    assert queries(key=joining.consent_key()) <= without + 1
