"""Every word that a table can flag has a sentence, and every sentence is used."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from analysis.stats import flags

SOURCE = Path(flags.__file__).parent


def raised() -> set[str]:
    """The words in the source: keys given to `join_flags`, choices of `np.select`."""
    words = set(flags.RECOVERY)  # report.py takes them from the dictionary itself
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            found: list[ast.expr | None] = []
            if name == "join_flags" and isinstance(node.args[0], ast.Dict):
                found = node.args[0].keys
            for keyword in node.keywords:
                if keyword.arg == "flags" and isinstance(keyword.value, ast.Call):
                    found = getattr(keyword.value.args[1], "elts", [])
            words |= {key.value for key in found if isinstance(key, ast.Constant)}
    return words


def test_every_flag_is_explained_and_every_explanation_is_a_flag() -> None:
    assert raised() == set(flags.MEANINGS)


def test_the_explanations_are_sentences() -> None:
    for sentence in flags.MEANINGS.values():
        assert sentence[0].isupper() and sentence.endswith(".")


def test_a_cell_becomes_its_sentences() -> None:
    assert flags.sentences("") == []
    assert flags.sentences("fast;constant") == [
        flags.RATERS["fast"],
        flags.RATERS["constant"],
    ]
    with pytest.raises(KeyError):
        flags.sentences("nobody_knows")
