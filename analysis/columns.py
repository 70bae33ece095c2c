"""One table of the columns of the ratings. Pure: no Django, no pandas.

Whatever names, describes, reads or checks a column of `ratings_long.csv` or of a
bundle's ratings and participants asks here: the export, the frame that statistics are
computed on, the codebook, what a bundle shares, what its import keeps, which columns of
other people's files are no factors, and the table in docs/reference/ratings-long.md.

A new column is an entry of COLUMNS; where its value is not a field of the database as
it stands, `analysis.exports` tells it in a Row. The factors of renders have their own
table, `generation.engine.factors`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from generation.engine.factors import FACTORS, column_names

SCORE = "rating points"
WHOLE = re.compile(r"-?[0-9]{1,12}")
DECIMAL = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?")


# Cells as the lab writes them -------------------------------------------------


def read_truth(cell: str) -> bool:
    """true or false. Raises ValueError for anything else."""
    if cell not in ("true", "false"):
        raise ValueError(f"{cell!r} is neither true nor false")
    return cell == "true"


def read_number(
    cell: str, kind: type, *, least: int | None = None, empty: bool = False
) -> Any:
    """The number (`kind` int or float) in a cell; None if it may be `empty`.

    Raises ValueError for what is none, is less than `least`, or is out of bounds.
    """
    if not cell and empty:
        return None
    written = WHOLE if kind is int else DECIMAL
    if not written.fullmatch(cell) or not abs(value := kind(cell)) < 2**31:
        raise ValueError(f"{cell[:40]!r} is not a number that a bundle has here")
    if least is not None and value < least:
        raise ValueError(f"{cell} is less than {least}")
    return value


# The table --------------------------------------------------------------------


@dataclass(slots=True)
class Row:
    """One planned trial under one question, from which columns read their values.

    | field | meaning |
    | --- | --- |
    | fields | fields of the database, by their path from the trial; those of the
      answer (`ratings__…`) are None where there is none |
    | study | its title |
    | stimulus, second | codes of the pictures; None without a second |
    | parameters | how the stimulus was made, by factor |
    | is_reference | whether it is a hidden reference |
    | rating, scale_min, scale_max, expected | on the study's scale; `rating` is None
      where the question was not answered, `expected` empty where nothing is |
    | passed | whether a check was answered as expected; None elsewhere |
    | rated_at | when the answer was stored; None where dates are not told |
    | seconds | the same since the person's start; None where times are not known |
    """

    fields: Mapping[str, Any]
    study: str
    stimulus: str
    second: str | None
    parameters: Mapping[str, Any]
    is_reference: bool
    question: str
    rating: float | None
    scale_min: float
    scale_max: float
    expected: str
    passed: bool | None
    rated_at: dt.datetime | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: what it is called and means, and where its values come from.

    | field | meaning |
    | --- | --- |
    | type | text, integer, number or boolean, as the codebook calls it |
    | unit, meaning | as the codebook says them |
    | about | what it describes; of a trial: the same under every question |
    | field | the field of the database, by its path from the trial (of PARTICIPANTS:
      from the person); empty: computed |
    | value | how it is read from a Row; left out: the field as it stands |
    | exported | whether `ratings_long.csv` has it |
    | shared | whether the ratings of an open-science bundle have it |
    | imported | how an import reads a cell of a bundle into the field, raising
      ValueError; left out: the import has its own way with it, or does not keep it |
    """

    name: str
    type: str
    meaning: str
    unit: str = ""
    about: Literal["study", "person", "trial", "stimulus", "answer"]
    field: str = ""
    value: Callable[[Row], Any] | None = None
    exported: bool = True
    shared: bool = True
    imported: Callable[[str], Any] | None = None


def _by_name(*columns: Column) -> dict[str, Column]:
    return {column.name: column for column in columns}


# In the order of the file. The factors of renders follow `stimulus`.
COLUMNS: dict[str, Column] = _by_name(
    Column(
        name="study",
        type="text",
        meaning="Title of the study",
        about="study",
        field="participant__study__title",
        value=lambda row: row.study,
    ),
    Column(
        name="study_version",
        type="integer",
        meaning="Version of the study that the person saw",
        about="person",
        field="participant__study_version",
    ),
    Column(
        name="participant",
        type="text",
        meaning="Pseudonym of the participant",
        about="person",
        field="participant__code",
    ),
    Column(
        name="trial",
        type="integer",
        meaning="Place of the trial in the person's session, from 1",
        about="trial",
        field="index",
    ),
    Column(
        name="kind",
        type="text",
        meaning="rating, training, catch or repeat; only rating counts in a MOS",
        about="trial",
        field="kind",
        imported=str,
    ),
    Column(
        name="stimulus",
        type="text",
        meaning="Pseudonym of the stimulus",
        about="trial",
        field="stimulus__code",
        value=lambda row: row.stimulus,
    ),
    Column(
        name="is_reference",
        type="boolean",
        meaning="The stimulus is the hidden reference (ACR-HR)",
        about="stimulus",
        field="stimulus__is_reference",
        value=lambda row: row.is_reference,
    ),
    Column(
        name="question",
        type="text",
        meaning="Question that was rated",
        about="answer",
        field="ratings__question",
        value=lambda row: row.question,
    ),
    Column(
        name="rating",
        type="number",
        unit=SCORE,
        meaning="The answer; empty: planned and not answered",
        about="answer",
        field="ratings__rating",
        value=lambda row: row.rating,
    ),
    Column(
        name="scale_min",
        type="number",
        unit=SCORE,
        meaning="Lowest category of the scale",
        about="answer",
        field="ratings__scale_min",
        value=lambda row: row.scale_min,
    ),
    Column(
        name="scale_max",
        type="number",
        unit=SCORE,
        meaning="Highest category of the scale",
        about="answer",
        field="ratings__scale_max",
        value=lambda row: row.scale_max,
    ),
    Column(
        name="response_ms",
        type="integer",
        unit="ms",
        meaning="From the picture being there to the answer",
        about="answer",
        field="ratings__response_ms",
        imported=lambda cell: read_number(cell, int, least=0, empty=True),
    ),
    Column(
        name="rated_at",
        type="text",
        unit="ISO 8601, UTC",
        meaning="When the answer was stored",
        about="answer",
        field="ratings__rated_at",
        value=lambda row: row.rated_at,
        shared=False,
    ),
    Column(
        name="seconds",
        type="number",
        unit="s",
        meaning="When the answer was stored, since this person's start",
        about="answer",
        field="ratings__rated_at",
        value=lambda row: row.seconds,
        exported=False,
    ),
    Column(
        name="device_class",
        type="text",
        meaning="phone, tablet, desktop or unknown",
        about="person",
        field="participant__device_class",
        shared=False,
    ),
    Column(
        name="simulated",
        type="boolean",
        meaning="The participant is a program",
        about="person",
        field="participant__simulated",
    ),
    Column(
        name="pilot",
        type="boolean",
        meaning="From the pilot: counts nowhere",
        about="person",
        field="participant__pilot",
        shared=False,
    ),
    Column(
        name="excluded",
        type="boolean",
        meaning="Left out of the tables of this report",
        about="person",
        field="participant__excluded",
    ),
    Column(
        name="exclusion_reason",
        type="text",
        meaning="Why",
        about="person",
        field="participant__exclusion_reason",
    ),
    Column(
        name="expected",
        type="text",
        meaning="The answer that a catch trial asks for",
        about="trial",
        field="expected",
        value=lambda row: row.expected,
    ),
    Column(
        name="instructed",
        type="boolean",
        meaning="The page says which answer to give",
        about="trial",
        field="instructed",
        imported=read_truth,
    ),
    Column(
        name="passed",
        type="boolean",
        meaning="The check was answered as expected",
        about="answer",
        value=lambda row: row.passed,
    ),
    Column(
        name="second",
        type="text",
        meaning="The second picture of a pair",
        about="trial",
        field="second__code",
        value=lambda row: row.second,
    ),
    Column(
        name="side",
        type="text",
        meaning="Where the first picture of a pair stood",
        about="trial",
        field="side",
        imported=str,
    ),
    Column(
        name="choice",
        type="text",
        meaning="first, second or tie",
        about="answer",
        field="ratings__choice",
        value=lambda row: row.fields["ratings__choice"] or "",
        imported=str,
    ),
    Column(
        name="displayed_scale",
        type="number",
        meaning="CSS pixels per picture pixel, as far as known",
        about="trial",
        field="displayed_scale",
        imported=lambda cell: read_number(cell, float, empty=True),
    ),
)

# What the frame of a report has besides: the loss of each picture that was kept,
# before α, β and the TV weight.
LOSSES: dict[str, Column] = _by_name(
    Column(
        name="content_loss",
        type="number",
        meaning="Content loss of the finished render",
        about="stimulus",
    ),
    Column(
        name="style_loss",
        type="number",
        meaning="Style loss of the finished render",
        about="stimulus",
    ),
    Column(
        name="tv_loss",
        type="number",
        meaning="Total variation of the finished render",
        about="stimulus",
    ),
    Column(
        name="style_share",
        type="number",
        meaning="Style loss of the finished render over that of the content photo",
        about="stimulus",
    ),
    Column(
        name="content_share",
        type="number",
        meaning="Content loss of the finished render over that of the style picture",
        about="stimulus",
    ),
)

# The participants of a bundle. What is said about them besides is in `analysis.bundle`:
# it depends on how many are alike.
PARTICIPANTS: dict[str, Column] = _by_name(
    Column(
        name="participant",
        type="text",
        meaning=COLUMNS["participant"].meaning,
        about="person",
        field="code",
    ),
    Column(
        name="status",
        type="text",
        meaning="finished, dropped or started",
        about="person",
        field="status",
        imported=str,
    ),
    Column(
        name="study_version",
        type="integer",
        meaning=COLUMNS["study_version"].meaning,
        about="person",
        field="study_version",
        imported=lambda cell: read_number(cell, int, least=0),
    ),
    Column(
        name="simulated",
        type="boolean",
        meaning=COLUMNS["simulated"].meaning,
        about="person",
        field="simulated",
        imported=read_truth,
    ),
    Column(
        name="excluded",
        type="boolean",
        meaning=COLUMNS["excluded"].meaning,
        about="person",
        field="excluded",
        imported=read_truth,
    ),
    Column(
        name="exclusion_reason",
        type="text",
        meaning=COLUMNS["exclusion_reason"].meaning,
        about="person",
        field="exclusion_reason",
        imported=str,
    ),
    Column(
        name="seconds",
        type="number",
        unit="s",
        meaning="From the person's start to the end",
        about="person",
        field="finished_at",
    ),
)


def _of_a_factor(name: str) -> Column:
    """The column of a factor of renders, as its own table describes it."""
    factor = FACTORS[name]
    return Column(
        name=name,
        type=factor.type_name,
        unit=factor.unit,
        meaning=factor.description,
        about="stimulus",
        field="stimulus__parameters",
        value=lambda row: row.parameters.get(name),
    )


def every_column() -> Iterator[Column]:
    """All columns that an answer's row can have, in the order of its files."""
    for name, column in COLUMNS.items():
        yield column
        if name == "stimulus":
            yield from map(_of_a_factor, column_names())


@dataclass(frozen=True)
class Selection(Mapping[str, Column]):
    """The columns of one file by name, in its order, as the table has them now."""

    holds: Callable[[Column], bool]

    def _columns(self) -> dict[str, Column]:
        return _by_name(*filter(self.holds, every_column()))

    def __getitem__(self, name: str) -> Column:
        return self._columns()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns())

    def __len__(self) -> int:
        return len(self._columns())


RATINGS_LONG = Selection(lambda column: column.exported)
SHARED_RATINGS = Selection(lambda column: column.shared)


# What derives from it ---------------------------------------------------------


def fields_of(start: str, columns: Mapping[str, Column]) -> tuple[str, ...]:
    """The fields behind columns whose path begins with `start`, without it."""
    paths = (column.field for column in columns.values())
    found = (path.removeprefix(start) for path in paths if path.startswith(start))
    return tuple(dict.fromkeys(path.split("__")[0] for path in found if path))


def read_cells(
    row: Mapping[str, str], columns: Mapping[str, Column], start: str = ""
) -> dict[str, Any]:
    """Read the cells of a bundle's row that an import keeps as they stand, by field.

    `start` is that of the fields' paths. Raises ValueError for a cell that is none of
    its column.
    """
    return {
        column.field.removeprefix(start): column.imported(row[name])
        for name, column in columns.items()
        if column.imported is not None
        and column.field.startswith(start)
        and "__" not in column.field.removeprefix(start)
    }


def documented() -> str:
    """The table of docs/reference/ratings-long.md, a line a column."""
    lines = [
        "| column | type | unit | meaning | in |",
        "| --- | --- | --- | --- | --- |",
    ]
    for column in every_column():
        files = [
            word
            for word, there in (("export", column.exported), ("bundle", column.shared))
            if there
        ]
        meaning = column.meaning.replace("|", "\\|")
        lines.append(
            f"| `{column.name}` | {column.type} | {column.unit} | {meaning} | "
            f"{', '.join(files)} |"
        )
    return "\n".join(lines) + "\n"
