"""A participant's whole session as a list of planned trials."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from survey.design.errors import DesignError, refuse_doubles
from survey.design.orders import (
    BLOCK_ORDERS,
    blocked_order,
    neighbours_alike,
    random_order,
    separated_order,
    williams_order,
)

H = TypeVar("H", bound=Hashable)

ORDERS = ("random", "williams", "blocked")
"""How the rated stimuli follow one another."""

DRAWS = 20
"""How often repeats are strewn anew while they meet their own content."""


@dataclass(frozen=True, slots=True)
class PlannedTrial(Generic[H]):
    """One presentation: `kind` is training, rating, catch or repeat.

    `counted` is true for the first showing only: training, catch and repeats are
    stored but enter no MOS. `break_before` offers a pause before this trial.
    """

    kind: str
    stimulus: H
    counted: bool
    break_before: bool = False


@dataclass(frozen=True, slots=True)
class SessionDesign:
    """What a session is made of.

    order            `random`, `williams` (balanced; everybody sees the same stimuli)
                     or `blocked`
    blocks           how blocks follow one another: `random`, `williams` or `given`
    apart            keep neighbours of the same content apart where possible
    repeats          stimuli shown a second time, 0 or more
    repeat_distance  from a first showing to its repeat, in trials; 2 or more, so
                     never adjacent
    catch_distance   from one catch trial to the next, in trials; 2 or more
    break_every      trials between breaks (training not counted), 1 or more, or None

    Raises DesignError for what lies outside these ranges or does not go together.
    """

    order: str = "random"
    blocks: str = "random"
    apart: bool = False
    repeats: int = 0
    repeat_distance: int = 5
    catch_distance: int = 5
    break_every: int | None = None

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            known = ", ".join(ORDERS)
            raise DesignError(f"Stimuli can be ordered {known}; not {self.order}.")
        if self.blocks not in BLOCK_ORDERS:
            known = ", ".join(BLOCK_ORDERS)
            raise DesignError(f"Blocks can follow {known}; not {self.blocks}.")
        if self.apart and self.order == "williams":
            raise DesignError(
                "A balanced Latin square fixes every neighbour; contents can be kept "
                "apart in random or blocked orders."
            )
        if self.repeats < 0:
            raise DesignError("There are no repeats or some, not fewer than none.")
        if self.repeat_distance < 2:
            raise DesignError(
                "A repeat next to its first showing tests memory; its distance is at "
                "least 2 trials."
            )
        if self.catch_distance < 2:
            raise DesignError("Catch trials are at least 2 trials apart.")
        if self.break_every is not None and self.break_every < 1:
            raise DesignError("A break comes after at least one trial.")


def plan_session(
    stimuli: Sequence[H],
    design: SessionDesign,
    *,
    seed: int,
    row: int = 0,
    training: Mapping[H, float] | None = None,
    catch: Sequence[H] = (),
    content_of: Callable[[H], Hashable] | None = None,
    block_of: Callable[[H], Hashable] | None = None,
) -> list[PlannedTrial[H]]:
    """The trials of one participant in the order in which they are shown.

    First the `training` stimuli, from the worst to the best of their expected
    qualities, so that the whole range is known before anything counts (ITU-T P.910,
    P.913); they may be rated again later, other pictures are better. Then every one
    of `stimuli` once, ordered as `design` says, `row` being the participant's row of
    a Williams design; among them the repeats, and the `catch` stimuli in random
    sequence, never first or last. Catch and repeats come at random places that keep
    their distances; with `apart` a repeat goes between other contents than its own
    if one of a few draws finds such places.

    Raises DesignError where there is nothing to rate, something is listed twice,
    blocks or contents are not told, or the distances leave no room; the sentence
    says how much there is.
    """
    stimuli, catch = list(stimuli), list(catch)
    _check(stimuli, catch, design, content_of, block_of)
    main = _ordered(stimuli, design, seed, row, content_of, block_of)
    trials = [PlannedTrial("rating", stimulus, counted=True) for stimulus in main]
    if design.repeats:
        contents = content_of if design.apart else None
        trials = _with_repeats(trials, design, _draw(seed, "repeats"), contents)
    if catch:
        trials = _with_catch(trials, catch, design, _draw(seed, "catch"))
    if design.break_every:
        trials = [
            PlannedTrial(
                trial.kind,
                trial.stimulus,
                trial.counted,
                break_before=place > 0 and place % design.break_every == 0,
            )
            for place, trial in enumerate(trials)
        ]
    qualities = training or {}
    first = [
        PlannedTrial("training", stimulus, counted=False)
        for stimulus in sorted(qualities, key=lambda stimulus: qualities[stimulus])
    ]
    return first + trials


def _draw(seed: int, what: str) -> random.Random:
    """A generator of its own: more catch trials leave the order as it is."""
    return random.Random(f"{seed}/{what}")  # noqa: S311 - a design, not a secret


def _check(
    stimuli: Sequence[H],
    catch: Sequence[H],
    design: SessionDesign,
    content_of: Callable[[H], Hashable] | None,
    block_of: Callable[[H], Hashable] | None,
) -> None:
    n = len(stimuli)
    if not n:
        raise DesignError("A session needs at least one stimulus to rate.")
    refuse_doubles(stimuli)
    refuse_doubles(catch, "catch stimuli")
    if both := set(stimuli) & set(catch):
        raise DesignError(
            f"{next(s for s in stimuli if s in both)!r} is to be rated and a catch "
            "trial as well."
        )
    if design.order == "blocked" and block_of is None:
        raise DesignError("A blocked order needs the factor that makes the blocks.")
    if design.apart and content_of is None:
        raise DesignError("To keep contents apart, their content must be known.")
    if design.repeats > n:
        raise DesignError(
            f"{design.repeats} of {n} stimuli cannot be repeated; at most {n} can."
        )
    if design.repeats and design.repeat_distance > n:
        raise DesignError(
            f"With {n} stimuli a repeat can be at most {n} trials after its first "
            f"showing, not {design.repeat_distance}."
        )
    room = 1 + (n + design.repeats - 2) // (design.catch_distance - 1)
    if n + design.repeats < 2:
        room = 0
    if len(catch) > room:
        raise DesignError(
            f"{len(catch)} catch trials do not fit among {n + design.repeats} others "
            f"at a distance of {design.catch_distance}; {room} do."
        )


def _ordered(
    stimuli: list[H],
    design: SessionDesign,
    seed: int,
    row: int,
    content_of: Callable[[H], Hashable] | None,
    block_of: Callable[[H], Hashable] | None,
) -> list[H]:
    if design.order == "williams":
        return williams_order(stimuli, row=row)
    apart = content_of if design.apart else None
    if design.order == "blocked" and block_of is not None:
        return blocked_order(
            stimuli,
            block_of=block_of,
            seed=seed,
            blocks=design.blocks,
            row=row,
            content_of=apart,
        )
    if apart is not None:
        return separated_order(stimuli, content_of=apart, seed=seed)
    return random_order(stimuli, seed=seed)


def _with_repeats(
    ratings: Sequence[PlannedTrial[H]],
    design: SessionDesign,
    draw: random.Random,
    content_of: Callable[[H], Hashable] | None,
) -> list[PlannedTrial[H]]:
    """The ratings in their order, with repeats strewn in at their distance.

    With contents to keep apart, the best of a few draws.
    """
    if content_of is None:
        return _strewn(ratings, design, draw, None)
    best: list[PlannedTrial[H]] = []
    alike = len(ratings) + design.repeats
    unavoidable = neighbours_alike([t.stimulus for t in ratings], content_of)
    for _ in range(DRAWS):
        trials = _strewn(ratings, design, draw, content_of)
        found = neighbours_alike([t.stimulus for t in trials], content_of)
        if found < alike:
            best, alike = trials, found
        if alike <= unavoidable:
            break
    return best


def _strewn(
    ratings: Sequence[PlannedTrial[H]],
    design: SessionDesign,
    draw: random.Random,
    content_of: Callable[[H], Hashable] | None,
) -> list[PlannedTrial[H]]:
    coming = list(ratings)[::-1]
    shown: dict[H, int] = {}  # once so far, and at which place; oldest first
    trials: list[PlannedTrial[H]] = []
    left = design.repeats

    def alike(stimulus: H) -> bool:
        if content_of is None:
            return False
        neighbours = [*trials[-1:], *coming[-1:]]
        content = content_of(stimulus)
        return any(content_of(trial.stimulus) == content for trial in neighbours)

    def ripe() -> H | None:
        """A stimulus that can be repeated here and leaves room for the others."""
        here, end = len(trials), len(trials) + 1 + len(coming)
        candidates = [s for s in shown if here - shown[s] >= design.repeat_distance]
        draw.shuffle(candidates)
        candidates.sort(key=alike)
        for stimulus in candidates:
            if coming and alike(stimulus):
                break
            places = [place for other, place in shown.items() if other != stimulus]
            # At worst all other repeats come last, the oldest first.
            places += range(here + 1, end)
            if all(
                end + i - place >= design.repeat_distance
                for i, place in enumerate(places[: left - 1])
            ):
                return stimulus
        return None

    while coming or left:
        stimulus = None
        if left and draw.random() < left / (left + len(coming)):
            stimulus = ripe()
        if stimulus is None:
            rating = coming.pop()
            shown[rating.stimulus] = len(trials)
            trials.append(rating)
        else:
            del shown[stimulus]
            left -= 1
            trials.append(PlannedTrial("repeat", stimulus, counted=False))
    return trials


def _with_catch(
    trials: Sequence[PlannedTrial[H]],
    catch: Sequence[H],
    design: SessionDesign,
    draw: random.Random,
) -> list[PlannedTrial[H]]:
    """The trials with the catch stimuli inside, at random places kept apart.

    Every allowed set of places is equally likely: draw among fewer gaps, then widen
    the distances by what they must have at least.
    """
    wider = design.catch_distance - 2
    gaps = len(trials) - 1 - (len(catch) - 1) * wider
    chosen = sorted(draw.sample(range(1, gaps + 1), len(catch)))
    places = {gap + i * wider: i for i, gap in enumerate(chosen)}
    order = draw.sample(list(catch), len(catch))
    planned: list[PlannedTrial[H]] = []
    for place, trial in enumerate(trials):
        if place in places:
            stimulus = order[places[place]]
            planned.append(PlannedTrial("catch", stimulus, counted=False))
        planned.append(trial)
    return planned
