"""How a study is going, from SQL sums alone: the web process asks for it every few
seconds while people answer."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import (
    Avg,
    BigIntegerField,
    Count,
    DurationField,
    ExpressionWrapper,
    F,
    Max,
    Min,
    Q,
    QuerySet,
    Sum,
)
from django.db.models.functions import Cast
from django.utils import timezone

from analysis.answer_kinds import kind_of
from analysis.scales import scale_of
from analysis.stats.flags import FAST_MS, RATERS
from survey.design import VoteSums, assess, half_width
from survey.methods import method_of
from survey.methods.scales import Scale
from survey.models import Participant, Rating, Study, Trial, counted_people
from survey.planning import goal_of

ACTIVE = dt.timedelta(minutes=15)
PACE = dt.timedelta(hours=24)
ENOUGH_TO_JUDGE = 5  # ratings, as in raters.csv
MOST_SHOWN = 50  # flagged people


@dataclass(frozen=True)
class People:
    """Counts of people: pilots never count, simulated ones only when asked."""

    started: int
    active: int
    away: int
    finished: int
    dropped: int
    withdrawn: int
    excluded: int
    simulated: int
    pilot: int
    unfilled: int  # by a platform's link that named nobody; of the pilot while it runs
    last_unfilled: dt.datetime | None


@dataclass(frozen=True)
class StimulusVotes:
    """The answers about one stimulus that count, and their interval's half-width.

    `missing` votes are expected until it has what the study wants; None if the study
    says nothing of the kind.
    """

    code: str
    question: str
    is_reference: bool
    n: int
    mean: float | None
    half_width: float | None
    missing: int | None

    @property
    def target(self) -> int | None:
        """The votes it has when the study is full; None if it never is."""
        return None if self.missing is None else self.n + self.missing


@dataclass(frozen=True)
class Suspect:
    """A person whose answers deserve a look, and why. Nobody is left out by it."""

    code: str
    words: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """The words as pages explain them."""
        return [RATERS[word] for word in self.words]


@dataclass(frozen=True)
class Monitor:
    """All that the monitor page shows."""

    people: People
    votes: list[StimulusVotes]
    session: dt.timedelta | None  # median, of those who finished
    answers: str  # what people give: ratings or choices
    ratings: int  # of these
    missing: int | None  # of these, until every stimulus has its target
    per_hour: float  # of these, over the last PACE or since the first one in it
    ready_at: dt.datetime | None  # at this pace

    @property
    def fewest(self) -> int:
        """The votes of the stimulus that has the fewest."""
        return min((each.n for each in self.votes), default=0)

    @property
    def widest(self) -> float | None:
        """The largest half-width; None where there is none."""
        widths = [each.half_width for each in self.votes if each.half_width is not None]
        return max(widths, default=None)


def watch(study: Study, *, include_simulated: bool = False) -> Monitor:
    """The study's state now, in a number of queries that no data changes."""
    now = timezone.now()
    sums, pace = _kept_sums(study, include_simulated, now) or _sums(
        study, _counted(study, include_simulated), now
    )
    votes = list(_votes(study, sums))
    wanted = [each.missing for each in votes if each.missing is not None]
    missing = math.ceil(sum(wanted) / method_of(study).votes_per_answer)
    per_hour = pace.per_hour(now)
    ready_at = None
    if missing and per_hour:
        ready_at = now + dt.timedelta(hours=missing / per_hour)
    return Monitor(
        people=_people(study, include_simulated, now),
        votes=votes,
        session=_median_session(study, include_simulated),
        answers=kind_of(study).word,
        ratings=pace.ratings,
        missing=missing if wanted else None,
        per_hour=per_hour,
        ready_at=ready_at,
    )


def _people(study: Study, include_simulated: bool, now: dt.datetime) -> People:
    status = Participant.Status
    real = counted_people(simulated=include_simulated)
    answering = real & Q(status=status.STARTED)
    recent = Q(seen_at__gte=now - ACTIVE)
    piloting = study.state == Study.State.PILOTING
    unfilled = Q(unfilled_link=True, simulated=False, pilot=piloting)
    return People(
        # Before the numbers that are called as the columns these look at.
        **study.participants.aggregate(
            unfilled=Count("pk", filter=unfilled),
            last_unfilled=Max("started_at", filter=unfilled),
            started=Count("pk", filter=real),
            active=Count("pk", filter=answering & recent),
            away=Count("pk", filter=answering & ~recent),
            finished=Count("pk", filter=real & Q(status=status.FINISHED)),
            dropped=Count("pk", filter=real & Q(status=status.DROPPED)),
            withdrawn=Count("pk", filter=real & Q(status=status.WITHDRAWN)),
            excluded=Count("pk", filter=real & Q(excluded=True)),
            simulated=Count("pk", filter=Q(simulated=True, pilot=False)),
            pilot=Count("pk", filter=Q(pilot=True)),
        )
    )


@dataclass
class Pace:
    """How many ratings there are, and how fast the last ones came."""

    ratings: int = 0
    recent: int = 0
    first: dt.datetime | None = None

    def per_hour(self, now: dt.datetime) -> float:
        """Votes per hour over the last PACE, or since the first of them."""
        if self.first is None or self.recent < 2:
            return 0.0
        return self.recent / max((now - self.first) / dt.timedelta(hours=1), 1 / 60)


Sums = dict[tuple[int, str], tuple[int, int, int]]


def _kept_sums(
    study: Study, include_simulated: bool, now: dt.datetime
) -> tuple[Sums, Pace] | None:
    """As `_sums`, by what `Item` sums up with each answer: a third of the work.

    None where those sums are not of these votes: with several questions or simulated
    people, or where their number is not that of the answered trials, as in a study
    that was imported.
    """
    if include_simulated or study.further_questions.exists():
        return None
    answered = Trial.objects.included().order_by()
    answered = answered.filter(participant__study=study, answered_at__isnull=False)
    every = answered.count()
    items = study.items.values_list("stimulus", "second", "votes", "total", "squares")
    rows = list(items)
    if sum(row[2] for row in rows) != every:
        return None
    # A range of an index: days that are over cost nothing.
    lately = answered.filter(answered_at__gte=now - PACE).aggregate(
        recent=Count("pk"), first=Min("answered_at")
    )
    voted_on = method_of(study).votes_per_answer
    sums: Sums = {}
    for stimulus, second, *found in rows:
        for shown in (stimulus, second)[:voted_on]:
            _add(sums, (shown, "overall"), found)
    return sums, Pace(ratings=every, **lately)


def _add(sums: Sums, key: tuple[int, str], more: Sequence[int]) -> None:
    n, total, squares = sums.get(key, (0, 0, 0))
    sums[key] = n + more[0], total + more[1], squares + more[2]


def _sums(
    study: Study, counted: QuerySet[Rating], now: dt.datetime
) -> tuple[Sums, Pace]:
    """By stimulus and question n, Σx and Σx²; in the same look the pace."""
    recent = Q(rated_at__gte=now - PACE)
    voted_on = method_of(study).votes_per_answer
    places = ["trial__stimulus", "trial__second"][:voted_on]
    sums: Sums = {}
    pace = Pace()
    for place in places:
        rows = counted.values_list(place, "question").annotate(
            n=Count("pk"),
            total=Sum("rating"),
            # As it is kept a square may be too large for its kind of column.
            squares=Sum(F("rating") * Cast("rating", BigIntegerField())),
            # What is missing are answers to the main question.
            recent=Count("pk", filter=recent & Q(question="overall")),
            first=Min("rated_at", filter=recent & Q(question="overall")),
        )
        for stimulus, question, n, total, squares, lately, first in rows:
            _add(sums, (stimulus, question), (n, total or 0, squares or 0))
            if place == places[0]:
                pace.ratings += n
                pace.recent += lately
                pace.first = min(filter(None, (pace.first, first)), default=None)
    return sums, pace


def _votes(study: Study, sums: Sums) -> Iterator[StimulusVotes]:
    """A row for every rated stimulus and question, also where nobody has answered."""
    method = method_of(study)
    questions = ["overall", *study.further_questions.values_list("name", flat=True)]
    stimuli = study.stimuli.filter(rated=True)
    if not method.rates_references:
        stimuli = stimuli.filter(is_reference=False)
    codes = list(stimuli.order_by("pk").values_list("pk", "code", "is_reference"))
    target = _target(study, len(codes))
    scale = scale_of(study)
    goal = goal_of(study)
    for pk, code, is_reference in codes:
        for question in questions:
            n, total, squares = sums.get((pk, question), (0, 0, 0))
            missing = None if target is None else max(0, target - n)
            if goal is not None:
                missing = assess(VoteSums(code, n, total, squares), goal).more
            yield StimulusVotes(
                code=code,
                question=question if len(questions) > 1 else "",
                is_reference=is_reference,
                n=n,
                mean=scale.mean(total / n) if n and method.has_interval else None,
                half_width=_half_width(scale, n, total, squares)
                if method.has_interval
                else None,
                # Only the main question steers who sees what.
                missing=missing if question == "overall" else None,
            )


def _half_width(scale: Scale, n: int, total: int, squares: int) -> float | None:
    half = half_width(n, total, squares)
    return half if half is None or scale.plain else half * float(scale.step)


def _target(study: Study, stimuli: int) -> int | None:
    """The votes each stimulus has when the study is full, if it ever is."""
    if study.max_participants is None or not stimuli:
        return None
    shown = study.trials_each or study.items.count()
    each = method_of(study).votes_per_answer
    return study.max_participants * shown * each // stimuli


def _counted(study: Study, include_simulated: bool) -> QuerySet[Rating]:
    """The ratings that count in a MOS."""
    ratings = Rating.objects.included(simulated=include_simulated)
    return ratings.filter(trial__participant__study=study).order_by()


def _median_session(study: Study, include_simulated: bool) -> dt.timedelta | None:
    """Half of those who finished took longer; the lower of two middle ones."""
    finished = study.participants.counted(simulated=include_simulated).filter(
        status=Participant.Status.FINISHED, finished_at__isnull=False
    )
    n = finished.count()
    if not n:
        return None
    took = finished.annotate(
        took=ExpressionWrapper(
            F("finished_at") - F("started_at"), output_field=DurationField()
        )
    ).order_by("took", "pk")
    return took.values_list("took", flat=True)[(n - 1) // 2]


# People one by one ------------------------------------------------------------


def people(study: Study) -> QuerySet[Participant, Any]:
    """Everybody but pilots, with sums over their answers, as dictionaries."""
    rated = Q(trials__kind=Trial.Kind.RATING)
    return (
        study.participants.counted(simulated=True)
        .order_by("pk")
        .values(
            "pk", "code", "status", "simulated", "excluded", "exclusion_reason",
            "started_at", "finished_at", "device_class",
        )
        .annotate(
            planned=Count("trials", distinct=True),
            answered=Count(
                "trials", distinct=True, filter=Q(trials__answered_at__isnull=False)
            ),
            n=Count("trials__ratings", filter=rated),
            lowest=Min("trials__ratings__rating", filter=rated),
            highest=Max("trials__ratings__rating", filter=rated),
            timed=Count("trials__ratings__response_ms"),
            fast=Count(
                "trials__ratings__response_ms",
                filter=Q(trials__ratings__response_ms__lt=FAST_MS),
            ),
            mean_ms=Avg("trials__ratings__response_ms"),
        )
    )  # fmt: skip


def words(person: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags that sums alone can raise, words of `flags.RATERS`."""
    found = []
    judged = person["lowest"] is not None and person["n"] >= ENOUGH_TO_JUDGE
    if judged and person["lowest"] == person["highest"]:
        found.append("constant")
    if 2 * person["fast"] > person["timed"]:
        found.append("fast")
    return tuple(found)


def suspicious(study: Study, *, include_simulated: bool = False) -> list[Suspect]:
    """Those whom a sum alone makes suspicious, in the order in which they came."""
    rows = (
        _counted(study, include_simulated)
        .values("trial__participant")
        .annotate(
            n=Count("pk"),
            lowest=Min("rating"),
            highest=Max("rating"),
            timed=Count("response_ms"),
            fast=Count("pk", filter=Q(response_ms__lt=FAST_MS)),
        )
        .filter(
            Q(n__gte=ENOUGH_TO_JUDGE, lowest=F("highest"))
            | Q(fast__gt=F("timed") / 2.0)
        )
    )
    found = {row["trial__participant"]: words(row) for row in rows}
    named = study.participants.filter(pk__in=sorted(found)[: MOST_SHOWN + 1])
    codes = dict(named.values_list("pk", "code"))
    return [Suspect(codes.get(pk, ""), found[pk]) for pk in sorted(found)]


def hours_and_minutes(span: dt.timedelta) -> str:
    """A span as a person says it."""
    minutes = math.ceil(span / dt.timedelta(minutes=1))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
