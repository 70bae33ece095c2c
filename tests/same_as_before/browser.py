"""A browser without a screen: it keeps cookies, fills forms in, and notes replies."""

from __future__ import annotations

import http.cookiejar
import io
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

# What differs with every reply, and says nothing about the page.
PASSING_HEADERS = {"date", "server", "connection", "content-length", "set-cookie",
                   "etag",
    "expires", "last-modified", "transfer-encoding"}  # fmt: skip


@dataclass
class Reply:
    """What came back for one request; redirects are not followed."""

    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        """Where it leads, as a path, or "" if it leads nowhere."""
        parts = urllib.parse.urlsplit(self.headers.get("Location", ""))
        return parts.path + (f"?{parts.query}" if parts.query else "")

    @property
    def head(self) -> str:
        """Status and headers as lines."""
        lines = [f"{self.status}"]
        for name, value in sorted(self.headers.items()):
            if name.lower() not in PASSING_HEADERS:
                lines.append(f"{name.lower()}: {value}")
        return "\n".join(lines)


@dataclass
class Form:
    """A form as a browser would send it if nothing were changed."""

    action: str = ""
    sent: list[tuple[str, str]] = field(default_factory=list)
    offered: dict[str, list[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.pictures: list[str] = []
        self._form: Form | None = None
        self._select = ""
        self._options: list[tuple[str, bool]] = []
        self._area = ""
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(its.get("action", ""))
            self.forms.append(self._form)
        elif tag == "img":
            self.pictures.append(its.get("src", ""))
        if self._form is None or "disabled" in its:
            return
        form, name = self._form, its.get("name", "")
        if tag in ("input", "select", "textarea", "button") and name:
            form.names.add(name)
        if tag == "input" and name:
            kind = its.get("type", "text")
            value = its.get("value", "on" if kind == "checkbox" else "")
            if kind in ("radio", "checkbox"):
                form.offered.setdefault(name, []).append(value)
                if "checked" in its:
                    form.sent.append((name, value))
            elif kind not in ("submit", "button", "image", "file"):
                form.sent.append((name, value))
        elif tag == "select":
            self._select, self._options = name, []
        elif tag == "option" and self._select:
            self._options.append((its.get("value", ""), "selected" in its))
            form.offered.setdefault(self._select, []).append(its.get("value", ""))
        elif tag == "textarea":
            self._area, self._text = name, []

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select" and self._form is not None and self._select:
            chosen = [value for value, selected in self._options if selected]
            if not chosen and self._options:
                chosen = [self._options[0][0]]
            self._form.sent += [(self._select, value) for value in chosen]
            self._select = ""
        elif tag == "textarea" and self._text is not None:
            if self._form is not None and self._area:
                text = "".join(self._text).removeprefix("\n")
                self._form.sent.append((self._area, text))
            self._text = None


def forms_of(reply: Reply) -> list[Form]:
    """The forms of a page, in their order."""
    return _read(reply).forms


def pictures_of(reply: Reply) -> list[str]:
    """The addresses of a page's pictures, in their order."""
    return _read(reply).pictures


def _read(reply: Reply) -> _Reader:
    reader = _Reader()
    reader.feed(reply.text)
    return reader


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Browser:
    """One person's browser at the lab on `port`.

    `note` gets who asked, what for, and the reply, of each request that is not marked
    as quiet. `other_names` says how fields are called on the other state: a name that
    a page does not have is looked for there.
    """

    def __init__(
        self,
        who: str,
        port: int,
        host: str,
        note: Callable[[str, str, Reply], None],
        other_names: Mapping[str, str],
    ) -> None:
        self.who = who
        self._base = f"http://127.0.0.1:{port}"
        self._host = host
        self._note = note
        self._other = other_names
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            _StayHere, urllib.request.HTTPCookieProcessor(self.cookies)
        )

    def get(
        self, path: str, *, quiet: bool = False, headers: Mapping[str, str] = {}
    ) -> Reply:
        return self._ask("GET", path, None, dict(headers), quiet)

    def post(
        self,
        path: str,
        data: Mapping[str, Any] | list[tuple[str, Any]],
        *,
        quiet: bool = False,
        headers: Mapping[str, str] = {},
    ) -> Reply:
        """Send fields: texts, lists of texts, or (file name, bytes)."""
        pairs: list[tuple[str, Any]] = []
        for name, value in data.items() if isinstance(data, Mapping) else data:
            several = value if isinstance(value, list) else [value]
            pairs += [(name, each) for each in several]
        pairs = [pair for pair in pairs if pair[0] != "csrfmiddlewaretoken"]
        token = next((it.value for it in self.cookies if it.name == "csrftoken"), "")
        pairs.append(("csrfmiddlewaretoken", token))
        if any(isinstance(value, tuple) for _, value in pairs):
            body, kind = _multipart(pairs)
        else:
            body = urllib.parse.urlencode(pairs).encode()
            kind = "application/x-www-form-urlencoded"
        return self._ask("POST", path, body, {**headers, "Content-Type": kind}, quiet)

    def send(
        self, page: Reply, changed: Mapping[str, Any], *, quiet: bool = False
    ) -> Reply:
        """Send the form of `page` that has the fields named in `changed`; None leaves
        one out."""
        forms = forms_of(page)
        # Buttons are named in `changed` too; the form that knows most of it is meant.
        form = max(forms, key=lambda it: sum(self._known(it, n) for n in changed))
        renamed = {
            name if name in form.names else self._other.get(name, name): value
            for name, value in changed.items()
        }
        kept = [pair for pair in form.sent if pair[0] not in renamed]
        pairs = [*kept, *((n, v) for n, v in renamed.items() if v is not None)]
        path = urllib.parse.urljoin(page.path, form.action or page.path)
        return self.post(path, pairs, quiet=quiet)

    def _known(self, form: Form, name: str) -> bool:
        return name in form.names or self._other.get(name, name) in form.names

    def follow(self, reply: Reply, *, quiet: bool = False) -> Reply:
        """Where redirects lead."""
        while reply.location:
            reply = self.get(reply.location, quiet=quiet)
        return reply

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        quiet: bool,
    ) -> Reply:
        request = urllib.request.Request(
            self._base + path, body, headers, method=method
        )
        request.add_unredirected_header("Host", self._host)
        try:
            with self._opener.open(request, timeout=120) as got:
                reply = Reply(path, got.status, dict(got.headers), got.read())
        except urllib.error.HTTPError as error:
            reply = Reply(path, error.code, dict(error.headers), error.read())
        if not quiet:
            self._note(self.who, f"{method} {path}", reply)
        return reply


def _multipart(pairs: list[tuple[str, Any]]) -> tuple[bytes, str]:
    edge = uuid.uuid4().hex
    body = io.BytesIO()
    for name, value in pairs:
        body.write(f"--{edge}\r\nContent-Disposition: form-data; ".encode())
        if isinstance(value, tuple):
            file, data = value
            body.write(f'name="{name}"; filename="{file}"\r\n'.encode())
            body.write(b"Content-Type: application/octet-stream\r\n\r\n" + data)
        else:
            body.write(f'name="{name}"\r\n\r\n{value}'.encode())
        body.write(b"\r\n")
    body.write(f"--{edge}--\r\n".encode())
    return body.getvalue(), f"multipart/form-data; boundary={edge}"
