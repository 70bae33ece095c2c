"""How many can answer at once: `python benchmarks/survey_load.py --people 250`.

gunicorn behind nginx, which sends the pictures, in a lab of its own; a process beside
it plays people who answer every five seconds. SQLite, or a new database on the
PostgreSQL server of DATABASE_URL. Counts the rows afterwards. Prints figures; nothing
is a test.

With `--floor --against CHECKOUT` it measures instead what one answer costs, against
that build and against the least there can be (`survey_floor.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

from benchmarks import survey_floor  # noqa: E402
from benchmarks.temporary import (  # noqa: E402
    database_name,
    free_port,
    open_study,
    temporary_lab,
)

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
user root;
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    sendfile on;
    upstream nstlab {{ server unix:{folder}/web.sock; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://nstlab;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
        location /_pictures/ {{ internal; alias {media}/; }}
    }}
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=250)
    parser.add_argument("--ramp", type=float, default=30, help="s until all are in")
    parser.add_argument("--seconds", type=float, default=60, help="s measured then")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--trials-each", type=int, help="the least rated come first")
    parser.add_argument("--workers", type=int, default=3, help="as deploy/ has them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--floor", action="store_true", help="what one answer costs")
    parser.add_argument("--against", help="--floor: another checkout, with a .venv")
    parser.add_argument("--only", default="", help="--floor: cases with this in a name")
    parser.add_argument("--stored", type=int, default=100_000, help="--floor: ratings")
    options = parser.parse_args()
    if options.floor:
        survey_floor.measure(options)
        return
    if shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") is None:
        sys.exit("nginx is missing: apt-get install nginx")
    with temporary_lab(NSTLAB_ACCEL="/_pictures/", NSTLAB_BEHIND_PROXY="1"):
        measure(options.people, options)


def measure(people: int, options: argparse.Namespace) -> None:
    from django.conf import settings

    from nstlab.core.broker import EmbeddedBroker
    from survey.models import Item, Participant, Rating

    study = open_study(pictures=options.pictures, trials_each=options.trials_each)
    broker = EmbeddedBroker(settings.VAR)
    broker.start()
    load, busy_before = os.getloadavg()[0], busy_seconds()
    try:
        with serving(options) as (base, groups):
            print(f"{people} people, {database_name()}, {options.workers} × "
                  f"{options.threads} threads, load {load:.1f} before")  # fmt: skip
            result = drive(f"{base}{study.get_absolute_url()}", people, options)
            spent = {name: cpu_of(group) for name, group in groups.items()}
            if result["errors"]:
                for log in (settings.VAR / "nginx/error.log",
                            settings.VAR / "log/gunicorn.log"):  # fmt: skip
                    print(*log.read_text().splitlines()[-5:], sep="\n")
    finally:
        broker.stop()
    report(result, options, spent, busy_seconds() - busy_before)
    confirmed, rows = len(result["posts"]), Rating.objects.count()
    print(f"  answers confirmed {confirmed}, rows {rows}, lost {confirmed - rows}; "
          f"participants {Participant.objects.count()}")  # fmt: skip
    votes = list(Item.objects.values_list("votes", flat=True))
    print(f"  votes per picture {min(votes)}–{max(votes)}, in all {sum(votes)}")


@contextlib.contextmanager
def serving(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, int]]]:
    """nginx and gunicorn; yields the address and each one's process group."""
    from django.conf import settings

    from nstlab.core.processes import Process
    from nstlab.supervisor import answers_http, gunicorn

    folder, port = settings.VAR / "nginx", free_port()
    folder.mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port, media=settings.MEDIA_ROOT))
    web = [*gunicorn("127.0.0.1", 0), f"--bind=unix:{folder}/web.sock",
           f"--workers={options.workers}", f"--threads={options.threads}"]  # fmt: skip
    nginx = ["nginx", "-c", str(conf), "-e", str(folder / "error.log")]
    path = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin"}
    processes = [
        Process(name, command, path, ROOT, settings.VAR / "log" / f"{name}.log",
                death_signal=signal.SIGTERM)
        for name, command in (("gunicorn", web), ("nginx", nginx))
    ]  # fmt: skip
    try:
        for process in processes:
            process.start()
        base = f"http://127.0.0.1:{port}"
        ready = answers_http(f"{base}/health/live", seconds=60)
        assert ready, processes[0].log_file.read_text()
        yield base, {it.name: it.running.pid for it in processes if it.running}
    finally:
        for process in processes:
            process.stop()


def drive(address: str, people: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [
        sys.executable, "-P", str(ROOT / "benchmarks" / "survey_people.py"), address,
        f"--people={people}", f"--ramp={options.ramp}", f"--seconds={options.seconds}",
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def report(
    result: dict[str, Any],
    options: argparse.Namespace,
    spent: dict[str, float],
    busy: float,
) -> None:
    for what in ("posts", "pictures", "joins"):
        within = [
            ms for sent, ms in result[what] if sent >= options.ramp or what == "joins"
        ]
        if len(within) < 2:
            continue
        parts = statistics.quantiles(within, n=100)
        rate = len(within) / (options.ramp if what == "joins" else options.seconds)
        print(f"  {what}: {len(within)} ({rate:.0f}/s), median {parts[49]:.0f} ms, "
              f"p95 {parts[94]:.0f} ms, p99 {parts[98]:.0f} ms, "
              f"max {max(within):.0f} ms")  # fmt: skip
    seconds, own = result["seconds"], result["cpu_seconds"]
    errors = sum(result["errors"].values())
    print(f"  errors {errors} {result['errors'] or ''}")
    others = busy - own - sum(spent.values())
    print("  processor seconds in {:.0f} s: {}, generator {:.1f}; all else on the "
          "machine {:.0f} of {:.0f} (a PostgreSQL server is among it); load {:.1f}"
          .format(
              seconds,
              ", ".join(f"{name} {cpu:.1f}" for name, cpu in spent.items()),
              own, others, seconds * (os.cpu_count() or 1), os.getloadavg()[0],
          ))  # fmt: skip


def cpu_of(group: int) -> float:
    """Processor seconds of the living processes of a process group."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / CLOCK_TICKS


def busy_seconds() -> float:
    """Processor seconds the whole machine has worked."""
    fields = [
        int(it) for it in Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    ]
    idle = fields[3] + fields[4]
    return (sum(fields[:8]) - idle) / CLOCK_TICKS


if __name__ == "__main__":
    main()
