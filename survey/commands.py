"""Look up what commands name."""

from __future__ import annotations

from django.core.management.base import CommandError

from survey.models import Study


def study_of(slug: str, version: int | None = None) -> Study:
    """The newest version of the study at this address, or the one named.

    Raises CommandError.
    """
    found = Study.objects.filter(slug=slug).order_by("-version")
    if version is not None:
        found = found.filter(version=version)
    study = found.first()
    if study is None:
        named = "" if version is None else f" of version {version}"
        raise CommandError(f"There is no study{named} at /s/{slug}/.")
    return study
