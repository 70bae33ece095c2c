"""Researchers' pages: functions of a request and of the row that they are about.

    @require_POST
    @about(Experiment, VIEW, QUEUE)
    def cancel(request: HttpRequest, experiment: Experiment) -> HttpResponse: ...

They stand among the admin's addresses and look like its pages, but ask no ModelAdmin:
who may is asked of `nstlab.core.access`, what changed is told to `nstlab.core.history`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_http_methods

from nstlab.core.access import Action, may, seen_by

Page = Callable[..., HttpResponseBase]


def address(route: str, page: Page, name: str) -> URLPattern:
    """An address of a page, for those who are logged in, below the admin that has it
    in its `get_urls`. A page that says nothing else takes GET, HEAD and POST."""
    takes = require_http_methods(["GET", "HEAD", "POST"])
    return path(route, admin.site.admin_view(takes(page)), name=name)


def find(request: HttpRequest, rows: QuerySet[Any], pk: int, *actions: Action) -> Any:
    """The row of this key, for somebody who may do these actions with it.

    Raises Http404 where they do not see it, PermissionDenied where they may not.
    """
    row = get_object_or_404(seen_by(request.user, rows), pk=pk)
    ask(request, row, *actions)
    return row


def ask(
    request: HttpRequest, thing: models.Model | type[models.Model], *actions: Action
) -> None:
    """Raise PermissionDenied unless the person may do all of these with `thing`."""
    if not all(may(request.user, action, thing) for action in actions):
        raise PermissionDenied


def about(
    model: type[models.Model], *actions: Action, to_post: Action | None = None
) -> Callable[[Page], Page]:
    """A page about the row whose key is in its address: the page is called with it.

    Answers 404 where the person does not see the row, 403 where one of `actions` is
    not theirs, or `to_post` where they post.
    """

    def decorate(page: Page) -> Page:
        @wraps(page)
        def found(request: HttpRequest, pk: int, **named: Any) -> HttpResponseBase:
            row = find(request, model._default_manager.all(), pk, *actions)
            if to_post is not None and request.method == "POST":
                ask(request, row, to_post)
            return page(request, row, **named)

        return found

    return decorate


def admin_page(
    request: HttpRequest,
    template: str | Sequence[str],
    model: type[models.Model],
    title: str,
    **context: Any,
) -> TemplateResponse:
    """A page that looks like the admin's, below that of `model`."""
    around = admin.site.each_context(request)
    named = {"opts": model._meta, "title": title}
    return TemplateResponse(request, template, around | named | context)
