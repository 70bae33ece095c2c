"""Whom a recruiting platform sent, for it to be told."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from nstlab.core import history
from nstlab.core.access import CHANGE, changeable
from nstlab.core.pages import about, ask
from survey.access import EXPORT_PLATFORM_IDS
from survey.models import Recruit, Study
from survey.studies.pages.around import csv_file, study_page


@about(Study, CHANGE)
def approvals(request: HttpRequest, study: Study) -> HttpResponse:
    """Whom a platform sent and who has finished: the only way its ids leave.

    Of all versions at the address whose ids this person gets by the version's own
    page, for a platform sends to the address. The download is a POST: it is written
    into the history of each version whose ids are in it.
    """
    ask(request, study, EXPORT_PLATFORM_IDS)
    versions = changeable(Study, request.user).filter(slug=study.slug)
    found = Recruit.objects.filter(participant__study__in=versions)
    if request.method != "POST":
        return study_page(
            request, study, "approvals", "Approvals", ids=found.count(),
            versions=versions.order_by("version"),
            elsewhere=Study.objects.filter(slug=study.slug).count() - len(versions),
        )  # fmt: skip
    columns = (
        "platform", "person", "session", "participant__status", "participant__pilot",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [("platform", "person", "session", "status", "of")]
    rows += [
        (*row, "pilot" if pilot else "study")
        for *row, pilot in found.order_by("pk").values_list(*columns)
    ]
    named = versions.filter(participants__recruit__isnull=False).distinct()
    for version in named or [study]:
        history.record(request.user, version, "Platform ids exported for approval.")
    return csv_file(rows, f"approvals-{study.slug}.csv")
