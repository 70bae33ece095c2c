from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from nstlab.core.env import (
    env_bool,
    env_directory,
    env_int,
    env_list,
    env_secret,
    env_secrets,
    env_text,
    secret_in,
)
from nstlab.settings import database


@pytest.mark.parametrize(
    ("text", "value"), [("1", True), ("Yes", True), ("off", False), ("", False)]
)
def test_it_reads_booleans(
    monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("NSTLAB_X", text)
    assert env_bool("NSTLAB_X", not value) is value


def test_it_refuses_a_boolean_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTLAB_X", "maybe")
    with pytest.raises(ImproperlyConfigured, match="NSTLAB_X must be 1 or 0"):
        env_bool("NSTLAB_X", True)


@pytest.mark.parametrize("text", ["ten", "1.5", "1"])
def test_it_refuses_a_number_that_is_none_or_too_small(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("NSTLAB_X", text)
    with pytest.raises(ImproperlyConfigured, match="NSTLAB_X"):
        env_int("NSTLAB_X", 3, minimum=2)


def test_it_reads_lists_and_drops_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTLAB_X", "a.example, ,b.example,")
    assert env_list("NSTLAB_X") == ["a.example", "b.example"]


def test_it_reads_a_secret_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv("NSTLAB_X_FILE", str(tmp_path / "secret"))
    assert env_text("NSTLAB_X") == "hush"


def test_it_refuses_a_value_and_a_file_of_the_same_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NSTLAB_X", "a")
    monkeypatch.setenv("NSTLAB_X_FILE", str(tmp_path))
    with pytest.raises(ImproperlyConfigured, match="not both"):
        env_text("NSTLAB_X")


def test_it_refuses_a_directory_that_is_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NSTLAB_X", str(tmp_path / "file"))
    with pytest.raises(ImproperlyConfigured, match="must be a directory"):
        env_directory("NSTLAB_X", tmp_path)


def test_processes_that_start_together_agree_on_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "var" / "secret_key"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: secret_in(path), range(32)))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 50
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("weak", ["x", "x" * 64, "short-but-random-4f9aX"])
@pytest.mark.parametrize("name", ["SECRET_KEY", "SECRET_KEY_FALLBACKS"])
def test_a_secret_that_can_be_guessed_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, weak: str
) -> None:
    strong = "ZC5eVdGk0QIrXbqf7Kk1Yw2nTjLh8uPs"
    monkeypatch.setenv("IT", f"{strong}, {strong[::-1]}")
    assert env_secrets("IT") == [strong, strong[::-1]]
    monkeypatch.setenv("IT", weak)
    with pytest.raises(ImproperlyConfigured, match="IT could be guessed"):
        (env_secrets if name.endswith("S") else env_secret)("IT")
    monkeypatch.setenv("IT", "")
    assert (env_secrets("IT"), env_secret("IT")) == ([], "")


def test_a_secret_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("a")
    with pytest.raises(ImproperlyConfigured, match="secret_key could be guessed"):
        secret_in(tmp_path / "secret_key")


@pytest.mark.django_db
def test_who_is_logged_in_stays_so_when_the_key_is_changed(
    logged_in: Any, settings: Any
) -> None:
    old = settings.SECRET_KEY
    settings.SECRET_KEY = old[::-1]
    settings.SECRET_KEY_FALLBACKS = [old]
    assert logged_in.get("/admin/").status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert logged_in.get("/admin/").status_code == 200, "the session was signed anew"
    settings.SECRET_KEY = old
    assert logged_in.get("/admin/").status_code == 302


@pytest.mark.parametrize("scheme", ["postgresql://u:p@h/n", "sqlite:////n"])
def test_a_pool_of_connections_is_refused_with_a_sentence(scheme: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="leave `pool` out"):
        database(f"{scheme}?pool=true")
    assert database(f"{scheme}?pool=false")["CONN_MAX_AGE"] == 60
