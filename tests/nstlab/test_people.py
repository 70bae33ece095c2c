"""Who gets which page of researchers: each address, each kind of person, GET and POST.

A new page is missing from the table until somebody says who may have it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.files.base import ContentFile
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from django.utils import timezone

from analysis.models import Bundle, Report, ReportFile
from generation.models import SourceImage, WeightsAtHost
from survey.models import Rating, Recruit, Study
from tests.analysis.test_exports import people_answer

pytestmark = [pytest.mark.django_db, pytest.mark.broker]

DASHBOARD = "admin/django_rq/dashboard/"
PEOPLE = ("nobody", "owner", "other", "shared", "observer", "operator", "superuser")


@pytest.fixture
def people(make_account: Callable[..., Any], researcher: Any) -> dict[str, Any]:
    return {
        "owner": researcher,
        "other": make_account("eve", "Researcher"),
        "shared": make_account("grace", "Researcher"),
        "observer": make_account("olga", "Observer"),
        "operator": make_account("oscar", "Operator"),
        "superuser": make_account("root", is_superuser=True),
    }


@pytest.fixture
def places(people: dict[str, Any], study: Study) -> dict[str, Any]:
    """One of everything, all the owner's and shared with one colleague."""
    people_answer(study, 4)
    person = study.participants.get()
    Recruit.objects.create(
        participant=person, platform="prolific", person="5f1", delete_on="2999-01-01"
    )
    experiment = study.experiment
    assert experiment is not None
    images = SourceImage.objects.all()
    for row in (experiment, study):
        row.shared_with.add(people["shared"])
    report = Report.objects.create(
        study=study, fingerprint="0", state="done", read_at=timezone.now()
    )
    ReportFile.objects.create(report=report, name="raters.csv", data=b"x")
    bundle = Bundle.objects.create(study=study, state="done", sha256="f" * 64)
    bundle.file.save("", ContentFile(b"PK"))
    entry = LogEntry.objects.log_actions(
        people["owner"].pk, [study], CHANGE, "Something.", single_object=True
    )
    render = experiment.renders.first()
    assert render is not None and entry is not None
    WeightsAtHost.objects.tell("gpu1", {})
    return {
        "host": WeightsAtHost.objects.get().pk,
        "sourceimage": images[0].pk,
        "experiment": experiment.pk,
        "render": render.pk,
        "batch": render.batch_id,
        "study": study.pk,
        "slug": study.slug,
        "stimulus": study.stimuli.all()[0].pk,
        "code": study.stimuli.all()[0].code,
        "participant": person.pk,
        "person": person.code,
        "rating": Rating.objects.all()[0].pk,
        "report": report.pk,
        "bundle": bundle.pk,
        "entry": entry.pk,
        "user": people["other"].pk,
        "group": people["other"].groups.get().pk,
        "study_type": ContentType.objects.get_for_model(Study).pk,
    }


def routes(resolver: URLResolver, before: str = "") -> Iterator[str]:
    """Every route below a resolver, as `resolve` names it."""
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern).removeprefix("^" if before else "")
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from routes(pattern, route)


def researchers_routes() -> set[str]:
    theirs = ("admin/", "pictures/")
    return {it for it in routes(get_resolver()) if it.startswith(theirs)}


def outcome(response: Any) -> str:
    """What somebody got: a status, or where a redirect that is no success leads."""
    if response.status_code == 302 and "/login/" in response["Location"]:
        return "login"
    if response.status_code == 302 and response["Location"] == "/admin/":
        return "home"
    return str(response.status_code)


def table() -> list[tuple[str, list[str]]]:
    """Each page's address and what is got there: by GET, then by POST."""
    lines = Path(__file__).with_name("who_gets_what.txt").read_text().splitlines()
    rows = [line.replace("|", "").split() for line in lines if line[:1] not in "#"]
    return [(address, outcomes) for address, *outcomes in rows]


def test_every_page_of_the_admin_is_in_the_table(places: dict[str, Any]) -> None:
    stated = {resolve("/" + address.format(**places)).route for address, _ in table()}
    unstated = {
        it for it in researchers_routes() if not it.startswith(DASHBOARD)
    } - stated
    assert not unstated, "say in who_gets_what.txt who gets these"


@pytest.mark.parametrize("who", PEOPLE)
def test_everybody_gets_what_the_table_says(
    who: str, people: dict[str, Any], places: dict[str, Any], queues: None
) -> None:
    client = Client()
    if who != "nobody":
        client.force_login(people[who])
    logged_in = client.cookies.copy()
    got, stated = [], []
    for address, outcomes in table():
        for method, first in ((client.get, 0), (client.post, len(PEOPLE))):
            client.cookies = logged_in.copy()
            with transaction.atomic():
                response = method("/" + address.format(**places))
                got.append((address, first, outcome(response)))
                _ = response.getvalue()  # streamed ones ask the database meanwhile
                transaction.set_rollback(True)
            stated.append((address, first, outcomes[first + PEOPLE.index(who)]))
    assert got == stated


def test_the_queues_are_the_operators_alone(
    people: dict[str, Any], queues: None
) -> None:
    pages = [
        "/" + re.sub("<int:[^>]*>|<[^>]*>", "0", route).replace("(?P0[\\w]+)?/?$", "")
        for route in researchers_routes()
        if route.startswith(DASHBOARD)
    ]
    assert len(pages) > 20
    for who, user in people.items():
        client = Client()
        client.force_login(user)
        refused = who not in {"operator", "superuser"}
        for page in pages:
            if refused:
                assert client.post(page).status_code == 403, (who, page)
                assert client.get(page).status_code == 403, (who, page)
        if not refused:
            assert client.get("/" + DASHBOARD).status_code == 200
