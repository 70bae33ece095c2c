"""What no page can read, in any parameter of a request: refused with 400 before a view.

A NUL byte, which PostgreSQL keeps in no text and SQLite cuts texts at, and a number of
more digits than Python converts. No page of the lab sends either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError

from nstlab.errors import bad_request

# Python refuses 4,300 digits, and ignores underscores between them. Looked for where
# digits begin only: from each of them on, a body of digits took a minute.
NO_NUMBER = re.compile(r"(?<!\d)(?<!\d_)\d(?:_?\d){999}")
# 2**63 has 19 digits; a column of a database may hold less.
LONG_NUMBER = re.compile(r"\d(?:_?\d){8,}")


class RefuseUnreadable:
    """Middleware; above those that read cookies."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = [request.path_info, *request.COOKIES.values(), *_texts(request.GET)]
        if _unreadable(sent):
            return _refused(request)
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> HttpResponse | None:
        """A body is read here at the earliest: by now its size has been looked at."""
        try:
            sent = [*_texts(request.POST), *request.FILES]
        except UnreadablePostError:  # whoever sent it has gone meanwhile
            return _refused(request)
        files = (file.name or "" for each in request.FILES.lists() for file in each[1])
        return _refused(request) if _unreadable([*sent, *files]) else None

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        """A number that fits into Python and not into a column of the database."""
        if not isinstance(error, OverflowError | DataError):
            return None
        sent = [request.path_info, *_texts(request.GET), *_texts(request.POST)]
        if any(LONG_NUMBER.search(text) for text in sent):
            return _refused(request)
        return None


def _texts(sent: QueryDict) -> Iterator[str]:
    for name, values in sent.lists():
        yield name
        yield from map(str, values)


def _unreadable(texts: Iterable[str]) -> bool:
    return any("\0" in text or NO_NUMBER.search(text) for text in texts)


def _refused(request: HttpRequest) -> HttpResponse:
    return bad_request(request, BadRequest("a parameter that no page can read"))
