"""The least an answer can cost: a Django project with one view and one durable insert.

`gunicorn benchmarks.minimal_view` serves it; `python benchmarks/minimal_view.py` makes
its database. No middleware, no session, no template: SQLite under the lab's own
settings, in the file that MINIMAL_DATABASE names.
"""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="no secret is kept here",  # noqa: S106
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["MINIMAL_DATABASE"],
            "CONN_MAX_AGE": 60,
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
        }
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


class Answer(models.Model):
    """One rating of one trial, once."""

    trial = models.BigIntegerField(unique=True)
    rating = models.PositiveSmallIntegerField()

    class Meta:
        app_label = "minimal"

    def __str__(self) -> str:
        return f"{self.trial}: {self.rating}"


def answer(request: HttpRequest) -> HttpResponse:
    """Store what was posted, and say so once it is committed."""
    trial, rating = int(request.POST["trial"]), int(request.POST["answer-overall"])
    Answer.objects.create(trial=trial, rating=rating)
    return HttpResponse("stored")


urlpatterns = [path("answer/", answer), path("", lambda _request: HttpResponse("up"))]
application: Any = get_wsgi_application()

if __name__ == "__main__":
    with connection.schema_editor() as editor:
        editor.create_model(Answer)
