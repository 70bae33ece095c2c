"""What surrounds the pictures: forms, checks, codes, leaving, versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from nstlab.supervisor import Lab
from survey import housekeeping
from survey.client import InProcess, take_part
from survey.codes import token_hash
from survey.models import (
    FormAnswer,
    FormItem,
    Invitation,
    Participant,
    Rating,
    Recruit,
    Study,
    Translation,
)
from survey.participant import answering, joining, leaving, vision_checks
from survey.refusals import CannotOpen
from survey.studies.invitations import invite
from survey.studies.lifecycle import open_study, unfreeze
from survey.studies.versions import new_version

pytestmark = pytest.mark.django_db

Make = Callable[..., Study]


def join(client: Any, study: Study, **data: str) -> Any:
    return client.post(f"/s/{study.slug}/join/", {"consent": "on"} | data)


def token_of(client: Any) -> str:
    return str(client.cookies["participant"].value)


# Forms and checks -------------------------------------------------------------------


def with_forms(study: Study) -> Study:
    items = [
        ("before", "room", "choice", "dark\nbright", True),
        ("before", "years", "number", "", False),
        ("after", "device", "text", "", False),
    ]
    for placement, name, kind, options, required in items:
        FormItem.objects.create(
            study=study, placement=placement, name=name, text=f"{name}?", kind=kind,
            options=options, required=required,
        )  # fmt: skip
    Study.objects.filter(pk=study.pk).update(ask_comment=True)
    study.refresh_from_db()
    return study


def test_the_server_leads_through_forms_pictures_and_forms(
    client: Any, study: Study
) -> None:
    with_forms(study)
    assert join(client, study)["Location"].endswith("/before/")
    base = f"/s/{study.slug}/"
    assert client.get(f"{base}rate/")["Location"].endswith("/before/")
    refused = client.post(f"{base}before/", {"years": "many"})
    assert refused.status_code == 400
    assert "This field is required" in refused.content.decode()
    assert not FormAnswer.objects.exists()
    done = client.post(f"{base}before/", {"room": "dark"})
    assert done["Location"].endswith("/rate/")
    participant = Participant.objects.get()
    while trial := participant.trials.current():
        client.post(f"{base}rate/", {"trial": trial.pk, "answer-overall": 3})
    assert client.get(f"{base}thanks/")["Location"].endswith("/after/")
    participant.refresh_from_db()
    assert participant.status == "started"
    client.post(f"{base}after/", {"device": "", "comment": "Nice <b>pictures</b>"})
    participant.refresh_from_db()
    assert participant.status == "finished"
    assert dict(FormAnswer.objects.values_list("name", "answer")) == {
        "room": "dark", "comment": "Nice <b>pictures</b>",
    }  # fmt: skip
    assert client.get(f"{base}thanks/").status_code == 200


def test_a_form_is_stored_once(client: Any, study: Study) -> None:
    with_forms(study)
    join(client, study)
    for room in ("dark", "bright"):
        client.post(f"/s/{study.slug}/before/", {"room": room})
    assert FormAnswer.objects.get().answer == "dark"


def test_the_play_script_gets_through_forms_and_checks(make_study: Make) -> None:
    study = with_forms(
        make_study(
            check_viewport=True,
            check_brightness=True,
            check_acuity=True,
            check_colour=True,
        )
    )
    assert take_part(InProcess("testserver"), study.get_absolute_url(),
                choose=lambda code: 2) == 3  # fmt: skip
    participant = Participant.objects.get()
    assert set(participant.checks) == {"viewport", "brightness", "acuity", "colour"}
    assert set(participant.checks.values()) <= {"passed", "failed", "skipped"}


@pytest.mark.parametrize("name", list(vision_checks.BY_NAME))
def test_a_plate_has_one_right_answer_that_is_offered_and_is_drawn_as_svg(
    name: str,
) -> None:
    check = vision_checks.BY_NAME[name]
    offered = {value for value, _ in check.choices}
    seen = set()
    for seed in range(40):
        right = check.right(seed)
        assert right <= offered and right
        seen |= right
        svg = check.draw(seed)
        assert svg == check.draw(seed)
        assert svg.startswith("<svg") and "<script" not in svg and "<text" not in svg
    assert len(seen) > 2


def test_checks_are_judged_and_only_the_verdict_is_kept() -> None:
    asked = ["viewport", "acuity", "colour"]
    right = next(iter(vision_checks.BY_NAME["acuity"].right(7)))
    judged = vision_checks.judge(
        asked, {"acuity": right, "colour": "none", "viewport": "300x200"},
        seed=7, needed=(300, 300),
    )  # fmt: skip
    assert judged == {"viewport": "failed", "acuity": "passed", "colour": "failed"}
    large = vision_checks.judge(
        ["viewport"], {"viewport": "390x844"}, seed=7, needed=(300, 300)
    )
    assert large == {"viewport": "passed"}
    assert vision_checks.judge(asked, {}, seed=7, needed=(9, 9)) == dict.fromkeys(
        asked, "skipped"
    )


def test_an_outsider_sees_no_plate(study: Study) -> None:
    assert Client().get(f"/s/{study.slug}/check/colour.svg").status_code == 404


# The code: going on elsewhere and withdrawing later ----------------------------------


def test_the_code_goes_on_in_another_browser(client: Any, study: Study) -> None:
    join(client, study)
    page = client.get(f"/s/{study.slug}/code/").content.decode()
    token = token_of(client)
    shown = "-".join(token[n : n + 4] for n in range(0, 24, 4))
    assert shown in page and f"/resume/#{shown}" in page
    other = Client()
    resumed = other.post(f"/s/{study.slug}/resume/", {"code": f" {shown.upper()} "})
    assert resumed["Location"].endswith("/rate/")
    here = client.get(f"/s/{study.slug}/rate/").content
    assert other.get(f"/s/{study.slug}/rate/").content.count(b"1 / 3") == here.count(
        b"1 / 3"
    )
    assert Participant.objects.count() == 1


@pytest.mark.parametrize("page", ["resume", "withdraw"])
def test_a_wrong_code_is_refused_in_a_sentence(study: Study, page: str) -> None:
    response = Client().post(f"/s/{study.slug}/{page}/", {"code": "abcd-efgh"})
    assert response.status_code == 404
    assert "No session has this code" in response.content.decode()


def test_a_receipt_withdraws_after_the_study_has_closed(study: Study) -> None:
    carrier = InProcess("testserver")
    take_part(carrier, study.get_absolute_url(), choose=lambda code: 4)
    token = token_of(carrier._client)
    study.close()
    stranger = Client()
    response = stranger.post(f"/s/{study.slug}/withdraw/", {"code": token})
    assert "Your answers are deleted" in response.content.decode()
    assert not Rating.objects.exists()
    study.refresh_from_db()
    assert study.withdrawn_count == 1


def test_withdrawing_is_heard_of(
    study: Study,
    django_capture_on_commit_callbacks: Any,
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    join(client, study)
    heard: list[Study] = []
    monkeypatch.setattr(leaving, "ON_DELETED_ANSWERS", [heard.append])
    with django_capture_on_commit_callbacks(execute=True):
        client.post(f"/s/{study.slug}/withdraw/")
    assert heard == [study]


# Who may come in ----------------------------------------------------------------------


def test_age_is_asked_where_the_study_asks(client: Any, make_study: Make) -> None:
    study = make_study(minimum_age=18)
    assert (
        "I am 18 years old or older"
        in client.get(study.get_absolute_url()).content.decode()
    )
    assert join(client, study).status_code == 400
    assert join(client, study, age="on").status_code == 302


def test_declining_stores_nothing_and_shows_the_screen_out_code(
    client: Any, make_study: Make
) -> None:
    study = make_study(screenout_code="NO-7", screenout_url="https://p.example/no")
    page = client.get(f"/s/{study.slug}/declined/").content.decode()
    assert "NO-7" in page and "https://p.example/no" in page
    assert not Participant.objects.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"opens_at": dt.timedelta(hours=1)}, "has not begun yet"),
        ({"closes_at": -dt.timedelta(hours=1)}, "has ended"),
    ],
)
def test_dates_close_the_door(
    client: Any, make_study: Make, fields: dict[str, dt.timedelta], sentence: str
) -> None:
    study = make_study(**{k: timezone.now() + v for k, v in fields.items()})
    for response in (client.get(study.get_absolute_url()), join(client, study)):
        assert response.status_code == 410
        assert sentence in response.content.decode()


def test_who_has_begun_may_finish_after_the_closing_date(
    client: Any, study: Study
) -> None:
    join(client, study)
    Study.objects.filter(pk=study.pk).update(closes_at=timezone.now())
    trial = Participant.objects.get().trials.current()
    assert trial is not None
    response = client.post(
        f"/s/{study.slug}/rate/", {"trial": trial.pk, "answer-overall": 4}
    )
    assert response.status_code == 302
    assert Rating.objects.count() == 1


def test_a_full_study_says_so_kindly(make_study: Make) -> None:
    study = make_study(max_participants=1)
    assert join(Client(), study).status_code == 302
    response = join(Client(), study)
    assert response.status_code == 410
    assert "has all the answers it needs" in response.content.decode()


def test_somebody_who_has_left_makes_room_in_the_quota(make_study: Make) -> None:
    study = make_study(max_participants=1)
    join(Client(), study)
    Participant.objects.update(seen_at=timezone.now() - dt.timedelta(hours=3))
    assert join(Client(), study).status_code == 302


def test_an_invitation_is_used_up_by_consent_and_not_by_a_preview(
    make_study: Make,
) -> None:
    study = make_study(source="invitation")
    code = invite(study, 2)[0]
    assert not Invitation.objects.filter(token_sha256=code).exists()
    preview = Client()
    assert (
        "Your invitation code" in preview.get(study.get_absolute_url()).content.decode()
    )
    assert join(preview, study).status_code == 403
    assert join(preview, study, invitation=code).status_code == 302
    assert preview.get(f"/s/{study.slug}/rate/").status_code == 200
    again = join(Client(), study, invitation=code)
    assert again.status_code == 403
    assert "was used before" in again.content.decode()
    assert Participant.objects.count() == 1


PROLIFIC = {"PROLIFIC_PID": "5f1", "STUDY_ID": "s", "SESSION_ID": "t"}


def test_a_platforms_id_is_kept_apart_and_comes_back_to_the_same_session(
    make_study: Make,
) -> None:
    study = make_study(completion_code="C-1", completion_url="https://p.example/ok")
    first = Client()
    page = first.get(study.get_absolute_url(), PROLIFIC).content.decode()
    assert 'name="PROLIFIC_PID" value="5f1"' in page
    join(first, study, **PROLIFIC)
    recruit = Recruit.objects.get()
    assert (recruit.platform, recruit.person, recruit.session) == (
        "prolific",
        "5f1",
        "t",
    )
    assert recruit.delete_on > timezone.now().date()
    again = Client()
    join(again, study, **PROLIFIC)
    assert Participant.objects.count() == 1
    assert token_hash(token_of(again)) == Participant.objects.get().token_sha256


def test_who_tried_the_pilot_takes_part_anew_when_the_study_opens(
    make_study: Make,
) -> None:
    """What they answered in the pilot does not count; nor is it paid for."""
    study = make_study(completion_code="C-1")
    Study.objects.filter(pk=study.pk).update(state=Study.State.PILOTING)
    tester = Client()
    join(tester, study, **PROLIFIC)
    pilot = Participant.objects.get()
    while trial := pilot.trials.current():
        sent = {"trial": trial.pk, "answer-overall": 3}
        assert tester.post(f"/s/{study.slug}/rate/", sent).status_code == 302
    study.refresh_from_db()
    open_study(study)
    again = Client()
    join(again, study, **PROLIFIC)
    page = again.get(f"/s/{study.slug}/thanks/", follow=True)
    assert page.redirect_chain and "C-1" not in page.content.decode()
    counted = Participant.objects.get(pilot=False)
    assert counted.trials.filter(answered_at=None).count() == 3
    once_more = Client()
    join(once_more, study, **PROLIFIC)
    assert Participant.objects.count() == 2
    counted.refresh_from_db()
    assert token_hash(token_of(once_more)) == counted.token_sha256


def test_a_simulated_participant_gets_nobodys_session(make_study: Make) -> None:
    study = make_study()
    join(Client(), study, **PROLIFIC)
    mark = joining.simulated_mark(study)
    join(Client(), study, simulated=mark, **PROLIFIC)
    assert set(Participant.objects.values_list("simulated", flat=True)) == {False, True}


def test_the_completion_code_comes_only_after_every_answer(make_study: Make) -> None:
    study = make_study(completion_code="C-1")
    carrier = InProcess("testserver")
    take_part(carrier, study.get_absolute_url(), choose=lambda code: 3, most_trials=2)
    base = f"/s/{study.slug}/"
    assert "C-1" not in carrier.get(f"{base}thanks/").html
    take_part(carrier, study.get_absolute_url(), choose=lambda code: 3)
    assert "C-1" in carrier.get(f"{base}thanks/").html


def test_texts_come_in_the_language_of_browser_or_link(
    client: Any, study: Study
) -> None:
    Translation.objects.create(
        study=study, language="de", title="Wie gut?", question="Wie gut ist es?"
    )
    address = study.get_absolute_url()
    german = {"accept-language": "de-CH,de;q=0.9,en;q=0.5"}
    assert "Wie gut?" in client.get(address, headers=german).content.decode()
    assert (
        "Wie gut?"
        not in client.get(f"{address}?lang=en", headers=german).content.decode()
    )
    assert 'lang="de"' in client.get(f"{address}?lang=de").content.decode()
    join(client, study, lang="de")
    assert Participant.objects.get().language == "de"
    page = client.get(f"{address}rate/").content.decode()
    assert "Wie gut ist es?" in page and '<html lang="de"' in page


def test_a_new_version_shares_the_address_and_old_people_finish_theirs(
    client: Any, study: Study
) -> None:
    join(client, study)
    draft = new_version(study)
    assert (draft.version, draft.slug, draft.state) == (2, study.slug, "draft")
    assert draft.stimuli.count() == study.stimuli.count()
    draft.question = "A better question?"
    draft.save()
    open_study(draft)
    assert (
        "A better question?"
        not in client.get(f"/s/{study.slug}/rate/").content.decode()
    )
    newcomer = Client()
    join(newcomer, study)
    assert Participant.objects.latest("pk").study_version == 2
    assert (
        "A better question?" in newcomer.get(f"/s/{study.slug}/rate/").content.decode()
    )


def test_a_second_draft_of_a_new_version_is_refused(study: Study) -> None:
    new_version(study)
    with pytest.raises(CannotOpen, match="newer version"):
        new_version(study)


def test_an_opened_study_goes_back_to_draft_only_while_nobody_counts(
    client: Any, study: Study
) -> None:
    unfreeze(study)
    assert study.state == Study.State.DRAFT
    open_study(study)
    join(client, study)
    with pytest.raises(CannotOpen, match="new version"):
        unfreeze(study)


def test_purging_deletes_what_was_promised_and_keeps_counts(
    client: Any, make_study: Make, capsys: Any
) -> None:
    kept = make_study()
    over = make_study(delete_on=dt.date(2026, 1, 1))
    for study in (kept, over):
        visitor = Client()
        join(visitor, study, **PROLIFIC)
    call_command("purge_participants", "--today", "2026-01-01")
    assert "0 platform ids, 1 sessions" in capsys.readouterr().out
    over.refresh_from_db()
    assert over.purged_count == 1
    assert Participant.objects.get().study == kept
    call_command("purge_participants", "--today", "2999-01-01")
    assert not Recruit.objects.exists()
    assert Participant.objects.count() == 1


def test_purging_goes_through_many_people_and_leaves_no_sum(
    make_study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(trials_each=2, delete_on=dt.date(2026, 1, 1))
    for _ in range(5):
        person, _token = joining.join(study, surroundings={})
        trial = person.trials.current()
        assert trial is not None
        answering.answer(person, trial_pk=trial.pk, answers={"overall": "4"})
    monkeypatch.setattr(leaving, "MOST_PURGED_AT_ONCE", 2)
    assert leaving.purge(dt.date(2026, 1, 1)) == (0, 5)
    study.refresh_from_db()
    assert study.purged_count == 5 and not study.participants.exists()
    assert set(study.items.values_list("votes", "total")) == {(0, 0)}


def test_a_lab_deletes_by_itself_what_is_due_and_nothing_else(
    make_study: Make,
) -> None:
    today = timezone.now().date()
    over = make_study(delete_on=today)
    later = make_study(delete_on=today + dt.timedelta(days=1))
    kept = make_study()
    for study in (over, later, kept):
        join(Client(), study, **PROLIFIC)
    Recruit.objects.filter(participant__study=kept).update(delete_on=today)
    Lab(purge=housekeeping.purge_due).tidy()
    left = set(Participant.objects.values_list("study", flat=True))
    assert left == {later.pk, kept.pk}
    assert Recruit.objects.get().participant.study == later


def test_purging_runs_by_itself_in_units_and_containers() -> None:
    units = settings.BASE_DIR / "deploy" / "systemd"
    assert "purge_participants" in (units / "nstlab-purge.service").read_text()
    assert "OnCalendar=hourly" in (units / "nstlab-purge.timer").read_text()
    containers = yaml.safe_load((settings.BASE_DIR / "compose.yaml").read_text())
    command = containers["services"]["purge"]["command"]
    assert "while python manage.py purge_participants" in command


# Whom a platform sent, and who else sits at the computer ------------------------------


def page_of(response: Any) -> str:
    return str(response.content.decode())


@pytest.mark.parametrize(
    "fields",
    [
        {"max_participants": 1},
        {"closes_at": timezone.now() - dt.timedelta(hours=1)},
        {"state": "closed"},
    ],
)
def test_a_newcomer_of_a_platform_is_not_asked_for_consent_in_vain(
    make_study: Make, fields: dict[str, Any]
) -> None:
    study = make_study(screenout_code="NO-7", screenout_url="https://p.example/no")
    join(Client(), study)
    Study.objects.filter(pk=study.pk).update(**fields)
    address = study.get_absolute_url()
    for response in (
        Client().get(address, PROLIFIC),
        Client().post(f"{address}join/", {"consent": "on"} | PROLIFIC),
    ):
        assert response.status_code == 410
        assert "Consent" not in page_of(response)
        assert "NO-7" in page_of(response)
        assert "https://p.example/no" in page_of(response)
    # Of no platform: nobody waits for a code.
    assert "NO-7" not in page_of(Client().get(address))


def test_a_platforms_participant_may_return_after_the_closing_date(
    study: Study,
) -> None:
    join(Client(), study, **PROLIFIC)
    Study.objects.filter(pk=study.pk).update(closes_at=timezone.now())
    again = Client()
    page = again.get(study.get_absolute_url(), PROLIFIC)
    assert page.status_code == 200 and "Start" in page_of(page)
    assert join(again, study, **PROLIFIC)["Location"].endswith("/rate/")
    assert "1 / 3" in page_of(again.get(f"/s/{study.slug}/rate/"))
    assert Participant.objects.count() == 1


def test_who_finished_gets_the_platforms_code_again_after_the_study_closed(
    make_study: Make,
) -> None:
    study = make_study(completion_code="C-1")
    carrier = InProcess("testserver")
    address = f"{study.get_absolute_url()}?PROLIFIC_PID=5f1"
    take_part(carrier, address, choose=lambda code: 4)
    Participant.objects.update(finished_at=timezone.now() - dt.timedelta(days=1))
    study.close()
    again = Client()
    assert again.get(address).status_code == 200
    join(again, study, **PROLIFIC)
    page = page_of(again.get(f"/s/{study.slug}/thanks/"))
    # The code of the receipt is a new one, so it is shown although a day has passed.
    token = token_of(again)
    assert "C-1" in page and "-".join(token[n : n + 4] for n in range(0, 24, 4)) in page


def test_who_began_and_comes_back_to_a_closed_study_is_not_asked_for_consent(
    study: Study,
) -> None:
    join(Client(), study, **PROLIFIC)
    study.close()
    response = Client().get(study.get_absolute_url(), PROLIFIC)
    assert response.status_code == 410
    assert "Consent" not in page_of(response)


def test_no_link_loses_what_a_platform_says(make_study: Make) -> None:
    study = make_study(source="invitation")
    address = study.get_absolute_url()
    said = "PROLIFIC_PID=5f1&amp;SESSION_ID=t&amp;lang=en"
    sent = {"PROLIFIC_PID": "5f1", "SESSION_ID": "t", "lang": "en"}
    welcome = page_of(Client().get(address, sent))
    for name in ("declined", "resume"):
        assert f'href="{address}{name}/?{said}"' in welcome
    assert f'href="{address}?{said}"' in page_of(
        Client().get(f"{address}declined/", sent)
    )
    refused = join(Client(), study, invitation="wrong", **sent)
    assert refused.status_code == 403
    assert f'href="{address}?{said}"' in page_of(refused)
    mistaken = Client().post(f"{address}resume/?{said.replace('amp;', '')}",
                             {"code": "wrong"})  # fmt: skip
    assert f'href="{address}?{said}"' in page_of(mistaken)


def test_who_takes_part_can_withdraw_on_every_page_of_a_closed_study(
    client: Any, study: Study
) -> None:
    join(client, study)
    study.close()
    for name in ("", "resume/", "declined/"):
        page = page_of(client.get(f"/s/{study.slug}/{name}"))
        assert f'href="/s/{study.slug}/withdraw/"' in page
        assert "Nothing was stored" not in page
    stranger = page_of(Client().get(f"/s/{study.slug}/declined/"))
    assert "Nothing was stored" in stranger


def finished(study: Study) -> tuple[Client, str]:
    """Somebody's browser after the last answer, and their code as it is shown."""
    carrier = InProcess("testserver")
    take_part(carrier, study.get_absolute_url(), choose=lambda code: 4)
    token = token_of(carrier._client)
    return carrier._client, "-".join(token[n : n + 4] for n in range(0, 24, 4))


def test_the_receipt_is_shown_after_finishing_and_not_to_the_next_person(
    study: Study,
) -> None:
    browser, receipt = finished(study)
    base = study.get_absolute_url()
    assert receipt in page_of(browser.get(f"{base}thanks/"))
    later = page_of(browser.get(base))
    assert receipt not in later
    assert "shown here right after you finished" in later
    assert browser.get(f"{base}code/")["Location"].endswith("/thanks/")
    Participant.objects.update(finished_at=timezone.now() - dt.timedelta(minutes=11))
    assert receipt not in page_of(browser.get(f"{base}thanks/"))
    # The code itself still works.
    assert "Your answers are deleted" in page_of(
        Client().post(f"{base}withdraw/", {"code": receipt})
    )


@pytest.mark.parametrize("at", ["the end", "the beginning"])
def test_somebody_else_takes_part_in_the_same_browser(study: Study, at: str) -> None:
    base = study.get_absolute_url()
    if at == "the end":
        browser, _receipt = finished(study)
    else:
        carrier = InProcess("testserver")
        take_part(carrier, base, choose=lambda code: 4, most_trials=0)
        browser = carrier._client
    first = Participant.objects.get()
    page = page_of(browser.get(base, PROLIFIC))
    assert "Somebody else wants to take part" in page
    assert f'action="{base}forget/?PROLIFIC_PID=5f1' in page
    assert browser.get(f"{base}forget/").status_code == 405
    token = browser.cookies["csrftoken"].value
    gone = browser.post(f"{base}forget/", {"csrfmiddlewaretoken": token})
    assert gone["Location"] == base
    assert "Consent" in page_of(browser.get(base))
    join(browser, study, csrfmiddlewaretoken=token)
    assert Participant.objects.count() == 2
    first.refresh_from_db()
    assert first.trials.exists()
