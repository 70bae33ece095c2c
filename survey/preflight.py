"""What somebody should know about a study before it opens."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import combinations

from survey.design import student_t
from survey.models import Stimulus, Study
from survey.opening import lacking

SECONDS_A_TRIAL = 9.0
"""Looking and answering, as ACR sessions of still pictures usually take."""

TYPICAL_SD = 0.9
"""Of one picture's ratings on five points, when nothing is known yet."""

# What describes how a picture came about rather than what a study varies.
NO_FACTORS = {
    "seed", "file", "weights", "content_loss", "style_loss", "tv_loss",
}  # fmt: skip


@dataclass(frozen=True)
class Remark:
    """One thing to know; `stops` if the study cannot open with it."""

    text: str
    stops: bool = False


def remarks(study: Study) -> list[Remark]:
    """Everything worth a look, what stops the study first."""
    found = [Remark(f"It has not named {what}.", stops=True) for what in lacking(study)]
    shown = list(study.stimuli.filter(rated=True, is_reference=False))
    coming = 0
    if study.experiment is not None:
        renders = study.experiment.renders
        known = [it.render_id for it in shown if it.render_id is not None]
        coming = renders.ready().exclude(pk__in=known).count()
        unfinished = renders.count() - renders.ready().count()
        if unfinished:
            found.append(
                Remark(
                    f"{unfinished} of {renders.count()} renders have no picture; the "
                    "study would go without them."
                )
            )
        if coming:
            found.append(
                Remark(f"{coming} finished renders are taken in when it opens.")
            )
    if not shown and not coming:
        found.append(Remark("It has no pictures.", stops=True))
    if random := sum(stimulus.random_weights for stimulus in shown):
        found.append(
            Remark(f"{random} pictures were painted with random features, and say so.")
        )
    found += [Remark(text) for text in _about_factors(shown)]
    if count := len(shown) + coming:
        found += [Remark(text) for text in _about_effort(study, count)]
    return sorted(found, key=lambda remark: not remark.stops)


def _about_factors(stimuli: list[Stimulus]) -> list[str]:
    """Levels with unequal numbers of pictures, and factors that change together."""
    names = {name for stimulus in stimuli for name in stimulus.parameters}
    levels = {
        name: [str(stimulus.parameters.get(name, "")) for stimulus in stimuli]
        for name in sorted(names - NO_FACTORS)
    }
    varied = {name: values for name, values in levels.items() if len(set(values)) > 1}
    said = []
    for name, values in varied.items():
        counts = Counter(values)
        most, least = max(counts.values()), min(counts.values())
        if most != least and len(counts) < len(stimuli):
            said.append(
                f"{name} is unbalanced: from {least} to {most} pictures for a level."
            )
    for a, b in combinations(varied, 2):
        together = set(zip(varied[a], varied[b], strict=True))
        if len(together) == len(set(varied[a])) == len(set(varied[b])):
            said.append(
                f"{a} and {b} always change together: their effects cannot be told "
                "apart."
            )
    return said


def _about_effort(study: Study, pictures: int) -> list[str]:
    items = study.items.count() or pictures
    each = min(study.trials_each or items, items)
    trials = each + study.repeats + study.instructed_catches
    trials += study.stimuli.filter(training_order__isnull=False).count()
    questions = 1 + study.further_questions.count()
    minutes = trials * SECONDS_A_TRIAL * (1 + questions) / 2 / 60
    said = [f"A session is {trials} trials, about {max(1, round(minutes))} minutes."]
    if study.method != Study.Method.PAIRS:
        wished = study.target_half_width or 0.25
        people = math.ceil(votes_for(wished) * items / each)
        said.append(
            f"For intervals of ± {wished:g} about {people} people are needed (if "
            f"ratings of a picture have an SD of {TYPICAL_SD:g})."
        )
    return said


def votes_for(half_width: float, sd: float = TYPICAL_SD, level: float = 0.95) -> int:
    """The least n with t · SD / √n ≤ `half_width`, Student's t on n − 1 degrees."""
    n = max(2, math.floor((1.959 * sd / half_width) ** 2))
    while student_t(level, n - 1) * sd / math.sqrt(n) > half_width:
        n += 1
    return n
