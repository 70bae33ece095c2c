"""Processes beside the test's: on its database, or another lab altogether."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as lab
from django.db import connection


def database_url() -> str:
    """The address of the database that this test process uses."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    name, password = quote(database["USER"] or ""), quote(database["PASSWORD"] or "")
    host = quote(database["HOST"] or "", safe="")
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgres://{name}:{password}@{host}{port}/{quote(database['NAME'])}"


@dataclass
class Elsewhere:
    """Another lab, on a database and a folder of its own."""

    var: Path
    database: str

    def run(
        self, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=lab.BASE_DIR,
            env={
                **os.environ,
                "NSTLAB_VAR": str(self.var),
                "DATABASE_URL": self.database,
                **environment,
            },
            capture_output=True,
            text=True,
        )

    def says(self, *arguments: str, **environment: str) -> str:
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    var = tmp_path / "elsewhere"
    if connection.vendor == "sqlite":
        yield Elsewhere(var, f"sqlite:///{tmp_path / 'elsewhere.sqlite3'}")
        return
    name = f"{connection.settings_dict['NAME']}_elsewhere"
    here = database_url()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield Elsewhere(var, f"{here[: here.rindex('/')]}/{name}")
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")
