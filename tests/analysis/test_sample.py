"""Who took part: the flow from consent to the tables, the paragraph, the CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
from typing import Any

import pytest

from analysis import exclusions
from analysis.reports import compute
from analysis.reports.contents import report_context
from analysis.reports.page_data import Kept
from analysis.sample import rows, sample
from survey.models import FormAnswer, FormItem, Participant, Rating, Recruit, Study
from survey.participant.leaving import purge, withdraw
from survey.simulation import simulate
from tests.analysis.test_exports import people_answer
from tests.analysis.test_report_parts import reported

pytestmark = pytest.mark.django_db


@pytest.fixture
def taken(study: Study, researcher: Any) -> Study:
    """Six real people: two finish, one stops, one never begins, one is excluded, one
    withdraws; a pilot and simulated ones, who are none of them."""
    people_answer(study, 2, 4)
    people_answer(study, 3, most_trials=1)
    people_answer(study, 3, most_trials=0)
    people_answer(study, 5, 5, 1)
    finished, *_, excluded, leaving, pilot = Participant.objects.order_by("pk")
    exclusions.exclude(excluded, reason="asleep", by=researcher)
    withdraw(leaving)
    Participant.objects.filter(pk=pilot.pk).update(pilot=True)
    simulate(study, participants=2, seed=1)
    FormItem.objects.create(study=study, name="age_band", text="Age?", options="a\nb")
    FormAnswer.objects.create(participant=finished, name="age_band", answer="18–29")
    FormAnswer.objects.create(participant=finished, name="comment", answer="Nice,\n=1")
    Study.objects.filter(pk=study.pk).update(ask_comment=True)
    Recruit.objects.create(
        participant=finished,
        platform="prolific",
        person="their-id",
        delete_on=dt.date.max,
    )
    begun = finished.started_at
    Participant.objects.filter(pk=finished.pk).update(
        finished_at=begun + dt.timedelta(minutes=7.5), device_class="phone"
    )
    study.refresh_from_db()
    return study


def test_the_flow_leads_from_consent_to_the_tables_and_loses_nobody(
    taken: Study,
) -> None:
    found = sample(taken)
    assert [(step.n, step.said) for step in found["steps"]] == [
        (6, "consented"), (5, "took part"), (4, "answered"), (3, "are in the tables")
    ]  # fmt: skip
    for step, after in zip(found["steps"], found["steps"][1:], strict=False):
        assert step.n - sum(n for _, n in step.gone) == after.n
    assert found["steps"][2].gone == (("asleep", 1),)
    assert found["partly"] == 1
    assert reported(taken).method["n_participants"] == 3
    left_out = Participant.objects.get(device_class="phone").code
    by_rule = sample(taken, screened_out={left_out, "somebody withdrawn since"})
    assert [step.n for step in by_rule["steps"]] == [6, 5, 4, 3, 2]
    # Who is in no table is in no group, duration or sentence about them either.
    assert sum(n for _, n in dict(by_rule["groups"])["device"]) == 2
    assert len(by_rule["durations"]) == len(found["durations"]) - 1
    assert sample(taken, include_simulated=True)["steps"][0].n == 8


def test_a_purge_leaves_the_number_that_consented(taken: Study) -> None:
    Study.objects.filter(pk=taken.pk).update(delete_on=dt.date(2026, 1, 1))
    assert purge(dt.date(2026, 1, 1)) == (0, 9)  # with the pilot and the simulated
    taken.refresh_from_db()
    assert (taken.purged_count, taken.withdrawn_count) == (5, 1)
    assert sample(taken)["steps"][0].n == 6


def test_the_paragraph_says_what_a_paper_must(taken: Study) -> None:
    day = f"{Participant.objects.order_by('pk')[0].started_at:%Y-%m-%d}"
    text = sample(taken)["paragraph"]
    assert text.startswith(f"6 people consented on {day}; 1 withdrew, ")
    assert "1 left before the first answer; 1 asleep." in text
    assert "The answers of 3 are analysed, 1 of whom did not finish." in text
    assert "Those who finished took " in text and " minutes in the median" in text
    assert "Age band: no answer 2, 18–29 1." in text
    assert "Source: link 2, Prolific 1." in text
    assert "their-id" not in text


def test_the_page_shows_it_and_the_csv_has_a_row_a_person(
    taken: Study, admin_client: Any, queues: None
) -> None:
    report = reported(taken)
    assert report_context(Kept(report), "sample", taken)["comments"] == 1
    base = f"/admin/analysis/report/study/{taken.pk}/"
    page = admin_client.get(f"{base}sample/").content.decode()
    assert "<strong>3</strong> are in the tables" in page and "1: asleep" in page
    answer = admin_client.get(f"{base}participants.csv")
    text = b"".join(answer.streaming_content).decode()
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == 5 + 1 + 2  # of the real ones not who withdrew
    first = table[0]
    assert first["source"] == "Prolific" and first["form_age_band"] == "18–29"
    assert first["form_comment"] == "Nice,\n=1"
    assert (first["minutes"], first["answered"]) == ("7.5", "3")
    assert [row["exclusion_reason"] for row in table if row["excluded"] == "true"] == [
        "asleep"
    ]
    assert "their-id" not in text and "token" not in text.splitlines()[0]
    assert {row["participant"] for row in table} == {
        person.code for person in Participant.objects.exclude(status="withdrawn")
    }


def test_what_is_shared_has_no_dates(taken: Study) -> None:
    alone = compute.compute(taken, include_simulated=False, resamples=20)["method"]
    day = f"{Participant.objects.order_by('pk')[0].started_at:%Y-%m-%d}"
    assert alone["answered"] == [day, day]
    shared = compute.compute(
        taken, include_simulated=False, shared=True, resamples=20
    )["method"]  # fmt: skip
    assert shared["answered"] == []


def test_nobody_makes_a_sample_too(study: Study) -> None:
    found = sample(study)
    assert [step.n for step in found["steps"]] == [0, 0, 0, 0]
    assert found["paragraph"] == "0 people consented. The answers of 0 are analysed."
    assert list(rows(study)[1]) == []


def test_queries_do_not_grow_with_the_people(
    study: Study, django_assert_max_num_queries: Any
) -> None:
    people_answer(study, 1, 2, 3, 4, 5)
    assert Rating.objects.count() == 15
    with django_assert_max_num_queries(12):
        sample(study)
    with django_assert_max_num_queries(8):
        list(rows(study)[1])
