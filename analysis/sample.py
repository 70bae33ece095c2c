"""The sample of a study: who took part, how long it took them, who left and why.

From the database as it stands, no pandas: the web process shows it. Withdrawn people
are a number and nothing else; small groups are as they are, for nothing of this leaves
the lab (what does is merged: `analysis.bundle`).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q

from analysis.models import Import
from survey.models import FormItem, Participant, Recruit, Study, Trial

COLUMNS = (
    "participant", "study", "study_version", "status", "pilot", "simulated", "source",
    "device_class", "language", "viewport", "pixel_ratio", "started_at", "finished_at",
    "minutes", "planned", "answered", "excluded", "exclusion_reason",
)  # fmt: skip
"""The columns of `participants.csv`, before those of checks and forms."""


@dataclass(frozen=True)
class Step:
    """A step of the way from consent to the tables: how many are left, who went."""

    said: str
    n: int
    gone: tuple[tuple[str, int], ...] = ()


def rows(study: Study) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """The columns and rows of `participants.csv`: everybody who has not withdrawn,
    pilots and simulated people too, in the order in which they joined."""
    people = (
        study.participants.exclude(status=Participant.Status.WITHDRAWN)
        .annotate(
            answered=Count(
                "trials",
                filter=Q(
                    trials__answered_at__isnull=False, trials__kind=Trial.Kind.RATING
                ),
            )
        )
        .prefetch_related("form_answers")
        .order_by("pk")
    )
    found = list(people)
    checks = sorted({name for person in found for name in person.checks})
    asked = list(study.form_items.values_list("name", flat=True))
    if study.ask_comment:
        asked.append("comment")
    columns = [
        *COLUMNS,
        *(f"check_{name}" for name in checks),
        *(f"form_{name}" for name in asked),
    ]
    platforms = _platforms(study)
    timed, dated = has_durations(study), has_dates(study)

    def each() -> Iterator[dict[str, Any]]:
        for person in found:
            given = {it.name: it.answer for it in person.form_answers.all()}
            minutes = _minutes(person) if timed else None
            yield {
                "participant": person.code,
                "study": study.title,
                "study_version": person.study_version,
                "status": person.status,
                "pilot": person.pilot,
                "simulated": person.simulated,
                "source": platforms.get(person.pk, "link"),
                "device_class": person.device_class,
                "language": person.language,
                "viewport": person.viewport,
                "pixel_ratio": person.pixel_ratio,
                "started_at": person.started_at if dated else None,
                "finished_at": person.finished_at if dated else None,
                "minutes": None if minutes is None else round(minutes, 2),
                "planned": person.planned,
                "answered": person.answered,
                "excluded": person.excluded,
                "exclusion_reason": person.exclusion_reason,
                **{f"check_{name}": person.checks.get(name, "") for name in checks},
                **{f"form_{name}": given.get(name, "") for name in asked},
            }

    return columns, each()


def sample(
    study: Study, *, include_simulated: bool = False, screened_out: Collection[str] = ()
) -> dict[str, Any]:
    """The flow from consent to the tables, the groups, the durations, the paragraph.

    `screened_out` are the codes of people whom a rule of the report left out: they are
    a step of the flow, and in nothing after it. Exclusions by hand have their reasons,
    the most frequent first.
    """
    status = Participant.Status
    counted = study.participants.counted(simulated=include_simulated)
    people = list(
        counted.exclude(status=status.WITHDRAWN)
        .annotate(
            answered=Count(
                "trials",
                filter=Q(
                    trials__answered_at__isnull=False, trials__kind=Trial.Kind.RATING
                ),
            )
        )
        .prefetch_related("form_answers")
        .order_by("pk")
    )
    withdrew = study.withdrawn_count
    purged = study.purged_count
    silent = [person for person in people if not person.answered]
    excluded = [person for person in people if person.answered and person.excluded]
    reasons = Counter(person.exclusion_reason or "no reason" for person in excluded)
    left = [person for person in people if person.answered and not person.excluded]
    kept = [person for person in left if person.code not in screened_out]
    partly = sum(person.status != status.FINISHED for person in kept)
    gone = [("withdrew, and all answers were deleted", withdrew)]
    gone += [("deleted when the study's time was over", purged)] if purged else []
    steps = [
        Step("consented", len(people) + withdrew + purged, tuple(gone)),
        Step(
            "took part", len(people), (("left before the first answer", len(silent)),)
        ),
        Step("answered", len(people) - len(silent), tuple(reasons.most_common())),
    ]
    if by_rule := len(left) - len(kept):
        said = (("left out by the rule of screening", by_rule),)
        steps.append(Step("not excluded by hand", len(left), said))
    steps.append(Step("are in the tables", len(kept)))
    timed = has_durations(study)
    durations = sorted(
        minutes
        for person in kept
        if timed and (minutes := _minutes(person)) is not None
    )
    groups = _groups(study, kept)
    dates = _dates(kept) if has_dates(study) else None
    return {
        "steps": steps,
        "partly": partly,
        "groups": groups,
        "durations": durations,
        "comments": sum(
            any(it.name == "comment" and it.answer for it in person.form_answers.all())
            for person in people
        ),
        "paragraph": _paragraph(steps, partly, durations, groups, dates),
    }


def _groups(
    study: Study, people: Sequence[Participant]
) -> list[tuple[str, list[tuple[str, int]]]]:
    """By variable: its answers and how many gave them; free text is not counted."""
    platforms = _platforms(study)
    found: list[tuple[str, list[str]]] = [
        ("device", [person.device_class for person in people]),
        ("language", [person.language for person in people]),
        ("source", [platforms.get(person.pk, "link") for person in people]),
        ("version of the study", [str(person.study_version) for person in people]),
    ]
    given = [{it.name: it.answer for it in who.form_answers.all()} for who in people]
    for item in study.form_items.exclude(kind=FormItem.Kind.TEXT):
        answers = [each.get(item.name) or "no answer" for each in given]
        found.append((item.name.replace("_", " "), answers))
    return [(name, Counter(said).most_common()) for name, said in found if said]


def _platforms(study: Study) -> dict[int, str]:
    """The recruiting platform by person, as long as the lab knows it."""
    recruits = Recruit.objects.filter(participant__study=study)
    return {it.participant_id: it.get_platform_display() for it in recruits}


def _minutes(person: Participant) -> float | None:
    if person.finished_at is None:
        return None
    return (person.finished_at - person.started_at).total_seconds() / 60


def has_durations(study: Study) -> bool:
    """False where an imported study came without times."""
    return not Import.objects.filter(study=study, timed=False).exists()


def has_dates(study: Study) -> bool:
    """False for an imported study: days stay where its people were asked."""
    return not Import.objects.filter(study=study).exists()


def _dates(people: Sequence[Participant]) -> tuple[str, str] | None:
    """The days (UTC) on which the first and the last of them joined."""
    if not people:
        return None
    days = [f"{person.started_at:%Y-%m-%d}" for person in people]
    return min(days), max(days)


def _paragraph(
    steps: Sequence[Step],
    partly: int,
    durations: Sequence[float],
    groups: Sequence[tuple[str, Sequence[tuple[str, int]]]],
    dates: tuple[str, str] | None,
) -> str:
    """The sentences on the sample that a paper needs."""
    first, last = steps[0], steps[-1]
    said = [f"{first.n} {'person' if first.n == 1 else 'people'} consented"]
    if dates:
        one_day = dates[0] == dates[1]
        said[0] += f" on {dates[0]}" if one_day else f" from {dates[0]} to {dates[1]}"
    lost = [f"{n} {what}" for step in steps for what, n in step.gone if n]
    if lost:
        said[0] += f"; {'; '.join(lost)}"
    said[0] += "."
    said.append(f"The answers of {last.n} are analysed")
    said[1] += f", {partly} of whom did not finish." if partly else "."
    if durations:
        low, middle, high = _quartiles(durations)
        said.append(
            f"Those who finished took {middle:.1f} minutes in the median (quartiles "
            f"{low:.1f} and {high:.1f})."
        )
    for name, answers in groups:
        if len(answers) > 1 or name not in ("version of the study",):
            told = ", ".join(f"{answer} {n}" for answer, n in answers)
            said.append(f"{name.capitalize()}: {told}.")
    return " ".join(said)


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
