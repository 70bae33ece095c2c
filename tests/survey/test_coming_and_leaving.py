"""Who comes back to a study that has moved on, and who leaves it, and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils.html import escape

from survey.models import FormAnswer, FormItem, Item, Participant, Rating, Study
from survey.participant import answering, joining, leaving
from survey.refusals import CannotOpen, NotYourTrial, StudyNotOpen
from survey.studies.lifecycle import open_study, pilot_study
from survey.studies.versions import new_version

pytestmark = pytest.mark.django_db

Make = Callable[..., Study]
OTHERS = "Somebody else wants to take part"


def join(study: Study, **data: str) -> tuple[Client, Participant]:
    client = Client()
    address = f"/s/{study.slug}/join/"
    assert client.post(address, {"consent": "on"} | data).status_code == 302
    return client, Participant.objects.latest("pk")


def answer_all(client: Client, participant: Participant) -> None:
    address = f"/s/{participant.study.slug}/rate/"
    while trial := participant.trials.current():
        sent: dict[str, Any] = {"trial": trial.pk, "answer-overall": 3}
        assert client.post(address, sent).status_code == 302


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


# Coming back --------------------------------------------------------------------


def test_a_browser_of_the_pilot_takes_part_anew_and_then_it_counts(
    study: Study,
) -> None:
    Study.objects.update(state=Study.State.PILOTING)
    client, tester = join(study)
    study.refresh_from_db()
    open_study(study)
    page = text_of(client.get(study.get_absolute_url()))
    assert "Go on where you were" not in page and "Consent" in page
    client.post(f"/s/{study.slug}/join/", {"consent": "on"})
    counted = Participant.objects.get(pilot=False)
    assert counted.pk != tester.pk
    answer_all(client, counted)
    assert set(Item.objects.values_list("votes", flat=True)) == {1}


def test_a_code_of_the_pilot_still_withdraws(study: Study) -> None:
    Study.objects.update(state=Study.State.PILOTING)
    client, tester = join(study)
    code = client.cookies["participant"].value
    study.refresh_from_db()
    open_study(study)
    page = Client().post(f"/s/{study.slug}/withdraw/", {"code": code})
    assert "You have withdrawn" in page.content.decode()
    tester.refresh_from_db()
    assert tester.status == "withdrawn"


def test_a_version_is_not_opened_beside_one_that_is_piloted(study: Study) -> None:
    study.close()
    draft = new_version(study)
    pilot_study(draft)
    with pytest.raises(CannotOpen, match="Version 2 is being piloted at the same"):
        open_study(study)
    study.refresh_from_db()
    assert study.state == "closed"


@pytest.mark.django_db(transaction=True)
def test_a_pilot_begins_outside_of_any_transaction(study: Study) -> None:
    """As the wizard begins it: what PostgreSQL locks needs one."""
    study.close()
    draft = new_version(study)
    pilot_study(draft)
    draft.refresh_from_db()
    assert draft.state == "piloting"


def test_somebody_of_a_closed_version_can_make_way_for_the_new_one(
    study: Study,
) -> None:
    finished, person = join(study)
    answer_all(finished, person)
    under_way, _ = join(study)
    study.close()
    address = study.get_absolute_url()
    for client in (finished, under_way):
        assert OTHERS not in text_of(client.get(address))
    open_study(new_version(study))
    for client, status in ((finished, 200), (under_way, 410)):
        page = client.get(address)
        assert page.status_code == status
        assert OTHERS in text_of(page)
        client.post(f"{address}forget/")
        assert "Consent" in text_of(client.get(address))
        client.post(f"{address}join/", {"consent": "on"})
        assert Participant.objects.latest("pk").study_version == 2


def test_nobody_joins_once_every_picture_is_as_precise_as_wanted(
    make_study: Make,
) -> None:
    study = make_study(pictures=4, target_half_width=0.7, trials_each=2)
    rated = list(study.stimuli.order_by("pk"))
    for order, stimulus in enumerate(rated[:2], start=1):
        study.stimuli.filter(pk=stimulus.pk).update(training_order=order)
    client, person = join(study)
    unanimous = {"votes": 20, "total": 100, "squares": 500}
    looks = {f"look_{name}": value for name, value in unanimous.items()}
    *_, last = study.items.all()
    Item.objects.exclude(pk=last.pk).update(**unanimous, **looks)
    assert Client().get(study.get_absolute_url()).status_code == 200
    Item.objects.update(**unanimous, **looks)
    page = Client().get(study.get_absolute_url())
    assert page.status_code == 410
    assert "all the answers it needs" in page.content.decode()
    with pytest.raises(StudyNotOpen):
        joining.join(study, surroundings={})
    answer_all(client, person)  # who has begun comes to an end
    person.refresh_from_db()
    assert person.status == "finished"


def test_eleven_points_are_not_answered_by_one_touch(study: Study) -> None:
    study.one_touch, study.scale_points = True, 11
    with pytest.raises(ValidationError, match="10 is two keys"):
        study.full_clean()
    study.scale_points = 9
    study.full_clean()


# Leaving ------------------------------------------------------------------------


def test_what_is_sent_while_somebody_withdraws_is_not_kept(study: Study) -> None:
    _, here = join(study)
    stale = Participant.objects.select_related("study").get(pk=here.pk)
    leaving.withdraw(here)
    for late in (
        lambda: answering.keep_form(stale, "before", {"room": "dark"}),
        lambda: answering.keep_form(stale, "after", {"comment": "Nice."}),
        lambda: answering.keep_checks(stale, {"acuity": "passed"}),
        lambda: answering.end_break(stale, 1),
    ):
        with pytest.raises(NotYourTrial, match="have withdrawn"):
            late()
    assert not FormAnswer.objects.exists()
    here.refresh_from_db()
    assert (here.status, here.checks) == ("withdrawn", {})


def test_at_a_shared_browser_a_code_withdraws_its_own_answers(study: Study) -> None:
    first, one = join(study)
    code = first.cookies["participant"].value
    second, other = join(study)
    assert 'name="code"' in second.get(f"/s/{study.slug}/withdraw/").content.decode()
    page = second.post(f"/s/{study.slug}/withdraw/", {"code": code})
    assert "You have withdrawn" in page.content.decode()
    one.refresh_from_db()
    other.refresh_from_db()
    assert (one.status, other.status) == ("withdrawn", "started")
    assert "Go on where you were" in text_of(second.get(study.get_absolute_url()))
    second.post(f"/s/{study.slug}/withdraw/", {"code": ""})
    other.refresh_from_db()
    assert other.status == "withdrawn"


def test_everybody_finds_where_to_withdraw(study: Study) -> None:
    link = f'href="/s/{study.slug}/withdraw/"'
    client, person = join(study)
    answer_all(client, person)
    thanks = client.get(f"/s/{study.slug}/thanks/").content.decode()
    assert f"http://testserver/s/{study.slug}/withdraw/" in thanks
    assert link in Client().get(study.get_absolute_url()).content.decode()
    study.close()
    assert link in Client().get(study.get_absolute_url()).content.decode()


def test_a_receipt_stays_good_when_a_platform_sends_its_holder_again(
    study: Study,
) -> None:
    sent = {"PROLIFIC_PID": "5f1", "SESSION_ID": "t", "STUDY_ID": "s"}
    client, person = join(study, **sent)
    answer_all(client, person)
    receipt = client.cookies["participant"].value
    for _ in range(2):
        join(study, **sent)
    assert Participant.objects.count() == 1
    stranger = Client()
    page = stranger.post(f"/s/{study.slug}/resume/", {"code": receipt})
    assert page.status_code == 404, "it opens nothing any more"
    stranger.post(f"/s/{study.slug}/withdraw/", {"code": receipt})
    person.refresh_from_db()
    assert person.status == "withdrawn"


def test_every_page_says_in_its_title_what_it_is(study: Study) -> None:
    client, person = join(study)
    pages = {
        client.get(f"/s/{study.slug}/{name}/").content.decode().partition("</title>")[0]
        for name in ("rate", "code", "withdraw", "declined")
    }
    answer_all(client, person)
    page = client.get(f"/s/{study.slug}/thanks/").content.decode()
    pages.add(page.partition("</title>")[0])
    assert len(pages) == 5
    assert all(it.endswith(f"{study.title}") for it in pages)


# In another browser ---------------------------------------------------------------

PROLIFIC = {"PROLIFIC_PID": "5f1c", "SESSION_ID": "t7"}
MOVED = "You went on in another browser"


def test_who_went_on_in_another_browser_is_told_so_and_stays_one_person(
    study: Study,
) -> None:
    first, person = join(study, **PROLIFIC)
    for _ in range(2):  # whichever browser it was, not only the one before
        second, same = join(study, **PROLIFIC)
        assert same.pk == person.pk
    trial = person.trials.current()
    assert trial is not None
    place = f"/s/{study.slug}/rate/"
    page = first.post(place, {"trial": trial.pk, "answer-overall": 4})
    assert page.status_code == 409
    assert MOVED in text_of(page) and "was not stored" in text_of(page)
    assert not Rating.objects.exists()
    # The same on every page, and at the bare address no second person begins.
    for name in ("", "rate/", "thanks/", "code/"):
        assert MOVED in text_of(first.get(f"/s/{study.slug}/{name}")), name
    page = first.post(f"/s/{study.slug}/join/", {"consent": "on"})
    assert MOVED in text_of(page) and Participant.objects.count() == 1
    # The way back has the platform's parameters.
    link = f"{study.get_absolute_url()}?PROLIFIC_PID=5f1c&SESSION_ID=t7&lang=en"
    assert f'href="{escape(link)}"' in page.content.decode()
    assert "Consent" in text_of(first.get(link))
    first.post(f"/s/{study.slug}/join/", {"consent": "on"} | PROLIFIC)
    assert Participant.objects.count() == 1
    assert first.get(place).status_code == 200
    assert second.get(place).status_code == 409


def test_an_answer_of_the_browser_before_is_named_as_kept_where_it_is(
    study: Study,
) -> None:
    first, person = join(study, **PROLIFIC)
    trial = person.trials.current()
    assert trial is not None
    place = f"/s/{study.slug}/rate/"
    sent = {"trial": trial.pk, "answer-overall": 4, "client_id": "a" * 24}
    assert first.post(place, sent).status_code == 302
    join(study, **PROLIFIC)
    # The reply got lost, and the script sends it once more.
    page = first.post(place, sent, headers={"X-Survey": "fetch"})
    assert "What you just sent is stored." in text_of(page)
    assert page["X-Survey"] == "elsewhere"
    other = sent | {"answer-overall": 2, "client_id": "b" * 24}
    assert "already answered this picture with 4" in text_of(first.post(place, other))
    ahead = person.trials.current()
    assert ahead is not None
    late = sent | {"trial": ahead.pk, "client_id": "c" * 24}
    page = first.post(place, late, headers={"X-Survey": "fetch"})
    assert "It is kept in this browser" in text_of(page)
    assert page["X-Survey"] == "kept"
    assert Rating.objects.count() == 1


def test_what_a_browser_without_a_session_sends_does_not_vanish_silently(
    make_study: Make,
) -> None:
    study = make_study(ask_comment=True)
    FormItem.objects.create(study=study, name="age", text="Age?", kind="text")
    for name, sent in (
        ("before", {"age": "33"}),
        ("checks", {"acuity": "3"}),
        ("rate", {"trial": "1", "answer-overall": "4"}),
        ("after", {"comment": "Nice."}),
    ):
        page = Client().post(f"/s/{study.slug}/{name}/?PROLIFIC_PID=5f1c", sent)
        assert page.status_code == 409
        assert "does not know your session any more" in text_of(page)
        assert "What you just sent was not stored." in text_of(page)
        assert f'href="/s/{study.slug}/?PROLIFIC_PID=5f1c"' in page.content.decode()
    way = Client().get(f"/s/{study.slug}/rate/?PROLIFIC_PID=5f1c")
    assert way["Location"] == f"/s/{study.slug}/?PROLIFIC_PID=5f1c"


def test_nobody_is_told_of_a_session_that_was_withdrawn(study: Study) -> None:
    first, person = join(study, **PROLIFIC)
    second, _ = join(study, **PROLIFIC)
    second.post(f"/s/{study.slug}/withdraw/", {"code": ""})
    assert "Consent" in text_of(first.get(study.get_absolute_url()))
    assert not person.former_tokens.exists()


def test_another_person_at_that_browser_takes_part_by_their_own_link(
    study: Study,
) -> None:
    first, _ = join(study, **PROLIFIC)
    join(study, **PROLIFIC)
    address = study.get_absolute_url()
    assert OTHERS in text_of(first.get(address))
    own = {"PROLIFIC_PID": "6a2d"}
    assert "Consent" in text_of(first.get(address, own))
    first.post(f"{address}join/", {"consent": "on"} | own)
    assert Participant.objects.count() == 2
    first.post(f"{address}forget/")
    assert "Consent" in text_of(first.get(address))
