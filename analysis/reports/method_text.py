"""Sentences on how people answered and how the numbers came about, for a paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from analysis.preregistration import record
from analysis.scales import scale_of
from survey.methods import method_of
from survey.models import Study
from survey.planning import goal_of

INTERVALS = {
    "t": "Student t on n − 1 degrees of freedom, not clipped",
    "z": "normal, 1.96 standard errors at 95 %, not clipped",
    "percentile": "percentile bootstrap over ratings",
    "bca": "BCa bootstrap over ratings",
    "binomial": "bounded binomial",
}


def scale_sentence(study: Study) -> str:
    """How people answered, as a paper says it."""
    if (scale := scale_of(study)).stated:
        return f"{scale} (ratings of others, imported)"
    return method_of(study).described(study)


def sampling_sentence(study: Study) -> str:
    """The caveat on intervals that people were asked for until they were narrow; empty
    where a study did not sample so.

    The coverage is that of docs/reference/benchmarks.md.
    """
    if (goal := goal_of(study)) is None:
        return ""
    level = f"{goal.level:.0%}".replace("%", " %")
    return (
        f"Sampled by precision: each picture was shown until its {level} interval was "
        f"± {goal.half_width:g} or narrower, from {goal.minimum} ratings on and looked "
        f"at every {goal.step}. Intervals at such a stop are slightly too narrow at "
        "the ends of the scale: in simulations those of 95 % covered 94 to 96 % in its "
        "middle, and 90 to 93 % where most people say the lowest or the highest."
    )


def counts_sentence(method: Mapping[str, Any]) -> str:
    """How many answers about how many stimuli, by how many people."""
    answers = method.get("answers", "ratings")
    counted = _so_many(method["n_ratings"], answers.removesuffix("s"), answers)
    shown = [_so_many(method["n_stimuli"], "stimulus", "stimuli")]
    if references := method.get("n_references"):
        shown.append(_so_many(references, "hidden reference", "hidden references"))
    people = _so_many(method["n_participants"], "participant", "participants")
    return f"{counted} of {' and '.join(shown)} by {people}."


def _so_many(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def method_sentences(method: Mapping[str, Any]) -> Iterable[str]:
    """The method line: everything a paper must say about the numbers."""
    if not method:
        return
    yield f"Scale: {method['scale']}."
    yield counts_sentence(method)
    yield f"Interval: {method['interval']}, level {method['level']}."
    if sampling := method.get("sampling"):
        yield sampling
    yield f"Screening: {method['screening']}."
    repeats = {"mean": "averaged", "votes": "counted one by one"}[method["repeats"]]
    yield f"Several answers of one person to one stimulus: {repeats}."
    if left_out := method.get("left_out"):
        reasons = ", ".join(f"{n} of {why} participants" for why, n in left_out.items())
        yield f"Ratings left out: {reasons}."
    yield from record.sentences(method.get("preregistration"))
    if method.get("simulated"):
        yield "Simulated participants are included."
    versions = method.get("versions", {})
    if versions:
        names = ", ".join(f"{name} {number}" for name, number in versions.items())
        # Twelve digits name a commit; the files have all of them.
        names = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,}", r"\1", names)
        yield f"Computed with {names}."
