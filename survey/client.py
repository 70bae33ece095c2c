"""Take part like a participant, by one script, whatever carries its requests.

Tests run it in process, over sockets and in a browser, `manage.py
simulate_participants` in process: simulated people come in by the same door as real
ones.
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

from survey.methods import USUAL, Method
from survey.methods.base import Quality


@dataclass(frozen=True)
class Page:
    """The page a request ended at, after redirects."""

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
    choices: dict[str, list[str]] = field(default_factory=dict)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: Form | None = None
        self.pictures: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "img":
            self.pictures.append(values.get("src", ""))
        elif tag == "form" and self.form is None:
            self.form = Form(action=values.get("action", ""))
        elif tag == "input" and self.form is not None:
            kind = values.get("type", "text")
            if kind == "radio":
                offered = self.form.choices.setdefault(values["name"], [])
                offered.append(values["value"])
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


def take_part(
    carrier: Carrier,
    address: str,
    *,
    choose: Quality,
    method: Method = USUAL,
    join_with: dict[str, str] | None = None,
    most_trials: int = 10_000,
    before_answer: Callable[[], None] = lambda: None,
) -> int:
    """Take part from the welcome page to the thanks page; returns the answers given.

    `choose` gets the code of a stimulus that is shown and returns how good it is, in
    numbers of the scale; what that makes of the answers offered is for `method` to say,
    by which the study asks. Every other form is sent with its first option. Answers at
    most `most_trials` trials, then leaves like somebody who closes the browser.
    `before_answer` is called before each answer.
    """
    page = carrier.get(address)
    if "/join/" in page.html:
        form = form_of(page)
        page = carrier.post(form.action, {**form.data, **(join_with or {})})
    else:
        page = carrier.get(urllib.parse.urljoin(page.url, "rate/"))
    given = 0
    while not _at(page, "thanks"):
        if page.status >= 400:
            raise SurveyBroken(f"{page.url} answered {page.status}.")
        form = form_of(page)
        sent = dict(form.data)
        if _at(page, "rate") and form.choices:
            if given == most_trials:
                return given
            shown = _shown(form)
            sent |= {name: method.simulated(values, shown, choose)
                     for name, values in form.choices.items()}  # fmt: skip
            before_answer()
            given += 1
        elif not any(_at(page, name) for name in ("rate", "before", "checks", "after")):
            raise SurveyBroken(f"The session ended at {page.url} ({page.status}).")
        else:
            sent |= {name: values[0] for name, values in form.choices.items()}
        page = carrier.post(form.action, sent)
    return given


def _at(page: Page, name: str) -> bool:
    return page.status < 400 and page.url.rstrip("/").endswith(f"/{name}")


def _shown(form: Form) -> list[str]:
    """The codes of a trial's stimuli, from left to right."""
    shown = [stimulus_at(source) for source in form.pictures if "/picture/" in source]
    if not shown:
        raise SurveyBroken("A trial shows no picture.")
    return shown


def stimulus_at(source: str) -> str:
    """The code of the stimulus whose picture has this address."""
    found = re.search(r"/picture/([^/]+)\.png", source)
    if not found:
        raise SurveyBroken(f"{source} is no picture of a study.")
    return found[1]


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
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
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
