from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings


def test_the_web_process_says_that_it_lives(client: Any) -> None:
    assert client.get("/health/live").json() == {"live": True}


@pytest.mark.broker
def test_it_is_ready_with_database_and_broker(
    client: Any, db: None, queues: None
) -> None:
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "ready": True,
        "database": True,
        "broker": True,
        "workers": {"render-high": 0, "render": 0, "report": 0},
    }


def test_it_is_not_ready_without_a_broker(
    client: Any, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django_rq import settings as rq_settings

    away = {"URL": "redis://127.0.0.1:1/0"}
    for name in ("render", "report"):
        monkeypatch.setitem(rq_settings.QUEUES, name, away)
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["broker"] is False


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
