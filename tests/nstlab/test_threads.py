"""Nothing of a request lives on what all threads share: classes, admins, modules."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import segno
from django import forms
from django.contrib import admin
from django.db import connection, transaction
from django.test import Client

from generation.pictures.fields import PictureTiles
from generation.pictures.source_images import add_source_image
from survey.admin import StudyAdmin
from survey.models import Study
from tests.conftest import png
from tests.nstlab.test_people import people, places, table

__all__ = ["people", "places"]

APPS = ("nstlab", "generation", "survey", "analysis")
ADD = "/admin/generation/experiment/add/"


def at_once(*runners: Callable[[], Any]) -> list[Any]:
    """What each returns, run in a thread with a connection of its own."""
    results: list[Any] = [None] * len(runners)

    def run(place: int, runner: Callable[[], Any]) -> None:
        try:
            results[place] = runner()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_two_people_at_one_form_are_offered_each_their_own_pictures(
    make_account: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither page is drawn before both forms are made."""
    browsers = {}
    for name in ("ada", "eve"):
        person = make_account(name, "Researcher")
        add_source_image(data=png(), title=f"Of {name}", owner=person)
        browsers[name] = Client()
        browsers[name].force_login(person)
    both = threading.Barrier(2)
    waited = threading.local()
    drawn = PictureTiles.get_context

    def wait_then_draw(tiles: PictureTiles, *args: Any) -> Any:
        if not getattr(waited, "has", False):
            waited.has = True
            both.wait(20)
        return drawn(tiles, *args)

    monkeypatch.setattr(PictureTiles, "get_context", wait_then_draw)
    pages = at_once(
        *(lambda name=name: browsers[name].get(f"{ADD}?styles_search={name}")  # type: ignore[misc]
          for name in browsers)
    )  # fmt: skip
    for name, other, page in zip(browsers, reversed(browsers), pages, strict=True):
        text = page.content.decode()
        # Among the content images and, searched for, among the styles.
        assert text.count(f"Of {name}") >= 2 and f"Of {other}" not in text


@pytest.mark.django_db(transaction=True)
def test_two_addresses_of_the_lab_are_each_told_their_own(
    logged_in: Client, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study's QR code leads to the host that was asked; neither is drawn before
    both pages are begun."""
    both = threading.Barrier(2)
    told: dict[int, str] = {}
    column = StudyAdmin.qr_code

    def wait_then_draw(owner: StudyAdmin, row: Study) -> Any:
        both.wait(20)
        return column(owner, row)

    def remember(address: str, **_: Any) -> Any:
        told[threading.get_ident()] = address
        return drawn(address)

    drawn = segno.make
    monkeypatch.setattr(StudyAdmin, "qr_code", wait_then_draw)
    monkeypatch.setattr(segno, "make", remember)

    def ask(host: str) -> str:
        browser = Client(SERVER_NAME=host)
        browser.cookies = logged_in.cookies.copy()
        browser.get(f"/admin/survey/study/{study.pk}/change/")
        return told[threading.get_ident()]

    hosts = ("localhost", "127.0.0.1")
    asked = at_once(*(lambda host=host: ask(host) for host in hosts))  # type: ignore[misc]
    assert asked == [f"http://{host}{study.get_absolute_url()}" for host in hosts]


def everything_shared() -> Iterator[tuple[str, Any]]:
    """Modules, classes, admins and declared fields of the lab, each by a name."""
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] not in APPS:
            continue
        yield name, module
        for label, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                yield f"{name}.{label}", value
                if issubclass(value, forms.BaseForm):
                    yield from fields_of(f"{name}.{label}", value)
    yield "the site", admin.site
    for model, owner in admin.site._registry.items():
        yield f"the admin of {model.__name__}", owner
        yield from fields_of(f"the form of {model.__name__}", owner.form)


def fields_of(label: str, form: Any) -> Iterator[tuple[str, Any]]:
    for kind in ("base_fields", "declared_fields"):
        for name, field in getattr(form, kind, {}).items():
            yield f"{label}.{kind}.{name}", field
            yield f"{label}.{kind}.{name}.widget", field.widget


def written_on(shared: Any) -> dict[str, Any]:
    """What an object has of its own; of lists and the like, what is in them."""
    copied = (dict, list, set)
    return {
        name: type(value)(value) if type(value) in copied else value
        for name, value in vars(shared).items()
    }


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """Names whose values are others; not equal ones, for the same object counts."""

    def same(one: Any, other: Any) -> bool:
        if one is other:
            return True
        if type(one) is not type(other) or type(one) not in (dict, list, set):
            return False
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(
                it is other[name] for name, it in one.items()
            )
        return [*map(id, one)] == [*map(id, other)]

    names = before.keys() | after.keys()
    nothing = object()
    return {
        name
        for name in names
        if not same(before.get(name, nothing), after.get(name, nothing))
    }


@pytest.mark.once
@pytest.mark.broker
@pytest.mark.django_db
def test_no_page_of_the_admin_writes_on_what_all_requests_share(
    people: dict[str, Any], places: dict[str, Any], queues: None
) -> None:
    """Every page, by one person and then by another."""

    def walk(who: str) -> None:
        browser = Client()
        browser.force_login(people[who])
        logged_in = browser.cookies.copy()
        for address, _ in table():
            browser.cookies = logged_in.copy()
            with transaction.atomic():
                browser.get("/" + address.format(**places)).getvalue()
                transaction.set_rollback(True)

    walk("superuser")  # what is read once for all is read
    shared = dict(everything_shared())
    before = {name: written_on(it) for name, it in shared.items()}
    walk("owner")
    found = {
        name: differences(before[name], written_on(it)) for name, it in shared.items()
    }
    assert {name: it for name, it in found.items() if it} == {}
