"""Look up what commands name."""

from __future__ import annotations

import re

from django.core.management.base import CommandError

from survey.models import Study


def study_of(named: str, version: int | None = None) -> Study:
    """The study that is named by its address, or by the key that its pages have.

    `named` is what stands after /s/ or that whole address, of which the newest version
    that is no draft is meant, or the `version` that is named; or the number in a
    researcher's page, or that page's address. Raises CommandError.
    """
    said = f"There is no study {named}"
    page = re.search(r"^(\d{1,18})$|/study/(\d{1,18})(?:/|$)", named)
    slug = re.sub(r"^.*/s/", "", named).partition("/")[0]
    found = Study.objects.filter(slug=slug).order_by("-version")
    if page and not found.exists():
        found = Study.objects.filter(pk=int(page[1] or page[2]))
        if found.exists() and version is not None:
            found = Study.objects.filter(slug=found.get().slug)
    if version is not None:
        found, said = found.filter(version=version), f"{said} of version {version}"
    study = found.exclude(state=Study.State.DRAFT).first() or found.first()
    if study is None:
        raise CommandError(
            f"{said}: give what stands after /s/ in its address, or the number in its "
            "page's."
        )
    return study
