"""What survives being killed: `python benchmarks/chaos.py --kills 200 --renders 60`.

A lab of its own under a temporary folder (SQLite, embedded Valkey, web server, two
workers) paints a grid of tiny real renders while its processes are killed at random
moments: workers with their job, jobs alone, the broker, the web server, which is killed
while it queues. When a grid is done before the kills are, the next one is queued.

Then every row must be done, with one picture of its own that has the pixels which the
row says; no file may be left without a row, no batch open and no job in the broker.
Prints counts, and ends with 1 and what is wrong if anything is.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import http.client
import http.cookiejar
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# In the place of this folder, whose `queue` would hide Python's own.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.temporary import free_port, temporary_lab  # noqa: E402

# How often each is killed, relative to the others.
KINDS = {"horse": 5, "worker": 2, "broker": 2, "web": 1}
PATIENCE = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--renders", type=int, default=60, help="in one grid")
    parser.add_argument("--pause", type=float, default=0.5, help="mean s between kills")
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    options = parser.parse_args()
    with temporary_lab(
        # Threads of two workers that wait for each other burn two cores.
        OMP_NUM_THREADS="1",
        NSTLAB_LEASE_SECONDS="2",
        NSTLAB_CHECKPOINT_SECONDS="1",
        # Many batches of a few renders, so that there is something to fall apart.
        NSTLAB_BATCH_SECONDS="1",
        # Here all must be done, however often it was killed.
        NSTLAB_MAX_ATTEMPTS="1000",
        NSTLAB_LOG_LEVEL="ERROR",
    ):
        found = Chaos(options).run()
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["wrong"] else 0)


class Browser:
    """A researcher who is logged in at the admin."""

    def __init__(self, base: str) -> None:
        self.admin = f"{base}/admin/"
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies)
        )
        self.opener.open(f"{self.admin}login/", timeout=30).close()
        self.post("login/", username="ada", password="x", next="/admin/")  # noqa: S106

    def queue(self, experiment: int) -> None:
        self.post("generation/experiment/", action="queue", _selected_action=experiment)

    def post(self, page: str, **fields: Any) -> None:
        token = next(it.value for it in self.cookies if it.name == "csrftoken")
        data = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token})
        request = urllib.request.Request(  # noqa: S310 - our own server
            self.admin + page, data.encode(), {"Referer": self.admin}
        )
        self.opener.open(request, timeout=60).close()


def living(process: Any) -> list[int]:
    return [process.running.pid] if process.alive() else []


def children(pid: int) -> list[int]:
    with suppress(OSError):
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in listed.split()]
    return []


class Chaos:
    """One run: the lab, what is killed, what is queued."""

    def __init__(self, options: argparse.Namespace) -> None:
        from django.contrib.auth import get_user_model

        from generation.queueing.reap import reap
        from nstlab.supervisor import Lab, gunicorn

        self.options = options
        self.random = random.Random(options.seed)
        port = free_port()
        self.base = f"http://127.0.0.1:{port}"
        self.lab = Lab(
            web_command=gunicorn("127.0.0.1", port),
            reap=reap,
        )
        first = self.lab.workers[0]
        second = dataclasses.replace(
            first, name="worker-render-2", log_file=first.log_file.with_name("2.log")
        )
        self.lab.workers = [first, second]
        self.killed: Counter[str] = Counter()
        self.grids = 0
        get_user_model().objects.create_superuser("ada", password="x")  # noqa: S106

    def run(self) -> dict[str, Any]:
        began = time.monotonic()
        with self.lab:
            self.until(self.web_answers, "the web server answers")
            while self.left():
                self.queue_grid()
                self.kill_while_it_paints()
            self.until(lambda: not self.unfinished(), "every render has ended")
            self.until(lambda: not self.open_ends(), "nothing is left over")
            self.until(self.web_answers, "the web server answers")
            wrong = self.wrong()
        from generation.models import Render

        attempts = Render.objects.values_list("attempt", flat=True)
        return {
            "kills": sum(self.killed.values()),
            **{f"{kind} killed": self.killed[kind] for kind in KINDS},
            "grids": self.grids,
            "renders": len(attempts),
            "done": Render.objects.ready().count(),
            "attempts": sum(attempts),
            "most attempts at one": max(attempts),
            "seconds": round(time.monotonic() - began),
            "load": round(os.getloadavg()[0], 1),
            "wrong": wrong,
        }

    def left(self) -> int:
        return int(self.options.kills) - sum(self.killed.values())

    # Killing --------------------------------------------------------------------

    def kill_while_it_paints(self) -> None:
        kind, at = self.next_kill()
        while self.left() and self.unfinished():
            self.lab.keep()
            if time.monotonic() >= at and (pids := self.victims(kind)):
                self.kill(kind, self.random.choice(pids))
                kind, at = self.next_kill()
            time.sleep(0.02)

    def next_kill(self) -> tuple[str, float]:
        """What is killed next, and when; later if none of its kind lives then."""
        pause = self.random.expovariate(1 / self.options.pause)
        (kind,) = self.random.choices(list(KINDS), list(KINDS.values()))
        return kind, time.monotonic() + pause

    def kill(self, kind: str, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self.killed[kind] += 1

    def victims(self, kind: str) -> list[int]:
        """Processes of this kind; workers only while they have a job."""
        workers = [pid for worker in self.lab.workers for pid in living(worker)]
        if kind == "worker":
            return [worker for worker in workers if children(worker)]
        if kind == "horse":
            return [child for worker in workers for child in children(worker)]
        if kind == "web":
            masters = living(self.lab.web)
            return [*masters, *(child for pid in masters for child in children(pid))]
        from redis.exceptions import RedisError

        from nstlab.core.broker import client

        try:
            with client(self.lab.broker.connection) as redis:
                return [int(redis.info("server")["process_id"])]
        except (RedisError, OSError):
            return []

    # Queueing -------------------------------------------------------------------

    def queue_grid(self) -> None:
        """Queue the next grid by the web server, which is killed meanwhile."""
        from benchmarks.queue import grid

        self.grids += 1
        experiment = grid(
            f"Grid {self.grids}",
            self.options.renders,
            evaluations=8,
            seed=self.grids,
            start="noise",
            reuse=False,
        )
        self.until(self.web_answers, "the web server answers")
        with suppress(OSError, http.client.HTTPException):
            browser = Browser(self.base)
            kill = threading.Timer(
                self.random.uniform(0, 0.6),
                lambda: self.kill("web", self.random.choice(self.victims("web"))),
            )
            kill.start()
            try:
                browser.queue(experiment.pk)
            finally:
                kill.join()
        while (there := experiment.renders.count()) != self.options.renders:
            assert there == 0, "a grid is queued whole or not at all"
            self.until(self.web_answers, "the web server answers")
            with suppress(OSError, http.client.HTTPException):
                Browser(self.base).queue(experiment.pk)

    def web_answers(self) -> bool:
        try:
            address = f"{self.base}/health/live"
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310
                return True
        except OSError:
            return False

    # Looking --------------------------------------------------------------------

    def until(self, condition: Callable[[], Any], what: str) -> None:
        before, since = self.unfinished(), time.monotonic()
        while not condition():
            if (left := self.unfinished()) != before:
                before, since = left, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                sys.exit(
                    f"For {PATIENCE:.0f} s nothing has ended, and it did not come to "
                    f"this: {what}. {left} renders; {self.open_ends()}"
                )
            self.lab.keep()
            time.sleep(0.1)

    def unfinished(self) -> int:
        from generation.models import Render

        return Render.objects.unfinished().count()

    def open_ends(self) -> list[str]:
        """What of the work is not over, in the database and in the broker."""
        import django_rq
        from redis.exceptions import RedisError

        from generation.models import Batch, Render
        from generation.queueing.dispatch import RENDER_QUEUES

        found = [f"{it} is open" for it in Batch.objects.filter(over=False)]
        held = Render.objects.filter(token__isnull=False)
        found += [f"render {it.pk} has a token" for it in held]
        try:
            for name in RENDER_QUEUES:
                queue = django_rq.get_queue(name)
                started = queue.started_job_registry.get_job_ids(cleanup=False)
                found += [f"{name} has {it}" for it in [*queue.job_ids, *started]]
        except RedisError as error:
            found.append(f"the broker is away: {error}")
        return found

    def wrong(self) -> list[str]:
        from django.conf import settings

        from generation.engine.pictures.files import open_picture, pixel_sha256
        from generation.models import Render
        from generation.pictures.media import check_media

        found = self.open_ends()
        rows = list(Render.objects.all())
        wanted = self.grids * self.options.renders
        if len(rows) != wanted or len({row.digest for row in rows}) != wanted:
            found.append(f"{len(rows)} rows instead of {wanted}")
        for row in rows:
            if row.status != Render.Status.DONE:
                found.append(f"{row.pk} is {row.status}: {row.reason}")
            else:
                with row.picture.open() as file:
                    pixels = pixel_sha256(open_picture(file.read()).image)
                if pixels != row.pixel_sha256:
                    found.append(f"{row.pk} has other pixels than it says")
        pictures = len({row.picture.name for row in rows})
        files = len(list((settings.MEDIA_ROOT / "render").iterdir()))
        if not pictures == files == wanted:
            found.append(f"{files} files of {pictures} pictures for {wanted} renders")
        media = check_media(grace=dt.timedelta(0))
        found += [f"missing: {it}" for it in media.missing]
        found += [f"without a row: {it}" for it in media.orphans]
        found += [f"checkpoint: {it}" for it in settings.NSTLAB_CHECKPOINTS.glob("*")]
        return found


if __name__ == "__main__":
    main()
