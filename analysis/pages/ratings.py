"""A study's ratings as CSV."""

from __future__ import annotations

from django.http import Http404, HttpRequest, StreamingHttpResponse

from analysis.answer_kinds import kind_of
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, matrix_lines, ratings_rows
from analysis.pages.around import about_study, download
from survey.models import Study


@about_study()
def ratings_long(request: HttpRequest, study: Study) -> StreamingHttpResponse:
    """Every planned trial of the study, streamed."""
    lines = csv_lines(RATINGS_LONG, ratings_rows(study))
    return download(lines, "ratings_long.csv")


@about_study()
def ratings_matrix(request: HttpRequest, study: Study) -> StreamingHttpResponse:
    """Stimuli × participants, as the reference tools read it, streamed."""
    if why := kind_of(study).no_matrix:
        raise Http404(why)
    plain = request.GET.get("plain") == "1"
    name = "ratings_matrix_plain.csv" if plain else "ratings_matrix.csv"
    lines = matrix_lines(
        study,
        labels=not plain,
        include_simulated=request.GET.get("simulated") == "1",
    )
    return download(lines, name)
