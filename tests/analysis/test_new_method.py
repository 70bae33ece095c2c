"""A rating method is one file: one that is registered from outside works everywhere,
and nothing outside `survey/methods/` knows any by its name."""

from __future__ import annotations

import ast
import copy
import csv
import io
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from analysis.bundle.read import differences, import_bundle
from analysis.bundle.write import write_bundle
from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, matrix_lines, ratings_rows
from analysis.models import Report
from analysis.monitor import watch
from analysis.reports import compute
from survey import methods
from survey.client import InProcess, take_part
from survey.methods.scales import Scale
from survey.models import Participant, Rating
from survey.studies.lifecycle import open_study
from tests.conftest import put_on_wall
from tests.survey.test_wizard import begun, save, step

ROOT = Path(__file__).resolve().parents[2]


class Twofold(methods.Method):
    """Is it a painting? Two answers, kept as 0 and 1."""

    name = "twofold"
    label = "twofold: is it a painting, yes or no"
    template = "trials/twofold.html"
    default_question = "Is this a painting?"
    welcome = "You will say of each picture whether it is a painting."
    keys = "Tab chooses, Enter confirms."
    answers = methods.Answers.RATINGS
    sends_numbers = False

    def choices(self, study: Any) -> list[methods.Choice]:
        return [
            methods.Choice("yes", "Yes", number=False),
            methods.Choice("no", "No", number=False),
        ]

    def scale(self, study: Any) -> Scale:
        return Scale(Decimal(0), Decimal(1))

    def items(self, study: Any, stimuli: Sequence[Any]) -> list[tuple[Any, None]]:
        return [(it, None) for it in stimuli if it.rated and not it.is_reference]

    def stored(self, trial: Any, answer: str) -> dict[str, Any]:
        return {"rating": int(answer == "yes")}

    def answer(self, trial: Any, rating: Any) -> str:
        return "yes" if rating.rating else "no"

    def simulated(self, offered: Any, shown: Any, quality: Any) -> str:
        return "yes" if quality(shown[-1]) > 0 else "no"


@pytest.fixture
def twofold(settings: Any, tmp_path: Path) -> Iterator[methods.Method]:
    """The method, registered, with a template of its own outside the product."""
    (tmp_path / "trials").mkdir()
    page = "{% for it in pictures %}<img class=twofold src='{% url 'survey:picture' study.slug it.code %}'>{% endfor %}"  # noqa: E501
    (tmp_path / Twofold.template).write_text(page)
    settings.TEMPLATES = copy.deepcopy(settings.TEMPLATES)
    settings.TEMPLATES[0]["DIRS"] = [tmp_path, *settings.TEMPLATES[0].get("DIRS", ())]
    method = Twofold()
    methods.register(method)
    yield method
    del methods.METHODS[method.name]


@pytest.mark.django_db
def test_a_new_method_goes_from_the_wizard_to_the_bundle(
    twofold: Any,
    make_experiment: Any,
    logged_in: Any,
    admin_client: Any,
    tmp_path: Path,
) -> None:
    put_on_wall(experiment := make_experiment(content_layer=["conv2_1", "conv4_1"]))
    study = begun(logged_in, experiment, number=2)
    option = f'value="{twofold.name}"'
    assert option in logged_in.get(step(study, "question")).content.decode()
    page = logged_in.get(f"/admin/survey/study/{study.pk}/change/").content.decode()
    assert option in page and twofold.label in page

    save(logged_in, study, "question", method=twofold.name)
    save(logged_in, study, "checks", instructed_catches=1)
    save(logged_in, study, "texts", controller="x", contact="y", ethics_reference="z")
    study.refresh_from_db()
    assert (study.method, study.welcome) == (twofold.name, twofold.welcome)
    page = logged_in.get(step(study, "people")).content.decode()
    assert "How many people it takes" in page  # it has intervals
    open_study(study)

    browser = Client()
    browser.post(f"/s/{study.slug}/join/", {"consent": "on"})
    shown = browser.get(f"/s/{study.slug}/rate/").content.decode()
    for text in ("class=twofold", twofold.keys, twofold.default_question):
        assert text in shown
    Participant.objects.all().delete()
    best = study.stimuli.order_by("pk")[0].code
    for _ in range(2):
        take_part(InProcess("testserver"), study.get_absolute_url(), method=twofold,
             choose=lambda code: code == best)  # fmt: skip
    assert set(
        Rating.objects.values_list("rating", "choice", "scale_min", "scale_max")
    ) == {(0, "", 0, 1), (1, "", 0, 1)}

    text = "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["rating"] for row in rows if row["stimulus"] == best} >= {"1"}
    assert {row["expected"] for row in rows} - {""} <= {"yes", "no"}
    matrix = list(csv.reader("".join(matrix_lines(study)).splitlines()))
    assert matrix[1] == [best, "1", "1"]
    watched = watch(study)
    assert (watched.answers, watched.ratings) == ("ratings", 4)
    assert {each.mean for each in watched.votes} == {0, 1}

    made = compute.compute(study, include_simulated=False, resamples=20)
    assert made["method"]["scale"] == f"0–1 ({twofold.label})"
    done = Report.objects.create(study=study, fingerprint=made["fingerprint"])
    assert done.finish(**made)
    base = f"/admin/analysis/report/study/{study.pk}/"
    page = admin_client.get(f"{base}checks/").content.decode()
    assert twofold.label in page
    page = admin_client.get(f"{base}files/").content.decode()
    assert "ratings_matrix.csv" in page
    page = admin_client.get(f"{base}preregistration/").content.decode()
    assert "Too fast" in page and " against " in page

    path = tmp_path / "bundle.zip"
    with path.open("wb") as file:
        write_bundle(study, file)
    again = import_bundle(path)
    assert again.method == twofold.name
    assert differences(path, again) == []


# Nobody knows a name ----------------------------------------------------------------

NAMES = {method.name for method in methods.METHODS.values()}
# Words that other things are called too, such as the pairs of an experiment: only
# comparing a method with them counts.
WORDS = {"pairs"}
# Renders are painted by methods too, and `generation` cannot know a study at all.
PRODUCT = ("nstlab", "survey", "analysis")
OTHERS = ("request", "self.request", "render", "settings")


def sources(*endings: str) -> Iterator[Path]:
    for app in PRODUCT:
        for ending in endings:
            for path in sorted((ROOT / app).rglob(f"*.{ending}")):
                inside = path.relative_to(ROOT).as_posix()
                if not inside.startswith("survey/methods/") and (
                    "/migrations/" not in inside
                ):
                    yield path


def is_a_methods_name(node: ast.AST) -> bool:
    """Whether it reads `something.method`, that of a request or a render aside."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "method"
        and ast.unparse(node.value) not in OTHERS
    )


def names_in(tree: ast.AST) -> Iterator[str]:
    """Where a module of Python knows a method: the lines that have its name as a value,
    import its file, compare what a study's method is called, or look it up."""
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            asked = [node.subject]
        elif isinstance(node, ast.Subscript) and not (
            ast.unparse(node.value).endswith("METHODS")
        ):
            asked = [node.slice]
        known = any(map(is_a_methods_name, asked))
        if isinstance(node, ast.Constant):
            known = node.value in NAMES - WORDS
        elif isinstance(node, ast.ImportFrom) and node.module:
            _, inside, room = node.module.partition("survey.methods.")
            known = bool(inside) and room not in ("base", "scales")
        if known:
            yield f"{node.lineno}: {ast.unparse(node)[:60]}"  # type: ignore[attr-defined]


@pytest.mark.once
def test_no_method_is_known_by_its_name_outside_its_file() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{name}"
        for path in sources("py")
        for name in names_in(ast.parse(path.read_text(encoding="utf-8")))
    ]
    compared = re.compile(r"(?<!request\.)\bmethod\s*(==|!=|\bin\b)")
    quoted = re.compile("|".join(f"""["'`]{name}["'`]""" for name in NAMES - WORDS))
    for path in sources("html", "js"):
        text = path.read_text(encoding="utf-8")
        found += [
            f"{path.relative_to(ROOT)}: {match[0]}"
            for pattern in (compared, quoted)
            for match in pattern.finditer(text)
        ]
    assert found == []


@pytest.mark.once
@pytest.mark.parametrize(
    "code",
    [
        'if study.method == "pairs": pass',
        'if study.method in ("pairs", OTHER): pass',
        'x = METHODS["dcr"]',
        "from survey.methods.pairs import Pairs",
        "match study.method:\n    case OTHER: pass",
        'x = {"pairs": 1}[study.method]',
    ],
)
def test_the_test_sees_a_name(code: str) -> None:
    assert list(names_in(ast.parse(code)))
