"""The part of the wizard's page of pictures that is picked from: filters, boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from generation.contact_sheet.layout import PICTURES, level_text
from generation.engine.factors import as_levels, column_names, factor_label
from generation.models import Experiment, Render

MOST_SHOWN = 300
"""Pictures of a page to choose from; filters find the others."""


@dataclass
class Picker:
    """The finished renders of an experiment, which of them are chosen, and what part
    of them is on the page."""

    renders: QuerySet[Render]
    chosen: set[int]
    only: Mapping[str, str]  # by factor the one level that is shown

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        names = column_names()
        paths = [
            f"{name}__title" if name in PICTURES else Render.lookup(name)
            for name in names
        ]
        found = self.renders.order_by("pk").values_list("pk", *paths)
        rows = [dict(zip(("pk", *names), row, strict=True)) for row in found]
        return [dict.fromkeys(names) | as_levels(row) for row in rows]

    @cached_property
    def factors(self) -> list[dict[str, Any]]:
        """The filters: factors that vary, with their levels in order."""
        varied = []
        for name in column_names():
            levels = sorted({row[name] for row in self.rows} - {None})
            if len(levels) > 1:
                texts = [level_text(level) for level in levels]
                only = self.only.get(name, "")
                varied.append(
                    {
                        "name": name,
                        "label": factor_label(name),
                        "levels": texts,
                        "only": only if only in texts else "",
                    }
                )
        return varied

    @cached_property
    def matching(self) -> list[dict[str, Any]]:
        """The rows that the filters leave."""
        wanted = {it["name"]: it["only"] for it in self.factors if it["only"]}
        return [
            row
            for row in self.rows
            if all(level_text(row[name]) == only for name, only in wanted.items())
        ]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The first of them, each with what makes it different from the others."""
        varied = [it["name"] for it in self.factors]
        return [
            {
                "pk": row["pk"],
                "title": f"{row['content']} × {row['style']}",
                "made": " · ".join(
                    level_text(row[name])
                    if isinstance(row[name], str)
                    else f"{factor_label(name)} {level_text(row[name])}"
                    for name in varied
                    if name not in PICTURES and row[name] is not None
                ),
                "chosen": row["pk"] in self.chosen,
            }
            for row in self.matching[:MOST_SHOWN]
        ]

    @property
    def hidden(self) -> int:
        """Matching rows for which the page has no room."""
        return max(0, len(self.matching) - MOST_SHOWN)

    @property
    def elsewhere(self) -> list[int]:
        """What is chosen and has no box on the page."""
        here = {row["pk"] for row in self.matching[:MOST_SHOWN]}
        return sorted(self.chosen - here)

    def act(self, name: str) -> None:
        """Tick or untick everything that the filters leave."""
        matching = {row["pk"] for row in self.matching}
        if name == "all":
            self.chosen |= matching
        elif name == "none":
            self.chosen -= matching


def picker_of(request: HttpRequest, experiment: Experiment, known: set[int]) -> Picker:
    """The page's state as the form sent it; `known` are chosen when nothing came."""
    ready = experiment.renders.ready()
    sent = request.POST
    if request.method == "POST":
        keys = [*sent.getlist("render"), *sent.get("elsewhere", "").split(",")]
        wanted = {int(key) for key in keys if key.isdecimal() and len(key) < 19}
        known = wanted & set(ready.values_list("pk", flat=True))
    only = {name: sent.get(f"only-{name}", "") for name in column_names()}
    picker = Picker(ready, known, only)
    picker.act(sent.get("act", ""))
    return picker
