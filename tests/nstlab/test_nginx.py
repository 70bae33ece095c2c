"""deploy/nginx.conf in a real nginx, with TLS, before the web unit's own gunicorn."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import http.client
import http.cookiejar
import os
import pwd
import re
import shlex
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as lab

from survey.client import OverSockets, take_part
from tests.conftest import missing
from tests.e2e.browser import free_port
from tests.elsewhere import database_url
from tests.nstlab.conftest import until_it_listens

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

DEPLOY = lab.BASE_DIR / "deploy"
PARTICIPANT = "127.4.3.2"


@dataclass
class Site:
    """A lab behind nginx, and the folder of its logs."""

    port: int
    plain_port: int
    folder: Path
    trust: ssl.SSLContext

    @property
    def base(self) -> str:
        return f"https://localhost:{self.port}"

    def person(self) -> OverSockets:
        """A browser with cookies of its own that trusts the site's certificate."""
        person = OverSockets()
        person._opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=self.trust),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        )
        return person

    def ask(self, method: str, path: str, **more: Any) -> tuple[int, bytes]:
        """One request from an address of its own."""
        return next(self.ask_on(method, path, **more))

    def ask_on(
        self, method: str, path: str, **more: Any
    ) -> Iterator[tuple[int, bytes]]:
        """The same request again and again, over one connection."""
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=60, context=self.trust,
            source_address=(PARTICIPANT, 0),
        )  # fmt: skip
        with contextlib.closing(connection):
            while True:
                connection.request(method, path, **more)
                response = connection.getresponse()
                yield response.status, response.read()


def nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        missing("nginx", "apt-get install nginx-light")
    return str(found)


def certificate(folder: Path) -> ssl.SSLContext:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return ssl.create_default_context(cafile=str(folder / "fullchain.pem"))


def configure(
    folder: Path, media: Path, port: int, plain_port: int, named: str = ""
) -> Path:
    """The files of deploy/, with this test's ports and places, for a user who is
    `named`, or for this one."""
    site = (DEPLOY / "nginx.conf").read_text()
    for there, here in {
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "listen 80;": f"listen 127.0.0.1:{plain_port};",
        "server_name lab.example.org": "server_name localhost",
        "/etc/letsencrypt/live/lab.example.org": str(folder),
        "/var/log/nginx": str(folder),
        "/run/nstlab": str(folder),
        "/srv/nstlab/media/": f"{media}/",
        "include nstlab_proxy.conf": f"include {DEPLOY}/nstlab_proxy.conf",
    }.items():
        assert there in site, there
        site = site.replace(there, here)
    (folder / "site.conf").write_text(site)
    own = "user root;" if os.getuid() == 0 else ""  # pytest's folders are its own
    user = f"user {named};" if named else own
    (folder / "main.conf").write_text(
        f"{user} daemon off; pid {folder}/nginx.pid; error_log {folder}/main.log;\n"
        f"events {{}} http {{ include {folder}/site.conf;\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + "}\n"
    )
    return folder / "main.conf"


def web_command(folder: Path) -> list[str]:
    """What the web unit starts, with this Python and this folder."""
    unit = (DEPLOY / "systemd/nstlab-web.service").read_text()
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert command
    words = shlex.split(command[1].replace("/run/nstlab", str(folder)))
    return [sys.executable, *words[1:]]


@pytest.fixture
def site(settings: Any, tmp_path: Path, study: Any) -> Iterator[Site]:
    with running(tmp_path, Path(settings.MEDIA_ROOT)) as made:
        yield made


@contextlib.contextmanager
def running(tmp_path: Path, media: Path, user: str = "") -> Iterator[Site]:
    """nginx, as this user or another, before the lab."""
    program = nginx()
    port, plain_port = free_port(), free_port()
    main = configure(tmp_path, media, port, plain_port, user)
    made = Site(port, plain_port, tmp_path, certificate(tmp_path))
    subprocess.run([program, "-t", "-c", main], check=True, capture_output=True)
    web = subprocess.Popen(
        web_command(tmp_path),
        cwd=lab.BASE_DIR,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "NSTLAB_HTTPS": "1",
            "NSTLAB_BEHIND_PROXY": "1",
            "NSTLAB_HOSTS": "localhost",
            "NSTLAB_ACCEL": "/_pictures/",
            "NSTLAB_MEDIA": str(media),
        },
        stderr=subprocess.DEVNULL,
    )
    front = subprocess.Popen([program, "-c", main], stderr=subprocess.DEVNULL)
    try:
        until_it_listens(str(tmp_path / "web.sock"))
        until_it_listens(("127.0.0.1", port))
        yield made
    finally:
        for process in (front, web):
            process.terminate()
            process.wait()


def test_a_session_with_its_pictures_and_a_log_that_names_nobody(
    site: Site, study: Any
) -> None:
    person, seen = site.person(), {}
    page = study.get_absolute_url()

    def choose(code: str) -> int:
        with person._opener.open(f"{site.base}{page}picture/{code}.png") as response:
            seen[code] = hashlib.sha256(response.read()).hexdigest()
            assert response.headers["Content-Type"] == "image/png"
            assert "immutable" in response.headers["Cache-Control"]
            assert response.headers["X-Accel-Redirect"] is None
        return 4

    assert take_part(person, site.base + page, choose=choose) == 3
    for stimulus in study.stimuli.all():
        with stimulus.picture.open() as file:
            assert seen[stimulus.code] == hashlib.sha256(file.read()).hexdigest()

        # Neither a stranger nor a guessed name gets past the lab.
        assert site.ask("GET", f"{page}picture/{stimulus.code}.png")[0] == 403
        assert site.ask("GET", f"/_pictures/{stimulus.picture.name}")[0] == 404

    plain = urllib.request.Request(f"http://localhost:{site.plain_port}{page}")
    opener = urllib.request.build_opener(NoRedirect)
    with pytest.raises(urllib.error.HTTPError, match="301") as moved:
        opener.open(plain)
    assert moved.value.headers["Location"].startswith("https://localhost/s/")

    assert site.ask("GET", "/health/live")[0] == 200
    assert site.ask("GET", "/health/ready")[0] == 403
    assert site.ask("GET", "/metrics")[0] == 403

    access = (site.folder / "nstlab.access.log").read_text()
    assert " GET /s/.../picture 200 " in access
    assert " POST /s/... 302 " in access
    logs = access + (site.folder / "nstlab.error.log").read_text()
    assert PARTICIPANT not in logs
    assert "127.0.0.1" not in logs
    assert study.slug not in logs


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


def test_a_classroom_passes_the_limits_and_floods_do_not(
    site: Site, study: Any
) -> None:
    def one_of_them(_: int) -> int:
        address = site.base + study.get_absolute_url()
        return take_part(site.person(), address, choose=lambda code: 3)

    with ThreadPoolExecutor(30) as classroom:
        assert list(classroom.map(one_of_them, range(30))) == [3] * 30

    one = {"Cookie": "participant=one"}
    flood = site.ask_on("GET", "/health/live", headers=one)
    assert {status for status, _ in islice(flood, 500)} == {200, 429}
    guesses = [site.ask("POST", "/admin/login/")[0] for _ in range(30)]
    assert set(guesses) == {403, 429}  # 403: without a CSRF token
    assert site.ask("GET", study.get_absolute_url())[0] == 200, "others go on"

    # Only researchers send large bodies.
    body = b"x" * 200_000
    assert site.ask("POST", f"{study.get_absolute_url()}rate/", body=body)[0] == 413
    assert site.ask("POST", "/admin/generation/sourceimage/add/", body=body)[0] == 403


def test_the_lab_takes_the_whole_of_an_upload_that_it_refuses(site: Site) -> None:
    # Else who sends meets a broken pipe: with nginx that was 13 of 20 answers 502
    # where its own sendfile came a tenth of a second late.
    body = b"x" * 5_000_000
    with socket.socket(socket.AF_UNIX) as lab_itself:
        lab_itself.connect(str(site.folder / "web.sock"))
        lab_itself.sendall(
            b"POST /admin/generation/sourceimage/add/ HTTP/1.1\r\nHost: localhost\r\n"
            b"X-Forwarded-Proto: https\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        lab_itself.sendall(body)
        assert lab_itself.recv(12) == b"HTTP/1.1 403"


@pytest.fixture
def served_folder(settings: Any) -> Iterator[Path]:
    """A folder as docs/how-to/deploy.md has it made, and the lab's pictures in it:
    owner this user, group that of the web server."""
    if os.getuid() != 0:
        pytest.skip("only root may give files to another group and start its nginx")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o711)  # on the way to what nginx may read
        media = folder / "media"
        media.mkdir()
        os.chown(media, 0, grp.getgrnam("www-data").gr_gid)
        media.chmod(0o2750)
        settings.MEDIA_ROOT = media
        yield folder


def test_nginx_reads_pictures_by_its_group_and_others_read_none(
    served_folder: Path, make_study: Any
) -> None:
    study = make_study()
    media, person, seen = served_folder / "media", None, []
    with running(served_folder, media, "www-data www-data") as site:
        person = site.person()

        def choose(code: str) -> int:
            address = f"{site.base}{study.get_absolute_url()}picture/{code}.png"
            with person._opener.open(address) as response:
                seen.append(response.read())
            return 4

        assert (
            take_part(person, site.base + study.get_absolute_url(), choose=choose) == 3
        )
    assert [data[:4] for data in seen] == [b"\x89PNG"] * 3
    files = [path for path in media.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o640}
    for number, may in (
        (pwd.getpwnam("nobody"), False),
        (pwd.getpwnam("www-data"), True),
    ):
        done = subprocess.run(
            ["cat", *files], user=number.pw_uid, group=number.pw_gid, extra_groups=[],
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode == 0) is may, number.pw_name
