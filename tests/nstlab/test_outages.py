"""A locked database, a full disk, a folder only to be read: never a traceback."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings as lab
from django.db import connection

from nstlab.core.outages import sentence_of
from nstlab.supervisor import Lab
from survey.models import Participant, Study
from tests.elsewhere import database_url
from tests.namespaces import with_mounts


@contextlib.contextmanager
def locked_by_another() -> Iterator[None]:
    """The database as while another process writes and does not end; whoever waits for
    it here waits shortly."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout=50")
        other: Any = sqlite3.connect(connection.settings_dict["NAME"])
        other.execute("BEGIN IMMEDIATE")
    else:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 50")
        other = psycopg.connect(database_url())
        other.execute("LOCK TABLE survey_study, survey_participant IN EXCLUSIVE MODE")
    try:
        yield
    finally:
        other.rollback()
        other.close()
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_lab_goes_on_where_the_database_is_locked_and_tidies_up_afterwards(
    study: Study, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nstlab.supervisor.REAP_EVERY_SECONDS", 0.0)
    chore = lambda: Study.objects.filter(pk=study.pk).update(title="Tidy")  # noqa: E731
    kept = Lab(reap=chore)
    with locked_by_another():
        kept.tidy()
    assert "put off. The database was locked" in caplog.text
    kept.tidy()
    study.refresh_from_db()
    assert study.title == "Tidy"


@pytest.mark.django_db(transaction=True)
def test_a_chore_that_is_wrong_itself_still_fails(study: Study) -> None:
    def wrong() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM nowhere")

    with pytest.raises(Exception, match="nowhere"):
        Lab(reap=wrong).tidy()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "cannot save anything just now"), ("de", "kann gerade nichts speichern")],
)
def test_who_rates_meanwhile_is_asked_to_try_again(
    study: Study, client: Any, language: str, said: str
) -> None:
    client.raise_request_exception = False
    join = f"{study.get_absolute_url()}join/"
    with locked_by_another():
        answer = client.post(
            join, {"consent": "on"}, headers={"accept-language": language}
        )
    assert answer.status_code == 503
    assert said in answer.content.decode()
    assert answer["Retry-After"]
    assert not Participant.objects.exists()
    assert client.post(join, {"consent": "on"}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_the_desk_says_what_it_is(
    logged_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged_in.raise_request_exception = False

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/a.png")

    monkeypatch.setattr("nstlab.dashboard.home", full)
    answer = logged_in.get("/admin/")
    assert answer.status_code == 503
    assert "no room left on the disk" in answer.content.decode()
    monkeypatch.setattr("nstlab.dashboard.home", lambda request: 1 // 0)
    assert logged_in.get("/admin/").status_code == 500


@pytest.mark.once
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EROFS, "", "/a/b"), "/a/b cannot be written: its file system"),
        (PermissionError(errno.EACCES, "", "/a/b"), "/a/b may not be used by the user"),
        (OSError(errno.EDQUOT, "", "/a/b"), "no room left"),
        (FileNotFoundError(errno.ENOENT, "", "/a/b"), ""),
        (ValueError("database is locked"), ""),
    ],
)
def test_only_failures_of_the_machine_have_a_sentence(
    error: Exception, said: str
) -> None:
    assert said in sentence_of(error)
    assert bool(sentence_of(error)) == bool(said)
    wrapped = RuntimeError("it did not work")
    wrapped.__cause__ = error
    assert sentence_of(wrapped) == sentence_of(error)


def command(*words: str) -> str:
    return " ".join([sys.executable, "manage.py", *words])


def run(var: Path, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        with_mounts(script),
        cwd=lab.BASE_DIR,
        env={**os.environ, "NSTLAB_VAR": str(var), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
    )


FULL = (
    "mount -t tmpfs -o size=64k none {var}; "
    "umask 077; printf abcdefghijklmnopqrstuvwxyz0123456789 >{var}/secret_key; "
    "{command}"
)
READ_ONLY = "mount --bind {var} {var}; mount -o remount,bind,ro {var}; {command}"


@pytest.mark.once
@pytest.mark.parametrize(
    ("mounts", "words", "said"),
    [
        (FULL, "migrate", "no room left on the disk"),
        (READ_ONLY, "migrate", "file system is read-only"),
        (READ_ONLY, "collectstatic --noinput", "file system is read-only"),
    ],
)
def test_a_command_ends_with_a_sentence(
    tmp_path: Path, mounts: str, words: str, said: str
) -> None:
    script = mounts.format(var=tmp_path, command=command(words))
    done = run(tmp_path, script)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.once
def test_a_database_that_may_only_be_read_is_said_too(tmp_path: Path) -> None:
    """Where the rest of the folder is in order."""
    (tmp_path / "secret_key").write_text("a secret that nobody guesses" * 2)
    with contextlib.closing(sqlite3.connect(tmp_path / "nstlab.sqlite3")) as empty:
        empty.execute("PRAGMA journal_mode=WAL")
    done = run(tmp_path, READ_ONLY.format(var=tmp_path, command=command("migrate")))
    assert done.returncode == 1
    assert "cannot be opened for writing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.once
def test_a_wrong_setting_is_a_sentence_for_whoever_started_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=lab.BASE_DIR,
        env={**os.environ, "NSTLAB_LEASE_SECONDS": "soon"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    said = "NSTLAB_LEASE_SECONDS must be a whole number, not 'soon'."
    assert done.stderr.strip() == said
