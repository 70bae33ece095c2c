"""deploy/systemd: what systemd says of the units, and each role in its unit's view.

No systemd runs here. The view is built by hand from what a unit says: everything is
read-only but its StateDirectory, RuntimeDirectory, ReadWritePaths and its own /tmp.
"""

from __future__ import annotations

import configparser
import os
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as lab
from django.db import connection

from analysis.reports.request import request_bundle, request_report
from generation.queueing.batches import queue_experiment
from nstlab.supervisor import answers_http
from tests.analysis.test_exports import people_answer
from tests.conftest import missing
from tests.e2e.browser import free_port
from tests.namespaces import with_mounts

UNITS = lab.BASE_DIR / "deploy/systemd"
WORKERS = ("report", "render@")
SERVICES = sorted(UNITS.glob("*.service"))


def service(path: Path) -> dict[str, str]:
    """The keys of a unit's [Service]; of one that stands twice the last, but each
    Environment."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return dict(parser["Service"])


@pytest.mark.once
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze", "apt-get install systemd")
    for path in UNITS.iterdir():
        text = path.read_text().replace("/opt/nstlab/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
    )
    ours = [line for line in done.stderr.splitlines() if "nstlab" in line]
    assert not ours, "\n".join(ours)
    assert done.returncode == 0, done.stderr


@pytest.mark.once
@pytest.mark.parametrize("path", SERVICES, ids=lambda path: path.stem)
def test_every_role_is_shut_in_alike_and_writes_nothing_for_others(path: Path) -> None:
    said = service(path)
    assert said["ProtectSystem"] == "strict"
    assert said["ReadWritePaths"] == "/srv/nstlab"
    assert (said["StateDirectory"], said["StateDirectoryMode"]) == ("nstlab", "0700")
    assert (said["UMask"], said["User"]) == ("0027", "nstlab")


class Machine:
    """The unit's folders, and the test's own broker and database where they are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "var/lib/nstlab"
        self.pictures = folder / "srv/nstlab"
        self.run = folder / "run/nstlab"
        self.port = free_port()
        self.temporary = folder / "tmp"
        for each in (self.state, self.pictures, self.run, self.temporary):
            each.mkdir(parents=True)
        shutil.copytree(lab.MEDIA_ROOT, self.pictures / "media", dirs_exist_ok=True)

    def environment(self) -> dict[str, str]:
        socket = lab.BROKER.get("UNIX_SOCKET_PATH", "")
        return {
            **os.environ,
            "HOME": str(self.state),
            "TMPDIR": str(self.temporary),
            "NSTLAB_VAR": str(self.state),
            "NSTLAB_MEDIA": str(self.pictures / "media"),
            "NSTLAB_REDIS_URL": lab.BROKER.get("URL") or f"unix://{socket}?db=0",
            "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
        }

    def start(self, path: Path, *more: str) -> subprocess.Popen[str]:
        """A unit's command in the unit's view of the file system."""
        said = service(path)
        here = {
            "/srv/nstlab": str(self.pictures),
            "/run/nstlab": str(self.run),
            "/opt/nstlab/.venv/bin/python": sys.executable,
        }
        writable = [here[it] for it in said.get("ReadWritePaths", "").split()]
        # The test's database is SQLite's and in a folder of its own: it stands for the
        # StateDirectory's.
        writable += [str(self.state), str(lab.VAR)]
        writable += [str(self.run)] if said.get("RuntimeDirectory") else []
        words = [here.get(it, it) for it in shlex.split(said["ExecStart"])]
        socket, address = "--bind=unix:/run/nstlab/web.sock", f"127.0.0.1:{self.port}"
        words = [it.replace(socket, f"--bind={address}") for it in words]
        writable += [str(self.temporary)]  # PrivateTmp
        read_only = f"mount --bind {self.folder} {self.folder}; "
        read_only += f"mount -o remount,bind,ro {self.folder}; "
        for it in writable:
            read_only += f"mount --bind {it} {it}; mount -o remount,bind,rw {it}; "
        view = f"{read_only} mount -o remount,bind,ro /"
        command = shlex.join([*words, *more])
        umask = said.get("UMask", "0022")
        return subprocess.Popen(
            with_mounts(f"{view}; umask {umask}; exec {command}"),
            cwd=lab.BASE_DIR,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.mark.once
@pytest.mark.broker
@pytest.mark.worker
@pytest.mark.django_db(transaction=True)
def test_each_role_does_its_work_where_only_its_folders_can_be_written(
    study: Any, make_experiment: Any, researcher: Any, queues: None, tmp_path: Path
) -> None:
    people_answer(study, 3)
    report = request_report(study)
    bundle = request_bundle(study, by=researcher, all_pictures=True)
    experiment = make_experiment(name="Painted", alpha_beta=[0.01])
    queue_experiment(experiment)
    machine = Machine(tmp_path)
    roles = {path.stem.removeprefix("nstlab-"): path for path in SERVICES}
    assert set(roles) == {"web", "report", "render@", "reap", "purge"}

    web = machine.start(roles.pop("web"))
    ended = {
        role: machine.start(path, *(["--burst"] if role in WORKERS else []))
        for role, path in roles.items()
    }
    try:
        for role, process in ended.items():
            said, _ = process.communicate(timeout=600)
            assert process.returncode == 0, f"{role}: {said}"
        ready = f"http://127.0.0.1:{machine.port}/health/ready"
        assert answers_http(ready)
        with urllib.request.urlopen(ready) as answer:
            assert answer.status == 200  # the store was written to
    finally:
        for process in (web, *ended.values()):
            process.kill()
            process.communicate()

    for row in (report, bundle):
        row.refresh_from_db()
        assert (row.state, row.traceback) == ("done", "")
    assert (machine.pictures / "media" / bundle.file.name).stat().st_size > 0
    assert [it.status for it in experiment.renders.all()] == ["done"]
