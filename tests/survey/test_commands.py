"""What commands take for a study, and for whose a thing will be."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management.base import CommandError

from nstlab.core.commands import owner_of
from survey.commands import study_of
from survey.models import Study
from survey.studies.versions import new_version

pytestmark = pytest.mark.django_db


def test_a_study_is_named_by_its_address_or_its_page(study: Study) -> None:
    for named in (
        study.slug,
        f"/s/{study.slug}/",
        f"https://lab.example/s/{study.slug}/?PROLIFIC_PID=1",
        str(study.pk),
        f"http://127.0.0.1:8000/admin/survey/study/{study.pk}/change/",
        f"/admin/analysis/report/study/{study.pk}/",
    ):
        assert study_of(named) == study, named


def test_a_draft_is_not_meant_where_there_is_an_older_version(study: Study) -> None:
    draft = new_version(study)
    assert study_of(study.slug) == study
    assert study_of(study.slug, 2) == draft == study_of(str(draft.pk))
    assert study_of(str(study.pk), 2) == draft
    Study.objects.filter(pk=draft.pk).update(state="closed")
    assert study_of(study.slug) == draft


@pytest.mark.parametrize("named", ["nothing", "999999", "/s//", "", "1/2", "-1"])
def test_what_names_none_is_said(study: Study, named: str) -> None:
    with pytest.raises(CommandError, match="There is no study"):
        study_of(named)


def test_nothing_becomes_nobodys_by_oversight(
    db: None, make_account: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owner_of(None) is None  # there is nobody
    ada, _ = make_account("ada", "Researcher"), make_account("grace")
    with pytest.raises(CommandError, match="with --owner: ada, grace"):
        owner_of(None)
    with pytest.raises(CommandError, match="Nobody is called 'bob'; there is ada"):
        owner_of("bob")
    assert owner_of("ada") == ada
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: " ada ")
    assert owner_of(None) == ada
