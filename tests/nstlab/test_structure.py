"""Promises about what imports what, kept by looking at a fresh process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import NoReverseMatch, reverse

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


def test_who_counts_is_said_in_one_place() -> None:
    """In `survey.models.participants`; a rebase has undone it once, unnoticed."""
    apps = [settings.BASE_DIR / app for app in ("survey", "analysis", "nstlab")]
    by_hand = {
        path.relative_to(settings.BASE_DIR).as_posix()
        for app in apps
        for path in app.rglob("*.py")
        if re.search(r"pilot\"?(=|: )False,?\s+\w*simulated\"?(=|: )False"
                     r"|simulated\"?(=|: )False,?\s+\w*pilot\"?(=|: )False",
                     path.read_text(encoding="utf-8"))
    }  # fmt: skip
    assert not by_hand


@pytest.mark.parametrize(
    "module",
    [
        "generation.engine.painter",
        "generation.engine.grid",
        "survey.codes",
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


def test_no_line_of_a_template_is_too_long_to_read() -> None:
    root = Path(settings.BASE_DIR)
    templates = [
        path
        for app in ("analysis", "generation", "nstlab", "survey")
        for path in sorted((root / app / "templates").rglob("*.html"))
    ]
    assert len(templates) > 90
    long = [
        f"{path.relative_to(root)}:{number}"
        for path in templates
        for number, line in enumerate(path.read_text("utf-8").split("\n"), 1)
        if len(line) > 120
    ]
    assert long == []


def test_every_address_that_a_template_names_is_known() -> None:
    """`{% url … as x %}` is empty where the name is wrong, and says nothing."""
    root = Path(settings.BASE_DIR)
    asked = {
        name
        for app in ("analysis", "generation", "nstlab", "survey")
        for path in (root / app / "templates").rglob("*.html")
        for name in re.findall(r"{%-? url ['\"]([\w:-]+)['\"]", path.read_text("utf-8"))
    }
    assert len(asked) > 60
    unknown = set()
    for name in asked:
        try:
            reverse(name)
        except NoReverseMatch as error:
            if "with no arguments not found" not in str(error):
                unknown.add(name)
    assert unknown == set()
