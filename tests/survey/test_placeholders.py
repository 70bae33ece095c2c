"""Words that stand for words still to be written keep a study from opening."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from survey.models import FormItem, Question, Study, Translation
from survey.presets import DEMO_WORDS
from survey.refusals import CannotOpen
from survey.studies.lifecycle import open_study
from survey.studies.placeholders import placeholders
from survey.studies.preflight import remarks

pytestmark = pytest.mark.django_db

WORDS = [
    ("welcome", "TODO: say what it is about", "TODO"),
    ("consent", "Approved by ____________.", "____________"),
    ("consent", "I agree that [name of the university] keeps it", None),
    ("contact", "ada@example.org", None),
    ("contact", "<your e-mail>", "<your e-mail>"),
    ("controller", "Prof. XXX", "XXX"),
    ("thanks", "Lorem ipsum dolor sit amet", None),
    ("title", "Study for {{ audience }}", "{{ audience }}"),
    ("completion_url", "https://app.platform.test/complete?cc=XXXXXXX", "XXXXXXX"),
    ("completion_url", "https://x.test/credit?survey_code=%SURVEY_CODE%", None),
    ("completion_code", "<code>", None),
    ("screenout_url", "https://x.test/?id=${workerId}", None),
]


@pytest.mark.parametrize(("field", "text", "words"), WORDS)
def test_they_are_found_and_stop_the_study(
    study: Study, field: str, text: str, words: str | None
) -> None:
    Study.objects.filter(pk=study.pk).update(**{field: text}, state="draft")
    study.refresh_from_db()
    [(name, _where, found)] = placeholders(study)
    assert name == field and found in text
    assert words is None or found == words
    stopping = [it for it in remarks(study) if it.stops and found in it.text]
    assert len(stopping) == 1 and (stopping[0].step or stopping[0].address)
    with pytest.raises(CannotOpen, match="still to be written"):
        open_study(study)
    study.refresh_from_db()
    assert study.state == "draft"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("contact", "Ada Lovelace <ada@uni-name.test>, +44 20 1234"),
        ("consent", "My answers [ratings and times] are kept. My name is not asked."),
        ("welcome", "Look at <5 pictures; your name is > nothing we ask."),
        ("title", "Pictures of Xxxtreme exaMples"),
        ("ethics_reference", "IRB 2026-TBX_01 (see https://ethics.test/a%20b)"),
        ("completion_url", "https://app.platform.test/complete?cc=C1A2XX3B&n=a%20b%C3"),
        ("completion_code", "AXXX-77"),
    ],
)
def test_what_people_really_write_is_no_placeholder(
    study: Study, field: str, text: str
) -> None:
    Study.objects.filter(pk=study.pk).update(**{field: text})
    study.refresh_from_db()
    assert list(placeholders(study)) == []


def test_translations_forms_and_further_questions_are_read_too(study: Study) -> None:
    Translation.objects.create(study=study, language="de", consent="[Name] TODO")
    Question.objects.create(study=study, name="style", text="TBD")
    FormItem.objects.create(study=study, name="job", text="Your job?", options="a\nXXX")
    assert {where for _, where, _ in placeholders(study)} == {
        "Deutsch consent",
        "Question “style”",
        "The question “job” of a form",
    }


def test_a_study_that_people_have_read_is_not_kept_from_opening_again(
    study: Study,
) -> None:
    Study.objects.filter(pk=study.pk).update(state="closed", consent="____")
    study.refresh_from_db()
    open_study(study)
    assert study.state == "open"


def test_the_words_of_the_demo_are_not_proposed_to_anybody(logged_in: Any) -> None:
    owner = get_user_model().objects.get()
    older = {"controller": "The lab", "contact": "ada@lab.example"}
    Study.objects.create(title="Mine", owner=owner, **older)
    Study.objects.create(title="Demo", owner=owner, **DEMO_WORDS)
    Study.objects.create(
        title="Begun from it", owner=owner, contact=DEMO_WORDS["contact"]
    )
    logged_in.post("/admin/survey/study/wizard/", {"act": "own"})
    made = Study.objects.latest("pk")
    assert (made.controller, made.contact) == ("The lab", "ada@lab.example")
    assert not made.ethics_reference
