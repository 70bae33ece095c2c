from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survey.design import (
    DesignError,
    PlannedTrial,
    SessionDesign,
    neighbours_alike,
    plan_session,
    separated_order,
    williams_order,
)

seeds = st.integers(0, 2**62)


def places(plan: list[PlannedTrial[Any]], kind: str) -> dict[Any, int]:
    return {t.stimulus: place for place, t in enumerate(plan) if t.kind == kind}


@st.composite
def sessions(draw: st.DrawFn) -> tuple[int, SessionDesign, list[str], dict[str, float]]:
    """Numbers of stimuli, designs, catch and training stimuli that go together."""
    n = draw(st.integers(2, 25))
    repeats = draw(st.integers(0, n))
    catch_distance = draw(st.integers(2, 6))
    room = 1 + (n + repeats - 2) // (catch_distance - 1)
    design = SessionDesign(
        repeats=repeats,
        repeat_distance=draw(st.integers(2, n)),
        catch_distance=catch_distance,
        break_every=draw(st.none() | st.integers(1, 10)),
        apart=draw(st.booleans()),
    )
    catch = [f"catch {i}" for i in range(draw(st.integers(0, min(room, 6))))]
    qualities = draw(st.lists(st.floats(1, 5), max_size=5))
    return n, design, catch, {f"training {i}": q for i, q in enumerate(qualities)}


@settings(deadline=None, max_examples=40)
@given(sessions(), seeds)
def test_a_session_holds_everything_once_and_keeps_its_distances(
    session: tuple[int, SessionDesign, list[str], dict[str, float]], seed: int
) -> None:
    n, design, catch, training = session
    stimuli: list[Any] = list(range(n))

    def plan() -> list[PlannedTrial[Any]]:
        return plan_session(
            stimuli,
            design,
            seed=seed,
            training=training,
            catch=catch,
            content_of=lambda s: s % 3 if isinstance(s, int) else s,
        )

    trials = plan()
    assert trials == plan()
    assert Counter(t.kind for t in trials) == {
        kind: count
        for kind, count in {
            "training": len(training),
            "rating": n,
            "repeat": design.repeats,
            "catch": len(catch),
        }.items()
        if count
    }
    assert all(t.counted == (t.kind == "rating") for t in trials)

    first, main = trials[: len(training)], trials[len(training) :]
    qualities = [training[t.stimulus] for t in first]
    assert {t.kind for t in first} <= {"training"} and qualities == sorted(qualities)

    rated, repeated = places(main, "rating"), places(main, "repeat")
    assert sorted(rated) == stimuli and len(repeated) == design.repeats
    for stimulus, place in repeated.items():
        assert place - rated[stimulus] >= design.repeat_distance
    caught = places(main, "catch")
    assert set(caught) == set(catch)
    assert all(0 < place < len(main) - 1 for place in caught.values())
    for one, other in pairwise(sorted(caught.values())):
        assert other - one >= design.catch_distance
    every = design.break_every
    assert [place for place, t in enumerate(main) if t.break_before] == (
        list(range(every, len(main), every)) if every else []
    )
    assert not any(t.break_before for t in first)


@given(seeds)
def test_more_catch_trials_or_breaks_leave_the_order_of_ratings_alone(
    seed: int,
) -> None:
    def rated(design: SessionDesign, catch: list[int]) -> list[int]:
        plan = plan_session(list(range(12)), design, seed=seed, catch=catch)
        return [t.stimulus for t in plan if t.kind in {"rating", "repeat"}]

    plain = rated(SessionDesign(repeats=3), [])
    assert plain == rated(SessionDesign(repeats=3, break_every=4), [99, 98])


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_repeats_meet_no_picture_of_their_content_where_there_is_room(
    seed: int,
) -> None:
    plan = plan_session(
        list(range(20)),
        SessionDesign(apart=True, repeats=4),
        seed=seed,
        content_of=lambda s: s % 5,
    )
    assert neighbours_alike([t.stimulus for t in plan], lambda s: s % 5) == 0


@settings(deadline=None, max_examples=40)
@given(seeds)
def test_ratings_follow_the_order_that_the_design_names(seed: int) -> None:
    def rated(design: SessionDesign) -> list[int]:
        plan = plan_session(
            list(range(12)),
            design,
            seed=seed,
            row=3,
            content_of=lambda s: s % 3,
            block_of=lambda s: s // 4,
        )
        return [t.stimulus for t in plan]

    assert rated(SessionDesign(order="williams")) == williams_order(range(12), row=3)
    assert rated(SessionDesign(apart=True)) == separated_order(
        range(12), content_of=lambda s: s % 3, seed=seed
    )
    blocked = rated(SessionDesign(order="blocked", blocks="given", apart=True))
    assert [s // 4 for s in blocked] == [0] * 4 + [1] * 4 + [2] * 4
    assert neighbours_alike(blocked, lambda s: s % 3) == 0


def test_catch_and_repeats_reach_every_place_that_is_allowed() -> None:
    caught, repeated = set(), set()
    for seed in range(300):
        plan = plan_session(
            list("abcdef"), SessionDesign(repeats=1, repeat_distance=3), seed=seed
        )
        repeated |= set(places(plan, "repeat").values())
        plan = plan_session(list("abcdef"), SessionDesign(), seed=seed, catch=["X"])
        caught |= set(places(plan, "catch").values())
    assert repeated == {3, 4, 5, 6}
    assert caught == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"order": "latin"}, "random, williams, blocked; not latin"),
        ({"blocks": "sorted"}, "not sorted"),
        ({"order": "williams", "apart": True}, "fixes every neighbour"),
        ({"repeats": -1}, "not fewer than none"),
        ({"repeat_distance": 1}, "at least 2 trials"),
        ({"catch_distance": 1}, "at least 2 trials apart"),
        ({"break_every": 0}, "after at least one trial"),
    ],
)
def test_a_design_that_cannot_be_says_why(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DesignError, match=sentence):
        SessionDesign(**options)


@pytest.mark.parametrize(
    ("stimuli", "options", "arguments", "sentence"),
    [
        ("", {}, {}, "at least one stimulus"),
        ("aba", {}, {}, "'a' twice"),
        ("abc", {}, {"catch": "XX"}, "'X' twice"),
        ("abc", {}, {"catch": "Xa"}, "'a' is to be rated and a catch"),
        ("abc", {"order": "blocked"}, {}, "the factor that makes the blocks"),
        ("abc", {"apart": True}, {}, "their content must be known"),
        ("abc", {"repeats": 4, "repeat_distance": 2}, {}, "at most 3 can"),
        ("abc", {"repeats": 1, "repeat_distance": 4}, {}, "at most 3 trials after"),
        ("abcdef", {"catch_distance": 4}, {"catch": "XYZ"}, "distance of 4; 2 do"),
        ("a", {}, {"catch": "X"}, "; 0 do"),
    ],
)
def test_a_session_without_room_says_how_much_there_is(
    stimuli: str, options: dict[str, Any], arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DesignError, match=sentence):
        plan_session(list(stimuli), SessionDesign(**options), seed=1, **arguments)
