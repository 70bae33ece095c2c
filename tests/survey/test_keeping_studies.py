"""Studies duplicated, archived, and deleted with their answers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from analysis.models import Bundle
from nstlab.models import Entry
from survey.models import Participant, Question, Rating, Stimulus, Study, Translation
from survey.presets import DEMO_WORDS
from survey.refusals import CannotDelete
from survey.simulation import simulate
from survey.studies.lifecycle import delete_with_answers, open_study
from survey.studies.versions import duplicate

pytestmark = pytest.mark.django_db

CHANGELIST = "/admin/survey/study/"


def page(study: Study, name: str) -> str:
    return f"{CHANGELIST}{study.pk}/{name}/"


# Duplicates -------------------------------------------------------------------------


def test_a_duplicate_asks_and_shows_the_same_at_an_address_of_its_own(
    study: Study, logged_in: Any, django_user_model: Any
) -> None:
    simulate(study, participants=2, seed=1)
    Question.objects.create(study=study, name="style", text="How well?")
    Translation.objects.create(study=study, language="de", title="Bilder")
    Study.objects.filter(pk=study.pk).update(
        completion_code="C1", closes_at=timezone.now() + timedelta(1),
        delete_on=timezone.now().date(), break_every=7, withdrawn_count=3,
    )  # fmt: skip
    study.refresh_from_db()
    logged_in.post(page(study, "duplicate"))
    twin = Study.objects.latest("pk")

    assert twin.pk != study.pk and twin.slug != study.slug and twin.version == 1
    assert twin.state == "draft" and twin.title == f"{study.title} (copy)"
    assert twin.owner == django_user_model.objects.get(username="ada")
    assert (twin.method, twin.break_every, twin.consent) == (
        study.method, 7, study.consent,
    )  # fmt: skip
    assert twin.controller == study.controller
    # What is of one study only.
    assert not (twin.completion_code or twin.ethics_reference)
    assert (twin.closes_at, twin.delete_on, twin.opened_at) == (None,) * 3
    assert twin.withdrawn_count == 0 and not twin.participants.exists()
    assert [it.text for it in twin.further_questions.all()] == ["How well?"]
    assert [it.title for it in twin.translations.all()] == ["Bilder"]

    own, others = twin.stimuli.order_by("pk"), study.stimuli.order_by("pk")
    assert {*own.values_list("picture")} == {*others.values_list("picture")}
    assert {*own.values_list("code")}.isdisjoint(others.values_list("code"))
    assert all(it.reference is None or it.reference.study == twin for it in own)
    # Nobody's answers in the one are the other's.
    Study.objects.filter(pk=twin.pk).update(ethics_reference="2")
    twin.refresh_from_db()
    open_study(twin)
    simulate(twin, participants=1, seed=2)
    assert Participant.objects.filter(study=study).count() == 2


def test_a_picture_stays_as_long_as_one_of_the_twins_shows_it(
    study: Study, django_capture_on_commit_callbacks: Any
) -> None:
    twin = duplicate(study, study.owner)
    names = [*twin.stimuli.values_list("picture", flat=True)]
    Study.objects.filter(pk=study.pk).update(state="closed")
    with django_capture_on_commit_callbacks(execute=True):
        delete_with_answers(study, study.title)
    assert all(default_storage.exists(name) for name in names)
    with django_capture_on_commit_callbacks(execute=True):
        delete_with_answers(twin, twin.title)
    assert names and not any(default_storage.exists(name) for name in names)


def test_the_demo_s_words_stay_with_the_demo_and_long_titles_fit(study: Study) -> None:
    Study.objects.filter(pk=study.pk).update(title="x" * 120, **DEMO_WORDS)
    study.refresh_from_db()
    twin = duplicate(study, study.owner)
    assert not (twin.controller or twin.contact or twin.ethics_reference)
    assert len(twin.title) == 120 and twin.title.endswith(" (copy)")


def test_an_experiment_that_one_may_not_see_stays_with_its_owner(
    study: Study, make_account: Any
) -> None:
    study.shared_with.add(colleague := make_account("grace", "Researcher"))
    twin = duplicate(study, colleague)
    assert twin.experiment is None and twin.stimuli.count() == study.stimuli.count()
    assert duplicate(study, study.owner).experiment == study.experiment


# The archive ------------------------------------------------------------------------


def test_an_archived_study_is_out_of_the_list_and_comes_back(
    study: Study, logged_in: Any
) -> None:
    logged_in.post(page(study, "archive"), {"archived": "1"})  # it is open
    study.refresh_from_db()
    assert study.archived_at is None
    study.close()
    for _ in range(2):  # a double click
        logged_in.post(page(study, "archive"), {"archived": "1"})
    study.refresh_from_db()
    assert study.archived_at is not None

    def listed(query: str = "") -> bool:
        content = logged_in.get(CHANGELIST + query).content.decode()
        return f"/admin/survey/study/{study.pk}/change/" in content

    assert not listed() and listed("?archived=yes") and listed("?archived=all")
    assert "archived" in logged_in.get(page(study, "change")).content.decode()
    logged_in.post(page(study, "archive"), {"archived": "0"})
    assert listed() and not listed("?archived=yes")


def test_what_opens_again_is_archived_no_longer(study: Study) -> None:
    study.close()
    assert study.archive() and not study.archive()
    assert study.open()
    study.refresh_from_db()
    assert study.archived_at is None and not study.archive()


# Deletion ---------------------------------------------------------------------------


def test_it_goes_with_its_answers_once_the_title_is_typed(
    study: Study, logged_in: Any, django_capture_on_commit_callbacks: Any
) -> None:
    simulate(study, participants=2, seed=1)
    ratings = Rating.objects.count()
    bundle = Bundle.objects.create(study=study)
    bundle.file.save("x", ContentFile(b"zip"))
    study.close()
    address = page(study, "delete-with-answers")
    assert "Simulated people" in logged_in.get(address).content.decode()

    wrong = logged_in.post(address, {"title": study.title[:-1]}, follow=True)
    assert "Type the title as it is" in wrong.content.decode()
    assert Rating.objects.count() == ratings > 0
    assert Study.objects.filter(pk=study.pk).exists()

    with django_capture_on_commit_callbacks(execute=True):
        logged_in.post(address, {"title": f"  {study.title} "})
    assert not Study.objects.exists() and not Participant.objects.exists()
    assert not Stimulus.objects.exists() and not Rating.objects.exists()
    assert not default_storage.exists(bundle.file.name)
    [entry] = LogEntry.objects.filter(action_flag=DELETION)
    assert f"2 simulated people, {ratings} ratings" in entry.change_message
    assert Entry.objects.filter(pk=entry.pk).exists()


@pytest.mark.parametrize("state", ["open", "piloting"])
def test_nothing_goes_while_people_may_answer(study: Study, state: str) -> None:
    Study.objects.filter(pk=study.pk).update(state=state)
    with pytest.raises(CannotDelete, match="close it first"):
        delete_with_answers(study, study.title)
    assert Study.objects.filter(pk=study.pk).exists()


def test_the_lists_own_deletion_says_why_a_study_stays(
    study: Study, logged_in: Any
) -> None:
    simulate(study, participants=1, seed=1)
    sent = {"action": "delete_selected", "_selected_action": [study.pk]}
    content = logged_in.post(CHANGELIST, sent).content.decode()
    assert "which 1 person took part in" in content
    assert "permission" not in content
    logged_in.post(CHANGELIST, sent | {"post": "yes"})
    assert Study.objects.filter(pk=study.pk).exists()
    response = logged_in.get(page(study, "delete"))
    assert response.status_code == 302
    assert response["Location"].endswith("delete-with-answers/")


def test_only_its_owner_deletes_it(
    study: Study, client: Any, make_account: Any
) -> None:
    colleague = make_account("grace", "Researcher")
    study.shared_with.add(colleague)
    study.close()
    client.force_login(colleague)
    address = page(study, "delete-with-answers")
    assert client.get(address).status_code == 403
    assert client.post(address, {"title": study.title}).status_code == 403
    assert Study.objects.filter(pk=study.pk).exists()
