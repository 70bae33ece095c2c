"""NUL bytes and numbers of thousands of digits in every parameter of every route."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from survey.models import Participant, Study
from tests.nstlab.test_people import people, places

__all__ = ["people", "places"]
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.broker,
    pytest.mark.usefixtures("queues"),
]

UNREADABLE = {
    "nul": "a\0b",
    "digits": "9" * 5000,
    "digits with underscores": "1" + "_9" * 4999,
    "digits in a text": f"x {'7' * 5000} y",
}
# What Django's lists read from an address, and a filter of the lab's own.
OF_LISTS = ("p", "o", "id__exact", "study__id__exact", "experiment__id__exact")
LONG = str(10**30)


def routes() -> list[str]:
    """Every page of researchers as the table has them, and all others."""
    table = Path(__file__).with_name("who_gets_what.txt").read_text().splitlines()
    researchers = [
        line.split()[0] for line in table if line and not line.startswith("#")
    ]
    participants = [
        f"s/{{slug}}/{page}"
        for page in ("", "join/", "forget/", "declined/", "before/", "checks/", "rate/",
                     "after/", "thanks/", "code/", "resume/", "withdraw/",
                     "picture/{code}.png", "check/{code}.svg")
    ]  # fmt: skip
    return ["", *researchers, *participants, "health/live", "health/ready", "metrics"]


def spoilt(route: str, places: dict[str, Any], bad: str) -> Iterator[str]:
    """The address of a route with one of its parts spoilt, for each of them."""
    good = {name: str(value) for name, value in places.items()}
    for name in re.findall(r"{(\w+)}", route):
        parts = good | {name: bad.replace("\0", "%00").replace(" ", "%20")}
        yield "/" + route.format_map(parts)


@pytest.fixture
def root(client: Client, people: dict[str, Any]) -> Client:
    """A superuser at a browser that shows what a server would."""
    client.force_login(people["superuser"])
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize(
    "bad", [UNREADABLE["nul"], UNREADABLE["digits"]], ids=["nul", "digits"]
)
def test_what_no_page_can_read_is_400_on_every_route(
    root: Client, places: dict[str, Any], bad: str
) -> None:
    wrong = []
    walked = routes()
    assert len(walked) > 130
    for route in walked:
        address = "/" + route.format_map(places)
        asked = {
            **{path: root.get(path) for path in spoilt(route, places, bad)},
            "GET value": root.get(address, {"p": bad}),
            "GET name": root.get(address, {bad: "1"}),
            "POST value": root.post(address, {"trial": bad}),
        }
        wrong += [
            f"{address} {how[:60]}: {answer.status_code}"
            for how, answer in asked.items()
            if answer.status_code != 400
        ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("bad", UNREADABLE.values(), ids=UNREADABLE)
def test_it_is_400_in_whichever_way_it_is_written(client: Client, bad: str) -> None:
    assert client.get("/s/nowhere/", {"p": bad}).status_code == 400
    assert client.post("/admin/login/", {"username": bad}).status_code == 400


def test_it_says_so_in_the_persons_language(root: Client, study: Study) -> None:
    address = study.get_absolute_url()
    answer = root.get(address, {"p": "\0"}, headers={"accept-language": "fr"})
    assert "Votre navigateur a envoyé" in answer.content.decode()
    assert "default-src" in answer.headers["Content-Security-Policy"]
    cookie = {"cookie": 'participant="a\\000b"'}
    assert root.get(address, headers=cookie).status_code == 400


def test_the_name_of_a_file_counts_too(root: Client, places: dict[str, Any]) -> None:
    file = SimpleUploadedFile("a.csv", b"a,b")
    address = f"/admin/survey/study/{places['study']}/approvals/"
    assert root.post(address, {"fi\0le": file}).status_code == 400


class Gone:
    """A browser that went away before it had sent everything."""

    def read(self, *_: Any) -> bytes:
        raise ConnectionResetError("gone")

    readline = read


def test_who_goes_away_while_sending_is_no_error_of_the_lab(
    client: Client, study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    join = f"{study.get_absolute_url()}join/"
    sending: Any = {"wsgi.input": Gone()}
    for kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ):
        answer = client.post(join, b"consent=on", content_type=kind, **sending)
        assert answer.status_code == 400
    assert not [it for it in caplog.records if it.levelname == "ERROR"]


def test_a_number_that_no_column_holds_is_never_a_crash(
    root: Client, places: dict[str, Any]
) -> None:
    """Of 31 digits, which Python reads."""
    crashed = []
    fields = ("_selected_action", "trial", "answer-overall", "break", "invitation",
              "response_ms", "renders")  # fmt: skip
    sent = {"action": "delete_selected", "index": "0", "consent": "on"}
    for route in routes():
        if route == "health/ready":  # says whether there is a broker
            continue
        address = "/" + route.format_map(places)
        asked = [root.get(path) for path in spoilt(route, places, LONG)]
        if re.fullmatch(r"admin/\w+/\w+/", route):
            asked += [root.get(address, {name: LONG}) for name in OF_LISTS]
        asked.append(root.post(address, sent | dict.fromkeys(fields, LONG)))
        crashed += [
            f"{answer.request['REQUEST_METHOD']} {answer.request['PATH_INFO']}"
            f"?{answer.request['QUERY_STRING']}: {answer.status_code}"
            for answer in asked
            if answer.status_code >= 500
        ]
    assert not crashed, "\n".join(crashed)


LOOKING = """
import resource
resource.setrlimit(resource.RLIMIT_CPU, (15, 15))
from nstlab.parameters import NO_NUMBER
for unit in ("7" * 999 + "x", "7_" * 999 + "_"):
    print(NO_NUMBER.search(unit * (2_000_000 // len(unit))))
"""


def test_looking_for_long_numbers_keeps_no_server_busy() -> None:
    """In the largest body there may be, all of it numbers that are just short enough.

    It takes a fraction of a second; the bound is there so that a search which begins
    at every digit anew does not go on for minutes.
    """
    done = subprocess.run(
        [sys.executable, "-c", LOOKING],
        cwd=settings.BASE_DIR, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "None\nNone\n"), done.stderr


def test_what_people_write_is_taken(client: Client, study: Study) -> None:
    """A long text, and numbers in it."""
    join = f"{study.get_absolute_url()}join/"
    said = {"consent": "on", "comment": f"{'9' * 400} {'words and 1,000 ' * 300}"}
    assert client.post(join, said).status_code == 302
    assert Participant.objects.exists()
