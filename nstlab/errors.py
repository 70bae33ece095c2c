"""Error pages: one sentence and where to go, never a traceback.

In the browser's language where participants meet them; researchers' pages are English.
"""

from __future__ import annotations

import sys

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import (
    get_language_bidi,
    get_language_from_request,
    gettext,
    override,
)
from django.utils.translation import gettext_noop as _

from nstlab.core.outages import sentence_of

PARTICIPANTS = "/s/"


def _page(request: HttpRequest, status: int, title: str, sentence: str) -> HttpResponse:
    theirs = request.path.startswith(PARTICIPANTS)
    language = get_language_from_request(request) if theirs else "en"
    with override(language):
        context = {
            "title": gettext(title),
            "sentence": gettext(sentence),
            "language": language,
            "rtl": get_language_bidi(),
        }
        if request.path.startswith(first := reverse("admin:index")):
            context |= {"home": first, "back": _came_from(request)}
        return render(request, "error.html", context, status=status)


def _came_from(request: HttpRequest) -> str:
    """The page of the lab that led here, if the browser says and it is another."""
    address = request.headers.get("Referer", "")
    try:
        host = {request.get_host()}
    except DisallowedHost:  # what this page may be about
        return ""
    if not url_has_allowed_host_and_scheme(address, allowed_hosts=host):
        return ""
    here = request.build_absolute_uri()
    return "" if request.method == "GET" and address == here else address


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = str(exception) or _("You do not have the right to see this page.")
    return _page(request, 403, _("Not allowed"), sentence)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = _(
        "There is nothing at this address. Please check the link you were given."
    )
    return _page(request, 404, _("Not found"), sentence)


def too_many_logins(request: HttpRequest, seconds: int) -> HttpResponse:
    """The same for every account, whether there is one of that name or not."""
    minutes = -(-seconds // 60)
    sentence = (
        "There were too many wrong passwords from your network, or for this account. "
        f"Please try again in {minutes} minute{pluralize(minutes)}. "
        "A browser in which you logged in before is not held up by others."
    )
    response = _page(request, 429, "Too many wrong passwords", sentence)
    response["Retry-After"] = str(seconds)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    """500; 503 where the machine fails, which to try again helps against."""
    if said := sentence_of(sys.exc_info()[1]):
        # Who rates need not know which part of the lab it is, and who runs it must.
        if not request.path.startswith(reverse("admin:index")):
            said = _(
                "The lab cannot save anything just now. What you did before is kept; "
                "please try again in a few minutes."
            )
        answer = _page(request, 503, _("Something went wrong"), said)
        answer["Retry-After"] = "60"
        return answer
    sentence = _(
        "Something went wrong here. What you did before is kept; reload the page."
    )
    return _page(request, 500, _("Something went wrong"), sentence)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = _(
        "The page was open for too long, or your browser does not keep cookies. "
        "Please go back, reload the page and try again."
    )
    return _page(request, 403, _("The page has expired"), sentence)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = _(
        "Your browser sent something that this page cannot read. Please go back, "
        "reload the page and try again."
    )
    return _page(request, 400, _("Not understood"), sentence)
