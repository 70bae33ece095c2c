from __future__ import annotations

import csv
import datetime as dt
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_rq import get_worker
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from analysis import exclusions
from analysis.bundle.write import write_bundle
from analysis.charts import registry
from analysis.charts.subject import Subject
from analysis.columns import RATINGS_LONG
from analysis.frames import ratings_long_sha256
from analysis.models import KEPT, Report
from analysis.reports import compute, snapshot
from analysis.reports.method_text import method_sentences
from analysis.reports.request import (
    again,
    answers_since,
    carry,
    request_bundle,
    request_report,
)
from analysis.reports.tasks import compute_report
from analysis.stats.codebook import codebook
from analysis.workers import ReportWorker
from survey.models import Participant, Rating, Study
from survey.participant.leaving import withdraw
from survey.simulation import simulate
from survey.studies.lifecycle import open_study
from tests.analysis.test_exports import people_answer
from tests.conftest import put_on_wall
from tests.survey.test_racing import race

pytestmark = [pytest.mark.broker, pytest.mark.django_db]


def work_off(queue: str) -> None:
    """Run what is queued, here: a fork would take the test's connection along."""
    worker = get_worker(
        queue, worker_class=SimpleWorker, serializer="rq.serializers.JSONSerializer"
    )
    worker.work(burst=True)


def files_of(study: Study, **options: Any) -> dict[str, str]:
    _, report = compute.build(study, **{"include_simulated": False} | options)
    files = compute.report_files(report)
    return {name: data.decode() for name, data in files.items()}


def table(study: Study, name: str = "mos_by_stimulus.csv", **options: Any) -> Any:
    return list(csv.DictReader(io.StringIO(files_of(study, **options)[name])))


def test_the_interval_is_students(study: Study) -> None:
    """Mean 3, SD 1 of 2, 3, 4; on 2 degrees of freedom t has a closed form."""
    people_answer(study, 2, 3, 4)
    for row in table(study):
        assert row["n"] == "3"
        assert float(row["mos"]) == 3
        assert float(row["sd"]) == 1
        half = 0.95 / (2 * 0.975 * 0.025) ** 0.5 / 3**0.5
        assert float(row["ci_low"]) == pytest.approx(3 - half, rel=1e-12)
        assert float(row["ci_high"]) == pytest.approx(3 + half, rel=1e-12)
        assert [row[f"n_{value}"] for value in (1, 2, 3, 4, 5)] == list("01110")


def test_one_rating_has_a_mos_and_an_empty_interval_with_a_reason(
    study: Study,
) -> None:
    people_answer(study, 5)
    for row in table(study):
        assert float(row["mos"]) == 5
        assert row["sd"] == row["ci_low"] == row["ci_high"] == ""
        assert "n_too_small" in row["flags"]


def test_a_unanimous_picture_has_sd_0_and_an_empty_interval(study: Study) -> None:
    people_answer(study, 4, 4, 4)
    for row in table(study):
        assert float(row["sd"]) == 0
        assert row["ci_low"] == ""
        assert "zero_variance" in row["flags"]


def test_sampling_by_precision_is_named_wherever_the_intervals_are(
    make_study: Any, tmp_path: Path
) -> None:
    """With the target and the first look, as docs/explanation/method.md promises."""
    study = make_study(pictures=2, target_half_width=0.35)
    people_answer(study, 2, 4)
    computed = compute.compute(study, include_simulated=False)
    [sentence] = [
        it for it in method_sentences(computed["method"]) if "precision" in it
    ]
    assert "± 0.35" in sentence and "from 15 ratings" in sentence
    assert "slightly too narrow at the ends of the scale" in sentence
    assert json.loads(computed["files"]["analysis.json"])["sampling"] == sentence
    with (tmp_path / "a.zip").open("wb") as file:
        write_bundle(study, file, include_simulated=False, all_pictures=True)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert sentence in archive.read("README.md").decode()


def test_a_study_without_a_target_says_nothing_of_precision(study: Study) -> None:
    people_answer(study, 2, 4)
    computed = compute.compute(study, include_simulated=False)
    assert "precision" not in " ".join(method_sentences(computed["method"]))
    assert "sampling" not in json.loads(computed["files"]["analysis.json"])


def test_what_was_planned_and_not_answered_is_counted(study: Study) -> None:
    people_answer(study, 2, 4)
    people_answer(study, 3, most_trials=0)
    assert [row["n_missing"] for row in table(study)] == ["1", "1", "1"]


def test_simulated_pilot_and_excluded_people_do_not_count(study: Study) -> None:
    people_answer(study, 1, 2, 5)
    simulate(study, participants=4, seed=1)
    pilot, excluded, _ = Participant.objects.filter(simulated=False)
    Participant.objects.filter(pk=pilot.pk).update(pilot=True)
    Participant.objects.filter(pk=excluded.pk).update(excluded=True)
    assert [float(row["mos"]) for row in table(study)] == [5, 5, 5]
    assert {row["n"] for row in table(study, include_simulated=True)} == {"5"}


def test_the_table_stands_in_the_studys_order(study: Study) -> None:
    people_answer(study, 3)
    codes = list(study.stimuli.values_list("code", flat=True))
    assert [row["stimulus"] for row in table(study)] == codes


def test_nobody_has_rated_yet(study: Study) -> None:
    assert table(study) == []


def test_it_is_computed_once_for_the_same_data(
    study: Study, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    people_answer(study, 2, 4)
    with django_capture_on_commit_callbacks(execute=True):
        report = request_report(study)
    assert django_rq.get_queue("report").job_ids == [report.job_id]
    assert request_report(study).pk == report.pk
    work_off("report")
    report.refresh_from_db()
    assert (report.state, report.method["n_ratings"]) == ("done", 6)
    people_answer(study, 5)
    with django_capture_on_commit_callbacks(execute=True):
        assert request_report(study).pk != report.pk


def test_it_says_which_data_it_read_not_for_which_it_was_asked(
    study: Study, researcher: Any, queues: None
) -> None:
    people_answer(study, 1, 5, 5)
    report = request_report(study)
    asked_for = report.fingerprint
    person = Participant.objects.order_by("pk")[0]
    exclusions.exclude(person, reason="odd", by=researcher)
    compute_report(report.pk)
    report.refresh_from_db()
    assert report.method["n_participants"] == 2
    assert report.fingerprint == snapshot.fingerprint(study) != asked_for
    person.refresh_from_db()
    exclusions.lift(person, by=researcher)
    present = request_report(study)
    assert (present.state, present.fingerprint) == ("queued", asked_for)


@pytest.mark.django_db(transaction=True)
def test_who_answers_meanwhile_is_in_all_of_it_or_in_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch, queues: None
) -> None:
    """And need not wait until it is computed."""
    people_answer(study, 1, 5)
    report = request_report(study)
    before = (snapshot.fingerprint(study), ratings_long_sha256(study))
    draw_all = registry.draw_all

    def draw_all_slowly(subject: Subject) -> Any:
        assert race(lambda: people_answer(study, 5)) == [None]
        return draw_all(subject)

    monkeypatch.setattr(registry, "draw_all", draw_all_slowly)
    compute_report(report.pk)
    report.refresh_from_db()
    assert (report.fingerprint, report.ratings_long_sha256) == before
    assert report.method["n_participants"] == 2
    text = report.text("mos_by_stimulus.csv")
    assert {row["n"] for row in csv.DictReader(io.StringIO(text))} == {"2"}
    assert Participant.objects.count() == 3
    assert snapshot.fingerprint(study) != report.fingerprint
    assert answers_since(report) == 3


def test_of_two_on_the_same_data_the_one_that_people_have_seen_stays(
    study: Study, researcher: Any, logged_in: Any, queues: None
) -> None:
    people_answer(study, 1, 5)
    seen = request_report(study)
    compute_report(seen.pk)
    person = Participant.objects.order_by("pk")[0]
    exclusions.exclude(person, reason="odd", by=researcher)
    other = request_report(study)
    assert other.pk != seen.pk
    person.refresh_from_db()
    exclusions.lift(person, by=researcher)
    assert compute_report(other.pk) == "not kept"
    assert Report.objects.get() == seen
    answer = logged_in.get(
        f"/admin/analysis/report/study/{study.pk}/awaited/{other.pk}/"
    )
    assert answer["HX-Refresh"] == "true"


def test_a_page_that_waits_asks_for_nothing_new(
    study: Study, logged_in: Any, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    """However many people answer meanwhile; and it shows the last report."""
    page = f"/admin/analysis/report/study/{study.pk}/"
    people_answer(study, 2)
    with django_capture_on_commit_callbacks(execute=True):
        logged_in.get(page)
    asked = Report.objects.get()
    for rating in (3, 4):
        people_answer(study, rating)
        with django_capture_on_commit_callbacks(execute=True):
            logged_in.get(page)
            waits = logged_in.get(f"{page}awaited/{asked.pk}/")
        assert b"Being computed" in waits.content
    assert Report.objects.get() == asked
    assert django_rq.get_queue("report").job_ids == [asked.job_id]
    assert LogEntry.objects.get().get_change_message().startswith("A report")

    work_off("report")
    people_answer(study, 5)
    done = logged_in.get(f"{page}awaited/{asked.pk}/")
    assert done["HX-Retarget"] == "#report"
    assert "3 answers came since" in done.content.decode()
    assert f'<a href="{page}">View current report</a>' in done.content.decode()
    assert Report.objects.get() == asked and LogEntry.objects.count() == 1

    text = logged_in.get(page).content.decode()
    newer = Report.objects.latest("pk")
    assert newer.state == "queued" and LogEntry.objects.count() == 2
    assert "Being computed" in text and f"awaited/{newer.pk}/" in text
    assert "3 answers came since" in text and "View current report" not in text
    assert "9 ratings of 3 stimuli by 3 participants" in text
    text = logged_in.get(f"{page}files/").content.decode()
    assert f"/file/{asked.pk}/mos_by_stimulus.csv" in text


def test_below_a_failure_stands_the_last_report(
    study: Study, logged_in: Any, queues: None
) -> None:
    people_answer(study, 2, 4)
    done = request_report(study)
    compute_report(done.pk)
    people_answer(study, 5)
    request_report(study).fail("Out of ink.", "")
    page = f"/admin/analysis/report/study/{study.pk}/files/"
    text = logged_in.get(page).content.decode()
    assert "Out of ink." in text and "Compute again" in text
    assert f"/file/{done.pk}/mos_by_stimulus.csv" in text


def test_failures_make_room_and_push_no_report_out(study: Study) -> None:
    done = Report.objects.create(study=study, fingerprint="done")
    assert done.finish(**compute.compute(study, include_simulated=False))
    for number in range(KEPT + 2):
        failing = Report.objects.create(study=study, fingerprint=f"{number}")
        assert failing.fail("Out of ink.", "")
    failed = Report.objects.filter(state="failed")
    assert {int(it.fingerprint) for it in failed} == set(range(2, KEPT + 2))
    assert Report.objects.filter(pk=done.pk).exists()


def test_a_report_under_way_says_how_long_the_last_one_took(
    study: Study, queues: None, admin_client: Any
) -> None:
    address = f"/admin/analysis/report/study/{study.pk}/"
    people_answer(study, 2)
    first = admin_client.get(address).content.decode()
    assert "Being computed since" in first and "the last one" not in first
    asked = timezone.now() - dt.timedelta(seconds=42)
    Report.objects.update(
        state=Report.State.DONE, created_at=asked, finished_at=timezone.now()
    )
    people_answer(study, 4)
    assert "the last one took 42 s" in admin_client.get(address).content.decode()


def test_an_exclusion_asks_for_a_new_report(study: Study) -> None:
    people_answer(study, 2)
    before = snapshot.fingerprint(study)
    Participant.objects.update(excluded=True, exclusion_reason="test run")
    assert snapshot.fingerprint(study) != before


def test_a_report_whose_job_got_lost_is_queued_again(
    study: Study, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        report = request_report(study)
    django_rq.get_connection("report").flushdb()
    with django_capture_on_commit_callbacks(execute=True):
        again = request_report(study)
    assert (again.pk, again.attempt) == (report.pk, 2)
    assert django_rq.get_queue("report").job_ids == [again.job_id]


@pytest.mark.django_db(transaction=True)
def test_what_killed_its_worker_ends_and_is_not_queued_again_by_who_looks(
    study: Study, queues: None
) -> None:
    queue = django_rq.get_queue("report")
    worker = ReportWorker(
        [queue], connection=queue.connection, serializer=JSONSerializer
    )
    report, bundle = request_report(study), request_bundle(study, by=None)
    first = queue.fetch_job(report.job_id)
    for row in (report, bundle):
        job = queue.fetch_job(row.job_id)
        queue.remove(job)
        worker.handle_work_horse_killed(job, 1, 9, None)
        row.refresh_from_db()
        assert row.state == "failed"
        assert "was killed, perhaps because memory ran out" in row.reason
        carry(row)
    assert request_report(study).state == "failed"
    assert queue.job_ids == []
    assert again(report)
    worker.handle_work_horse_killed(first, 1, 9, None)
    report.refresh_from_db()
    assert report.state == "queued", "another attempt is under way"


def test_a_crash_is_kept_with_its_traceback(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(compute, "compute", broken)
    report = Report.objects.create(study=study, fingerprint="x")
    with pytest.raises(ZeroDivisionError):
        compute_report(report.pk)
    report.refresh_from_db()
    assert report.state == "failed"
    assert "of all things" in report.reason
    assert "Traceback" in report.traceback


def test_the_page_and_its_files_are_for_those_with_the_right(
    client: Any, study: Study, logged_in: Any, stranger: Any, queues: None
) -> None:
    people_answer(study, 2, 4)
    computed = compute.compute(study, include_simulated=False)
    report = Report.objects.create(study=study, fingerprint="x")
    assert report.finish(**computed)
    base = f"/admin/analysis/report/study/{study.pk}/"
    page = logged_in.get(base).content.decode()
    assert "3.00" in page and "6 ratings of 3 stimuli by 2 participants" in page
    assert "random features" in page
    assert "Student t" in logged_in.get(f"{base}checks/").content.decode()
    page = logged_in.get(f"{base}files/").content.decode()
    ratings = logged_in.get(f"{base}ratings_long.csv")
    assert b"".join(ratings.streaming_content).startswith(b"study,study_version,")
    kept = f"/admin/analysis/report/file/{report.pk}/mos_by_stimulus.csv"
    assert f'href="{kept}" download>mos_by_stimulus.csv' in page
    for address in (f"{base}mos_by_stimulus.csv", kept):
        mos = logged_in.get(address).content
        assert mos == computed["files"]["mos_by_stimulus.csv"]
    client.force_login(stranger)
    for address in (
        base,
        f"{base}stimuli/",
        f"{base}ratings_long.csv",
        f"{base}mos_by_stimulus.csv",
        f"{base}awaited/{report.pk}/",
        kept,
    ):
        assert client.get(address).status_code == 403
    client.logout()
    assert client.get(base).status_code == 302


def test_every_table_is_a_file_of_the_report(study: Study) -> None:
    people_answer(study, 2, 4, 5)
    assert {
        "mos_by_stimulus.csv",
        "mos_by_condition.csv",
        "raters.csv",
        "contrasts.csv",
        "reliability.csv",
        "codebook.csv",
        "analysis.json",
    } <= set(files_of(study))
    conditions = table(study, "mos_by_condition.csv")
    assert {row["alpha"] for row in conditions} == {"0.01", "0.02", "0.03"}
    assert [float(row["mos"]) for row in conditions] == pytest.approx([11 / 3] * 3)


def test_the_command_writes_the_same_tables_and_charts(
    study: Study, tmp_path: Path
) -> None:
    people_answer(study, 2, 4)
    call_command("report", study.slug, out=tmp_path)
    computed = compute.compute(study, include_simulated=False)["files"]
    assert {"mos.svg", "mos.png", "chart_mos.csv"} <= set(computed)
    assert set(computed) | {"ratings_long.csv"} == {
        path.name for path in tmp_path.iterdir()
    }
    for name, data in computed.items():
        assert (tmp_path / name).read_bytes() == data, name


def test_the_codebook_explains_every_column_of_every_table(study: Study) -> None:
    people_answer(study, 2, 4, 5)
    described = table(study, "codebook.csv")
    known = {(row["file"], row["column"]) for row in described}
    files = files_of(study)
    for name in files:
        if name.endswith(".csv") and name != "codebook.csv":
            header = next(csv.reader(io.StringIO(files[name])))
            assert {(name, column) for column in header} <= known
    assert {("ratings_long.csv", column) for column in RATINGS_LONG} <= known
    assert not [row for row in described if row["description"] == "Factor of the study"]


def test_the_command_takes_the_options_of_the_statistics(
    study: Study, tmp_path: Path
) -> None:
    people_answer(study, 2, 4, 5)
    call_command(
        "report", study.slug, out=tmp_path, ci_method="z", screen="bt500", by=["alpha"]
    )
    table = list(csv.DictReader((tmp_path / "mos_by_stimulus.csv").open()))
    assert {row["ci_method"] for row in table} == {"z"}
    assert {row["screening"] for row in table} == {"bt500"}
    with pytest.raises(CommandError, match="magic"):
        call_command("report", study.slug, out=tmp_path, recovery="magic")


def test_a_withdrawal_leaves_no_report_that_knew_the_answers(
    study: Study, queues: None, django_capture_on_commit_callbacks: Any
) -> None:
    people_answer(study, 2, 5)
    with django_capture_on_commit_callbacks(execute=True):
        before = request_report(study)
    work_off("report")
    leaving = Participant.objects.latest("pk")
    with django_capture_on_commit_callbacks(execute=True):
        withdraw(leaving)
    assert not Report.objects.filter(pk=before.pk).exists()
    work_off("report")
    after = Report.objects.get()
    assert after.state == Report.State.DONE
    assert after.method["n_participants"] == 1
    for file in after.files.all():
        assert leaving.code.encode() not in bytes(file.data)


@pytest.mark.parametrize("page", ["", "monitor/"])
def test_a_study_that_makes_no_sense_here_has_a_page_that_says_why(
    study: Study,
    logged_in: Any,
    queues: None,
    caplog: pytest.LogCaptureFixture,
    page: str,
) -> None:
    """As one written by a newer version, or changed by hand in the database."""
    people_answer(study, 1, 5)
    compute_report(request_report(study).pk)
    address = f"/admin/analysis/report/study/{study.pk}/"
    Study.objects.filter(pk=study.pk).update(slug="")
    answer = logged_in.get(address + page)
    said = answer.content.decode()
    assert answer.status_code == 200
    assert "This page cannot be shown" in said and "NoReverseMatch" in said
    assert "Traceback (most recent call last)" in caplog.text
    part = logged_in.get(
        address + page, headers={"hx-request": "true"}
    ).content.decode()
    assert "<html" not in part and 'role="alert"' in part
    assert logged_in.get(address + "participants/nobody/").status_code == 404


def test_a_kept_report_of_another_version_does_not_take_its_page_along(
    study: Study, logged_in: Any, queues: None
) -> None:
    people_answer(study, 1, 5)
    compute_report(request_report(study).pk)
    address = f"/admin/analysis/report/study/{study.pk}/"
    Report.objects.update(method={"scale": "another"})
    answer = logged_in.get(address)
    assert answer.status_code == 200
    assert "KeyError" in answer.content.decode()


def test_above_the_tables_stands_how_much_of_the_data_they_leave_out(
    study: Study,
    admin_client: Any,
    queues: None,
    django_capture_on_commit_callbacks: Any,
) -> None:
    """Answers given on another scale than the study now has count nowhere."""
    people_answer(study, 2, 3, 4)
    page = f"/admin/analysis/report/study/{study.pk}/"
    computed = compute.compute(study, include_simulated=False)["method"]
    assert (computed["refused"], computed["too_many_refused"]) == (0, False)
    Rating.objects.filter(rating=4).update(scale_max=9)
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.get(page)
    work_off("report")
    html = admin_client.get(page).content.decode()
    n = Rating.objects.count()
    banner = f"{n // 3} of {n} rows cannot be used and count nowhere"
    assert html.index(banner) < html.index("<ol")


def test_where_pictures_lie_between_their_ends_is_a_metric_of_the_report(
    make_experiment: Any,
) -> None:
    """From a worker's row to metrics.csv and the codebook."""
    balances = {"balance": [n / 50 for n in range(1, 13)]}
    experiment = make_experiment(alpha_beta=[], more_axes=balances)
    for number, render in enumerate(put_on_wall(experiment), start=1):
        render.style_share, render.content_share = number / 12, 0.5 / number
        render.save(update_fields=["style_share", "content_share"])
    study = Study.objects.create(
        title="S", experiment=experiment, owner=experiment.owner,
        controller="x", contact="y", ethics_reference="z",
    )  # fmt: skip
    open_study(study)
    study.refresh_from_db()
    simulate(study, participants=3, seed=1)
    ratings, report = compute.build(study, include_simulated=True)
    metrics = report.tables["metrics.csv"].set_index("metric")
    assert {"style_share", "content_share"} <= set(metrics.index)
    assert metrics.loc["style_share", "srocc"] == pytest.approx(
        -metrics.loc["content_share", "srocc"]
    )
    assert "balance" in ratings.frame.columns
    described = codebook({"frame": list(ratings.frame.columns)}).set_index("column")
    assert described.loc["style_share", "description"].startswith("Style loss of the")
    assert described.loc["balance", "description"].startswith("Content weight as a")
