"""Error pages: one sentence and where to go, never a traceback."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def _page(request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
    context = {"title": title, "sentence": sentence}
    return render(request, "error.html", context, status=status)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = str(exception) or "You do not have the right to see this page."
    return _page(request, 403, "Not allowed", sentence)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = "There is nothing at this address. Please check the link you were given."
    return _page(request, 404, "Not found", sentence)


def server_error(request: HttpRequest) -> HttpResponse:
    sentence = (
        "Something went wrong here. What you did before is kept; reload the page."
    )
    return _page(request, 500, "Something went wrong", sentence)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = (
        "The page was open for too long, or your browser does not keep cookies. "
        "Please go back, reload the page and try again."
    )
    return _page(request, 403, "The page has expired", sentence)
