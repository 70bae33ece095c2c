"""Error pages: for researchers with a way on, for participants without."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

QUEUES = "/admin/django_rq/dashboard/"


def test_an_error_page_of_the_admin_leads_back_and_home(logged_in: Any) -> None:
    study = "http://testserver/admin/survey/study/"
    answer = logged_in.get(QUEUES, headers={"referer": study})
    page = answer.content.decode()
    assert answer.status_code == 403
    assert '<a href="/admin/">Home</a>' in page
    assert f'<a href="{study}">Back</a>' in page


@pytest.mark.parametrize(
    "came_from", ["https://elsewhere.example/", f"http://testserver{QUEUES}", ""]
)
def test_it_leads_back_to_no_other_site_and_not_to_itself(
    logged_in: Any, came_from: str
) -> None:
    page = logged_in.get(QUEUES, headers={"referer": came_from}).content.decode()
    assert "Home</a>" in page and "Back" not in page


def test_a_participant_is_not_sent_to_the_admin(client: Any) -> None:
    page = client.get("/s/nowhere/")
    assert page.status_code == 404
    assert b"/admin/" not in page.content


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/", "/s/nowhere/"])
def test_a_host_that_the_lab_does_not_have_is_400(client: Client, path: str) -> None:
    """Also for researchers, whose error pages look at the host themselves."""
    client.raise_request_exception = False
    for sent in ({}, {"p": "\0"}):
        answer = client.get(path, sent, headers={"host": "elsewhere.example"})
        assert answer.status_code == 400
        assert "Not understood" in answer.content.decode()
