"""Promises about what imports what, kept by looking at a fresh process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.conf import settings

HEAVY = ("torch", "torchvision", "pandas", "scipy", "matplotlib")
WEB = """
import django, sys
django.setup()
from django.urls import get_resolver
from django.core.handlers.wsgi import WSGIHandler
get_resolver().url_patterns
WSGIHandler()
"""


def modules_after(code: str) -> set[str]:
    listing = "\nimport sys; print('\\n'.join(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-c", code + listing],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "nstlab.settings"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name.split(".")[0] for name in output.split()}


def test_the_web_process_imports_nothing_heavy() -> None:
    assert modules_after(WEB).isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "generation.engine.painter",
        "generation.engine.grid",
        "survey.design",
        "analysis.stats.mos",
        "nstlab.core.csv_cells",
        "analysis.stats.reading",
        "nstlab.core.csv_files",
    ],
)
def test_pure_code_leaves_django_out(module: str) -> None:
    assert "django" not in modules_after(f"import {module}")


@pytest.mark.parametrize(
    "module",
    [
        "generation.engine.settings",
        "generation.engine.pictures.files",
        "generation.engine.errors",
        "nstlab.core.csv_files",
    ],
)
def test_what_the_web_uses_of_pure_code_needs_no_numpy(module: str) -> None:
    loaded = modules_after(f"import {module}")
    assert loaded.isdisjoint({*HEAVY, "numpy"})
