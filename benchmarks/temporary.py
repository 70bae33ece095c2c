"""A lab of a benchmark's own, that touches no other: folder, database, pictures."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

PICTURE_PIXELS = 300


@contextlib.contextmanager
def temporary_lab(**environment: str) -> Iterator[None]:
    """Set Django up on an empty lab: SQLite in a temporary folder, or a new database
    on the PostgreSQL server that DATABASE_URL names, dropped at the end."""
    folder = tempfile.mkdtemp(prefix="nstlab-benchmark-")
    server = os.environ.pop("DATABASE_URL", "")
    os.environ.pop("NSTLAB_REDIS_URL", None)
    os.environ |= {
        "NSTLAB_VAR": folder,
        "NSTLAB_HTTPS": "0",
        "NSTLAB_HOSTS": "localhost,127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "nstlab.settings",
        **environment,
    }
    with contextlib.ExitStack() as cleaning:
        cleaning.callback(shutil.rmtree, folder, ignore_errors=True)
        if server.startswith("postgres"):
            os.environ["DATABASE_URL"] = cleaning.enter_context(_database(server))
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        cleaning.callback(connections.close_all)
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        yield


@contextlib.contextmanager
def _database(server: str) -> Iterator[str]:
    import psycopg

    name = f"nstlab_benchmark_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def open_study(*, pictures: int, **fields: Any) -> Any:
    """An open study of so many pictures of its own, 300 × 300 pixels each."""
    from survey.models import Stimulus, Study
    from survey.studies import copying, lifecycle

    study = Study.objects.create(
        title="Benchmark",
        controller="The lab",
        contact="ada@lab.example",
        ethics_reference="none needed: nobody takes part",
        **fields,
    )
    for number in range(pictures):
        factors = {"content": f"content {number % 5}", "style": f"style {number // 5}"}
        stimulus = Stimulus(study=study, parameters=factors)
        copying.write_picture(stimulus, painting(number))
        stimulus.save()
    lifecycle.open_study(study)
    return study


def painting(number: int) -> Any:
    """Coarse coloured noise; as a PNG it has about the bytes of a stylised photo."""
    from PIL import Image

    coarse = PICTURE_PIXELS * 2 // 3
    noise = random.Random(number).randbytes(coarse * coarse * 3)
    return Image.frombytes("RGB", (coarse, coarse), noise).resize(
        (PICTURE_PIXELS, PICTURE_PIXELS), Image.Resampling.BICUBIC
    )


def database_name() -> str:
    """The database's product, for a line of figures."""
    from django.db import connection

    return connection.display_name


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
