"""Whom a recruiting platform's link names, and whom it does not."""

from __future__ import annotations

from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from survey.models import Participant, Recruit, Study
from survey.studies import preflight
from survey.studies.versions import new_version
from tests.survey.test_coming_and_leaving import answer_all, join, text_of

pytestmark = pytest.mark.django_db

PLACEHOLDERS = [
    ("PROLIFIC_PID", "{{%PROLIFIC_PID%}}"),
    ("PROLIFIC_PID", "%7B%7B%25PROLIFIC_PID%25%7D%7D"),
    ("PROLIFIC_PID", "${e://Field/PROLIFIC_PID}"),
    ("PROLIFIC_PID", "<PROLIFIC_PID>"),
    ("PROLIFIC_PID", "[your id]"),
    ("PROLIFIC_PID", "PROLIFIC_PID"),
    ("workerId", "${workerId}"),
    ("workerId", " worker_id "),
]


@pytest.mark.parametrize(("name", "placeholder"), PLACEHOLDERS)
def test_a_link_that_was_never_filled_in_names_nobody(
    study: Study, name: str, placeholder: str
) -> None:
    first, one = join(study, **{name: placeholder})
    answer_all(first, one)
    second, other = join(study, **{name: placeholder})
    assert other.pk != one.pk and not Recruit.objects.exists()
    second.post(f"/s/{study.slug}/withdraw/", {"code": ""})
    one.refresh_from_db()
    assert (one.status, one.trials.filter(answered_at=None).count()) == ("finished", 0)


def test_what_a_browser_makes_of_such_a_link_names_nobody_either(study: Study) -> None:
    """As Chromium sends it: braces are escaped, the per cent signs are not."""
    client = Client()
    link = f"{study.get_absolute_url()}?PROLIFIC_PID=%7B%7B%PROLIFIC_PID%%7D%7D"
    page = unescape(client.get(link).content.decode())
    assert 'name="PROLIFIC_PID" value="{{%PROLIFIC_PID%}}"' in page
    join(study, PROLIFIC_PID="{{%PROLIFIC_PID%}}")
    assert Participant.objects.get().unfilled_link


def test_a_filled_link_keeps_its_id_where_only_the_session_is_not(
    study: Study,
) -> None:
    join(study, PROLIFIC_PID="5f1c", SESSION_ID="{{%SESSION_ID%}}")
    recruit = Recruit.objects.get()
    assert (recruit.person, recruit.session) == ("5f1c", "")
    assert not Participant.objects.get().unfilled_link


def test_whom_an_unfilled_link_brought_is_still_sent_back_to_the_platform(
    make_study: Any,
) -> None:
    study = make_study(screenout_code="OUT-1")
    study.close()
    link = f"{study.get_absolute_url()}?workerId={quote('${workerId}')}"
    assert "OUT-1" in text_of(Client().get(link))


def test_the_researcher_hears_of_it_before_the_next_opening(study: Study) -> None:
    Study.objects.filter(pk=study.pk).update(state=Study.State.PILOTING)
    said = "was never filled in"
    assert not any(said in it.text for it in preflight.remarks(study))
    join(study, workerId="<workerId>")
    [remark] = [it for it in preflight.remarks(study) if said in it.text]
    assert remark.text.startswith("1 person came by") and not remark.stops
    Study.objects.filter(pk=study.pk).update(state=Study.State.CLOSED)
    later = new_version(study)
    assert any(said in it.text for it in preflight.remarks(later))
