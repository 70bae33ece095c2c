"""What an answer costs against another build and against the least there can be.

`survey_load.py --floor --against CHECKOUT` calls it. Three servers at a time, each
gunicorn with one process in a lab of its own: this checkout, the other one, and one
Django view that does one durable insert (`minimal_view.py`). One client after the other
sends to each in turn, round by round, so that all meet the same machine; what counts is
the processor time (user and system) of a server's process group, for the wall clock
of a shared machine says little. Ratios are medians over the rounds. Looks afterwards
that as many rows are stored as answers were confirmed.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

HERE = Path(__file__).resolve().parent
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
GUNICORN = ["--workers=1", "--threads=1", "--access-logfile=/dev/null"]
"""As deploy/ has it, but for the number of processes."""
LARGE = 10_000


@dataclass(frozen=True)
class Case:
    """A study that is measured, and what of it."""

    name: str
    pictures: int
    least_rated: int | None = None
    """How many each person sees, the least rated first; None: all, in fixed order."""
    stored: int = 0
    rounds: int = 7
    answers: int = 60
    """In a round; a build that takes a second each is asked a tenth of them."""

    @property
    def study(self) -> dict[str, Any]:
        return {"trials_each": self.least_rated} if self.least_rated else {}


def cases(stored: int) -> list[Case]:
    return [
        Case("fixed order, 25 pictures", 25),
        Case("least rated, 25 pictures", 25, 20),
        Case(f"least rated, {LARGE:,} pictures", LARGE, 20, 0, 5),
        Case(f"the same, {stored:,} ratings stored", LARGE, 20, stored, 5),
    ]


class Client:
    """Sends requests one after the other, as a browser with or without a script."""

    def __init__(self, address: str) -> None:
        split = urlsplit(address)
        self._host, self.path = split.netloc, split.path
        self._cookies: dict[str, str] = {}

    def send(
        self, method: str, path: str, data: dict[str, str] | None = None, **more: str
    ) -> tuple[int, str, int]:
        """Status, text or where to, and the bytes of the body."""
        connection = http.client.HTTPConnection(self._host, timeout=120)
        headers = {"Origin": f"http://{self._host}", "Accept-Encoding": "gzip", **more}
        headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self._cookies.items())
        if data is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urlencode(data or {}), headers)
        reply = connection.getresponse()
        body = reply.read()
        for cookie in reply.headers.get_all("Set-Cookie", []):
            name, _, rest = cookie.partition("=")
            self._cookies[name] = rest.partition(";")[0]
        connection.close()
        place = reply.headers.get("Location")
        plain = body
        if reply.headers.get("Content-Encoding") == "gzip":
            plain = gzip.decompress(body)
        return reply.status, place or plain.decode(), len(body)

    def joined(self) -> str:
        """Come as somebody new; the page with the first picture."""
        self._cookies = {}
        page = self.send("GET", self.path)[1]
        sent = hidden(page) | {"consent": "on"}
        status, place, _ = self.send("POST", f"{self.path}join/", sent)
        assert status == 302, (status, place)
        return self.send("GET", place)[1]


def hidden(html: str) -> dict[str, str]:
    found = re.findall(
        r'<input type="hidden" name="([^"]+)"(?: value="([^"]*)")?', html
    )
    return dict(found)


@dataclass
class Build:
    """A server that answers are sent to, and what they cost it."""

    name: str
    address: str
    group: int
    ask: Callable[..., Any] | None = None
    page: str = ""
    confirmed: int = 0
    spent: dict[str, list[float]] = field(default_factory=dict)
    """Processor milliseconds each, by what was done, a round after another."""

    def __post_init__(self) -> None:
        self.client = Client(self.address)

    def answer(self, script: bool) -> None:
        """One answer, and what shows the next picture."""
        if self.ask is None:
            self.confirmed += 1
            sent = {"trial": str(self.confirmed), "answer-overall": "3"}
            assert self.client.send("POST", "/answer/", sent)[0] == 200
            return
        sent = hidden(self.page) | {"answer-overall": str(1 + self.confirmed % 5)}
        path = f"{self.client.path}rate/"
        if script:
            sent |= {"client_id": f"{self.confirmed:024x}", "response_ms": "2000",
                     "displayed_scale": "1.0", "load_failures": "0"}  # fmt: skip
            status, page, _ = self.client.send(
                "POST", path, sent, **{"X-Survey": "fetch"}
            )
            assert status in {200, 204}, (status, page)
        else:
            status, place, _ = self.client.send("POST", path, sent)
            assert status == 302, (status, place)
            status, page, _ = self.client.send("GET", place)
        self.confirmed += 1
        self.page = page if status == 200 and 'name="trial"' in page else ""

    def join(self) -> None:
        if self.ask is not None:
            self.page = self.client.joined()

    def costs(self, what: str, times: int, do: Callable[[], None]) -> None:
        """Do it so often and note what it cost; joining in between is not counted."""
        used, done = 0.0, 0
        while done < times:
            if not self.page and what != "join":
                self.join()
            before = cpu_of(self.group)
            while done < times and (self.page or what == "join" or self.ask is None):
                do()
                done += 1
            used += cpu_of(self.group) - before
        self.spent.setdefault(what, []).append(1000 * used / times)


def cpu_of(group: int) -> float:
    """Processor seconds, user and system, of a process group's living processes."""
    spent = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                spent += sum(
                    int((task / "schedstat").read_text().split()[0])
                    for task in (stat.parent / "task").iterdir()
                )
    return spent / 1e9


@contextlib.contextmanager
def build(name: str, checkout: Path, case: Case) -> Iterator[Build]:
    """A checkout's own lab with the case's study."""
    asked = {
        "pictures": case.pictures, "study": case.study, "stored": case.stored,
        "command": GUNICORN,
    }  # fmt: skip
    python = checkout / ".venv" / "bin" / "python"
    process = subprocess.Popen(
        [str(python if python.exists() else sys.executable),
         str(HERE / "survey_serving.py"), json.dumps(asked)],
        cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(checkout)},
    )  # fmt: skip
    assert process.stdin and process.stdout

    def ask(*what: Any) -> Any:
        assert process.stdin and process.stdout
        process.stdin.write(" ".join(map(str, what)) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    try:
        said = json.loads(process.stdout.readline())
        yield Build(name, said["address"], said["group"], ask)
    finally:
        process.stdin.close()
        process.wait(60)


@contextlib.contextmanager
def minimal() -> Iterator[Build]:
    """The view of `minimal_view.py` under the same gunicorn."""
    from benchmarks.temporary import free_port

    with tempfile.TemporaryDirectory(prefix="nstlab-benchmark-") as folder:
        place = {**os.environ, "MINIMAL_DATABASE": f"{folder}/minimal.sqlite3",
                 "PYTHONPATH": str(HERE.parent)}  # fmt: skip
        subprocess.run(
            [sys.executable, "-P", str(HERE / "minimal_view.py")], env=place, check=True
        )
        bind = f"127.0.0.1:{free_port()}"
        with Path(folder, "log").open("wb") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "benchmarks.minimal_view",
                 f"--bind={bind}", *GUNICORN],
                cwd=HERE.parent, env=place, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield Build("minimal", f"http://{bind}/", running.pid)
        finally:
            running.send_signal(signal.SIGTERM)
            running.wait(20)


def measure(options: argparse.Namespace) -> None:
    """Measure every case that is wanted and print a table of each."""
    every = cases(options.stored)
    for case in every:
        if options.only not in case.name:
            continue
        here, began = HERE.parent, time.monotonic()
        with contextlib.ExitStack() as open_ones:
            wanted = [build("this", here, case), minimal()]
            if options.against:
                wanted.append(build("other", Path(options.against).resolve(), case))
            # What is dearer than what, by the same build.
            wanted += [
                build(f"this, {each.name}", here, each)
                for each in every[:2]
                if case.least_rated and each is not case
            ]
            builds = [open_ones.enter_context(each) for each in wanted]
            play(builds, case)
            tell(builds, case, time.monotonic() - began)


def play(builds: list[Build], case: Case) -> None:
    for each in builds:
        until_up(each)
        each.join()
        for _ in range(5):  # what is made at first use is made
            each.answer(script=True)
            if not each.page:
                each.join()
    for _ in range(case.rounds):
        for each in builds:
            slow = each.name == "other" and case.pictures >= LARGE
            times = case.answers // 10 if slow else case.answers
            each.costs("answer", times, lambda at=each: at.answer(script=True))
            if each.ask is None:
                continue
            times = max(times // 3, 5)
            each.costs("without script", times, lambda at=each: at.answer(script=False))
            if case.least_rated:
                each.costs("join", 2 if slow else 10, each.join)
            number = 5 if slow else 40
            held = each.ask("hold", number)
            each.confirmed += number
            each.spent.setdefault("write lock held", []).append(held)


def until_up(each: Build) -> None:
    for _ in range(300):
        try:
            each.client.send("GET", urlsplit(each.address).path)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{each.name} never answered")


def tell(builds: list[Build], case: Case, took: float) -> None:
    print(f"{case.name}: {took:.0f} s, load {os.getloadavg()[0]:.1f}; processor ms "
          f"each, median of {case.rounds} rounds (least – most)")  # fmt: skip
    this, *others = builds
    for what, spent in this.spent.items():
        said = [f"{what}: this {figures(spent)}"]
        for other in others:
            against = other.spent.get(what)
            if other.ask is None:
                against = other.spent["answer"]
            if against:
                ratios = [a / b for a, b in zip(spent, against, strict=True)]
                said.append(
                    f"{other.name} {figures(against)}, ratio "
                    f"{statistics.median(ratios):.2g} "
                    f"({min(ratios):.2g} – {max(ratios):.2g})"
                )
        print("  " + "; ".join(said), flush=True)
    for each in builds:
        if each.ask is not None:
            stored, votes, least, most = each.ask("rows")
            lost = each.confirmed + case.stored - stored
            print(f"  {each.name}: answers confirmed {each.confirmed}, lost {lost}, "
                  f"votes {votes}, per picture {least}–{most}")  # fmt: skip


def figures(spent: list[float]) -> str:
    return f"{statistics.median(spent):.2f} ({min(spent):.2f} – {max(spent):.2f})"
