"""The report's charts, drawn from its own tables; matplotlib, for workers and commands.

Every chart is SVG and PNG, the same bytes for the same tables, in colours that colour-
blind people can tell apart (Okabe and Ito; viridis) and that a grey printer keeps
apart by shape. What is drawn is in the chart's own small table too; where there is
nothing to draw, a sentence stands in its place.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from PIL import Image

from analysis.stats.frame import as_numbers, proposed_kind
from analysis.stats.report import Report
from analysis.stats.writing import csv_text
from generation.engine.factors import FACTORS, FIRST_IN_CHARTS, short_label

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 7.0  # inches: a page of A4 between its margins
DPI = 200
THUMBNAIL_SIDE = 96  # pixels
MOST_WITH_THUMBNAILS = 60
MOST_WITH_LABELS = 120
MOST_CONTRASTS = 40
MOST_FACTOR_PAIRS = 6
MOST_LEVELS = 12
MOST_POINTS = 12  # of a scale
MOST_NAMED = 8
# Characters in the name of a file, which has two factors and a question at most: a row
# holds 100.
OF_A_FACTOR = 24
OF_A_QUESTION = 30
LABEL_LINE = 56  # characters
TITLE_IN_LABEL = 15
STYLE: Any = {
    "svg.hashsalt": "nstlab",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#ddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.facecolor": "white",
}
SCREENS = {
    "none": "nobody left out", "bt500": "BT.500", "bt500_reference":
    "BT.500, reference code", "p913": "P.913", "pearson": "Pearson, one pass",
    "spearman": "Spearman, one pass",
}  # fmt: skip


@dataclass(frozen=True)
class Chart:
    """A drawn chart. `table` holds what is drawn; `missing` says why nothing is."""

    name: str  # stem of its files
    title: str
    description: str  # for those who cannot see it, and for the caption
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    svg: str = ""
    png: bytes = b""
    missing: str = ""

    def files(self) -> dict[str, bytes]:
        """NAME.svg, NAME.png and `chart_NAME.csv`; none if nothing is drawn."""
        if self.missing:
            return {}
        return {
            f"chart_{self.name}.csv": csv_text(self.table).encode(),
            f"{self.name}.svg": self.svg.encode(),
            f"{self.name}.png": self.png,
        }


@dataclass(frozen=True)
class Subject:
    """What the charts are about: tables, scale, interval level, pictures by stimulus.

    `factors` are the columns that vary between stimuli; `thumbnails` are RGB.
    """

    tables: Mapping[str, pd.DataFrame]
    scale: tuple[int, int] = (1, 5)
    level: float = 0.95
    factors: Sequence[str] = ()
    thumbnails: Mapping[str, Image.Image] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        report: Report,
        *,
        factors: Sequence[str],
        thumbnails: Mapping[str, Image.Image],
    ) -> Subject:
        low, high = report.summary.get("scale", (1, 5))
        level = report.summary.get("options", {}).get("level", 0.95)
        return cls(report.tables, (low, high), level, factors, thumbnails)

    @property
    def interval(self) -> str:
        return f"{100 * self.level:g} % interval"

    def table(self, name: str) -> pd.DataFrame:
        return self.tables.get(name, pd.DataFrame())

    def parts(self, name: str) -> list[tuple[str, pd.DataFrame]]:
        """A table by question, ("", table) where only one question was asked."""
        table = self.table(name)
        if "question" not in table or table["question"].nunique() < 2:
            return [("", table)]
        return [(str(q), part) for q, part in table.groupby("question", sort=False)]

    def label(self, row: Mapping[str, Any], *, short: bool = False) -> str:
        """What distinguishes a stimulus from the others, in the field's words.

        `short` takes the middle out of long titles; no setting is ever cut. An
        original is called a reference, by its content or else its code.
        """
        words = []
        if row.get("is_reference"):
            title = row.get("content")
            title = str(row["stimulus"] if pd.isna(title) else title)
            return f"{_shortened(title) if short else title} · reference"
        has = [name for name in self.factors if not pd.isna(row.get(name))]
        pair = [str(row[name]) for name in ("content", "style") if name in has]
        pair = [_shortened(title) for title in pair] if short else pair
        if pair:
            words.append(" × ".join(pair))
        words += [
            level(row[name])
            if name in FACTORS and FACTORS[name].is_layers
            else f"{short_label(name)} {level(row[name])}"
            for name in has
            if name not in ("content", "style")
        ]
        return " · ".join(words) or str(row["stimulus"])


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows by column name."""
    return [
        {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def level(value: Any) -> str:
    """A level as it is written on an axis."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    return str(value)


def crossed(factors: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of factors worth crossing, at most MOST_FACTOR_PAIRS, best first."""
    rank = {name: place for place, name in enumerate(FIRST_IN_CHARTS)}
    ordered = sorted(factors, key=lambda name: rank.get(name, len(rank)))
    return list(combinations(ordered, 2))[:MOST_FACTOR_PAIRS]


def draw_all(subject: Subject) -> list[Chart]:
    """Every chart that the tables have something for, in the order of the report."""
    charts: list[Chart] = []
    with matplotlib.rc_context(STYLE):
        if "pair_scale.csv" in subject.tables:
            for question, table in subject.parts("pair_scale.csv"):
                charts.append(pair_scale(subject, table, question))
            return charts
        for question, table in subject.parts("mos_by_stimulus.csv"):
            charts += [
                caterpillar(subject, table, question),
                rating_bars(subject, table, question),
            ]
        pooled = subject.parts("mos_by_condition.csv")
        for question, table in pooled:
            for pair in crossed(subject.factors):
                charts += [
                    heat_map(subject, table, pair, question),
                    interaction(subject, table, pair, question),
                ]
        for question, table in subject.parts("contrasts.csv"):
            charts.append(contrasts(subject, table, question))
        for question, table in subject.parts("raters.csv"):
            charts.append(raters(subject, table, question))
        for question, table in subject.parts("mos_by_stimulus.csv"):
            charts.append(sos(subject, table, question))
        for question, table in subject.parts("screening.csv"):
            charts.append(screening(subject, table, question))
    return _with_names_apart(charts)


# The charts -------------------------------------------------------------------


def caterpillar(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """Every stimulus by MOS with its interval, its picture beside it."""
    chart = Chart(
        _name("mos", question),
        _title("MOS of every stimulus", question),
        f"Mean opinion score with its {subject.interval}, best first; n beside it. "
        "An interval that could not be computed is not drawn." + _on_references(table),
    )
    rated = table[table["n"] > 0] if "n" in table else table
    if rated.empty:
        return _without(chart, "No stimulus has a rating yet.")
    rated = rated.sort_values("mos", kind="stable", ignore_index=True)
    labels = [subject.label(row) for row in records(rated)]
    names = [subject.label(row, short=True) for row in records(rated)]
    shown = rated[["stimulus", "mos", "ci_low", "ci_high", "n"]].assign(label=labels)
    count = len(rated)
    pictures = count <= MOST_WITH_THUMBNAILS and bool(subject.thumbnails)
    figure, axes = _rows(names, picture=pictures)
    place = np.arange(count)
    _whiskers(axes, rated, place)
    originals = _references(rated)
    axes.plot(
        rated["mos"][~originals], place[~originals], "o", color=OKABE_ITO[0],
        markersize=4,
    )  # fmt: skip
    _plot_references(axes, rated["mos"][originals], place[originals])
    _score_axis(axes, subject, "MOS")
    _row_axis(axes, names, "stimuli by MOS", picture=pictures)
    if count <= MOST_WITH_LABELS:
        for at, n in zip(place, rated["n"], strict=True):
            axes.annotate(
                f"n {n:g}", (1.01, at), xycoords=axes.get_yaxis_transform(),
                va="center", fontsize=6.5, color="#444",
            )  # fmt: skip
    if pictures:
        for at, stimulus in zip(place, rated["stimulus"], strict=True):
            _picture(axes, subject.thumbnails.get(str(stimulus)), float(at))
    return _drawn(chart, figure, shown[::-1])


def rating_bars(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """The counts of every category, stacked around the middle of the scale."""
    low, high = subject.scale
    chart = Chart(
        _name("ratings", question),
        _title("How the ratings spread", question),
        f"Share of ratings in each category, {low} (worst) to {high} (best), stacked "
        "around the middle of the scale; same order as the MOS.",
    )
    rated = table[table["n"] > 0] if "n" in table else table
    if rated.empty:
        return _without(chart, "No stimulus has a rating yet.")
    values = _points(low, high)
    columns = [f"n_{value}" for value in values]
    if not values or not set(columns) <= set(rated.columns):
        return _without(chart, "The scale has more points than bars can show.")
    rated = rated.sort_values("mos", kind="stable", ignore_index=True)
    labels = [subject.label(row) for row in records(rated)]
    names = [subject.label(row, short=True) for row in records(rated)]
    counts = rated[columns].to_numpy(float)
    share = 100 * counts / counts.sum(axis=1, keepdims=True)
    middle = (low + high) / 2
    weight = np.array(
        [1.0 if v < middle else 0.5 if v == middle else 0 for v in values]
    )
    start = -(share * weight).sum(axis=1)
    count = len(rated)
    figure, axes = _rows(names, legend=True)
    place = np.arange(count)
    colours = matplotlib.colormaps["PuOr"](np.linspace(0.08, 0.92, len(columns)))
    left = start.copy()
    for k, value in enumerate(values):
        axes.barh(
            place, share[:, k], left=left, height=0.78, color=colours[k],
            edgecolor="white", linewidth=0.4, label=str(value),
        )  # fmt: skip
        if count <= MOST_WITH_LABELS:
            for at in place[share[:, k] >= 6]:
                axes.text(
                    left[at] + share[at, k] / 2, at, f"{counts[at, k]:g}",
                    ha="center", va="center", fontsize=6.5,
                    color=_readable_on(colours[k]),
                )  # fmt: skip
        left = left + share[:, k]
    axes.axvline(0, color="#444", linewidth=0.8, zorder=0.5)
    axes.set_xlabel("share of ratings, % (numbers: ratings)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.grid(axis="y", visible=False)
    _row_axis(axes, names, "stimuli by MOS")
    figure.legend(
        *axes.get_legend_handles_labels(), ncols=len(columns),
        loc="outside upper right", title="rating", handlelength=1, columnspacing=1,
    )  # fmt: skip
    return _drawn(
        chart, figure, rated[["stimulus", *columns]].assign(label=labels)[::-1]
    )


def heat_map(
    subject: Subject, table: pd.DataFrame, pair: tuple[str, str], question: str = ""
) -> Chart:
    """Pooled MOS of every combination of two factors, the picture in its cell."""
    a, b = pair
    chart = Chart(
        _name("heat", question, a, b),
        _title(f"MOS by {_word(a)} and {_word(b)}", question),
        f"Pooled MOS ± half of its {subject.interval}, clustered by participant, and "
        "the number of ratings. Grey: nothing was shown there. A cell holds its "
        "picture, or the first of several.",
    )
    cells = _cells(table, pair, subject.factors)
    if cells.empty:
        return _without(chart, f"No ratings cross {_word(a)} with {_word(b)}.")
    rows, columns = _levels(cells[a]), _levels(cells[b])
    if max(len(rows), len(columns)) > MOST_LEVELS:
        return _without(
            chart,
            f"{len(rows)} × {len(columns)} levels are more than a heat map can show; "
            "mos_by_condition.csv has them.",
        )
    low, high = subject.scale
    grid = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(
        figsize=(WIDTH, 0.9 + 1.05 * len(rows)), layout="constrained", dpi=DPI
    )
    axes = figure.subplots()
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="#ccc")
    stimuli = subject.table("mos_by_stimulus.csv")
    examples = _examples(stimuli[~_references(stimuli)], pair)
    for cell in records(cells):
        i, j = rows.index(cell[a]), columns.index(cell[b])
        grid[i, j] = cell["mos"]
    image = axes.imshow(grid, cmap=colours, vmin=low, vmax=high, aspect="auto")
    for cell in records(cells):
        if np.isnan(cell["mos"]):
            continue
        i, j = rows.index(cell[a]), columns.index(cell[b])
        half = (cell["ci_high"] - cell["ci_low"]) / 2
        text = f"{cell['mos']:.2f}" + ("" if np.isnan(half) else f" ± {half:.2f}")
        thumbnail = subject.thumbnails.get(examples.get((cell[a], cell[b]), ""))
        if thumbnail is not None:
            _put(axes, thumbnail, (j, i - 0.12), 44)
        axes.text(
            j, i + (0.38 if thumbnail is not None else 0),
            f"{text} (n {cell['n_ratings']:g})", ha="center", va="center", fontsize=6.5,
            color=_readable_on(colours((cell["mos"] - low) / (high - low))),
        )  # fmt: skip
    axes.set_xticks(range(len(columns)), [level(value) for value in columns])
    axes.set_yticks(range(len(rows)), [level(value) for value in rows])
    axes.set_xlabel(_word(b))
    axes.set_ylabel(_word(a))
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="MOS", shrink=0.8)
    return _drawn(chart, figure, cells)


def interaction(
    subject: Subject, table: pd.DataFrame, pair: tuple[str, str], question: str = ""
) -> Chart:
    """A line for each level of one factor, along the other.

    Along the one whose levels have an order, else along the one with more.
    """
    cells = _cells(table, pair, subject.factors)
    line, along = pair
    if len(cells):
        line, along = sorted(
            pair, key=lambda name: (_ordered(cells, name), cells[name].nunique())
        )
        if cells[line].nunique() > len(OKABE_ITO):
            line, along = along, line
    chart = Chart(
        _name("lines", question, *pair),
        _title(f"Interplay of {_word(line)} and {_word(along)}", question),
        f"Pooled MOS with its {subject.interval}, clustered by participant. Parallel "
        "lines: the two factors work independently.",
    )
    if cells.empty:
        return _without(chart, f"No ratings cross {_word(line)} with {_word(along)}.")
    lines, places = _levels(cells[line]), _levels(cells[along])
    if len(lines) > len(OKABE_ITO) or len(places) > 2 * MOST_LEVELS:
        return _without(
            chart,
            f"{len(lines)} × {len(places)} levels are more than lines can show; "
            "mos_by_condition.csv has them.",
        )
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    for k, value in enumerate(lines):
        part = cells[cells[line] == value]
        x = np.array([places.index(v) for v in part[along]], float)
        order = np.argsort(x)
        shift = 0.06 * (k - (len(lines) - 1) / 2)
        y = part["mos"].to_numpy(float)[order]
        low = y - part["ci_low"].to_numpy(float)[order]
        high = part["ci_high"].to_numpy(float)[order] - y
        axes.errorbar(
            x[order] + shift, y, yerr=np.nan_to_num([low, high]),
            marker=MARKERS[k], color=OKABE_ITO[k], capsize=2, linewidth=1.2,
            markersize=4.5, label=level(value),
        )  # fmt: skip
    axes.set_xticks(range(len(places)), [level(value) for value in places])
    axes.set_xlabel(_word(along))
    axes.set_ylabel("MOS")
    low_end, high_end = subject.scale
    axes.set_ylim(low_end - 0.1, high_end + 0.1)
    axes.legend(title=_word(line), loc="center left", bbox_to_anchor=(1, 0.5))
    return _drawn(chart, figure, cells)


def raters(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """How far each person leans, against how noisy they are."""
    chart = Chart(
        _name("raters", question),
        _title("Raters: bias and inconsistency", question),
        "Each point is a person: how far they rate above the panel, and the standard "
        f"deviation of their noise, with {100 * subject.level:g} % intervals. "
        "Squares have a flag in raters.csv; named are at most "
        f"{MOST_NAMED} of them, those farthest from the others.",
    )
    columns = ["participant", "bias", "inconsistency", "flags"]
    known = table.dropna(subset=["bias", "inconsistency"]) if len(table) else table
    if known.empty:
        return _without(
            chart, "Bias and inconsistency of the raters could not be estimated."
        )
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    flagged = known["flags"].fillna("").astype(str) != ""
    if len(known) <= 100:
        _spread(axes, known, subject.level)
    for who, marker, colour, text in (
        (~flagged, "o", OKABE_ITO[0], "no flag"),
        (flagged, "s", OKABE_ITO[1], "flagged"),
    ):
        part = known[who]
        if len(part):
            axes.plot(
                part["bias"], part["inconsistency"], marker, color=colour,
                markersize=4.5, label=f"{text} ({len(part)})",
            )  # fmt: skip
    for row in records(_farthest(known, flagged)):
        axes.annotate(
            str(row["participant"]), (row["bias"], row["inconsistency"]),
            xytext=(4, 3), textcoords="offset points", fontsize=6,
        )  # fmt: skip
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.set_xlabel("bias, rating points above the panel")
    axes.set_ylabel("inconsistency, SD in rating points")
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
    return _drawn(chart, figure, known[columns])


def _farthest(known: pd.DataFrame, chosen: pd.Series) -> pd.DataFrame:
    """Of the chosen people the MOST_NAMED farthest from everybody's medians."""
    both = known[["bias", "inconsistency"]]
    off = both - both.median()
    spread = off.abs().median().replace(0, 1)
    distance = ((off / spread) ** 2).sum(axis=1)[chosen]
    return known.loc[distance.nlargest(MOST_NAMED).index]


def _spread(axes: Axes, known: pd.DataFrame, share: float) -> None:
    from scipy import special

    z = float(special.ndtri((1 + share) / 2))
    low = known["inconsistency"] - known["inconsistency_low"]
    high = known["inconsistency_high"] - known["inconsistency"]
    axes.errorbar(
        known["bias"], known["inconsistency"],
        xerr=np.nan_to_num(z * known["bias_se"].to_numpy(float)),
        yerr=np.clip(np.nan_to_num([low, high]), 0, None),
        fmt="none", ecolor="#bbb", elinewidth=0.7,
    )  # fmt: skip


def sos(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """Variance against MOS with the parabola of the SOS hypothesis."""
    chart = Chart(
        _name("sos", question),
        _title("Spread of opinion (SOS)", question),
        "Variance of the ratings of each stimulus against its MOS, the fitted parabola "
        "of the SOS hypothesis (Hossfeld et al. 2011), and the largest variance a "
        "scale allows." + _on_references(table),
    )
    known = table.dropna(subset=["mos", "sd"]) if "sd" in table else table
    if known.empty:
        return _without(chart, "No stimulus has two ratings, so none has a variance.")
    low, high = subject.scale
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained", dpi=DPI)
    axes = figure.subplots()
    x = np.linspace(low, high, 200)
    parabola = (x - low) * (high - x)
    axes.plot(x, parabola, "--", color="#888", linewidth=1, label="largest possible")
    a = _sos_a(subject.table("reliability.csv"), question)
    if a is not None:
        axes.plot(
            x, a * parabola, color=OKABE_ITO[1], linewidth=1.5, label=f"a = {a:.3f}"
        )
    variance = known["sd"].to_numpy(float) ** 2
    originals = _references(known)
    axes.plot(
        known["mos"][~originals], variance[~originals], "o", color=OKABE_ITO[0],
        markersize=4, label="stimulus",
    )  # fmt: skip
    _plot_references(axes, known["mos"][originals], variance[originals])
    axes.set_xlabel("MOS")
    axes.set_ylabel("variance, rating points²")
    axes.set_xlim(low - 0.1, high + 0.1)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")
    shown = known[["stimulus", "mos"]].assign(variance=variance, sos_a=a)
    if originals.any():
        shown["is_reference"] = originals
    return _drawn(chart, figure, shown)


def _sos_a(reliability: pd.DataFrame, question: str) -> float | None:
    if "statistic" not in reliability:
        return None
    rows = reliability[reliability["statistic"] == "sos_a"]
    if question and "question" in rows:
        rows = rows[rows["question"] == question]
    values = rows["value"].dropna()
    return float(values.iloc[0]) if len(values) else None


def contrasts(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """Differences with their intervals; which ones last after Holm."""
    chart = Chart(
        _name("contrasts", question),
        _title("Differences", question),
        f"Mean difference a − b of people who rated both, with its {subject.interval}. "
        "Filled: Holm-corrected p below "
        f"{1 - subject.level:.2g} in its family; open: not.",
    )
    known = table.dropna(subset=["mean_diff"]) if "mean_diff" in table else table
    if known.empty:
        return _without(chart, "Nobody has rated two stimuli, so nothing is compared.")
    # Levels of factors first: they are few, and what was asked.
    order = pd.DataFrame(
        {
            "stimuli": known["family"].str.startswith("stimulus:"),
            "size": -known["mean_diff"].abs(),
        }
    ).sort_values(["stimuli", "size"], kind="stable")
    kept = known.loc[order.index]
    left = len(kept) - MOST_CONTRASTS
    kept = kept.head(MOST_CONTRASTS)[::-1].reset_index(drop=True)
    if left > 0:
        chart = replace(
            chart,
            description=f"{chart.description} The levels of factors, then the "
            f"largest: {MOST_CONTRASTS} of "
            f"{len(known)}; contrasts.csv has all.",
        )
    by_code = {
        str(row["stimulus"]): subject.label(row, short=True)
        for row in records(subject.table("mos_by_stimulus.csv"))
    }
    names = []
    for a, b, family in zip(kept["a"], kept["b"], kept["family"], strict=True):
        factor = family.split(":")[0]
        if factor == "stimulus":
            names.append(f"{by_code.get(str(a), a)}\n−  {by_code.get(str(b), b)}")
        else:
            names.append(f"{_word(factor)}: {level(a)}  −  {level(b)}")
    figure, axes = _rows(names)
    place = np.arange(len(kept))
    _whiskers(axes, kept, place)
    lasting = (kept["p_holm"] < 1 - subject.level).to_numpy()
    for chosen, fill, text in (
        (lasting, OKABE_ITO[1], "lasts"),
        (~lasting, "white", ""),
    ):
        axes.plot(
            kept["mean_diff"][chosen], place[chosen], "o", markersize=4.5,
            markerfacecolor=fill, markeredgecolor=OKABE_ITO[1], label=text,
        )  # fmt: skip
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.set_xlabel("mean difference, rating points")
    _row_axis(axes, names, "pairs")
    columns = [
        "a",
        "b",
        "n_pairs",
        "mean_diff",
        "ci_low",
        "ci_high",
        "p_holm",
        "family",
    ]
    return _drawn(chart, figure, kept[columns][::-1])


def screening(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """The MOS before and after each screening rule."""
    chart = Chart(
        _name("screening", question),
        _title("MOS before and after screening", question),
        "What each rule would change if it left out whom it rejects. Nobody is left "
        "out by this chart.",
    )
    rules = [
        name.removeprefix("mos_") for name in table.columns if name.startswith("mos_")
    ]
    if table.empty or not rules or table["mos_none"].isna().all():
        return _without(chart, "No stimulus has a rating yet.")
    sorted_table = table.sort_values("mos_none", kind="stable", ignore_index=True)
    sorted_table = sorted_table.dropna(subset=["mos_none"])
    stimuli = records(subject.table("mos_by_stimulus.csv"))
    by_code = {str(row["stimulus"]): subject.label(row, short=True) for row in stimuli}
    names = [by_code.get(str(code), str(code)) for code in sorted_table["stimulus"]]
    figure, axes = _rows(names, legend=True)
    place = np.arange(len(names))
    for k, rule in enumerate(rules):
        shift = 0.5 * ((k + 0.5) / len(rules) - 0.5)
        axes.plot(
            sorted_table[f"mos_{rule}"], place + shift, MARKERS[k % len(MARKERS)],
            color=OKABE_ITO[k % len(OKABE_ITO)], markersize=3.5,
            label=SCREENS.get(rule, rule),
        )  # fmt: skip
    _score_axis(axes, subject, "MOS")
    _row_axis(axes, names, "stimuli by MOS")
    figure.legend(
        *axes.get_legend_handles_labels(), ncols=min(3, len(rules)),
        loc="outside upper right", handlelength=1,
    )  # fmt: skip
    return _drawn(chart, figure, sorted_table[::-1])


def pair_scale(subject: Subject, table: pd.DataFrame, question: str = "") -> Chart:
    """The scale that comparisons give, with intervals from resampled people."""
    chart = Chart(
        _name("pair_scale", question),
        _title("Scale from the comparisons", question),
        "Bradley–Terry score in log odds, centred, ± 1.96 standard errors from "
        "resampling people (from the Fisher information where there are none).",
    )
    table = table[table["score"].notna()]
    if table.empty:
        return _without(chart, "The comparisons do not give a scale yet.")
    table = table.sort_values(
        ["group", "score"], ascending=[False, True], kind="stable", ignore_index=True
    )
    labels = [subject.label(row) for row in records(table)]
    names = [subject.label(row, short=True) for row in records(table)]
    if table["group"].nunique() > 1:
        apart = "Groups that never met have a zero each: compare within a group only."
        chart = replace(chart, description=f"{chart.description} {apart}")
        names = [
            f"{name} (group {group})"
            for name, group in zip(names, table["group"], strict=True)
        ]
    count = len(table)
    pictures = count <= MOST_WITH_THUMBNAILS and bool(subject.thumbnails)
    figure, axes = _rows(names, picture=pictures)
    place = np.arange(count)
    half = 1.96 * table["se_bootstrap"].fillna(table["se"])
    drawn = table.assign(ci_low=table["score"] - half, ci_high=table["score"] + half)
    _whiskers(axes, drawn, place)
    axes.plot(table["score"], place, "o", color=OKABE_ITO[0], markersize=4)
    axes.axvline(0, color="#444", linewidth=0.8)
    axes.set_xlabel("score, log odds")
    _row_axis(axes, names, "stimuli by score", picture=pictures)
    if pictures:
        for at, stimulus in zip(place, table["stimulus"], strict=True):
            _picture(axes, subject.thumbnails.get(str(stimulus)), float(at))
    columns = ["stimulus", "group", "score", "ci_low", "ci_high", "comparisons"]
    return _drawn(chart, figure, drawn[columns].assign(label=labels)[::-1])


# What they share --------------------------------------------------------------


def thumbnail(picture: Image.Image) -> Image.Image:
    """A small RGB copy for a chart."""
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return small


def _name(stem: str, question: str, *factors: str) -> str:
    """The stem of a chart's files: letters, digits, - and _ whatever it is about, and
    short enough for every disk."""
    parts = [stem, *(_file_word(name, OF_A_FACTOR) for name in factors)]
    if plain := re.sub(r"\W+", "_", question).strip("_").lower():
        parts.append(_file_word(plain, OF_A_QUESTION))
    return "_".join(parts)


def _file_word(name: str, most: int) -> str:
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^\w-]+", "-", letters)[:most].strip("-") or "factor"


def _with_names_apart(charts: Sequence[Chart]) -> list[Chart]:
    """The charts, each of whose files has a name of its own on every disk."""
    apart: dict[str, Chart] = {}
    for chart in charts:
        name, number = chart.name, 1
        while name.casefold() in apart:
            number += 1
            name = f"{chart.name}_{number}"
        apart[name.casefold()] = replace(chart, name=name)
    return list(apart.values())


def _title(title: str, question: str) -> str:
    return f"{title}: {question}" if question else title


def _word(factor: str) -> str:
    return short_label(factor).replace("_", " ")


def _without(chart: Chart, sentence: str) -> Chart:
    return replace(chart, missing=sentence)


def _drawn(chart: Chart, figure: Figure, table: pd.DataFrame) -> Chart:
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
    figure.set_layout_engine("none")  # laid out once, alike in both
    figure.savefig(
        svg,
        format="svg",
        metadata={"Date": None, "Creator": None, "Title": chart.title},
    )
    return replace(
        chart,
        svg=svg.getvalue(),
        png=png.getvalue(),
        table=table.reset_index(drop=True),
    )


def _rows(
    labels: Sequence[str], *, picture: bool = False, legend: bool = False
) -> tuple[Figure, Axes]:
    """A figure of one row a thing, tall enough for them and their labels."""
    count = len(labels)
    each = 0.42 if picture else 0.22 if count <= MOST_WITH_LABELS else 0.03
    if count <= MOST_WITH_LABELS:
        lines = max((_wrapped(label).count("\n") + 1 for label in labels), default=1)
        each = max(each, 0.06 + 0.12 * lines)
    height = 1.0 + (0.3 if legend else 0) + each * max(count, 3)
    figure = Figure(figsize=(WIDTH, height), layout="constrained", dpi=DPI)
    return figure, figure.subplots()


def _row_axis(
    axes: Axes, labels: Sequence[str], word: str, *, picture: bool = False
) -> None:
    count = len(labels)
    axes.set_ylim(-0.6, count - 0.4)
    axes.grid(axis="y", visible=False)
    if count <= MOST_WITH_LABELS:
        axes.set_yticks(range(count), [_wrapped(text) for text in labels], fontsize=7)
        axes.tick_params(axis="y", length=0, pad=32 if picture else 3)
    else:
        axes.set_ylabel(f"{count} {word}")
        axes.set_yticks([])


def _wrapped(label: str) -> str:
    """A label in lines of LABEL_LINE at most, broken between its words only."""
    lines = [""]
    for part in label.replace("\n", " · \n").split(" · "):
        joined = f"{lines[-1]} · {part}" if lines[-1] else part
        if part.startswith("\n"):
            lines.append(part.removeprefix("\n"))
        elif len(joined) <= LABEL_LINE or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(part)
    return "\n".join(lines)


def _shortened(title: str) -> str:
    """A long title without its middle: ends tell apart what is numbered."""
    if len(title) <= TITLE_IN_LABEL:
        return title
    end = TITLE_IN_LABEL // 3
    return f"{title[: TITLE_IN_LABEL - end - 1].rstrip()}…{title[-end:].lstrip()}"


def _points(low: float, high: float) -> list[int]:
    """The whole points of a scale; none where they are too many to be told apart."""
    if low % 1 or high % 1 or high - low > MOST_POINTS:
        return []
    return [*range(int(low), int(high) + 1)]


def _score_axis(axes: Axes, subject: Subject, word: str) -> None:
    low, high = subject.scale
    axes.set_xlim(low - 0.0125 * (high - low), high + 0.0125 * (high - low))
    if points := _points(low, high):
        axes.set_xticks(points)
    axes.set_xlabel(f"{word}, scale {low}–{high}")


def _whiskers(axes: Axes, table: pd.DataFrame, place: np.ndarray) -> None:
    known = table[["ci_low", "ci_high"]].notna().all(axis=1).to_numpy()
    axes.hlines(
        place[known], table["ci_low"][known], table["ci_high"][known],
        color="#555", linewidth=1.2,
    )  # fmt: skip


def _picture(axes: Axes, thumbnail: Image.Image | None, at: float) -> None:
    """A thumbnail between the labels and the axis, at row `at`."""
    if thumbnail is None:
        return
    box = AnnotationBbox(
        _offset_image(thumbnail, 27), (0, at), xybox=(-17, 0),
        xycoords=axes.get_yaxis_transform(), boxcoords="offset points", frameon=False,
        pad=0, annotation_clip=False,
    )  # fmt: skip
    box.set_in_layout(False)  # the labels' padding has made room for it
    axes.add_artist(box)


def _references(table: pd.DataFrame) -> np.ndarray:
    """Which rows are those of hidden references."""
    if "is_reference" not in table:
        return np.zeros(len(table), bool)
    return table["is_reference"].to_numpy(bool)


def _on_references(table: pd.DataFrame) -> str:
    marked = _references(table).any()
    return " Open squares: the hidden references." if marked else ""


def _plot_references(axes: Axes, x: pd.Series, y: np.ndarray) -> None:
    if len(y):
        axes.plot(
            x, y, "s", markersize=4.5, markerfacecolor="white",
            markeredgecolor=OKABE_ITO[1], label="reference",
        )  # fmt: skip


def _put(
    axes: Axes, thumbnail: Image.Image, at: tuple[float, float], points: float
) -> None:
    box = AnnotationBbox(_offset_image(thumbnail, points), at, frameon=False, pad=0)
    box.set_in_layout(False)
    axes.add_artist(box)


def _offset_image(thumbnail: Image.Image, points: float) -> OffsetImage:
    """The picture, its longer side `points` long."""
    pixels = np.asarray(thumbnail)
    # An OffsetImage counts its pixels at 72 to the inch where zoom is 1.
    return OffsetImage(pixels, zoom=points / max(pixels.shape[:2]), dpi_cor=True)


def _readable_on(colour: Sequence[float]) -> str:
    """Black or white, whichever stands out (WCAG's relative luminance)."""
    r, g, b = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]
    )
    return "#000" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 else "#fff"


def _cells(
    table: pd.DataFrame, pair: tuple[str, str], factors: Iterable[str]
) -> pd.DataFrame:
    """The rows of `mos_by_condition.csv` that pool by exactly these two factors."""
    a, b = pair
    if a not in table or b not in table:
        return pd.DataFrame()
    others = [name for name in factors if name not in pair and name in table]
    chosen = table[a].notna() & table[b].notna() & table[others].isna().all(axis=1)
    columns = [a, b, "mos", "ci_low", "ci_high", "n_ratings", "n_stimuli"]
    return table.loc[chosen, columns].reset_index(drop=True)


def _levels(column: pd.Series) -> list[Any]:
    """Numbers in their order, also those that are text; words by name."""
    levels = list(column.unique())
    numbers = as_numbers(np.array(levels, object))
    places = sorted(
        range(len(levels)),
        key=lambda k: (np.isnan(numbers[k]), np.nan_to_num(numbers[k]), str(levels[k])),
    )
    return [levels[k] for k in places]


def _ordered(table: pd.DataFrame, name: str) -> bool:
    """Whether a line between two levels means something: numbers, depths."""
    if name in FACTORS and FACTORS[name].kind == "ordered":
        return True
    return proposed_kind(name, table[name]) == "numeric"


def _examples(table: pd.DataFrame, pair: tuple[str, str]) -> dict[tuple[Any, Any], str]:
    """The first stimulus of each cell of two factors."""
    if not set(pair) <= set(table.columns):
        return {}
    found: dict[tuple[Any, Any], str] = {}
    for a, b, code in zip(
        table[pair[0]], table[pair[1]], table["stimulus"], strict=True
    ):
        found.setdefault((a, b), str(code))
    return found
