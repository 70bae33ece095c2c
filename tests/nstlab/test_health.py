from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from nstlab import health


def test_the_web_process_says_that_it_lives(client: Any) -> None:
    assert client.get("/health/live").json() == {"live": True}


@pytest.fixture
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_storage_asked", None)


@pytest.mark.broker
def test_it_is_ready_with_database_broker_and_store(
    client: Any, db: None, queues: None, asked_anew: None
) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "database": True,
        "broker": True,
        "storage": True,
        "workers": dict.fromkeys(settings.RQ_QUEUES, 0),
        "weights": {},
    }


@pytest.mark.broker
def test_asking_leaves_no_file_behind(
    client: Any, db: None, queues: None, asked_anew: None, tmp_path: Path
) -> None:
    with override_settings(MEDIA_ROOT=tmp_path):
        client.get("/health/ready")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_it_is_not_ready_without_a_broker(client: Any, db: None) -> None:
    with override_settings(BROKER={"URL": "redis://:secret@127.0.0.1:1/0"}):
        response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["broker"] is False
    assert "secret" not in response.content.decode()


@pytest.mark.broker
def test_it_is_not_ready_where_pictures_cannot_be_written(
    client: Any, db: None, queues: None, asked_anew: None, tmp_path: Path
) -> None:
    (tmp_path / "media").write_text("a file where a folder should be")
    with override_settings(MEDIA_ROOT=tmp_path / "media"):
        response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["storage"] is False


def test_it_is_not_ready_without_its_database(tmp_path: Path) -> None:
    code = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "from django.conf import settings\n"
        "answer = Client().get('/health/ready')\n"
        "print(answer.status_code, answer.json()['database'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "nstlab.settings",
            "NSTLAB_VAR": str(tmp_path),
            "DATABASE_URL": "postgresql://lab:secret@127.0.0.1:1/lab",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["503", "False"]
    assert "secret" not in done.stdout + done.stderr


def test_inside_it_is_asked_without_tls(client: Any, db: None) -> None:
    with override_settings(SECURE_SSL_REDIRECT=True):
        assert client.get("/health/live").status_code == 200
        assert client.get("/metrics").status_code == 401
        assert client.get("/admin/").status_code == 301


@override_settings(DEBUG=False)
def test_an_unknown_address_is_answered_with_a_sentence(client: Any, db: None) -> None:
    response = client.get("/nowhere/")
    assert response.status_code == 404
    assert "check the link" in response.content.decode()


def test_pages_forbid_inline_scripts_and_tell_other_sites_nothing(
    client: Any, db: None
) -> None:
    response = client.get("/admin/login/")
    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert response["Referrer-Policy"] == "same-origin"
    assert response["X-Frame-Options"] == "DENY"
