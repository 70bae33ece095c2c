"""One tidy frame of ratings in, checked row by row; nothing is imputed.

`validate` turns whatever table a study, a CSV or a public data set offers into
`Ratings`: rows that can be trusted, and a table of those refused with the reason.
`Ratings.votes` is what the methods compute on: integer codes and a flat vector of
answers, so that a sparse million of ratings costs megabytes and not a matrix.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.columns import COLUMNS
from generation.engine.factors import FACTORS
from nstlab.core import csv_files
from nstlab.core.factor_names import columns_of, notes_of

KINDS = ("rating", "training", "catch", "repeat")
# Names of things, never numbers unless somebody says so: picture 12 is not 12 of it.
IDS = ("content", "style", "file", "label")
FACTOR_KINDS = ("numeric", "ordered", "nominal")
# Above this share of rows that cannot be used, a file is not what it was taken for.
MOST_REFUSED = 0.05
STEPS = (1.0, 0.5, 0.25, 0.2, 0.1, 0.05, 0.01)
BOOLEANS = ("is_reference", "simulated", "pilot", "excluded", "passed")
TRUTH = {
    "true": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "false": False,
    "0": False,
    "0.0": False,
    "no": False,
}


def known_columns() -> set[str]:
    """The columns with a meaning of their own; every other one is a factor of the
    stimulus."""
    own = {name for name, it in COLUMNS.items() if it.exported}
    return {*own, "dataset"}


class BrokenRatings(ValueError):
    """The table cannot be read at all; one sentence a problem, with line numbers."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences


@dataclass(frozen=True)
class Votes:
    """Answers as flat vectors: vote v is rating[v] by rater[v] of item[v].

    An item is a stimulus, or a stimulus under one question where a study asks several.
    Codes follow the order of first appearance; raters and items that only ever left
    their trials unanswered keep their code and have no vote.
    """

    rater: np.ndarray  # (votes,) int, 0 … n_raters - 1
    item: np.ndarray  # (votes,) int, 0 … n_items - 1
    rating: np.ndarray  # (votes,) float, never NaN
    raters: pd.Index
    items: pd.Index

    @property
    def n_raters(self) -> int:
        """Number of raters, with or without votes."""
        return len(self.raters)

    @property
    def n_items(self) -> int:
        """Number of items, with or without votes."""
        return len(self.items)

    @cached_property
    def n_by_rater(self) -> np.ndarray:
        """Number of votes of each rater."""
        return np.bincount(self.rater, minlength=self.n_raters)

    @cached_property
    def n_by_item(self) -> np.ndarray:
        """Number of votes of each item."""
        return np.bincount(self.item, minlength=self.n_items)

    def sum_by_item(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, one per vote, by item."""
        return np.bincount(self.item, values, self.n_items)

    def sum_by_rater(self, values: np.ndarray) -> np.ndarray:
        """Sum of `values`, one per vote, by rater."""
        return np.bincount(self.rater, values, self.n_raters)

    def matrix(
        self, raters: np.ndarray | None = None, items: np.ndarray | None = None
    ) -> np.ndarray:
        """Raters × items (codes; all if None), NaN unanswered, repeats averaged."""
        raters = np.arange(self.n_raters) if raters is None else raters
        items = np.arange(self.n_items) if items is None else items
        row, column = (np.full(k, -1) for k in (self.n_raters, self.n_items))
        row[raters], column[items] = np.arange(len(raters)), np.arange(len(items))
        i, j = row[self.rater], column[self.item]
        inside = (i >= 0) & (j >= 0)
        cell = i[inside] * len(items) + j[inside]
        size = len(raters) * len(items)
        total = np.bincount(cell, self.rating[inside], size)
        n = np.bincount(cell, minlength=size)
        return divide(total, n).reshape(len(raters), len(items))

    @cached_property
    def distribution(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct ratings (k,), ascending, and items × k counts of each."""
        code, values = pd.factorize(self.rating, sort=True)
        k = len(values)
        cells = np.bincount(self.item * k + code, minlength=self.n_items * k)
        return np.asarray(values, float), cells.reshape(self.n_items, k)

    def take(self, keep: np.ndarray) -> Votes:
        """The votes where `keep` (bool, one per vote); codes stay as they are."""
        return replace(
            self, rater=self.rater[keep], item=self.item[keep], rating=self.rating[keep]
        )


@dataclass(frozen=True)
class Ratings:
    """Rows that passed `validate`, and those that did not.

    `frame` keeps every accepted row, in order, whatever its kind: training and catch
    trials feed the screening, kind `repeat` the test–retest, and only kind `rating`
    counts in a MOS. A missing `rating` is a trial that was planned and not answered.
    Participant, stimulus and question are categorical, for speed. The scale goes from
    `scale_min` to `scale_max` in steps of `step`; a step of 0 is a slider, on which any
    value between is a rating.
    """

    frame: pd.DataFrame
    refused: pd.DataFrame  # line, column, value, reason
    scale_min: float  # an int where it is whole
    scale_max: float
    repeats: str = "mean"
    step: float = 1
    notes: tuple[str, ...] = ()  # what was done to the file, and what to look at
    declared: Mapping[str, str] = field(default_factory=dict)  # factor → its kind
    left_out: dict[str, int] = field(default_factory=dict)  # reason → rows
    excluded: pd.DataFrame = field(default_factory=pd.DataFrame)  # rows, by hand

    def of_the_excluded(self) -> Ratings:
        """The rows of those who were excluded by hand, with all of theirs."""
        rows = self.excluded
        if not rows.empty:
            counted = set(self.frame["participant"].astype(str))
            rows = rows[~rows["participant"].astype(str).isin(counted)]
        return replace(self, frame=rows.reset_index(drop=True))

    def refusals(self, most: int = 20) -> list[str]:
        """The refused rows as sentences, the first `most` and how many more."""
        sentences = [
            f"{'' if line is pd.NA else f'Line {line}: '}{reason}: {value!r}."
            for line, value, reason in self.refused[["line", "value", "reason"]]
            .head(most)
            .itertuples(index=False)
        ]
        if len(self.refused) > most:
            sentences.append(f"… and {len(self.refused) - most} more rows refused.")
        return sentences

    @property
    def share_refused(self) -> float:
        """Refused rows among all that were given, 0–1."""
        return len(self.refused) / self.n_given if self.n_given else 0.0

    @property
    def too_many_refused(self) -> bool:
        """True where the file is not what it was taken for."""
        return self.share_refused > MOST_REFUSED

    @property
    def n_given(self) -> int:
        """Rows that were given: used, left out as marked, or refused."""
        return len(self.frame) + len(self.refused) + sum(self.left_out.values())

    @property
    def whole_points(self) -> bool:
        """True where the scale is of categories one point apart, as 1, 2, 3, 4, 5."""
        return self.step == 1

    def unusable(self) -> list[str]:
        """Why these rows should not be analysed as they are; empty if they may be.

        Too many were refused, or a scale from 0 was read as one from 1, where the few
        zeros are lost and everything else is one point too low.
        """
        values = as_numbers(
            self.refused["value"][self.refused["column"] == "rating"].to_numpy(object)
        )
        values = values[~np.isnan(values)]
        kept = self.frame["rating"].dropna()
        low, high = self.scale_min, self.scale_max
        shifted = (
            len(values) > 0
            and bool((values == low - 1).all())
            and (kept.empty or kept.max() < high)
        )
        sentences = []
        if shifted:
            sentences.append(
                f"The ratings look like a scale of {low - 1:g}–{high - 1:g}, read as "
                # With a space argparse would take -1-3 for an option.
                f"{low:g}–{high:g}: say --scale{'=' if low < 1 else ' '}"
                f"{low - 1:g}-{high - 1:g}."
            )
        if self.too_many_refused:
            sentences.append(
                f"{len(self.refused)} of {self.n_given} rows cannot be used "
                f"({self.share_refused:.0%}; more than {MOST_REFUSED:.0%})."
            )
            outside = (values < low) | (values > high)
            if outside.any() and not shifted:
                every = np.concatenate([values, kept.to_numpy(float)])
                sentences.append(
                    f"The ratings go from {every.min():g} to {every.max():g}, and the "
                    f"scale is {low:g}–{high:g}: say --scale LOW-HIGH."
                )
        return sentences

    @cached_property
    def remarks(self) -> list[str]:
        """`notes`, and on labels and answers that may be slips of whoever typed."""
        remarks = list(self.notes)
        if len(self.refused):
            remarks.append(
                f"{len(self.refused)} of {self.n_given} rows could not be used and "
                "count nowhere; refused.csv says why."
            )
        for role in ("participant", "stimulus"):
            remarks += _near_twins(role, self.frame[role].cat.categories)
        return remarks + self._rated_twice()

    def _rated_twice(self) -> list[str]:
        """A sentence on who answered the same more than once, if anybody did."""
        votes = self.answers
        if self.repeats == "mean" and len(self.votes.rating) == len(votes.rating):
            return []
        code, cells = pd.factorize(votes.rater * np.int64(votes.n_items) + votes.item)
        if len(cells) == len(code):
            return []
        n = np.bincount(code)
        mean = np.bincount(code, votes.rating) / n
        apart = np.bincount(code, np.abs(votes.rating - mean[code]) > 1e-9) > 0
        several, differing = int((n > 1).sum()), int(apart.sum())
        done = "averaged" if self.repeats == "mean" else "counted one by one"
        pairs = f"{several} pair{'' if several == 1 else 's'}"
        sentence = (
            f"For {pairs} of a person and a stimulus there are several ratings, for "
            f"{differing} of them different ones"
        )
        if differing:
            first = np.flatnonzero(apart)[0]
            rater, item = divmod(cells[first], votes.n_items)
            values = ", ".join(f"{it:g}" for it in votes.rating[code == first][:5])
            stimulus = votes.items.get_level_values("stimulus")[item]
            sentence += f" ({votes.raters[rater]} on {stimulus}: {values})"
        return [f"{sentence}; they were {done}."]

    @cached_property
    def references(self) -> frozenset[str]:
        """The stimuli that any row marks as a hidden reference (ACR-HR)."""
        if "is_reference" not in self.frame:
            return frozenset()
        marked = self.frame["is_reference"].to_numpy(bool)
        return frozenset(self.frame.loc[marked, "stimulus"].astype(str))

    @cached_property
    def without_references(self) -> Ratings:
        """The rows that factors are compared on: no original is a level of one."""
        if not self.references:
            return self
        marked = self.frame["stimulus"].astype(str).isin(self.references)
        return replace(self, frame=self.frame[~marked].reset_index(drop=True))

    @cached_property
    def of_references(self) -> Ratings:
        """The rows of the hidden references alone."""
        marked = self.frame["stimulus"].astype(str).isin(self.references)
        return replace(self, frame=self.frame[marked].reset_index(drop=True))

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows that count: kind `rating`, answered or not."""
        if "kind" not in self.frame:
            return self.frame
        return self.frame[(self.frame["kind"] == "rating").to_numpy()]

    @cached_property
    def choices(self) -> pd.DataFrame:
        """The rows that count in which somebody chose between two pictures."""
        return self.rows[self.rows["choice"].fillna("") != ""]

    @cached_property
    def answered(self) -> pd.DataFrame:
        """The rows that count and were answered, by a rating or a choice."""
        rows = self.rows
        return rows[rows["rating"].notna() | (rows["choice"].fillna("") != "")]

    @cached_property
    def shown(self) -> set[str]:
        """The stimuli, references aside, that anybody rated or saw in a pair."""
        # Beside a rated picture of DCR stands its reference, which nobody rates.
        seconds = self.choices["second"]
        shown = {*self.answered["stimulus"].astype(str), *seconds.astype(str)}
        return shown - self.references

    @cached_property
    def questions(self) -> list[str | None]:
        """The questions asked, in order of appearance; [None] if only one, unnamed."""
        if "question" not in self.frame:
            return [None]
        return list(self.rows["question"].unique())

    @cached_property
    def by_question(self) -> list[tuple[str | None, Ratings]]:
        """The ratings of each question alone; [(None, these)] if only one, unnamed."""
        if "question" not in self.frame:
            return [(None, self)]
        asked = self.frame["question"]
        return [
            (
                question,
                replace(
                    self,
                    frame=self.frame[(asked == question).to_numpy()]
                    .drop(columns="question")
                    .reset_index(drop=True),
                ),
            )
            for question in self.questions
        ]

    @cached_property
    def answers(self) -> Votes:
        """Every answered row of kind `rating`, repeats and all."""
        return self._coded[0]

    @cached_property
    def votes(self) -> Votes:
        """The votes that methods count: `answers`, averaged if `repeats` says so."""
        return self.answers if self.repeats == "votes" else averaged(self.answers)

    @cached_property
    def n_missing(self) -> np.ndarray:
        """By item: planned and unanswered (and never answered, if repeats average)."""
        missing = self._coded[1]
        if self.repeats == "mean" and missing.size:
            n_items = self.votes.n_items
            cell = self.votes.rater * np.int64(n_items) + self.votes.item
            missing = np.setdiff1d(missing, cell)
        return np.bincount(
            missing % max(self.votes.n_items, 1), minlength=self.votes.n_items
        )

    @cached_property
    def factors(self) -> pd.DataFrame:
        """Items × factor columns: those that do not vary within any stimulus."""
        columns = self.rows.columns.difference([*known_columns()], sort=False)
        factors = {}
        if not columns.empty:
            codes, _ = pd.factorize(self.rows["stimulus"])
            first = np.flatnonzero(~pd.Series(codes).duplicated())
            of_item = codes[~self.rows.duplicated(self.answers.items.names).to_numpy()]
            for name in columns:
                levels, _ = pd.factorize(self.rows[name])
                if np.array_equal(levels, levels[first][codes]):
                    factors[name] = self.rows[name].iloc[first[of_item]].to_numpy()
        table = pd.DataFrame(factors, index=range(self.answers.n_items))
        return without_results(table)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Factor → numeric, ordered or nominal: as declared, else as proposed.

        Layers are ordered by depth. Numeric is proposed only where every level is a
        number and no two texts are the same one; names of contents and styles never.
        """
        return {
            str(name): self.declared.get(str(name)) or proposed_kind(str(name), levels)
            for name, levels in self.factors.items()
        }

    def checked_factors(self, wanted: Sequence[str]) -> pd.DataFrame:
        """`factors`; raises ValueError, naming those there are, if one is wanting."""
        unknown = [name for name in wanted if name not in self.factors]
        if unknown:
            raise ValueError(
                f"No factor {', '.join(unknown)}; the stimuli have "
                f"{', '.join(map(str, self.factors)) or 'no factor columns'}."
            )
        return self.factors

    @cached_property
    def votes_by_question(self) -> list[tuple[str | None, Votes]]:
        """Votes of one question at a time, items named by their stimulus alone."""
        if "question" not in self.frame:
            return [(None, self.votes)]
        if self.repeats == "votes":
            return self.answers_by_question
        return [(name, averaged(part)) for name, part in self.answers_by_question]

    @cached_property
    def answers_by_question(self) -> list[tuple[str | None, Votes]]:
        """The same of `answers`: whole categories, whatever `repeats` says."""
        if "question" not in self.frame:
            return [(None, self.answers)]
        return self._by_question(self.rows)

    @cached_property
    def first_answers_by_question(self) -> list[tuple[str | None, Votes]]:
        """The same of everyone's first answer to each item, by `trial` where it is."""
        if not self.has_repeats:
            return self.answers_by_question
        rows = self.rows[self.rows["rating"].notna()]
        if "trial" in rows:
            trial = pd.to_numeric(rows["trial"], errors="coerce")
            rows = rows.iloc[trial.argsort(kind="stable")]
        keys = ["participant", "stimulus", *({"question"} & set(rows.columns))]
        return self._by_question(rows[~rows.duplicated(keys)].sort_index())

    @cached_property
    def has_repeats(self) -> bool:
        """True where anybody answered the same more than once."""
        return len(averaged(self.answers).rating) < len(self.answers.rating)

    def _by_question(self, rows: pd.DataFrame) -> list[tuple[str | None, Votes]]:
        if "question" not in self.frame:
            return [(None, _code(rows)[0])]
        parts = []
        for question in self.questions:
            part = rows[(rows["question"] == question).to_numpy()]
            parts.append((question, _code(part.drop(columns="question"))[0]))
        return parts

    @cached_property
    def _coded(self) -> tuple[Votes, np.ndarray]:
        return _code(self.rows)


def divide(
    numerator: np.ndarray | float, denominator: np.ndarray | float
) -> np.ndarray:
    """Quotient, NaN (never ∞, never a warning) where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(
            denominator == 0, np.nan, np.true_divide(numerator, denominator)
        )


def as_numbers(values: pd.Series | np.ndarray) -> np.ndarray:
    """Numbers of a column of numbers or of texts, as float; NaN where there is none.

    Texts are read as `csv_files.number` does: `2_1` and `nan` are none, and a column of
    decimal commas is understood.
    """
    if values.dtype.kind in "fiu":
        return np.asarray(values, float)
    codes, labels = pd.factorize(values)
    texts = [label.strip() for label in labels if isinstance(label, str)]
    decimal = csv_files.decimal_of(texts, ",")
    found = [_number(label, decimal) for label in labels]
    table = np.array([*(np.nan if it is None else it for it in found), np.nan])
    return table[codes]  # a missing one has code -1


def _number(value: object, decimal: str) -> float | None:
    if isinstance(value, str):
        return csv_files.number(value.strip(), decimal=decimal)
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, int | float | np.number):
        return float(value)
    return None


def proposed_kind(name: str, levels: pd.Series) -> str:
    """numeric, ordered or nominal: the kind of a factor that nobody declared.

    Layers are ordered; a file may have every level as text, also those of numbers.
    """
    known = pd.unique(levels.dropna())
    if name in IDS or len(known) == 0:
        return "nominal"
    if all(isinstance(level, str) for level in known):
        if csv_files.numeric([level for level in known if level]):
            return "numeric"
        return "ordered" if "layer" in name else "nominal"
    return "nominal" if np.isnan(as_numbers(known)).any() else "numeric"


def _near_twins(role: str, labels: pd.Index) -> list[str]:
    """A sentence on labels that differ in capitals or spaces alone."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        if isinstance(label, str):
            key = unicodedata.normalize("NFKC", label).casefold()
            groups.setdefault("".join(key.split()), []).append(label)
    twins = [group for group in groups.values() if len(group) > 1]
    if not twins:
        return []
    shown = "; ".join(" and ".join(map(repr, group)) for group in twins[:5])
    return [
        f"{shown}{'; …' if len(twins) > 5 else ''}: each counts as a {role} of its "
        "own, though they differ in capitals or spaces only."
    ]


def _code(rows: pd.DataFrame) -> tuple[Votes, np.ndarray]:
    """The answered rows, and the cells rater × n_items + item of the unanswered."""
    rater, raters = pd.factorize(rows["participant"])
    item, labels = pd.factorize(rows["stimulus"])
    stimuli = np.asarray(labels)
    items = pd.Index(stimuli, name="stimulus")
    if "question" in rows:
        question, questions = pd.factorize(np.asarray(rows["question"]))
        item, pairs = pd.factorize(item * len(questions) + question)
        items = pd.MultiIndex.from_arrays(
            [stimuli[pairs // len(questions)], questions[pairs % len(questions)]],
            names=["stimulus", "question"],
        )
    rating = rows["rating"].to_numpy(float)
    answered = ~np.isnan(rating)
    votes = Votes(
        rater[answered],
        item[answered],
        rating[answered],
        pd.Index(np.asarray(raters), name="participant"),
        items,
    )
    return votes, (rater * np.int64(len(items)) + item)[~answered]


def averaged(votes: Votes) -> Votes:
    """One vote a rater and item: the mean of that rater's answers to it."""
    code, cells = pd.factorize(votes.rater * np.int64(votes.n_items) + votes.item)
    if len(cells) == len(code):
        return votes
    mean = np.bincount(code, votes.rating) / np.bincount(code)
    rater, item = np.divmod(cells, votes.n_items)
    return replace(votes, rater=rater, item=item, rating=mean)


def validate(
    frame: pd.DataFrame,
    *,
    scale: tuple[float, float] | None = (1, 5),
    step: float | None = 1,
    include_simulated: bool = False,
    include_pilot: bool = False,
    include_excluded: bool = False,
    repeats: str = "mean",
    kinds: Mapping[str, str] | None = None,
) -> Ratings:
    """Check a tidy frame (one row a rating) and name what was refused.

    Needs `participant` (or `subject`), `stimulus` and `rating`; an index named
    ``line`` gives the refusals their line numbers. A missing rating is kept as planned
    and unanswered. `repeats`: ``mean`` averages a participant's answers to the same
    stimulus first, ``votes`` counts each (as the ITU reference implementation does).

    `scale` None is what the columns `scale_min` and `scale_max` say, else 1–5. `step`
    is the distance of two points of it, 0 on a slider; None finds it: 1 unless more
    than `MOST_REFUSED` of the ratings lie between, then the largest of `STEPS` on which
    all lie, or 0. `kinds` declares factors as numeric, ordered or nominal. A stimulus
    that any row marks `is_reference` is one in all of its rows.

    Raises BrokenRatings when a needed column is absent.
    """
    if repeats not in ("mean", "votes"):
        raise ValueError(f"repeats is 'mean' or 'votes', not {repeats!r}.")
    low, high = map(_plain, _stated_scale(frame) if scale is None else scale)
    if not low < high:
        raise ValueError(f"The scale {low}–{high} has no width.")
    if step is not None and not 0 <= step <= high - low:
        raise ValueError(f"A step of {step:g} does not fit the scale {low}–{high}.")
    kinds = kinds or {}
    if unknown := set(kinds.values()) - set(FACTOR_KINDS):
        raise ValueError(f"A factor is {', '.join(FACTOR_KINDS)}, not {unknown}.")
    if "participant" not in frame and "subject" in frame:
        frame = frame.rename(columns={"subject": "participant"})
    absent = [c for c in ("participant", "stimulus", "rating") if c not in frame]
    if absent:
        raise BrokenRatings(
            f"The table has no column {', '.join(absent)}; "
            f"it has {', '.join(map(str, frame.columns)) or 'none'}."
        )
    # No factors, or no columns of the tables that have them.
    untouched = {*known_columns(), "label", "seconds"}
    apart = columns_of(str(it) for it in frame.columns if it not in untouched)
    if renamed := {name: it for name, it in apart.items() if name != it}:
        frame = frame.rename(columns=renamed)
        kinds = {renamed.get(name, name): kind for name, kind in kinds.items()}
    line = frame.index if frame.index.name == "line" else None
    tidy = frame.reset_index(drop=True)
    refusals = _Refusals(len(tidy), line)
    counts = np.ones(len(tidy), bool)  # rows of kind rating
    if "kind" in tidy:
        kind = tidy["kind"].astype(object)
        kind = kind.where(kind.notna() & (kind != ""), "rating")
        known = kind.isin(KINDS).to_numpy()
        refusals.add(~known, "kind", kind, f"kind is none of {', '.join(KINDS)}")
        tidy = tidy.assign(kind=kind)
        counts = (kind == "rating").to_numpy()
    text: dict[str, pd.Categorical] = {}
    for column in ("participant", "stimulus", "question"):
        if column in tidy:
            codes, labels = pd.factorize(tidy[column])
            empty = (codes < 0) | np.isin(codes, np.flatnonzero(labels == ""))
            if column == "question":
                empty &= counts  # a catch trial may belong to none
            refusals.add(empty, column, tidy[column], f"{column} is empty")
            # Plain labels: from_codes would take a CategoricalIndex for its categories.
            names = pd.Index(np.asarray(labels))
            text[column] = pd.Categorical.from_codes(codes, names)
    given = tidy["rating"].notna().to_numpy()
    if tidy["rating"].dtype.kind not in "fiu":
        codes, labels = pd.factorize(tidy["rating"])
        nothing = [isinstance(it, str) and not it.strip() for it in labels]
        given = given & ~np.array([*nothing, True])[codes]
    value = as_numbers(tidy["rating"])
    inside = value[given & (value >= low) & (value <= high)]
    notes = [*frame.attrs.get("notes", ()), *notes_of(renamed)]
    if step is None:
        step, found = _found_step(inside, low)
        notes += found
    for bad, reason in (
        (np.isnan(value), "rating is not a number"),
        ((value < low) | (value > high), f"rating is outside {low}–{high}"),
        (
            _between(value, low, step),
            "rating is not a whole number"
            if step == 1 and low % 1 == 0
            else f"rating is not {low} or so many steps of {step:g} above",
        ),
    ):
        refusals.add(given & bad, "rating", tidy["rating"], reason)
    for column, bound in (("scale_min", low), ("scale_max", high)):
        if column in tidy:
            stated = pd.to_numeric(tidy[column], errors="coerce")
            other = (tidy[column].notna() & (stated != bound)).to_numpy()
            refusals.add(other, column, tidy[column], "rated on another scale")
    flags: dict[str, pd.Series] = {}
    for column in BOOLEANS:
        if column in tidy:
            flags[column], unclear = _booleans(tidy[column])
            refusals.add(
                unclear, column, tidy[column], f"{column} is neither true nor false"
            )

    keep = ~refusals.refused
    left_out = {}
    excluded = np.zeros(len(tidy), bool)
    for column, included in (
        ("simulated", include_simulated),
        ("pilot", include_pilot),
        ("excluded", include_excluded),
    ):
        if column in flags and not included:
            out = keep & flags[column].to_numpy()
            if out.any():
                left_out[column] = int(out.sum())
            keep &= ~out
            if column == "excluded":
                excluded = out
    if "is_reference" in flags:  # a stimulus is one or is none, in every row
        marked = text["stimulus"].codes[flags["is_reference"].to_numpy()]
        one = np.isin(text["stimulus"].codes, marked[marked >= 0])
        flags["is_reference"] = pd.Series(one, tidy.index)
    tidy = tidy.assign(rating=value, **flags, **text)
    return Ratings(
        frame=tidy if keep.all() else tidy[keep].reset_index(drop=True),
        refused=refusals.table(),
        scale_min=low,
        scale_max=high,
        repeats=repeats,
        step=step,
        notes=tuple(notes),
        declared=kinds,
        left_out=left_out,
        excluded=tidy[excluded],
    )


def _plain(bound: float) -> float:
    """An end of the scale, an int where it is whole."""
    return int(bound) if float(bound).is_integer() else float(bound)


def _stated_scale(frame: pd.DataFrame) -> tuple[float, float]:
    """The ends that every row states, or 1 and 5."""
    ends = [1.0, 5.0]
    for k, column in enumerate(("scale_min", "scale_max")):
        if column in frame:
            stated = np.unique(as_numbers(frame[column].dropna()))
            if len(stated) == 1 and np.isfinite(stated[0]):
                ends[k] = float(stated[0])
    return ends[0], ends[1]


def _between(values: np.ndarray, low: float, step: float) -> np.ndarray:
    """Where values lie between two points of the scale; nowhere on a slider."""
    if step == 0:
        return np.zeros(len(values), bool)
    with np.errstate(invalid="ignore"):  # ∞ has been refused before
        steps = (values - low) / step
        return np.abs(steps - np.rint(steps)) > 1e-6


def _found_step(values: np.ndarray, low: float) -> tuple[float, list[str]]:
    """The step of a scale by the ratings on it, and a sentence if it is not 1."""
    between = np.count_nonzero(_between(values, low, 1))
    if between <= MOST_REFUSED * len(values):
        return 1, []
    distinct = np.unique(values)
    step = next((it for it in STEPS if not _between(distinct, low, it).any()), 0)
    found = f"steps of {step:g}" if step else "any value, as on a slider"
    return step, [
        f"{between} of {len(values)} ratings lie between whole points: the scale was "
        f"read as {found} (--step says otherwise)."
    ]


def _booleans(column: pd.Series) -> tuple[pd.Series, np.ndarray]:
    """The column as booleans (missing is false) and where it was neither."""
    if column.dtype == bool:
        return column, np.zeros(len(column), bool)
    codes, labels = pd.factorize(column)
    texts = [str(label).strip().lower() for label in labels]
    true = np.array([*(TRUTH.get(text) is True for text in texts), False])
    unclear = np.array([*(text not in TRUTH and text != "" for text in texts), False])
    return pd.Series(true[codes], column.index), unclear[codes]


class _Refusals:
    """Collects, for each row, the first reason to refuse it."""

    def __init__(self, n: int, line: pd.Index | None) -> None:
        self.refused = np.zeros(n, bool)
        self.line = line
        self.parts: list[pd.DataFrame] = []

    def add(self, bad: np.ndarray, column: str, values: pd.Series, reason: str) -> None:
        rows = np.flatnonzero(bad & ~self.refused)
        if len(rows) == 0:
            return
        self.refused[rows] = True
        part = pd.DataFrame({"row": rows, "column": column, "reason": reason})
        part["value"] = [str(v) for v in values.iloc[rows]]
        self.parts.append(part)

    def table(self) -> pd.DataFrame:
        columns = ["line", "column", "value", "reason"]
        if not self.parts:
            return pd.DataFrame(columns=columns)
        table = pd.concat(self.parts).sort_values("row", ignore_index=True)
        line = pd.Series(pd.NA, table.index, dtype="Int64")
        if self.line is not None:
            line[:] = self.line[table["row"]]
        return table.assign(line=line)[columns]


def without_results(table: pd.DataFrame) -> pd.DataFrame:
    """A table of factors in which what is a result is no level: α has none where a
    balance was set, and no column where one was set everywhere."""
    for name, each in FACTORS.items():
        if name in table and each.result_of in table:
            level = table[each.result_of]
            given = level.notna() & (level.astype(str) != "")
            if given.all():
                table = table.drop(columns=name)
            elif given.any():
                table = table.assign(**{name: table[name].where(~given)})
    return table
