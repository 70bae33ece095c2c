"""What people send who do not mean well: beyond what test_session.py refuses."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, RequestFactory
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nstlab.core import counters
from survey.models import (
    FormItem,
    Participant,
    Question,
    Rating,
    Recruit,
    Study,
    Translation,
    Trial,
)
from survey.participant import joining, rate_limits
from survey.refusals import TooMany

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert(1)</script>"
BREAKS_OUT = "\"'><img src=x onerror=alert(1)>"


def hostile(text: str = "") -> str:
    return f"{text}{SCRIPT}{BREAKS_OUT}"


def assert_inert(page: str) -> None:
    """Nothing of what was put in is markup."""
    for piece in (SCRIPT, "<img src=x", 'x onerror="', "\"'>"):
        assert piece not in page


def join(client: Client, study: Study, **data: str) -> Participant:
    response = client.post(f"/s/{study.slug}/join/", {"consent": "on"} | data)
    assert response.status_code == 302, response.content.decode()
    return Participant.objects.latest("pk")


def answer(client: Client, study: Study, trial: Trial, **data: Any) -> Any:
    return client.post(
        f"/s/{study.slug}/rate/", {"trial": trial.pk, "answer-overall": 3} | data
    )


def current(participant: Participant) -> Trial:
    trial = participant.trials.current()
    assert trial is not None
    return trial


# HTML in every field ----------------------------------------------------------------


@pytest.fixture
def hostile_study(make_study: Callable[..., Study]) -> Study:
    """Every text a researcher can set, and its translation, is markup."""
    study = make_study(pictures=2, minimum_age=18, ask_comment=True)
    texts = {
        name: hostile()
        for name in (
            "title", "question", "welcome", "consent", "thanks", "controller",
            "contact", "ethics_reference", "completion_code", "screenout_code",
        )
    }  # fmt: skip
    Study.objects.filter(pk=study.pk).update(
        **{name: text[:60] for name, text in texts.items()},
        completion_url=f"https://platform.example/?cc={BREAKS_OUT}",
    )
    Question.objects.create(study=study, name="content", text=hostile())
    for placement in FormItem.Placement.values:
        for kind in FormItem.Kind.values:
            FormItem.objects.create(
                study=study, placement=placement, name=f"{placement}_{kind}",
                text=hostile(), kind=kind, options=f"{hostile('a')}\n{hostile('b')}",
                required=True,
            )  # fmt: skip
    Translation.objects.create(
        study=study, language="de", title=hostile(), question=hostile(),
        further_questions=hostile(), welcome=hostile(), consent=hostile(),
        thanks=hostile(),
    )  # fmt: skip
    study.refresh_from_db()
    return study


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_text_of_a_study_is_markup_on_any_page(
    hostile_study: Study, language: str
) -> None:
    study, client = hostile_study, Client()
    place = study.get_absolute_url()
    seen: list[str] = []

    def get(name: str) -> None:
        response = client.get(f"{place}{name}", {"lang": language}, follow=True)
        assert response.status_code == 200, name
        seen.append(response.content.decode())

    for name in ("", "declined/", "resume/", "withdraw/"):
        get(name)
    join(client, study, age="on", lang=language)
    seen.append(client.post(f"{place}before/", {}).content.decode())
    before = {
        "before_choice": hostile("a"), "before_text": hostile(), "before_number": "1"
    }  # fmt: skip
    client.post(f"{place}before/", before)
    participant = Participant.objects.get()
    for _ in range(2):
        get("rate/")
        trial = current(participant)
        seen.append(answer(client, study, trial, **{"answer-overall": hostile()})
                    .content.decode())  # fmt: skip
        answer(client, study, trial, **{"answer-content": 3})
    for name in ("code/", "after/", "withdraw/"):
        get(name)
    after = {name.replace("before", "after"): text for name, text in before.items()}
    client.post(f"{place}after/", after | {"comment": hostile()})
    get("thanks/")
    assert "onerror" in seen[-1], "the page shows the texts, harmless"
    study.close()
    seen.append(Client().get(place).content.decode())
    assert len(seen) == 14
    for page in seen:
        assert_inert(page)


def test_what_the_address_says_is_not_markup_on_the_welcome_page(study: Study) -> None:
    Translation.objects.create(study=study, language="de", title="Wie gut?")
    for name in ("PROLIFIC_PID", "SESSION_ID", "workerId", "assignmentId", "lang"):
        page = Client().get(study.get_absolute_url(), {name: hostile()})
        assert_inert(page.content.decode())
        page = Client().post(f"/s/{study.slug}/join/", {name: hostile()})
        assert page.status_code == 400
        assert_inert(page.content.decode())


def test_what_people_wrote_is_not_markup_when_it_comes_back(
    hostile_study: Study,
) -> None:
    client, place = Client(), hostile_study.get_absolute_url()
    join(client, hostile_study, age="on")
    sent = {"before_choice": "none of them", "before_text": hostile("mine")}
    page = client.post(f"{place}before/", sent | {"before_number": hostile()})
    assert page.status_code == 400
    assert "mine" in page.content.decode()
    assert_inert(page.content.decode())
    for name in ("resume/", "withdraw/"):
        page = Client().post(f"{place}{name}", {"code": hostile() * 2})
        assert page.status_code == 400
        assert_inert(page.content.decode())


def test_no_return_address_runs_a_script(logged_in: Any, make_study: Any) -> None:
    study = make_study()
    study.completion_url = "javascript:alert(1)"
    with pytest.raises(Exception, match="valid URL"):
        study.full_clean()


# Other people's sessions ------------------------------------------------------------


def test_a_code_works_at_its_own_study_only(make_study: Callable[..., Study]) -> None:
    study, other = make_study(), make_study()
    _participant, token = joining.join(study, surroundings={})
    client = Client()
    client.cookies["participant"] = token
    assert client.get(f"/s/{study.slug}/rate/").status_code == 200
    assert client.get(f"/s/{other.slug}/rate/").status_code == 302
    response = client.post(f"/s/{other.slug}/withdraw/", {"code": token})
    assert response.status_code == 404
    assert Trial.objects.filter(participant__study=study).exists()


def test_a_stored_hash_is_no_token(study: Study) -> None:
    participant, _token = joining.join(study, surroundings={})
    client = Client()
    client.cookies["participant"] = participant.token_sha256
    assert client.get(f"/s/{study.slug}/rate/").status_code == 302


def test_a_break_of_another_participant_cannot_be_ended(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(break_every=1)
    victim, _token = joining.join(study, surroundings={})
    trial = victim.trials.get(index=2)
    client = Client()
    join(client, study)
    client.post(f"/s/{study.slug}/rate/", {"break": trial.pk})
    trial.refresh_from_db()
    assert trial.break_before and trial.break_ended_at is None


@pytest.mark.parametrize("number", ["0", "-1", "9" * 40, "1e300", "NaN", "x", "", "²"])
def test_a_trial_or_a_break_that_is_no_number_is_refused(
    client: Client, study: Study, number: str
) -> None:
    join(client, study)
    place = f"/s/{study.slug}/rate/"
    sent = {"trial": number, "answer-overall": "3"}
    assert client.post(place, sent).status_code in {400, 403}
    assert client.post(place, {"break": number}).status_code in {302, 400}
    assert not Rating.objects.exists()


# Replays ----------------------------------------------------------------------------


def test_an_answer_replayed_after_withdrawing_writes_nothing(study: Study) -> None:
    client = Client()
    participant = join(client, study)
    token = client.cookies["participant"].value
    trial = current(participant)
    answer(client, study, trial, client_id="a" * 24)
    client.post(f"/s/{study.slug}/withdraw/")
    client.cookies["participant"] = token
    assert answer(client, study, trial, client_id="a" * 24).status_code == 409
    assert not Rating.objects.exists()


def test_another_value_under_the_same_client_id_changes_nothing(study: Study) -> None:
    client = Client()
    trial = current(join(client, study))
    for rating in (5, 1):
        sent = {"client_id": "a" * 24, "answer-overall": rating}
        assert answer(client, study, trial, **sent).status_code == 302
    assert Rating.objects.get().rating == 5


def test_a_client_id_of_another_trial_does_not_pass_for_an_answer(
    study: Study,
) -> None:
    client = Client()
    participant = join(client, study)
    for _ in range(2):
        trial = current(participant)
        assert answer(client, study, trial, client_id="a" * 24).status_code == 302
    assert Rating.objects.count() == 2


def test_a_form_sent_twice_keeps_the_first_answers(
    make_study: Callable[..., Study],
) -> None:
    study = make_study()
    FormItem.objects.create(study=study, name="age", text="Age?", kind="text")
    client = Client()
    participant = join(client, study)
    for text in ("first", "second"):
        client.post(f"/s/{study.slug}/before/", {"age": text})
    assert participant.form_answers.get().answer == "first"


def test_a_participant_cannot_finish_before_the_pictures(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(ask_comment=True, completion_code="C0DE-7")
    client = Client()
    participant = join(client, study)
    response = client.post(f"/s/{study.slug}/after/", {"comment": "done"}, follow=True)
    assert "C0DE-7" not in response.content.decode()
    participant.refresh_from_db()
    assert participant.status == Participant.Status.STARTED
    assert not participant.form_answers.exists()


# Closed -----------------------------------------------------------------------------


def test_a_closed_study_gives_no_code_and_takes_no_return(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(completion_code="C0DE-7")
    client = Client()
    join(client, study)
    study.close()
    page = client.get(f"/s/{study.slug}/thanks/", follow=True)
    assert "C0DE-7" not in page.content.decode()
    sent = {"consent": "on", "PROLIFIC_PID": "abc"}
    assert Client().post(f"/s/{study.slug}/join/", sent).status_code == 410
    assert not Recruit.objects.exists()


# Too much ---------------------------------------------------------------------------


def test_an_oversized_body_is_refused_before_it_is_read(study: Study) -> None:
    client = Client()
    participant = join(client, study)
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    sent = {"client_id": "x" * (most + 1)}
    assert answer(client, study, current(participant), **sent).status_code in {400, 413}
    many = {f"answer-{n}": "3" for n in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS)}
    assert answer(client, study, current(participant), **many).status_code == 400
    assert not Rating.objects.exists()


def test_long_texts_are_cut_or_refused_and_never_stored_whole(study: Study) -> None:
    long = "x" * 100_000
    client = Client()
    participant = join(
        client, study, PROLIFIC_PID="p", SESSION_ID=long, viewport="390x844"
    )
    assert len(Recruit.objects.get().session) <= 100
    sent = {"client_id": long, "response_ms": "9" * 500, "displayed_scale": long}
    assert answer(client, study, current(participant), **sent).status_code == 302
    rating = Rating.objects.get()
    assert len(rating.client_id) <= 40 and rating.response_ms is None
    response = Client().post(f"/s/{study.slug}/resume/", {"code": long})
    assert response.status_code == 400


@pytest.mark.broker
def test_a_classroom_of_sixty_joins_from_one_address(
    queues: None, study: Study
) -> None:
    for _ in range(60):
        join(Client(REMOTE_ADDR="192.0.2.60"), study)
    assert Participant.objects.count() == 60


@pytest.mark.broker
def test_of_ten_thousand_joins_from_one_place_only_the_limit_passes(
    queues: None, study: Study
) -> None:
    flood = RequestFactory().post("/", REMOTE_ADDR="192.0.2.1")
    passed = 0
    for _ in range(10_000):
        try:
            rate_limits.count_join(flood)
        except TooMany:
            continue
        passed += 1
    assert passed == settings.NSTLAB_JOINS_PER_HOUR
    sent = {"consent": "on"}
    refused = Client(REMOTE_ADDR="192.0.2.1").post(f"/s/{study.slug}/join/", sent)
    assert refused.status_code == 429
    assert "try again in an hour" in refused.content.decode()
    assert not Participant.objects.exists()
    join(Client(REMOTE_ADDR="192.0.2.2"), study)


@pytest.mark.broker
@pytest.mark.parametrize("page", ["resume", "withdraw"])
def test_codes_can_be_guessed_a_few_times_only(
    queues: None, study: Study, page: str
) -> None:
    _participant, token = joining.join(study, surroundings={})
    address = f"/s/{study.slug}/{page}/"
    guesser = {"REMOTE_ADDR": "192.0.2.3"}
    statuses = [
        Client(**guesser).post(address, {"code": secrets.token_hex(12)}).status_code
        for _ in range(rate_limits.CODES_PER_HOUR + 1)
    ]
    assert statuses == [404] * rate_limits.CODES_PER_HOUR + [429]
    # The right one passes also from there: others may be behind that address.
    right = Client(**guesser).post(address, {"code": token})
    assert right.status_code in {200, 302}


@pytest.mark.broker
@pytest.mark.parametrize("page", ["resume", "withdraw"])
def test_a_classroom_resumes_and_withdraws_from_one_address(
    queues: None, study: Study, page: str
) -> None:
    """Right codes are no guesses, however many there are."""
    classroom = {"REMOTE_ADDR": "192.0.2.5"}
    for _ in range(rate_limits.CODES_PER_HOUR + 1):
        _participant, token = joining.join(study, surroundings={})
        sent = {"code": token}
        response = Client(**classroom).post(f"/s/{study.slug}/{page}/", sent)
        assert response.status_code in {200, 302}


@pytest.mark.broker
def test_an_ipv6_network_is_one_place(queues: None, study: Study) -> None:
    """A /64 is one connection's own, with 2^64 addresses to guess from."""

    def guess(address: str) -> int:
        visitor = Client(REMOTE_ADDR=address)
        sent = {"code": secrets.token_hex(12)}
        return visitor.post(f"/s/{study.slug}/resume/", sent).status_code

    for number in range(rate_limits.CODES_PER_HOUR):
        assert guess(f"2001:db8:1:2::{number:x}") == 404
    assert guess("2001:db8:1:2:ffff:ffff:ffff:ffff") == 429
    assert guess("2001:db8:1:3::1") == 404
    for number in range(rate_limits.CODES_PER_HOUR):
        assert guess(f"::ffff:192.0.2.{number % 2 + 8}") == 404
    assert guess("192.0.2.8") == 404


@pytest.mark.broker
def test_the_broker_learns_no_address(queues: None, study: Study) -> None:
    import django_rq

    join(Client(REMOTE_ADDR="192.0.2.77"), study)
    broker = django_rq.get_connection("render")
    names = [name.decode() for name in broker.keys("survey:*")]
    assert any(name.startswith("survey:join:") for name in names)
    assert not any("192.0.2.77" in name for name in names)
    assert all(0 < broker.ttl(name) <= 24 * 3600 for name in names)


def test_without_a_broker_people_join_and_the_log_says_so(
    study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_once = Retry(NoBackoff(), 0)
    away = Redis(unix_socket_path="/nowhere/valkey.sock", retry=at_once)
    monkeypatch.setattr(counters, "broker", lambda: away)
    join(Client(), study)
    assert Participant.objects.count() == 1
    assert "The broker is away: nothing is limited." in caplog.messages
