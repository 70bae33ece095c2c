"""No answer lost, none twice, whatever is killed: `python benchmarks/survey_chaos.py`.

People with rate.js's habits answer over sockets while the web server, one of its
workers or the broker is killed with SIGKILL at seeded random moments and started again,
and while browsers die between sending an answer and hearing of it. At the end the rows
must be the answers that were confirmed on a screen, exactly. SQLite, or a new database
on the PostgreSQL server of DATABASE_URL. Exits with 1 if a row differs.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import http.client
import os
import random
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# In the place of this folder, where `queue` would be a benchmark and not Python's own.
sys.path[0] = str(ROOT)

from concurrent.futures import ThreadPoolExecutor  # noqa: E402

from benchmarks.temporary import (  # noqa: E402
    database_name,
    free_port,
    open_study,
    temporary_lab,
)
from survey.client import OverSockets, Page, form_of, take_part  # noqa: E402

AT_ONCE = 10
LEAVE = 0.2
"""Part of the people who leave on their way and do not come back."""
DIE = 0.1
"""Part of the answers whose browser dies before it hears of them."""
PATIENCE_SECONDS = 120


class Seen:
    """What the screens showed, over all people."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.confirmed: list[tuple[int, int]] = []
        """(trial, rating) of every answer after which the next page was shown."""
        self.counts: collections.Counter[str] = collections.Counter()

    def confirm(self, trial: int, rating: int) -> None:
        with self._lock:
            self.confirmed.append((trial, rating))

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1


class Browser(OverSockets):
    """Keeps an answer until it is confirmed and sends it again, as rate.js does."""

    def __init__(self, seen: Seen, draw: random.Random) -> None:
        super().__init__()
        self._seen = seen
        self._draw = draw

    def post(self, url: str, data: dict[str, str]) -> Page:
        if "client_id" not in data:
            return super().post(url, data)
        outbox = data | {"client_id": f"{self._draw.getrandbits(96):024x}"}
        page = None
        if self._draw.random() < DIE:
            self._send_and_die(url, outbox)
            self._seen.count("browsers that died")
            # The next one begins with a page and finds the outbox and the cookie.
            page = self.get(url)
            if "/rate/" in page.url:
                token = form_of(page).data["csrfmiddlewaretoken"]
                page = super().post(url, outbox | {"csrfmiddlewaretoken": token})
        else:
            page = super().post(url, outbox)
        if page.status < 400:
            self._seen.confirm(int(data["trial"]), int(data["answer-overall"]))
        else:
            self._seen.count(f"answers refused with {page.status}")
        return page

    def _send(self, request: urllib.request.Request) -> Page:
        if request.data is not None and request.full_url.endswith("/rate/"):
            request.add_header("X-Survey", "fetch")
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                page = super()._send(request)
                if page.status < 500:
                    break
                self._seen.count(f"replies with {page.status}")
            except (OSError, http.client.HTTPException):
                self._seen.count("requests without a reply")
            if time.monotonic() > give_up:
                raise TimeoutError(f"{request.full_url} never answered.")
            time.sleep(self._draw.uniform(0.05, 0.5))
        # 204 names the page that follows the last picture; the server knows it too.
        return self.get(page.url) if page.status == 204 else page

    def _send_and_die(self, url: str, data: dict[str, str]) -> None:
        """Send the whole request, or a part of it, and be gone."""
        split = urllib.parse.urlsplit(url)
        body = urllib.parse.urlencode(data)
        request = urllib.request.Request(url)  # noqa: S310 - our own server
        self._cookies.add_cookie_header(request)
        raw = "\r\n".join([
            f"POST {split.path} HTTP/1.1",
            f"Host: {split.netloc}",
            f"Cookie: {request.get_header('Cookie', '')}",
            "X-Survey: fetch",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            "", body,
        ]).encode()  # fmt: skip
        whole = self._draw.random() < 0.8
        cut = len(raw) if whole else self._draw.randrange(len(raw))
        place = (split.hostname, split.port)
        with (
            contextlib.suppress(OSError),
            socket.create_connection(place, timeout=5) as connection,
        ):
            connection.sendall(raw[:cut])
            time.sleep(self._draw.uniform(0, 0.1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--trials-each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with temporary_lab():
        wrong = storm(options)
    sys.exit(1 if wrong else 0)


def storm(options: argparse.Namespace) -> list[str]:
    """Play, kill, compare; returns what does not agree."""
    from nstlab.supervisor import Lab, answers_http, gunicorn

    study = open_study(
        pictures=options.trials_each + 4, trials_each=options.trials_each
    )
    port, seen = free_port(), Seen()
    address = f"http://127.0.0.1:{port}{study.get_absolute_url()}"
    lab = Lab(web_command=gunicorn("127.0.0.1", port))
    lab.workers = []  # nothing is rendered here
    began = time.monotonic()
    with lab, ThreadPoolExecutor(AT_ONCE) as pool:
        assert answers_http(f"http://127.0.0.1:{port}/health/live", seconds=60)
        people = [
            pool.submit(person, address, number, options, seen)
            for number in range(options.participants)
        ]
        try:
            kill(lab, people, options, seen)
        finally:
            for each in people:
                each.cancel()
    failed = [str(it.exception()) for it in people if it.exception()]
    return compare(study, seen, failed, options, time.monotonic() - began)


def person(address: str, number: int, options: argparse.Namespace, seen: Seen) -> None:
    draw = random.Random(f"{options.seed}/person/{number}")
    leaves = draw.random() < LEAVE
    most = draw.randrange(options.trials_each) if leaves else options.trials_each
    take_part(
        Browser(seen, draw),
        address,
        choose=lambda _code: draw.randint(1, 5),
        most_trials=most,
    )
    seen.count("left" if leaves else "finished")


def kill(lab: Any, people: list[Any], options: argparse.Namespace, seen: Seen) -> None:
    """Kill after seeded numbers of confirmed answers, and mend, until all are done."""
    draw = random.Random(f"{options.seed}/kills")
    expected = int(options.participants * options.trials_each * (1 - LEAVE / 2))
    moments = sorted(draw.sample(range(1, expected), options.kills))
    while not all(each.done() for each in people):
        lab.keep()
        if moments and len(seen.confirmed) >= moments[0] and lab.web.alive():
            time.sleep(draw.uniform(0, 0.05))
            what = draw.choice(["web", "web", "worker", "broker"])
            strike(lab, what)
            moments.pop(0)
            seen.count(f"{what} killed")
        time.sleep(0.01)
    if moments:
        seen.count(f"planned kills that came too late: {len(moments)}")


def strike(lab: Any, what: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        if what == "web":
            os.killpg(lab.web.running.pid, signal.SIGKILL)
            lab.web.running.wait()
        elif what == "worker":
            pid = lab.web.running.pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        else:
            from nstlab.core import broker

            with broker.client(lab.broker.connection) as client:
                os.kill(client.info("server")["process_id"], signal.SIGKILL)


def compare(
    study: Any, seen: Seen, failed: list[str], options: argparse.Namespace, took: float
) -> list[str]:
    from survey.models import Item, Participant, Rating

    rows = list(Rating.objects.values_list("trial_id", "rating"))
    recorded, confirmed = collections.Counter(rows), collections.Counter(seen.confirmed)
    lost, unheard = confirmed - recorded, recorded - confirmed
    votes = sum(Item.objects.filter(study=study).values_list("votes", flat=True))
    print(f"{options.participants} people, {database_name()}, seed {options.seed}, "
          f"{took:.0f} s, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    for what, count in sorted(seen.counts.items()):
        print(f"  {what}: {count}")
    print(f"  answers confirmed {len(seen.confirmed)}, rows {len(rows)}, counted "
          f"{votes}; lost {lost.total()}, never confirmed {unheard.total()}; sessions "
          f"{Participant.objects.count()} (a join whose reply was lost leaves an empty "
          "one)")  # fmt: skip
    wrong = list(failed)
    if lost or unheard:
        wrong.append(f"lost {dict(lost)}, never confirmed {dict(unheard)}")
    if len(set(seen.confirmed)) != len(seen.confirmed):
        wrong.append("a trial was confirmed twice")
    if votes != len(rows):
        wrong.append(f"{votes} votes are counted for {len(rows)} rows")
    for sentence in wrong:
        print(f"  WRONG: {sentence}")
    return wrong


if __name__ == "__main__":
    main()
