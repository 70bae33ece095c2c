"""One script that plays a participant, whatever carries its requests.

Tests run it in process and over sockets, `manage.py simulate_participants` in
process: simulated people come in by the same door as real ones.
"""

from __future__ import annotations

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Protocol


@dataclass(frozen=True)
class Page:
    """What a request ended at, after redirects."""

    url: str
    status: int
    html: str


class Carrier(Protocol):
    """Carries requests to the survey and keeps the participant's cookies."""

    def get(self, url: str) -> Page: ...

    def post(self, url: str, data: dict[str, str]) -> Page: ...


class SurveyBroken(Exception):
    """A page was not what a participant should have seen."""


@dataclass
class Form:
    """A page's form as a browser would send it, before anything is chosen."""

    action: str
    data: dict[str, str] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.pictures.append(values.get("src", ""))
        elif tag == "form":
            self.form = Form(action=values.get("action", ""))
        elif tag == "input" and self.form is not None:
            kind = values.get("type", "text")
            if kind == "radio":
                self.form.choices.append(values["value"])
            elif kind == "checkbox":
                self.form.data[values["name"]] = values.get("value", "on")
            elif kind != "submit":
                self.form.data[values["name"]] = values.get("value", "")


def form_of(page: Page) -> Form:
    """The form of a page. Raises SurveyBroken if it has none."""
    reader = _Reader()
    reader.feed(page.html)
    if reader.form is None or page.status >= 400:
        raise SurveyBroken(f"{page.url} answered {page.status} without a form.")
    reader.form.action = urllib.parse.urljoin(page.url, reader.form.action)
    reader.form.pictures = reader.pictures
    return reader.form


def play(
    carrier: Carrier,
    address: str,
    *,
    choose: Callable[[str], int],
    join_with: dict[str, str] | None = None,
    most_trials: int = 10_000,
) -> int:
    """Take part from the welcome page to the thanks page; returns the answers given.

    `choose` gets the code of the stimulus shown and returns 1–5. Answers at most
    `most_trials` pictures, then leaves like somebody who closes the browser.
    """
    page = carrier.get(address)
    if "/join/" in page.html:
        form = form_of(page)
        page = carrier.post(form.action, {**form.data, **(join_with or {})})
    else:
        page = carrier.get(urllib.parse.urljoin(page.url, "rate/"))
    given = 0
    while page.url.rstrip("/").endswith("/rate"):
        if given == most_trials:
            return given
        form = form_of(page)
        code = _stimulus_shown(form, page)
        rating = str(choose(code))
        page = carrier.post(form.action, {**form.data, "rating": rating})
        if page.status >= 400:
            raise SurveyBroken(f"An answer was refused with {page.status}.")
        given += 1
    if not page.url.rstrip("/").endswith("/thanks"):
        raise SurveyBroken(f"The session ended at {page.url} ({page.status}).")
    return given


def _stimulus_shown(form: Form, page: Page) -> str:
    for source in form.pictures:
        if found := re.search(r"/picture/([^/]+)\.png", source):
            return found[1]
    raise SurveyBroken(f"{page.url} shows no picture.")


class InProcess:
    """Through Django's own request handling, without a server."""

    def __init__(self, host: str = "localhost", *, secure: bool = False) -> None:
        from django.test import Client

        scheme = "https" if secure else "http"
        self._secure = secure
        self._client = Client(
            enforce_csrf_checks=True,
            headers={"host": host, "referer": f"{scheme}://{host}/"},
        )

    def get(self, url: str) -> Page:
        return self._page(url, self._client.get(url, follow=True, secure=self._secure))

    def post(self, url: str, data: dict[str, str]) -> Page:
        return self._page(
            url, self._client.post(url, data, follow=True, secure=self._secure)
        )

    def _page(self, url: str, response: object) -> Page:
        chain = getattr(response, "redirect_chain", [])
        return Page(
            url=chain[-1][0] if chain else url,
            status=response.status_code,  # type: ignore[attr-defined]
            html=response.content.decode(),  # type: ignore[attr-defined]
        )


class OverSockets:
    """Over http, as a browser without a script."""

    def __init__(self) -> None:
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def get(self, url: str) -> Page:
        return self._send(urllib.request.Request(url))  # noqa: S310

    def post(self, url: str, data: dict[str, str]) -> Page:
        body = urllib.parse.urlencode(data).encode()
        headers = {"Referer": url}
        return self._send(urllib.request.Request(url, body, headers))  # noqa: S310

    def _send(self, request: urllib.request.Request) -> Page:
        try:
            with self._opener.open(request, timeout=30) as response:
                return Page(response.url, response.status, response.read().decode())
        except urllib.error.HTTPError as error:
            return Page(error.url, error.code, error.read().decode())
