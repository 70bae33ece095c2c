"""Watches that what is frozen with a study is written only by who holds its row.

Installed for the whole run: whatever any test makes the lab do, each of its writes of a
study, its pictures, questions, forms and translations must lie in a transaction that
has the study's row by `select_for_update`, or has made it. So a new writer that
forgets it fails the first test that gets there. What tests write by themselves is not
looked at.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.db import connections, models, transaction
from django.db.models.query import QuerySet
from django.db.models.sql import compiler

ROOT = Path(__file__).parents[1]
OURS = tuple(f"{ROOT / app}/" for app in ("nstlab", "generation", "survey", "analysis"))
TESTS = f"{ROOT / 'tests'}/"

NEVER_FROZEN = {"owner", "withdrawn_count", "purged_count"}
"""Columns of a study that may be written without holding it."""
MOVES = {"state", "opened_at", "closed_at", "archived_at"}

unheld: list[str] = []
"""What was written without holding it, since it was last emptied."""


class Held:
    """What an outermost transaction holds: keys of studies, and studies it has made."""

    def __init__(self) -> None:
        self.keys: set[int] = set()
        self.made: list[Any] = []

    def has(self, study: int) -> bool:
        return study in self.keys or any(it.pk == study for it in self.made)

    def __bool__(self) -> bool:
        return bool(self.keys or self.made)


def _outermost(connection: Any) -> bool:
    """Whether no transaction but that of a `TestCase` has begun."""
    return all(it._from_testcase for it in connection.atomic_blocks)


def _held(using: str) -> Held:
    connection = connections[using]
    if _outermost(connection):
        return Held()
    held: Held = connection.__dict__.setdefault("_held_studies", Held())
    return held


def _by_the_lab() -> str:
    """The lab's own line that writes, or "" if a test does."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(TESTS) and name != __file__:
            return ""
        if name.startswith(OURS):
            return f"{Path(name).relative_to(ROOT)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def _complain(what: str, model: Any, columns: Any = ()) -> None:
    if where := _by_the_lab():
        named = ", ".join(sorted(columns))
        unheld.append(f"{where} {what} {model.__name__} {named}".rstrip())


def _moves_by_state(query: Any) -> bool:
    """Whether an UPDATE names the state that it leaves."""
    waiting = list(query.where.children)
    while waiting:
        each = waiting.pop()
        waiting += getattr(each, "children", [])
        target = getattr(getattr(each, "lhs", None), "target", None)
        if target is not None and target.name == "state":
            return True
    return False


def watch() -> None:
    """Look at every row that is held and every row that is written from now on."""
    from survey.models import FormItem, Question, Stimulus, Study, Translation

    parts = (Stimulus, Question, FormItem, Translation)
    enter, fetch = transaction.Atomic.__enter__, QuerySet._fetch_all
    insert = compiler.SQLInsertCompiler.execute_sql
    update = compiler.SQLUpdateCompiler.execute_sql
    delete = compiler.SQLCompiler.execute_sql

    def entered(block: Any) -> Any:
        connection = transaction.get_connection(block.using)
        if _outermost(connection):
            connection.__dict__["_held_studies"] = Held()
        return enter(block)

    def fetched(rows: Any) -> None:
        fetch(rows)
        if rows.query.select_for_update and rows.model is Study:
            found = rows._result_cache
            keys = {it.pk for it in found if isinstance(it, models.Model)}
            _held(rows.db).keys |= keys

    def inserted(sql: Any, *args: Any, **options: Any) -> Any:
        model, rows = sql.query.model, sql.query.objs
        if model is Study:
            _held(sql.using).made += rows
        elif model in parts:
            held = _held(sql.using)
            if not all(held.has(row.study_id) for row in rows):
                _complain("adds", model)
        return insert(sql, *args, **options)

    def updated(sql: Any, *args: Any, **options: Any) -> Any:
        model = sql.query.model
        columns = {field.name for field, _, _ in sql.query.values}
        if model is Study and "state" in columns and not columns <= MOVES:
            _complain("writes the state with more of", model, columns)
        free = (
            columns <= NEVER_FROZEN or (columns <= MOVES and _moves_by_state(sql.query))
            if model is Study
            else columns == {"render"}  # a render is deleted; its copy stays
        )
        if (model is Study or model in parts) and not free and not _held(sql.using):
            _complain("changes", model, columns)
        return update(sql, *args, **options)

    def deleted(sql: Any, *args: Any, **options: Any) -> Any:
        model = sql.query.model
        if (model is Study or model in parts) and not _held(sql.using):
            _complain("deletes", model)
        return delete(sql, *args, **options)

    for owner, name, new in (
        (transaction.Atomic, "__enter__", entered),
        (QuerySet, "_fetch_all", fetched),
        (compiler.SQLInsertCompiler, "execute_sql", inserted),
        (compiler.SQLUpdateCompiler, "execute_sql", updated),
        (compiler.SQLDeleteCompiler, "execute_sql", deleted),
    ):
        setattr(owner, name, new)
