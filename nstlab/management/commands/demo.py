"""`manage.py demo`: a whole lab with a small experiment, from nothing to a study."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import segno
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.urls import reverse

from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from analysis.reports.compute import build
from generation.engine.errors import EngineError
from generation.engine.pictures.files import png_bytes
from generation.models import RANDOM_FEATURES, Experiment, Pair, Render
from generation.pictures.source_images import add_source_image
from generation.queueing.batches import queue_experiment, retry_renders
from generation.queueing.reap import reap
from generation.queueing.weights import tell_weights
from nstlab.core.broker import BrokerUnavailable
from nstlab.core.commands import progress_bar, shown_by
from nstlab.core.outages import going_on
from nstlab.drawn_styles import DRAWN
from nstlab.roles import researchers
from nstlab.supervisor import Lab, answers_http, gunicorn
from survey.housekeeping import purge_due
from survey.models import Study
from survey.presets import DEMO_WORDS
from survey.simulation import BIAS_SD, NOISE_SD, simulate, true_values
from survey.studies.lifecycle import open_study

USERNAME = "researcher"
EXPERIMENT = "Demo"
SIMULATED_PEOPLE = 12
SEED = 1
# CC0 pictures that scikit-image bundles (its data/README.txt).
CONTENTS = {
    "Chelsea the cat": ("chelsea.png", "Stéfan van der Walt", "CC0 1.0"),
    "Coffee": ("coffee.png", "Rachel Michetti, Pikolo Espresso Bar", "CC0 1.0"),
}
PAIRS = [("Chelsea the cat", "Woodcut"), ("Coffee", "Stained glass")]
GRID: dict[str, Any] = {
    "content_layer": ["conv4_2"],
    "balance": [0.05, 0.5],  # much of the style; the photo with less of it
    "tv_weight": [0.0],
    "size": 240,  # of the long side: 240 × 160, as many pixels as 196 × 196
    "evaluations": 45,
    "start": "content",
    "seed": SEED,
}
# Random features transfer colour and texture visibly only so; it is said.
RANDOM: dict[str, Any] = {
    "content_layer": ["conv3_1"],
    "balance": [],
    "alpha_beta": [0.0005, 0.02],
    "pooling": "average",
}


class Command(BaseCommand):
    help = (
        "Paints four small pictures, opens a study of them and serves both until "
        "Ctrl-C. Run again, it goes on where it was. With --no-serve simulated "
        "participants answer and the MOS table is printed instead."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        port = int(os.environ.get("PORT") or 8000)
        parser.add_argument("--port", type=int, default=port)
        parser.add_argument("--no-serve", action="store_true")
        for name in ("size", "evaluations"):
            parser.add_argument(
                f"--{name}",
                type=int,
                default=GRID[name],
                help=f"of each render, at the first start (default {GRID[name]})",
            )
        parser.add_argument(
            "--lan",
            action="store_true",
            help="serve the local network too, so that a phone can rate",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        host = _own_address() if options["lan"] else "127.0.0.1"
        serve = not options["no_serve"]
        if serve:
            _refuse_taken_port(host, options["port"])
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        experiment = self._experiment(
            size=options["size"], evaluations=options["evaluations"]
        )
        environment = {
            "NSTLAB_HTTPS": "0",
            "NSTLAB_HOSTS": ",".join({host, "localhost", "127.0.0.1"}),
        }
        web_command = None
        if serve:
            bind = "0.0.0.0" if options["lan"] else host  # noqa: S104 - asked for
            web_command = gunicorn(bind, options["port"])
        lab = Lab(
            web_command=web_command,
            environment=environment,
            reap=reap,
            purge=purge_due,
        )
        try:
            with _terminated_like_ctrl_c(), lab:
                self._paint(experiment, lab)
                study = self._study(experiment)
                if serve:
                    self._serve(study, lab, f"http://{host}:{options['port']}")
                else:
                    self._simulate(study)
        except BrokerUnavailable as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("\nStopped. What was painted and rated is kept.")

    # The experiment -------------------------------------------------------------

    def _experiment(self, **quicker: int) -> Experiment:
        """The demo's experiment and account, made once."""
        researcher = self._researcher()
        experiment = Experiment.objects.filter(name=EXPERIMENT).first()
        if experiment is None:
            weights = self._weights()
            grid = GRID | (RANDOM if weights.startswith("random:") else {}) | quicker
            with transaction.atomic():
                images = {
                    title: add_source_image(
                        data=data,
                        title=title,
                        credit=credit,
                        licence=licence,
                        owner=researcher,
                    )[0]
                    for title, (data, credit, licence) in _pictures().items()
                }
                experiment = Experiment.objects.create(
                    name=EXPERIMENT,
                    weights=weights,
                    owner=researcher,
                    **grid,
                )
                for content, style in PAIRS:
                    Pair.objects.create(
                        experiment=experiment,
                        content=images[content],
                        style=images[style],
                    )
        if experiment.random_weights:
            self.stdout.write(
                self.style.WARNING(
                    f"Weights: {experiment.weights}, {RANDOM_FEATURES}. The pictures "
                    "say nothing about style transfer's quality."
                )
            )
        return experiment

    def _researcher(self) -> Any:
        users = get_user_model().objects
        group = researchers()
        user = users.filter(username=USERNAME).first()
        if user is None:
            password = secrets.token_urlsafe(9)
            _password_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _password_file().touch(mode=0o600)
            _password_file().write_text(password, encoding="ascii")
            user = users.create_user(USERNAME, password=password, is_staff=True)
            user.groups.add(group)
        return user

    def _weights(self) -> str:
        """ImageNet's weights if they can be had, else random ones, said aloud."""
        from generation.engine.networks.weights import get_imagenet

        self.stdout.write("Looking for the ImageNet weights …")
        try:
            with progress_bar(0, "fetching weights", "B") as bar:
                get_imagenet(settings.NSTLAB_WEIGHTS, progress=shown_by(bar))
            tell_weights()  # before renders are queued, whose requests hold the values
            return "imagenet"
        except EngineError as missing:
            self.stdout.write(str(missing))
        return f"random:{SEED}"

    def _paint(self, experiment: Experiment, lab: Lab) -> None:
        """Queue what is missing and wait for the workers, showing evaluations done."""
        renders = experiment.renders
        if not renders.exists():  # a newer engine would ask for other renders
            queue_experiment(experiment)
        retry_renders(renders.all())
        budget = experiment.evaluations * renders.count()
        with progress_bar(budget, "painting", "evaluation") as bar:
            while True:
                lab.keep()
                with going_on("A look at the renders"):
                    done = sum(
                        experiment.evaluations
                        if status in Render.TERMINAL
                        else progress.get("evaluations", 0)
                        for status, progress in renders.values_list(
                            "status", "progress"
                        )
                    )
                    bar.update(done - bar.n)
                    if not renders.unfinished().exists():
                        break
                for worker in lab.workers:
                    if worker.restarts > 5:
                        raise CommandError(
                            f"{worker.name} does not stay alive: {worker.log_file}"
                        )
                time.sleep(0.5)
        bad = renders.exclude(status=Render.Status.DONE).first()
        if bad is not None:
            raise CommandError(f"{bad} is {bad.status}: {bad.reason}")
        self.stdout.write(f"{renders.count()} renders are done.")

    # The study ------------------------------------------------------------------

    def _study(self, experiment: Experiment) -> Study:
        study = experiment.studies.first()
        if study is None:
            study = Study.objects.create(
                title="Demo: four painted pictures",
                experiment=experiment,
                **DEMO_WORDS,
                owner=experiment.owner,
                seed=SEED,
            )
        if study.state in {Study.State.DRAFT, Study.State.PILOTING}:
            open_study(study)
        return study

    def _serve(self, study: Study, lab: Lab, base: str) -> None:
        address = base + study.get_absolute_url()
        report = base + reverse("admin:analysis_report_study", args=[study.pk])
        if not answers_http(f"{base}/health/live"):
            raise CommandError(f"The web server does not answer: {lab.web}")
        password = "as printed at the first start"  # noqa: S105
        with contextlib.suppress(OSError):
            password = _password_file().read_text(encoding="ascii")
        self.stdout.write(
            f"\nAdmin:  {base}/admin/   user {USERNAME}, password {password}"
            f"\nReport: {report}"
            f"\nSurvey: {address}\n"
        )
        segno.make(address, error="l").terminal(sys.stdout, compact=True)
        self.stdout.write(
            "A phone in this network can rate if you start with --lan "
            "(make demo LAN=1). Ctrl-C stops everything.\n"
            f"Ready: {address}"
        )
        self.stdout.flush()
        while True:
            lab.keep()
            time.sleep(0.5)

    def _simulate(self, study: Study) -> None:
        with progress_bar(SIMULATED_PEOPLE, "simulated people", "person") as bar:
            simulate(
                study,
                participants=SIMULATED_PEOPLE,
                seed=SEED,
                on_finished=bar.update,
            )
        path: Path = settings.VAR / "demo" / "ratings_long.csv"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(csv_lines(RATINGS_LONG, ratings_rows(study)))
        _, report = build(study, include_simulated=True)
        table = report.tables["mos_by_stimulus.csv"]
        table["truth"] = table["stimulus"].map(true_values(study, seed=SEED))
        shown = ["stimulus", "content", "style", "balance", "alpha", "weights", "n",
                 "mos", "sd", "ci_low", "ci_high", "truth"]  # fmt: skip
        shown = [name for name in shown if name in table]
        self.stdout.write(
            f"\n{SIMULATED_PEOPLE} simulated participants (seed {SEED}): truth + bias "
            f"(SD {BIAS_SD}) + noise (SD {NOISE_SD}), rounded to 1–5.\n"
            "MOS with Student-t 95 % intervals; simulated ratings never count in a "
            "study's own tables:\n"
        )
        self.stdout.write(
            table[shown].to_string(
                index=False, float_format="%.2f", formatters={"alpha": "{:g}".format}
            )
        )
        self.stdout.write(f"\n{path}")


def _password_file() -> Path:
    path: Path = settings.VAR / "demo" / "researcher_password"
    return path


def _pictures() -> dict[str, tuple[bytes, str, str]]:
    """File, credit and licence of each content and each drawn style, by title."""
    import skimage

    bundled = Path(skimage.__file__).parent / "data"
    contents = {
        title: ((bundled / name).read_bytes(), credit, licence)
        for title, (name, credit, licence) in CONTENTS.items()
    }
    styles = {
        title: (png_bytes(draw()), "NSTLab", "CC0 1.0") for title, draw in DRAWN.items()
    }
    return contents | styles


def _own_address() -> str:
    """This machine's address in the local network. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError as error:
            raise CommandError("This machine is in no network; leave --lan out.") from (
                error
            )
        return str(probe.getsockname()[0])


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Port {port} is taken, perhaps by a demo that still runs. Choose "
                f"another: PORT={port + 1} make demo."
            ) from error


@contextlib.contextmanager
def _terminated_like_ctrl_c() -> Iterator[None]:
    """SIGTERM ends the lab in order, as Ctrl-C does, also in a shell's background."""
    before = {
        kind: signal.signal(kind, signal.default_int_handler)
        for kind in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
