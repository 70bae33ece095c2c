"""The admin of studies, used as a Researcher."""

from __future__ import annotations

from typing import Any

import pytest

from survey.models import Participant, Study
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


def change(desk: Any, study: Study, **data: str) -> Any:
    address = f"/admin/survey/study/{study.pk}/change/"
    form = filled(desk.get(address))
    return desk.post(address, form | data, follow=True)


@pytest.fixture
def draft(experiment: Any) -> Study:
    put_on_wall(experiment)
    return Study.objects.create(title="Draft", experiment=experiment)


def test_it_says_what_is_missing_before_it_opens(desk: Any, draft: Study) -> None:
    page = change(desk, draft, _open="1").content.decode()
    assert "cannot open without" in page
    draft.refresh_from_db()
    assert draft.state == Study.State.DRAFT


def test_it_opens_and_shows_its_address(desk: Any, draft: Study) -> None:
    page = change(
        desk, draft, controller="x", contact="y", ethics_reference="z", _open="1"
    ).content.decode()
    assert "is open" in page
    assert draft.get_absolute_url() in page
    assert "QR code of http://testserver/s/" in page


def test_a_new_study_opens_in_one_step(desk: Any, draft: Study) -> None:
    form = filled(desk.get("/admin/survey/study/add/"))
    texts = {"controller": "x", "contact": "y", "ethics_reference": "z"}
    response = desk.post(
        "/admin/survey/study/add/",
        form
        | texts
        | {"title": "Second", "experiment": str(draft.experiment_id), "_open": "1"},
        follow=True,
    )
    assert "“Second” is open" in response.content.decode()
    assert Study.objects.get(title="Second").state == Study.State.OPEN


def test_the_texts_of_an_opened_study_are_frozen(desk: Any, study: Study) -> None:
    change(desk, study, question="Something else?")
    study.refresh_from_db()
    assert study.question != "Something else?"


def test_it_closes(desk: Any, study: Study) -> None:
    change(desk, study, _close="1")
    study.refresh_from_db()
    assert study.state == Study.State.CLOSED


def test_it_can_be_piloted(desk: Any, draft: Study) -> None:
    change(desk, draft, _pilot="1")
    draft.refresh_from_db()
    assert draft.state == Study.State.PILOTING


def test_a_study_with_participants_cannot_be_deleted(desk: Any, study: Study) -> None:
    Participant.objects.create(
        study=study, token_sha256="0", study_version=1, consent_sha256="0", seed=0
    )
    response = desk.post(
        f"/admin/survey/study/{study.pk}/delete/", {"post": "yes"}, follow=True
    )
    assert response.status_code == 403
    assert Study.objects.filter(pk=study.pk).exists()


def test_a_participants_token_is_not_on_any_page(desk: Any, study: Study) -> None:
    row = Participant.objects.create(
        study=study, token_sha256="f" * 64, study_version=1, consent_sha256="0", seed=0
    )
    page = desk.get(f"/admin/survey/participant/{row.pk}/change/").content.decode()
    assert "f" * 64 not in page
