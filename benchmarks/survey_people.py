"""The people of survey_load.py, as a process of their own: no Django, one event loop.

Each comes over one connection from an address they share with 49 others, joins, loads
what a browser loads (every picture once, the next one ahead) and answers like rate.js:
one POST with a client id, whose reply carries the next trial. Writes what it measured
to standard output as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

SECONDS_PER_ANSWER = 5.0
GIVE_UP_SECONDS = 20
CLASS = 50
"""People behind one address."""


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Measured:
    posts: list[tuple[float, float]] = field(default_factory=list)
    """When each confirmed answer was sent (s since the start), and its time (ms)."""
    pictures: list[tuple[float, float]] = field(default_factory=list)
    joins: list[tuple[float, float]] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    finished: int = 0


class Browser:
    """One keep-alive connection and its cookies."""

    def __init__(self, host: str, port: int, own_address: str) -> None:
        self._place = (host, port)
        self._own_address = own_address
        self._cookies: dict[str, str] = {}
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, data: dict[str, str] | None = None, **more: str
    ) -> Reply:
        """Send and read to the last byte. Raises OSError, also for a late reply."""
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                return await self._request(method, path, data, more)
        except (asyncio.IncompleteReadError, TimeoutError, OSError) as error:
            self.close()
            raise OSError(type(error).__name__) from error

    async def _request(
        self, method: str, path: str, data: dict[str, str] | None, more: dict[str, str]
    ) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                *self._place, local_addr=(self._own_address, 0)
            )
        reader, writer = self._streams
        host = "{}:{}".format(*self._place)
        body = urlencode(data or {}).encode()
        headers = {"Host": host, "Origin": f"http://{host}", **more}
        headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            headers["Content-Length"] = str(len(body))
        lines = [
            f"{method} {path} HTTP/1.1",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        got: dict[str, str] = {}
        for line in head[1:]:
            name, _, value = line.partition(": ")
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self._cookies[key] = rest.partition(";")[0]
            got[name.lower()] = value
        content = await reader.readexactly(int(got.get("content-length", 0)))
        if got.get("connection") == "close":
            self.close()
        return Reply(int(head[0].split()[1]), got, content)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def hidden(html: str) -> dict[str, str]:
    """The hidden fields of a page's form."""
    found = re.findall(
        r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', html
    )
    return dict(found)


class People:
    def __init__(self, options: argparse.Namespace) -> None:
        split = urlsplit(options.address)
        assert split.hostname and split.port
        self.host, self.port, self.path = split.hostname, split.port, split.path
        self.options = options
        self.measured = Measured()
        self.began = time.perf_counter()

    def now(self) -> float:
        return time.perf_counter() - self.began

    async def all(self) -> None:
        await asyncio.gather(
            *(self.one(number) for number in range(self.options.people))
        )

    async def one(self, number: int) -> None:
        draw = random.Random(f"{self.options.seed}/{number}")
        await asyncio.sleep(self.options.ramp * number / self.options.people)
        place = f"127.1.0.{1 + number // CLASS}"
        browser = Browser(self.host, self.port, place)
        try:
            await self.take_part(browser, draw)
        except (OSError, ValueError) as error:
            self.measured.errors[f"{type(error).__name__}: {error}"] += 1
        finally:
            browser.close()

    async def take_part(self, browser: Browser, draw: random.Random) -> None:
        page = await self.expect(200, browser, "GET", self.path)
        for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            await self.expect(200, browser, "GET", name)
        sent = self.now()
        consent = hidden(page.text) | {"consent": "on"}
        await self.expect(302, browser, "POST", f"{self.path}join/", consent)
        page = await self.expect(200, browser, "GET", f"{self.path}rate/")
        self.measured.joins.append((sent, 1000 * (self.now() - sent)))
        for name in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            await self.expect(200, browser, "GET", name)
        known: set[str] = set()
        due = self.now() + SECONDS_PER_ANSWER * draw.random()
        while page.status == 200:
            for address in re.findall(r'"(/s/[^"]+\.png)"', page.text):
                if address not in known:
                    known.add(address)
                    sent = self.now()
                    await self.expect(200, browser, "GET", address)
                    self.measured.pictures.append((sent, 1000 * (self.now() - sent)))
            await asyncio.sleep(max(0.0, due - self.now()))
            due = self.now() + SECONDS_PER_ANSWER * draw.uniform(0.8, 1.2)
            if self.now() > self.options.ramp + self.options.seconds:
                return
            page = await self.answer(browser, page, draw)
        self.measured.finished += 1

    async def answer(self, browser: Browser, page: Reply, draw: random.Random) -> Reply:
        body = hidden(page.text) | {
            "answer-overall": str(draw.randint(1, 5)),
            "client_id": f"{draw.getrandbits(96):024x}",
            "response_ms": str(draw.randint(800, 4500)),
            "displayed_scale": "1.0000",
            "load_failures": "0",
        }
        while True:
            sent = self.now()
            try:
                reply = await browser.request(
                    "POST", f"{self.path}rate/", body, **{"X-Survey": "fetch"}
                )
            except OSError as error:
                self.measured.errors[f"answer: {error}"] += 1
            else:
                if reply.status in {200, 204}:
                    self.measured.posts.append((sent, 1000 * (self.now() - sent)))
                    return reply
                self.measured.errors[f"answer: {reply.status}"] += 1
                if reply.status < 500 and reply.status != 429:
                    raise ValueError(f"the answer got {reply.status}")
            await asyncio.sleep(1)

    async def expect(
        self,
        status: int,
        browser: Browser,
        method: str,
        path: str,
        data: dict[str, str] | None = None,
    ) -> Reply:
        reply = await browser.request(method, path, data)
        if reply.status != status:
            place = re.sub(r"[^/]+\.png", "….png", path)
            raise ValueError(f"{method} {place} answered {reply.status}")
        return reply


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="the study's welcome page")
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--ramp", type=float, required=True, help="s until all are in")
    parser.add_argument("--seconds", type=float, required=True, help="s measured then")
    parser.add_argument("--seed", type=int, default=0)
    people = People(parser.parse_args())
    asyncio.run(people.all())
    measured = people.measured
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result: dict[str, Any] = {
        "posts": measured.posts,
        "pictures": measured.pictures,
        "joins": measured.joins,
        "errors": measured.errors,
        "finished": measured.finished,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "seconds": people.now(),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
