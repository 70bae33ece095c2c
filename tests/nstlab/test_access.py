"""Who may do what: permission by role and whose the row is, asked in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.test import RequestFactory

from generation.access import QUEUE
from generation.models import Experiment
from nstlab.core.access import (
    ADD,
    CHANGE,
    DELETE,
    SHARE,
    VIEW,
    may,
    owned_model,
    seen_by,
)
from nstlab.core.admin import OwnedAdmin
from nstlab.core.pages import about

ACTIONS = {
    "view": VIEW,
    "add": ADD,
    "change": CHANGE,
    "delete": DELETE,
    "share": SHARE,
    "queue": QUEUE,
}
WITH_IT = {
    "owner": "view add change delete share queue",
    "colleague": "view add change queue",
    "other": "add",
    "observer": "view",
    "operator": "view queue",  # keeps everybody's renders going
    "stranger": "",
    "superuser": "view add change delete share queue",
}


@pytest.fixture
def cast(make_account: Any, researcher: Any, make_experiment: Any) -> dict[str, Any]:
    experiment = make_experiment()
    colleague = make_account("grace", "Researcher")
    experiment.shared_with.add(colleague)
    return {
        "experiment": experiment,
        "owner": researcher,
        "colleague": colleague,
        "other": make_account("eve", "Researcher"),
        "observer": make_account("olga", "Observer"),
        "operator": make_account("oscar", "Operator"),
        "stranger": make_account("mallory"),
        "superuser": make_account("root", is_superuser=True),
    }


def test_a_role_says_what_and_belonging_with_which_rows(cast: dict[str, Any]) -> None:
    experiment = cast["experiment"]
    pair = experiment.pairs.get()
    for who, expected in WITH_IT.items():
        found = [name for name, it in ACTIONS.items() if may(cast[who], it, experiment)]
        assert found == expected.split(), who
        assert may(cast[who], VIEW, pair) == ("view" in found), "as its experiment"
    assert may(cast["other"], CHANGE, Experiment), "some experiment, not this one"
    assert not may(cast["observer"], CHANGE, Experiment)


def test_belonging_without_the_permission_is_not_enough(cast: dict[str, Any]) -> None:
    cast["owner"].groups.clear()
    owner = get_user_model().objects.get(pk=cast["owner"].pk)  # forgets what it had
    assert not any(may(owner, it, cast["experiment"]) for it in ACTIONS.values())


def test_rows_that_do_not_say_whose_they_are_are_nobodys(cast: dict[str, Any]) -> None:
    users = get_user_model()
    with pytest.raises(TypeError, match="to whom its rows belong"):
        may(cast["superuser"], VIEW, cast["owner"])
    with pytest.raises(TypeError, match="to whom its rows belong"):
        seen_by(cast["superuser"], users.objects.all())
    guarded = [it for it in admin.site._registry.values() if isinstance(it, OwnedAdmin)]
    assert len(guarded) >= 8 and all(owned_model(it.model) for it in guarded)


def test_a_page_is_called_with_its_row_or_not_at_all(cast: dict[str, Any]) -> None:
    experiment = cast["experiment"]
    called = []

    @about(Experiment, VIEW, to_post=CHANGE)
    def page(request: Any, row: Any, number: int) -> HttpResponse:
        called.append((request.user, row, number))
        return HttpResponse()

    def ask(who: str, method: str, pk: int = experiment.pk) -> None:
        request = RequestFactory().generic(method, "/")
        request.user = cast[who]
        page(request, pk, number=3)

    ask("observer", "GET")
    ask("colleague", "POST")
    assert called == [(cast[it], experiment, 3) for it in ("observer", "colleague")]
    for who, method, pk, answer in (
        ("observer", "POST", experiment.pk, PermissionDenied),
        ("other", "GET", experiment.pk, Http404),
        ("superuser", "GET", 0, Http404),
    ):
        with pytest.raises(answer):
            ask(who, method, pk)
    assert len(called) == 2


@pytest.mark.once
def test_nothing_else_asks_for_permissions_or_writes_history() -> None:
    """Only the ground floor does; and the guard of django-rq's pages, which are not
    the lab's."""
    by_others = re.compile(r"\.has_perm\(|\.log_(change|addition|deletion|actions)\(")
    allowed = {
        "nstlab/core/access.py",
        "nstlab/core/admin.py",
        "nstlab/core/history.py",
        "nstlab/admin.py",
        "nstlab/dashboard.py",
    }
    root = Path(settings.BASE_DIR)
    found = {
        str(path.relative_to(root))
        for app in ("nstlab", "generation", "survey", "analysis")
        for path in (root / app).rglob("*.py")
        if by_others.search(path.read_text())
    }
    assert found <= allowed
    pages = [*root.glob("*/pages/*.py"), *root.glob("*/*/pages/*.py")]
    assert len(pages) > 20
    assert not [it for it in pages if "ModelAdmin" in it.read_text()]
