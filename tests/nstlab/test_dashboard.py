"""django-rq's dashboard lets any staff user empty a queue; the lab's does not."""

from __future__ import annotations

from typing import Any

import django_rq
import pytest
from django.contrib.auth.models import Permission

pytestmark = pytest.mark.broker

DASHBOARD = "/admin/django_rq/dashboard/"
PAGES = [
    DASHBOARD,
    f"{DASHBOARD}queues/0/",
    f"{DASHBOARD}queues/0/empty/",
    f"{DASHBOARD}queues/0/failed/",
    f"{DASHBOARD}workers/0/",
    f"{DASHBOARD}stats.json",
]


@pytest.mark.parametrize("page", PAGES)
def test_staff_without_the_right_are_refused(
    client: Any, stranger: Any, queues: None, page: str
) -> None:
    client.force_login(stranger)
    assert client.get(page).status_code == 403


def test_staff_without_the_right_cannot_empty_a_queue(
    client: Any, stranger: Any, queues: None
) -> None:
    queue = django_rq.get_queue("render", commit_mode="auto")
    queue.enqueue("generation.queueing.tasks.render_batch", 1, 1)
    client.force_login(stranger)
    response = client.post(f"{DASHBOARD}queues/0/empty/", {"post": "yes"})
    assert response.status_code == 403
    assert queue.count == 1


@pytest.mark.parametrize("page", PAGES)
def test_nobody_else_gets_further_than_the_login(
    client: Any, db: None, queues: None, page: str
) -> None:
    for method in (client.get, client.post):
        response = method(page, {"username": "ada", "password": "guess"})
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=")


def test_an_operator_sees_it(client: Any, stranger: Any, queues: None) -> None:
    stranger.user_permissions.add(
        Permission.objects.get(content_type__app_label="django_rq", codename="admin")
    )
    client.force_login(stranger)
    response = client.get(DASHBOARD)
    assert response.status_code == 200
    assert "render" in response.content.decode()
