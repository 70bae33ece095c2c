"""What operators are told about settings is what the lab reads."""

from __future__ import annotations

import pkgutil
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from django.conf import settings

ROOT: Path = settings.BASE_DIR
NAME = re.compile(r"\bNSTLAB_[A-Z0-9_]+\b")
DEPLOYED = [
    "docs/how-to/deploy.md",
    "compose.yaml",
    "deploy/Dockerfile",
    "deploy/nginx.conf",
]


def read_by_settings() -> set[str]:
    """By the settings, and by the version, which pure code reads without them."""
    files = ("nstlab/settings.py", "nstlab/core/version.py")
    text = "".join((ROOT / name).read_text() for name in files)
    reading = r'(?:env_\w+|environ\.get)\(\s*"(NSTLAB_[A-Z0-9_]+)"'
    return set(re.findall(reading, text))


def test_the_table_lists_every_setting_and_no_other() -> None:
    rows = [
        line
        for line in (ROOT / "README.md").read_text().splitlines()
        if line.startswith("| `NSTLAB_") or line.startswith("| `DATABASE_URL")
    ]
    named = {name for row in rows for name in NAME.findall(row.split("|")[1])}
    assert named == read_by_settings()
    assert any("DATABASE_URL" in row for row in rows)


@pytest.mark.parametrize("page", DEPLOYED)
def test_what_is_deployed_sets_only_what_is_read(page: str) -> None:
    named = set(NAME.findall((ROOT / page).read_text()))
    assert {name.removesuffix("_FILE") for name in named} <= read_by_settings()


def test_containers_get_the_keys_of_before_too() -> None:
    """Else who changes the key as docs/how-to/deploy.md says logs everybody out."""
    lab = yaml.safe_load((ROOT / "compose.yaml").read_text())["x-lab"]
    assert {"NSTLAB_SECRET_KEY", "NSTLAB_SECRET_KEY_FALLBACKS"} <= set(
        lab["environment"]
    )


def test_every_command_that_a_unit_or_container_runs_is_there() -> None:
    from django.core.management import get_commands

    units = [path.read_text() for path in (ROOT / "deploy/systemd").iterdir()]
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    commands = [str(each.get("command", "")) for each in services.values()]
    run = re.findall(r"manage\.py (\w+)(?: (\w+)$)?", "\n".join(units + commands), re.M)
    assert {command for command, _ in run} <= set(get_commands())
    queues = {word for command, word in run if command == "rqworker"}
    assert queues <= set(settings.RQ_QUEUES)
    assert {"render", "report"} <= queues


PAGES = [
    *(path for path in ROOT.glob("*.md")),
    *(path for path in (ROOT / "docs").rglob("*.md")),
]
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")


def headings(page: Path) -> set[str]:
    """The anchors that a page of GitHub's Markdown has."""
    lines = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", line.lower()) for line in lines)
    return {line.strip().replace(" ", "-") for line in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in headings(there), f"{target}#{anchor}"


def test_the_map_names_every_document() -> None:
    named = (ROOT / "docs/README.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs"))
        assert name == "README.md" or f"({name})" in named, name


def test_every_path_that_a_document_names_is_there() -> None:
    path = re.compile(
        r"`((?:nstlab|generation|survey|analysis|tests|benchmarks|docs|deploy)/"
        r"[\w/.-]*[\w/])`"
    )
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        for name in path.findall(page.read_text()):
            assert (ROOT / name).exists(), f"{page.relative_to(ROOT)}: {name}"


def test_the_way_of_one_number_names_functions_that_are_there_each_once() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    way = text.partition("## The way of one number")[2].partition("\n## ")[0]
    rows = [line.split("|")[2] for line in way.splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert len(named) > 20
    assert max(Counter(named).values()) == 1
    for name in named:
        assert callable(pkgutil.resolve_name(name)), name


def test_the_map_of_the_house_names_every_room() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    drawn = text.partition("```\n")[2].partition("```")[0]
    rooms, here = set(), []
    for line in drawn.splitlines():
        if found := re.match(r"( {0,4})(\w+)/", line):
            here = [*here[: len(found[1]) // 2], found[2]]
            rooms.add("/".join(here))
    hidden = {"migrations", "management", "templates", "static", "locale"}
    inside_the_engine = {"methods", "networks", "optimisers", "pictures", "cli"}
    for app in ("nstlab", "generation", "survey", "analysis"):
        for room in (ROOT / app).rglob("*"):
            path = room.relative_to(ROOT)
            if not (room / "__init__.py").exists() or hidden & set(path.parts):
                continue
            if path.parts[:2] == ("generation", "engine") and len(path.parts) > 2:
                assert path.parts[2] in inside_the_engine, path
                continue
            assert str(path) in rooms, path
