"""Every chart of a report, one entry each, in the order of the report's page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import matplotlib

from analysis.charts.contrasts import contrasts
from analysis.charts.drawing import STYLE, DrawnChart
from analysis.charts.factor_pairs import crossed, heat_map, interaction
from analysis.charts.mos import caterpillar, rating_bars
from analysis.charts.pair_scale import pair_scale
from analysis.charts.raters import raters
from analysis.charts.screening import screening
from analysis.charts.sos import sos
from analysis.charts.subject import Subject
from analysis.stats.tables import TABLES


@dataclass(frozen=True)
class ChartKind:
    """A kind of chart: the table of the report it is drawn from, and how.

    `draw` takes the subject, the table (of one question) and the question, "" where
    there is one only; `crosses` kinds take a pair of factors before the question. Kinds
    beside each other of one table take turns, question by question. `part` of the
    report is where it stands, by its name in `analysis.reports.parts`.
    """

    table: str
    draw: Callable[..., DrawnChart]
    crosses: bool = False
    part: str = "stimuli"

    @property
    def answers(self) -> str:
        """The answers it needs, ratings or choices: those of its table."""
        return TABLES[self.table].answers


KINDS: list[ChartKind] = [
    ChartKind("pair_scale.csv", pair_scale),
    ChartKind("mos_by_stimulus.csv", caterpillar),
    ChartKind("mos_by_stimulus.csv", rating_bars),
    ChartKind("mos_by_condition.csv", heat_map, crosses=True, part="factors"),
    ChartKind("mos_by_condition.csv", interaction, crosses=True, part="factors"),
    ChartKind("contrasts.csv", contrasts, part="factors"),
    ChartKind("raters.csv", raters, part="raters"),
    ChartKind("mos_by_stimulus.csv", sos, part="agreement"),
    ChartKind("screening.csv", screening, part="checks"),
]


def draw_all(subject: Subject) -> list[DrawnChart]:
    """Every chart that the answers allow, in the order of KINDS."""
    allowed = [kind for kind in KINDS if kind.answers == subject.answers]
    charts: list[DrawnChart] = []
    with matplotlib.rc_context(STYLE):
        for (name, crosses), group in groupby(
            allowed, key=lambda kind: (kind.table, kind.crosses)
        ):
            kinds = list(group)
            for question, table in subject.parts(name):
                pairs = [(it,) for it in crossed(subject.factors)] if crosses else [()]
                charts += [
                    replace(
                        kind.draw(subject, table, *pair, question),
                        part=kind.part,
                        question=question,
                    )
                    for pair in pairs
                    for kind in kinds
                ]
    return with_names_apart(charts)


def with_names_apart(charts: Sequence[DrawnChart]) -> list[DrawnChart]:
    """The charts, each of whose files has a name of its own on every disk."""
    apart: dict[str, DrawnChart] = {}
    for chart in charts:
        name, number = chart.name, 1
        while name.casefold() in apart:
            number += 1
            name = f"{chart.name}_{number}"
        apart[name.casefold()] = replace(chart, name=name)
    return list(apart.values())
