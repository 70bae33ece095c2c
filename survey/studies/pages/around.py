"""What several pages about a study share: the frame, the way back, lists as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from nstlab.core.csv_cells import csv_cell
from nstlab.core.pages import admin_page
from survey.models import Study
from survey.studies.forms import STEPS


def to_study(study: Study, step: str = "") -> HttpResponse:
    """To a step of the wizard, else to the study's page."""
    if step in STEPS:
        return redirect("admin:survey_study_step", study.pk, step)
    return redirect("admin:survey_study_change", study.pk)


def study_page(
    request: HttpRequest, study: Study, name: str, title: str, **context: Any
) -> HttpResponse:
    """A page about a study, by the name of its template."""
    named = {"study": study, "subtitle": str(study)}
    template = f"survey/pages/{name}.html"
    return admin_page(request, template, Study, title, **named | context)


def csv_file(rows: Sequence[tuple[str, ...]], name: str) -> HttpResponse:
    """Rows, the first with the names of the columns, as a file to download."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [[csv_cell(value) for value in row] for row in rows]
    )
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
