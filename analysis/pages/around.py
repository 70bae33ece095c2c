"""What all pages about a study's results share: who sees them, what is around them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.html import format_html

from analysis.access import EXCLUDE, RECOMPUTE
from analysis.models import Report
from nstlab.core.access import VIEW, Action, may
from nstlab.core.outages import sentence_of
from nstlab.core.pages import Page, admin_page, ask, find
from survey.models import Study

log = logging.getLogger(__name__)

CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
}


def about_study(to_post: Action | None = None) -> Callable[[Page], Page]:
    """A page about what came out of the study whose key is in its address.

    Answers 403 to those who may see no reports or, where they post, not do `to_post`
    with the study; 404 where they do not see the study. Where its rows or kept files
    make no sense to this version, the page says what is wrong with them: an error page
    would say nothing.
    """

    def decorate(page: Page) -> Page:
        @wraps(page)
        def explained(request: HttpRequest, pk: int, **named: Any) -> HttpResponseBase:
            ask(request, Report, VIEW)
            study = find(request, Study.objects.select_related("experiment"), pk)
            if to_post is not None and request.method == "POST":
                ask(request, study, to_post)
            try:
                response = page(request, study, **named)
                if isinstance(response, TemplateResponse):
                    response.render()
                return response
            except (Http404, PermissionDenied):
                raise
            except Exception as error:
                if sentence_of(error):
                    raise
                log.exception("A page about study %s cannot be shown.", pk)
                return _cannot_be_shown(request, study, error)

        return explained

    return decorate


def _cannot_be_shown(
    request: HttpRequest, study: Study, error: Exception
) -> HttpResponseBase:
    wrong = f"{type(error).__name__}: {error}"
    if request.headers.get("HX-Request"):
        said = '<p class="errornote" role="alert">Cannot be shown: {}</p>'
        return HttpResponse(format_html(said, wrong))
    title = "This page cannot be shown"
    template = "analysis/cannot_be_shown.html"
    return admin_page(
        request, template, Report, title, study=study, wrong=wrong
    ).render()


def study_page(
    request: HttpRequest, study: Study, name: str, title: str, /, **context: Any
) -> TemplateResponse:
    """A page about a study's results, by the name of its template."""
    around = {
        "study": study,
        "may_recompute": may(request.user, RECOMPUTE, study),
        "may_exclude": may(request.user, EXCLUDE, study),
    }
    template = f"analysis/{name}.html"
    return admin_page(request, template, Report, title, **around | context)


def download(lines: Iterable[str], name: str) -> StreamingHttpResponse:
    """A CSV file, streamed."""
    return StreamingHttpResponse(
        lines,
        content_type=CONTENT_TYPES["csv"],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
