"""The admin of studies, used as a Researcher."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from nstlab.roles import update_group
from survey.models import Participant, Recruit, Study
from survey.participant import joining
from survey.studies import copying, lifecycle, versions
from tests.conftest import put_on_wall

pytestmark = pytest.mark.django_db


def filled(response: Any) -> dict[str, str]:
    """The study form of a page as a browser would send it unchanged."""
    forms = [response.context["adminform"].form]
    for inline in response.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.initial_forms]
    data: dict[str, str] = {}
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                data[bound.html_name] = str(value)
    return data


def change(logged_in: Any, study: Study, **data: str) -> Any:
    address = f"/admin/survey/study/{study.pk}/change/"
    form = filled(logged_in.get(address))
    return logged_in.post(address, form | data, follow=True)


@pytest.fixture
def draft(experiment: Any) -> Study:
    put_on_wall(experiment)
    return Study.objects.create(
        title="Draft", experiment=experiment, owner=experiment.owner
    )


def test_it_says_what_is_missing_before_it_opens(logged_in: Any, draft: Study) -> None:
    page = change(logged_in, draft, _open="1").content.decode()
    assert "cannot open without" in page
    draft.refresh_from_db()
    assert draft.state == Study.State.DRAFT


def test_it_opens_and_shows_its_address(logged_in: Any, draft: Study) -> None:
    page = change(
        logged_in, draft, controller="x", contact="y", ethics_reference="z", _open="1"
    ).content.decode()
    assert "is open" in page
    assert draft.get_absolute_url() in page
    assert "QR code of http://testserver/s/" in page


def test_the_head_of_a_studys_page_names_each_way_once(
    logged_in: Any, draft: Study, study: Study
) -> None:
    for each, shown in ((draft, "Step by step"), (study, "People take part at")):
        page = logged_in.get(f"/admin/survey/study/{each.pk}/change/").content.decode()
        assert shown in page
        for link in ("Who sees it", "Pre-registration", "Report", "Monitor"):
            assert page.count(f">{link}</a>") == 1, link


def test_a_new_study_opens_in_one_step(logged_in: Any, draft: Study) -> None:
    form = filled(logged_in.get("/admin/survey/study/add/"))
    texts = {"controller": "x", "contact": "y", "ethics_reference": "z"}
    response = logged_in.post(
        "/admin/survey/study/add/",
        form
        | texts
        | {"title": "Second", "experiment": str(draft.experiment_id), "_open": "1"},
        follow=True,
    )
    assert "“Second” is open" in response.content.decode()
    assert Study.objects.get(title="Second").state == Study.State.OPEN


def test_the_texts_of_an_opened_study_are_frozen(logged_in: Any, study: Study) -> None:
    change(logged_in, study, question="Something else?")
    study.refresh_from_db()
    assert study.question != "Something else?"


def test_it_closes(logged_in: Any, study: Study) -> None:
    change(logged_in, study, _close="1")
    study.refresh_from_db()
    assert study.state == Study.State.CLOSED


def test_it_can_be_piloted(logged_in: Any, draft: Study) -> None:
    change(logged_in, draft, _pilot="1")
    draft.refresh_from_db()
    assert draft.state == Study.State.PILOTING


def test_a_study_with_participants_cannot_be_deleted(
    logged_in: Any, study: Study
) -> None:
    Participant.objects.create(
        study=study, token_sha256="0", study_version=1, consent_sha256="0", seed=0
    )
    response = logged_in.post(
        f"/admin/survey/study/{study.pk}/delete/", {"post": "yes"}, follow=True
    )
    assert response.request["PATH_INFO"].endswith("/delete-with-answers/")
    assert "close the study before" in response.content.decode()
    assert Study.objects.filter(pk=study.pk).exists()


def test_a_draft_goes_with_its_pictures_and_leaves_those_of_its_versions(
    logged_in: Any, draft: Study, django_capture_on_commit_callbacks: Any
) -> None:
    copying.copy_pictures(draft)
    own, shared = draft.stimuli.all()
    other = Study.objects.create(title="Other", owner=draft.owner)
    shared.pk, shared.study, shared.render = None, other, None
    shared.save()
    address = f"/admin/survey/study/{draft.pk}/delete/"
    assert own.code in logged_in.get(address).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        page = logged_in.post(address, {"post": "yes"}, follow=True).content.decode()
    assert "was deleted successfully" in page
    assert not Study.objects.filter(pk=draft.pk).exists()
    assert not own.picture.storage.exists(str(own.picture))
    assert shared.picture.storage.exists(str(shared.picture))


def test_drafts_are_deleted_from_the_list(logged_in: Any, draft: Study) -> None:
    copying.copy_pictures(draft)
    asked = {"action": "delete_selected", "_selected_action": [draft.pk], "post": "yes"}
    logged_in.post("/admin/survey/study/", asked)
    assert not Study.objects.exists()


def test_a_picture_is_compared_with_a_content_image_of_its_own_study(
    logged_in: Any, draft: Study
) -> None:
    twin = Study.objects.create(
        title="Twin", experiment=draft.experiment, owner=draft.owner
    )
    for study in (draft, twin):
        study.method = "dcr"
        study.save()
        copying.copy_pictures(study)
    shown = draft.stimuli.filter(is_reference=False).first()
    theirs = twin.stimuli.get(is_reference=True)
    assert shown is not None and shown.reference is not None
    address = f"/admin/survey/stimulus/{shown.pk}/change/"
    page = logged_in.get(address).content.decode()
    assert shown.reference.code in page and theirs.code not in page
    logged_in.post(address, {"rated": "on", "reference": theirs.pk})
    shown.refresh_from_db()
    assert shown.reference.study == draft


def test_a_participants_token_is_not_on_any_page(logged_in: Any, study: Study) -> None:
    row = Participant.objects.create(
        study=study, token_sha256="f" * 64, study_version=1, consent_sha256="0", seed=0
    )
    page = logged_in.get(f"/admin/survey/participant/{row.pk}/change/").content.decode()
    assert "f" * 64 not in page


def test_one_time_links_come_once_as_csv(logged_in: Any, study: Study) -> None:
    response = logged_in.post(
        f"/admin/survey/study/{study.pk}/invitations/", {"number": "3"}
    )
    lines = response.content.decode().splitlines()
    assert lines[0] == "link,code" and len(lines) == 4
    assert f"http://testserver/s/{study.slug}/#" in lines[1]
    page = logged_in.get(
        f"/admin/survey/study/{study.pk}/invitations/"
    ).content.decode()
    assert (
        "3 one-time links have been made" in page and lines[1].split("#")[1] not in page
    )


def test_the_poster_has_the_address_as_a_picture_and_as_text(
    logged_in: Any, study: Study
) -> None:
    page = logged_in.get(f"/admin/survey/study/{study.pk}/poster/").content.decode()
    assert f"http://testserver/s/{study.slug}/" in page and "data:image/svg" in page


def test_approvals_need_their_own_right(
    client: Any, logged_in: Any, study: Study
) -> None:
    Recruit.objects.create(
        participant=Participant.objects.create(
            study=study, token_sha256="0", study_version=1, consent_sha256="0", seed=0
        ),
        platform="prolific",
        person="=5f1",
        delete_on="2999-01-01",
    )
    address = f"/admin/survey/study/{study.pk}/approvals/"
    assert "prolific,'=5f1,,started,study" in logged_in.post(address).content.decode()
    Participant.objects.update(pilot=True)
    assert "prolific,'=5f1,,started,pilot" in logged_in.post(address).content.decode()
    group = logged_in.get("/admin/").wsgi_request.user.groups.get()
    group.permissions.remove(*group.permissions.filter(codename="export_recruit"))
    assert logged_in.get(address).status_code == 403
    assert logged_in.post(address).status_code == 403


def recruit(study: Study, person: str) -> None:
    participant, _token = joining.join(
        study, surroundings={}, recruit=("prolific", person, "t")
    )
    assert participant.study == study


def said_in_history(study: Study) -> list[str]:
    rows = LogEntry.objects.filter(object_id=str(study.pk)).order_by("pk")
    return [row.get_change_message() for row in rows]


def test_approvals_have_the_ids_of_the_versions_a_person_may_change(
    study: Study, make_account: Any
) -> None:
    recruit(study, "first-5f1")
    later = versions.new_version(study)
    lifecycle.open_study(later)
    recruit(later, "later-5f2")
    eve = make_account("eve", "Researcher")
    later.shared_with.add(eve)
    # Who sees everybody's studies gets no more ids than their own pages have.
    olga = make_account("olga", "Researcher")
    olga.groups.add(update_group("Observer"))
    later.shared_with.add(olga)
    for user in (eve, olga):
        client = Client()
        client.force_login(user)
        assert client.post(
            f"/admin/survey/study/{study.pk}/approvals/"
        ).status_code in {
            403,
            404,
        }
        address = f"/admin/survey/study/{later.pk}/approvals/"
        page = client.get(address).content.decode()
        assert "sent 1 person" in page and "1 more version at this address" in page
        assert "5f2" not in page
        lines = client.post(address).content.decode().splitlines()
        assert lines[1:] == ["prolific,later-5f2,t,started,study"]
    owner = Client()
    owner.force_login(study.owner)
    lines = owner.post(address).content.decode().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["first-5f1", "later-5f2"]


def test_a_look_at_approvals_writes_no_history_and_a_download_does(
    logged_in: Any, study: Study
) -> None:
    recruit(study, "5f1")
    later = versions.new_version(study)
    address = f"/admin/survey/study/{later.pk}/approvals/"
    logged_in.get(address)
    assert not LogEntry.objects.exists()
    logged_in.post(address)
    # The history of those whose ids they are, not of the page it was asked from.
    assert said_in_history(study) == ["Platform ids exported for approval."]
    assert said_in_history(later) == []


def test_a_new_version_and_the_preset_form_are_one_click(
    logged_in: Any, study: Study
) -> None:
    page = logged_in.post(f"/admin/survey/study/{study.pk}/version/", follow=True)
    assert "This is version 2" in page.content.decode()
    draft = Study.objects.get(version=2)
    logged_in.post(f"/admin/survey/study/{draft.pk}/form-preset/")
    logged_in.post(f"/admin/survey/study/{draft.pk}/form-preset/")
    assert draft.form_items.count() == 6
    logged_in.post(f"/admin/survey/study/{study.pk}/form-preset/")
    assert study.form_items.count() == 0


@pytest.mark.parametrize(
    "page", ["version", "invitations", "poster", "approvals", "upload", "form-preset"]
)
def test_a_stranger_gets_none_of_a_studys_pages(
    client: Any, stranger: Any, study: Study, page: str
) -> None:
    client.force_login(stranger)
    address = f"/admin/survey/study/{study.pk}/{page}/"
    assert client.get(address).status_code in {403, 404}
    assert client.post(address, {"number": "1"}).status_code in {403, 404}
    assert not study.invitations.exists() and Study.objects.count() == 1


def test_a_picture_is_marked_for_practice_until_its_study_opens(
    logged_in: Any, draft: Study
) -> None:
    change(logged_in, draft, _take_in="1")
    [stimulus] = draft.stimuli.all()[:1]
    address = f"/admin/survey/stimulus/?study__id__exact={draft.pk}"
    formset = logged_in.get(address).context["cl"].formset
    data = {"form-TOTAL_FORMS": str(len(formset.forms)), "_save": "1",
            "form-INITIAL_FORMS": str(len(formset.forms))}  # fmt: skip
    for form in formset.forms:
        data |= {b.html_name: str(b.value()) for b in form if b.value() is not None}
        if form.instance == stimulus:
            data[form["training_order"].html_name] = "1"
    logged_in.post(address, data)
    stimulus.refresh_from_db()
    assert stimulus.training_order == 1
    # Sent again after it has opened, by a page that was left open.
    data = {
        name: "2" if name.endswith("training_order") else value
        for name, value in data.items()
    }
    draft.state = Study.State.OPEN
    draft.save()
    logged_in.post(address, data)
    stimulus.refresh_from_db()
    assert stimulus.training_order == 1


def test_of_an_open_study_the_list_of_pictures_is_text(
    logged_in: Any, draft: Study, study: Study
) -> None:
    copying.copy_pictures(draft)
    page = "/admin/survey/stimulus/"

    def inputs(query: str) -> list[str]:
        text = logged_in.get(page + query).content.decode()
        return re.findall(r'<input[^>]*name="form-\d+-rated"[^>]*>', text)

    assert len(inputs("")) == 2, "the draft's, not those of the open study"
    drafts = inputs(f"?study__id__exact={draft.pk}")
    assert len(drafts) == 2
    code = draft.stimuli.all()[0].code
    assert any(f'aria-label="Rated: {code}"' in it for it in drafts)
    frozen = f"?study__id__exact={study.pk}"
    assert inputs(frozen) == []
    assert b'name="_save"' not in logged_in.get(page + frozen).content
    [shown, *_] = study.stimuli.all()
    sent = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 1, "form-0-id": shown.pk,
            "form-0-training_order": 1, "_save": "Save"}  # fmt: skip
    logged_in.post(page + frozen, sent)
    shown.refresh_from_db()
    assert shown.training_order is None


def test_a_studys_page_offers_what_can_be_done(
    logged_in: Any, study: Study, client: Any, make_account: Any
) -> None:
    page = f"/admin/survey/study/{study.pk}/change/"
    text = logged_in.get(page).content.decode()
    assert "Back to draft" in text and "One-time links" in text
    # It is frozen: nothing can be added, and nothing is said of how to choose.
    assert "urther questions" not in text
    assert "Empty for a study of pictures of your own" not in text
    Participant.objects.create(
        study=study, token_sha256="0", study_version=1, consent_sha256="0", seed=0
    )
    assert "Back to draft" not in logged_in.get(page).content.decode()
    Participant.objects.update(simulated=True)
    assert "Back to draft" in logged_in.get(page).content.decode()
    client.force_login(make_account("olga", "Observer"))
    assert "One-time links" not in client.get(page).content.decode()


def test_a_participants_page_says_in_words_whether_they_count(
    logged_in: Any, study: Study
) -> None:
    person = Participant.objects.create(
        study=study, token_sha256="0", study_version=1, consent_sha256="0", seed=0
    )
    page = f"/admin/survey/participant/{person.pk}/change/"

    def text() -> str:
        return str(logged_in.get(page).content.decode())

    assert "icon-no" not in text() and "orm answers" not in text()
    link = f"/admin/analysis/report/study/{study.pk}/participants/{person.code}/"
    assert f'href="{link}">Exclude or count again</a>' in text()
    Participant.objects.update(simulated=True, excluded=True)
    assert "no: simulated, excluded" in text()


def test_a_draft_cannot_be_closed_and_is_told_so(logged_in: Any, draft: Study) -> None:
    asked = {"action": "close", "_selected_action": [draft.pk]}
    page = logged_in.post("/admin/survey/study/", asked, follow=True).content.decode()
    assert "“Draft” is a draft: nothing is to be closed." in page


def test_a_form_that_changes_nothing_leaves_no_entry(
    logged_in: Any, draft: Study
) -> None:
    change(logged_in, draft)
    assert not LogEntry.objects.exists()
    change(logged_in, draft, title="Other")
    assert LogEntry.objects.count() == 1
    assert "1 entry" in logged_in.get("/admin/nstlab/entry/").content.decode()
