"""Sessions as rows: from the design of a study to the trials of one participant.

The design itself is pure (`survey.design`); here it meets the database.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F
from django.utils import timezone

from survey.design import (
    DesignError,
    PlannedTrial,
    PrecisionGoal,
    SessionDesign,
    Tally,
    VoteSums,
    allocate,
    allocate_widest,
    assess,
    plan_session,
)
from survey.methods import Method, method_of
from survey.models import Item, Participant, Stimulus, Study, Trial

FARTHEST = 5
"""Trials from a showing to its repeat, and from one check to the next, if they fit."""

AHEAD = 2
"""How many trials are decided: the one shown, and the one its page preloads."""


SUMS = ("votes", "total", "squares", "look_votes", "look_total", "look_squares")
"""What an item sums up of the answers that count."""


@dataclass(frozen=True)
class _Check:
    """A catch trial: a picture with a known answer, or one that names its answer."""

    number: int
    stimulus: Stimulus | None = None


@dataclass(frozen=True)
class _Practice:
    stimulus: Stimulus
    second: Stimulus | None


@dataclass(frozen=True)
class _Slot:
    """A counted trial whose picture is chosen when its turn comes."""

    number: int


def goal_of(study: Study) -> PrecisionGoal | None:
    """The precision a study samples for, if it does."""
    if study.target_half_width is None:
        return None
    return PrecisionGoal(study.target_half_width)


def is_complete(study: Study) -> bool:
    """Tell whether a study that samples for a precision has it for every picture."""
    goal = goal_of(study)
    if goal is None:
        return False
    sums = study.items.values_list("pk", "look_votes", "look_total", "look_squares")
    return all(row[1] and assess(VoteSums(*row), goal).done for row in sums)


def items_of(study: Study, stimuli: Sequence[Stimulus]) -> list[Item]:
    """Unsaved items: everything a full session asks about these. Raises CannotAsk."""
    asked = method_of(study).items(study, stimuli)
    return [Item(study=study, stimulus=it, second=second) for it, second in asked]


def check(study: Study, items: list[Item]) -> None:
    """Plan a session of `items` on paper.

    They need keys, of the database or others. Raises DesignError for a design that
    has no room.
    """
    answers = study.stimuli.order_by().values_list("gold_answer", flat=True)
    known = {answer for answer in answers.distinct() if answer is not None}
    if why := method_of(study).refuses_known(study, known):
        raise DesignError(why)
    _planned(study, items, 0, 0)


def _planned(
    study: Study, items: list[Item], seed: int, row: int
) -> list[PlannedTrial[Hashable]]:
    units: list[Hashable] = list(items)
    if study.dynamic:
        each = min(study.trials_each or len(items), len(items))
        units = [_Slot(number) for number in range(each)]
    checks: list[Hashable] = [_Check(n) for n in range(study.instructed_catches)]
    checks += [
        _Check(-1, gold)
        for gold in study.stimuli.filter(gold_answer__isnull=False).order_by("pk")
    ]
    among = len(units) + study.repeats
    design = SessionDesign(
        order=study.order,
        apart=study.apart and not study.dynamic,
        repeats=study.repeats,
        repeat_distance=max(2, min(FARTHEST, len(units))),
        catch_distance=_distance(len(checks), among),
        break_every=study.break_every,
    )
    return plan_session(
        units,
        design,
        seed=seed,
        row=row,
        training=_training(study),
        catch=checks,
        content_of=lambda unit: _factor(unit, "content"),
        block_of=(lambda unit: _factor(unit, study.block_by))
        if study.block_by
        else None,
    )


def _distance(checks: int, among: int) -> int:
    """The largest distance up to FARTHEST at which so many checks fit among trials."""
    for distance in range(FARTHEST, 2, -1):
        if among >= 2 and checks <= 1 + (among - 2) // (distance - 1):
            return distance
    return 2


def _factor(unit: Hashable, name: str) -> Hashable:
    if not isinstance(unit, Item):
        return None
    return str(unit.stimulus.parameters.get(name))


def _training(study: Study) -> dict[Hashable, float]:
    """Practice, worst first."""
    shown = list(
        study.stimuli.filter(training_order__isnull=False)
        .select_related("reference")
        .order_by("training_order", "pk")
    )
    trials = method_of(study).practice(shown)
    return {_Practice(*each): place for place, each in enumerate(trials)}


def plan(participant: Participant, study: Study) -> None:
    """Write the trials of a new participant; the study's row is held by the caller."""
    items = list(study.items.select_related("stimulus", "second"))
    seed = study.seed ^ participant.seed
    draw = random.Random(f"{seed}/rows")  # noqa: S311 - a design, not a secret
    method = method_of(study)
    answers = method.instructable(study)
    first: dict[Hashable, Trial] = {}
    trials: list[Trial] = []
    again: list[tuple[Trial, Hashable]] = []
    planned = _planned(study, items, seed, participant.number)
    for index, each in enumerate(planned, start=1):
        unit = each.stimulus
        trial = Trial(
            participant=participant,
            index=index,
            kind=each.kind,
            break_before=each.break_before,
        )
        if isinstance(unit, Item):
            _place(trial, unit, method, heads=draw.random() < 0.5)
        elif isinstance(unit, _Practice):
            practice = Item(study=study, stimulus=unit.stimulus, second=unit.second)
            _place(trial, practice, method, heads=draw.random() < 0.5)
            trial.item = None
        elif isinstance(unit, _Check):
            _write_check(trial, unit, items, answers, draw, study)
        if each.kind == Trial.Kind.REPEAT:
            trial.item = None
            again.append((trial, unit))
        elif each.kind == Trial.Kind.RATING:
            first[unit] = trial
        trials.append(trial)
    Trial.objects.bulk_create(trials, batch_size=1000)
    for trial, unit in again:
        trial.repeat_of = first[unit]
    Trial.objects.bulk_update([trial for trial, _ in again], ["repeat_of"], 500)
    participant.planned = len(trials)
    participant.practice = sum(it.kind == Trial.Kind.TRAINING for it in trials)
    participant.save(update_fields=["planned", "practice"])
    decide(participant, study)


def _place(trial: Trial, item: Item, method: Method, *, heads: bool) -> None:
    """Write an item into a trial; `heads` is a drawn coin, for what is random."""
    trial.item = item
    trial.stimulus = item.stimulus
    trial.second = item.second
    trial.side = method.side(heads=heads)


def _write_check(
    trial: Trial,
    unit: _Check,
    items: list[Item],
    answers: list[str],
    draw: random.Random,
    study: Study,
) -> None:
    if unit.stimulus is not None:
        trial.stimulus = unit.stimulus
        trial.expected = str(unit.stimulus.gold_answer)
        trial.second = method_of(study).beside(unit.stimulus)
        return
    shown = draw.choice(items)
    _place(trial, shown, method_of(study), heads=draw.random() < 0.5)
    trial.item = None
    trial.expected = draw.choice(answers)
    trial.instructed = True


# Deciding while people rate -----------------------------------------------------


def decide(participant: Participant, study: Study) -> None:
    """Choose what the next trials show, where that is chosen while people rate.

    The caller holds the participant's row. Holds the study's row while it looks, so
    that two people do not take the same gap. When nothing needs more answers the rest
    of the session is taken away.
    """
    if not study.dynamic:
        return
    upcoming = list(
        participant.trials.filter(answered_at=None).order_by("index")[:AHEAD]
    )
    if all(trial.stimulus_id for trial in upcoming):
        return
    Study.objects.select_for_update(no_key=True).get(pk=study.pk)
    for trial in upcoming:
        if trial.stimulus_id is None and not _decide(trial, participant, study):
            unanswered = participant.trials.filter(answered_at=None)
            unanswered.filter(stimulus=None).delete()
            unanswered.filter(kind=Trial.Kind.CATCH).delete()
            participant.planned = participant.trials.count()
            participant.save(update_fields=["planned"])
            return


def _decide(trial: Trial, participant: Participant, study: Study) -> bool:
    draw = random.Random(f"{participant.seed}/{trial.index}")  # noqa: S311
    heads = draw.random() < 0.5
    method = method_of(study)
    if trial.repeat_of_id:
        original = Trial.objects.select_related("item").get(pk=trial.repeat_of_id)
        if original.item is None:
            return False
        _place(trial, original.item, method, heads=heads)
        trial.item = None
    else:
        chosen = _least_rated(trial, participant, study, draw.randrange(2**32))
        if chosen is None:
            return False
        _place(trial, chosen, method, heads=heads)
    trial.save(update_fields=["stimulus", "second", "side", "item"])
    return True


def _least_rated(
    trial: Trial, participant: Participant, study: Study, seed: int
) -> Item | None:
    now = timezone.now()
    free_after = timedelta(minutes=study.reserve_minutes)
    items = {item.pk: item for item in study.items.select_related("stimulus")}
    seen = set(participant.trials.exclude(item=None).values_list("item_id", flat=True))
    reserved: dict[int, list[datetime]] = defaultdict(list)
    waiting = Trial.objects.filter(
        item__study=study,
        answered_at=None,
        participant__status=Participant.Status.STARTED,
        participant__seen_at__gt=now - free_after,
        participant__pilot=participant.pilot,
        participant__simulated=participant.simulated,
        participant__excluded=False,
    ).exclude(participant=participant)
    for item, since in waiting.values_list("item_id", "participant__seen_at"):
        if item is not None:
            reserved[item].append(since)
    tallies = [
        Tally(pk, item.votes, tuple(reserved[pk]))
        for pk, item in items.items()
        if pk not in seen
    ]
    goal = goal_of(study)
    looks: dict[int, VoteSums[int]] = {}
    if goal is not None:
        looks = {
            pk: VoteSums(pk, item.look_votes, item.look_total, item.look_squares)
            for pk, item in items.items()
            if item.look_votes
        }
        done = {pk for pk, sums in looks.items() if assess(sums, goal).done}
        tallies = [tally for tally in tallies if tally.stimulus not in done]
    if study.apart:
        tallies = _apart(tallies, items, trial, now, free_after)
    if not tallies:
        return None
    if goal is None:
        chosen = allocate(tallies, 1, now=now, free_after=free_after, seed=seed)
    else:
        chosen = allocate_widest(
            tallies, looks, 1, goal=goal, now=now, free_after=free_after, seed=seed
        )
    return items[chosen[0]] if chosen else None


def _apart(
    tallies: list[Tally[int]],
    items: dict[int, Item],
    trial: Trial,
    now: datetime,
    free_after: timedelta,
) -> list[Tally[int]]:
    """Leave out the content shown just before, unless it is what lags behind."""
    before = (
        Trial.objects.filter(participant_id=trial.participant_id)
        .filter(index=trial.index - 1, stimulus__isnull=False)
        .select_related("stimulus")
        .first()
    )
    if before is None or before.stimulus is None:
        return tallies
    content = before.stimulus.parameters.get("content")
    others = [
        tally
        for tally in tallies
        if items[tally.stimulus].stimulus.parameters.get("content") != content
    ]
    if not others:
        return tallies
    least = min(tally.load(now=now, free_after=free_after) for tally in tallies)
    reached = min(tally.load(now=now, free_after=free_after) for tally in others)
    return others if reached <= least else tallies


def count_vote(item_pk: int, score: int, study: Study) -> None:
    """Add one counted answer to its item's sums."""
    held = Item.objects.filter(pk=item_pk)
    held.update(
        votes=F("votes") + 1,
        total=F("total") + score,
        squares=F("squares") + score * score,
    )
    goal = goal_of(study)
    if goal is None:
        return
    votes = held.values_list("votes", flat=True).get()
    if goal.look(votes) == votes:
        held.update(
            look_votes=F("votes"), look_total=F("total"), look_squares=F("squares")
        )


def answered_items(participant: Participant) -> list[int]:
    """The items whose sums this participant's answers are part of."""
    answered = participant.trials.filter(answered_at__isnull=False)
    return list(answered.values_list("item_id", flat=True).exclude(item=None))


def recount(study: Study, item_pks: list[int]) -> None:
    """Sum the items anew, after answers were deleted or are to count no longer."""
    goal, method = goal_of(study), method_of(study)
    held = Item.objects.select_for_update(no_key=True).filter(pk__in=item_pks)
    for item in held.order_by("pk"):
        scores = []
        for trial in (
            item.trials.included()
            .filter(answered_at__isnull=False)
            .prefetch_related("ratings")
            .order_by("answered_at", "pk")
        ):
            main = next(
                rating for rating in trial.ratings.all() if rating.question == "overall"
            )
            scores.append(method.score(main))
        item.votes, item.total = len(scores), sum(scores)
        item.squares = sum(score * score for score in scores)
        looked = scores[: goal.look(len(scores))] if goal else []
        item.look_votes, item.look_total = len(looked), sum(looked)
        item.look_squares = sum(score * score for score in looked)
        item.save()
