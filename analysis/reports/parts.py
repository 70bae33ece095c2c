"""The parts of a report, each a page: which there are, and what stands on them.

No pandas: the web process reads this and the files that a worker has computed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A page of a report. It is there if the report has one of `tables`, or always."""

    name: str  # in its address; empty for the first page
    title: str
    tables: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The template of what it says."""
        return f"analysis/parts/{self.name or 'overview'}.html"


PARTS = (
    Part("", "Overview"),
    Part("stimuli", "Stimuli"),
    Part("factors", "Factors", ("mos_by_condition.csv", "planned_contrasts.csv")),
    Part("raters", "Raters", ("raters.csv",)),
    Part("agreement", "Agreement", ("reliability.csv",)),
    Part("questions", "Questions", ("question_correlations.csv",)),
    Part("sample", "Sample"),
    Part("checks", "Method and checks"),
    Part("files", "Files"),
)
NAMES = tuple(part.name for part in PARTS if part.name)


def find_part(name: str) -> Part:
    """The part of this name; the first page where there is none."""
    return next((part for part in PARTS if part.name == name), PARTS[0])


def parts_of(files: Collection[str]) -> list[Part]:
    """The parts that a report with these files has."""
    return [part for part in PARTS if not part.tables or {*part.tables} & {*files}]
