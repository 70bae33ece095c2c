"""The first page: what runs, what is open, what needs a look, and what to do first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analysis.models import Report
from generation.models import Render, WeightsAtHost
from generation.pictures.source_images import add_source_image
from generation.queueing.batches import queue_experiment
from survey.models import Participant, Study
from tests.analysis.test_monitor import many
from tests.conftest import png, put_on_wall

pytestmark = [pytest.mark.django_db, pytest.mark.broker]


def lines(client: Client, part: str) -> list[str]:
    home = client.get("/admin/", headers={"HX-Request": "true"}).context["home"]
    return [line.text for line in getattr(home, part)]


def test_running_grids_show_how_far_they_are(
    logged_in: Client, make_experiment: Callable[..., Any], queues: None
) -> None:
    put_on_wall(make_experiment(name="Over"))
    queue_experiment(make_experiment(name="Waiting"))
    render = Render.objects.filter(experiment__name="Waiting")[0]
    Render.objects.filter(pk=render.pk).update(status="running")
    [line] = logged_in.get("/admin/").context["home"].grids
    assert (line.text, line.done, line.wanted) == ("Waiting", 0, 2)
    assert line.more == "1 being painted"
    assert logged_in.get(line.link).status_code == 200


def test_open_studies_show_who_has_finished_of_those_wanted(
    logged_in: Client, make_study: Callable[..., Any], queues: None
) -> None:
    study = make_study(max_participants=20)
    many(study, 3)
    many_simulated = study.participants.all()[0]
    Participant.objects.filter(pk=many_simulated.pk).update(simulated=True)
    [line] = logged_in.get("/admin/").context["home"].studies
    assert (line.text, line.done, line.wanted) == (str(study), 2, 20)
    study.close()
    assert logged_in.get("/admin/").context["home"].studies == []


def test_render_hosts_are_shown_with_what_they_have_and_none_that_lacks_all_is_missed(
    logged_in: Client, queues: None
) -> None:
    told = {"network": "vgg16", "words": "in words"}
    file = f"file:{'a' * 64}"
    WeightsAtHost.objects.tell("gpu1", {file: told})
    found = logged_in.get("/admin/").context["home"]
    [line] = found.hosts
    assert (line.text, line.more) == ("gpu1", "a file of weights, aaaaaaaa… (VGG-16)")
    assert found.alerts[0].text == "No render host has the trained network"
    assert logged_in.get(found.alerts[0].link).status_code == 200
    WeightsAtHost.objects.tell("gpu2", {f"imagenet:{'b' * 64}": told, file: told})
    [_, line] = logged_in.get("/admin/").context["home"].hosts
    said = "ImageNet, original VGG training, values bbbbbbbb… (VGG-16)"
    assert (line.text, line.more) == ("gpu2", said)
    assert lines(logged_in, "alerts") == []


def test_what_needs_a_look_is_said_with_the_page_to_go_to(
    logged_in: Client, study: Study, queues: None, settings: Any
) -> None:
    assert lines(logged_in, "alerts") == []
    Render.objects.filter(pk=Render.objects.all()[0].pk).update(status="failed")
    yesterday = timezone.now() - dt.timedelta(days=1)
    Study.objects.filter(pk=study.pk).update(closes_at=yesterday)
    Report.objects.create(study=study, fingerprint="0", state="failed")
    settings.NSTLAB_DISK_RESERVE_MB = 10**12
    found = logged_in.get("/admin/").context["home"].alerts
    said = " ".join(line.text for line in found)
    for words in ("1 render of “Wall 0”", "closing date", "report on", "The disk"):
        assert words in said
    assert all(logged_in.get(line.link).status_code == 200 for line in found)
    failed = logged_in.get(found[1].link).context["cl"].queryset
    assert [row.status for row in failed] == ["failed"]
    # A newer report that is done takes the failed one's place.
    Report.objects.create(
        study=study, fingerprint="1", state="done", method={"notes": []}
    )
    assert "report on" not in " ".join(lines(logged_in, "alerts"))
    Report.objects.create(
        study=study, fingerprint="2", state="done", method={"notes": ["Few votes."]}
    )
    assert "report on" not in " ".join(lines(logged_in, "alerts")), "nobody can mend it"


def test_renders_that_wait_for_nobody_are_said(
    logged_in: Client, make_experiment: Callable[..., Any], queues: None
) -> None:
    queue_experiment(make_experiment())
    assert lines(logged_in, "alerts") == [
        "Renders wait and no worker is there to paint"
    ]


def test_it_says_nothing_of_what_one_may_not_see(
    study: Study, make_account: Callable[..., Any], queues: None
) -> None:
    Render.objects.filter(pk=Render.objects.all()[0].pk).update(status="failed")
    queue_experiment(study.experiment)
    eve, oscar = Client(), Client()
    eve.force_login(make_account("eve", "Researcher"))
    oscar.force_login(make_account("oscar", "Operator"))
    home = eve.get("/admin/").context["home"]
    assert (home.alerts, home.grids, home.studies) == ([], [], [])
    home = oscar.get("/admin/").context["home"]
    assert home.studies is None and len(home.alerts) == 1


def test_who_has_nothing_yet_is_told_what_to_do_first(
    logged_in: Client, researcher: Any, queues: None
) -> None:
    def next_step() -> str:
        return logged_in.get("/admin/").context["home"].next_step.text

    assert next_step() == "Upload pictures"
    add_source_image(data=png(), title="Mine", owner=researcher)
    assert "preset" in next_step()
    for model, words in {
        "generation/experiment": "No experiments yet.",
        "generation/render": "Nothing is painted yet.",
        "survey/study": "No studies yet.",
        "survey/rating": "Nobody has taken part yet.",
        "analysis/report": "No reports yet.",
        "nstlab/entry": "Nothing has been changed yet.",
    }.items():
        assert logged_in.get(f"/admin/{model}/").content.decode().count(words) == 1
    page = logged_in.get("/admin/generation/sourceimage/?q=nonsense").content.decode()
    assert "Nothing matches." in page


PAGES = [
    "", "survey/study/", "survey/stimulus/", "survey/participant/", "survey/rating/",
    "analysis/report/", "nstlab/entry/", "nstlab/entry/?q=Wall",
    "survey/study/{pk}/change/", "analysis/report/study/{pk}/",
    "analysis/report/study/{pk}/monitor/", "analysis/report/study/{pk}/participants/",
    "analysis/report/study/{pk}/share/",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_much_takes_as_many_queries_as_one_of_little(
    page: str, logged_in: Client, make_study: Callable[..., Any], queues: None
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert logged_in.get(address).status_code == 200
        return len(asked)

    study = make_study(max_participants=100)
    address = "/admin/" + page.format(pk=study.pk)
    many(study, 4)
    make_study(max_participants=10)
    logged_in.get(f"/admin/analysis/report/study/{study.pk}/")
    queries()
    before = queries()
    assert before <= 30
    many(study, 20)
    many(make_study(pictures=8), 20)
    for number in range(5):
        more = make_study(max_participants=number + 1)
        queue_experiment(more.experiment)
        logged_in.get(f"/admin/analysis/report/study/{more.pk}/")
    queries()
    # A list of several pages looks for the keys of one page first.
    assert before <= queries() <= before + (page.startswith("survey/"))
