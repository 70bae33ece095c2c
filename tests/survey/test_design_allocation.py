from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.allocation import difference, fill
from survey.design import DesignError, Tally, allocate, balanced_subset

NOW = datetime(2026, 1, 1, 12)
FREE_AFTER = timedelta(minutes=2)

silences = st.lists(st.integers(0, 300), max_size=4)
tables = st.lists(st.tuples(st.integers(0, 6), silences), min_size=1, max_size=12)


def tallies(table: list[tuple[int, list[int]]]) -> list[Tally[int]]:
    return [
        Tally(
            stimulus,
            completed,
            tuple(NOW - timedelta(seconds=seconds) for seconds in silent),
        )
        for stimulus, (completed, silent) in enumerate(table)
    ]


def loads(table: list[tuple[int, list[int]]]) -> list[int]:
    return [completed + sum(s < 120 for s in silent) for completed, silent in table]


@settings(deadline=None)
@given(st.integers(1, 14), st.data())
def test_subsets_have_no_doubles_and_differ_by_one_after_any_participant(
    n: int, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, n))
    seed = data.draw(st.integers(0, 2**62))
    given_out = Counter(dict.fromkeys(range(n), 0))
    for number in range(2 * n + 3):
        subset = balanced_subset(range(n), size, number=number, seed=seed)
        assert len(set(subset)) == size
        given_out.update(subset)
        assert max(given_out.values()) - min(given_out.values()) <= 1
    assert subset == balanced_subset(range(n), size, number=number, seed=seed)


def test_any_two_stimuli_come_together_about_equally_often() -> None:
    together: Counter[tuple[int, int]] = Counter()
    for number in range(2000):
        a, b, c = sorted(balanced_subset(range(7), 3, number=number, seed=4))
        together.update([(a, b), (a, c), (b, c)])
    # 2000 × 3 pairs over 21: mean 286, binomial SD 16.5; within five of them.
    assert len(together) == 21
    assert all(abs(count - 286) < 83 for count in together.values())


@pytest.mark.parametrize(("size", "number"), [(0, 0), (4, 0), (2, -1)])
def test_an_impossible_subset_is_refused(size: int, number: int) -> None:
    with pytest.raises(DesignError):
        balanced_subset("abc", size, number=number, seed=1)
    with pytest.raises(DesignError, match="'a' twice"):
        balanced_subset("aab", 1, number=0, seed=1)


@given(tables, st.integers(1, 12), st.integers(0, 2**62))
def test_nobody_left_out_is_less_full_than_one_given(
    table: list[tuple[int, list[int]]], size: int, seed: int
) -> None:
    full = loads(table)
    given_ones = allocate(
        tallies(table), size, now=NOW, free_after=FREE_AFTER, seed=seed
    )
    assert len(given_ones) == len(set(given_ones)) == min(size, len(table))
    left_out = set(range(len(table))) - set(given_ones)
    if left_out:
        assert max(full[s] for s in given_ones) <= min(full[s] for s in left_out)


@given(tables, st.integers(0, 2**62), st.sets(st.integers(0, 11)), st.integers(1, 8))
def test_seen_and_full_stimuli_are_left_out_and_the_seed_alone_decides(
    table: list[tuple[int, list[int]]], seed: int, seen: set[int], quota: int
) -> None:
    def given_ones() -> list[int]:
        return allocate(
            tallies(table),
            12,
            now=NOW,
            free_after=FREE_AFTER,
            seed=seed,
            seen=seen,
            quota=quota,
        )

    assert set(given_ones()) == {
        stimulus
        for stimulus, load in enumerate(loads(table))
        if stimulus not in seen and load < quota
    }
    assert given_ones() == given_ones()


def test_a_reservation_holds_until_its_time_is_over() -> None:
    since = (NOW - timedelta(minutes=2),)
    table = [Tally("kept", 1, since), Tally("other", 1)]

    def first(free_after: timedelta) -> set[str]:
        return {
            allocate(table, 1, now=NOW, free_after=free_after, seed=seed)[0]
            for seed in range(20)
        }

    assert first(timedelta(minutes=2, seconds=1)) == {"other"}
    assert first(timedelta(minutes=2)) == {"kept", "other"}


def test_of_equally_full_stimuli_the_promised_one_comes_before_the_rated_one() -> None:
    table = [Tally("rated", 2), Tally("promised", 1, (NOW,))]
    for seed in range(20):
        assert allocate(table, 1, now=NOW, free_after=FREE_AFTER, seed=seed) == [
            "promised"
        ]


def test_ties_are_drawn_evenly() -> None:
    draw = random.Random(2)
    table = [Tally(stimulus) for stimulus in "abcd"]
    first = Counter(
        allocate(table, 1, now=NOW, free_after=FREE_AFTER, seed=draw.getrandbits(62))[0]
        for _ in range(2000)
    )
    # Binomial(2000, 1/4): mean 500, SD 19.4; within five of them.
    assert all(abs(first[stimulus] - 500) < 97 for stimulus in "abcd")


def test_an_impossible_allocation_is_refused() -> None:
    moment = {"now": NOW, "free_after": FREE_AFTER, "seed": 1}
    with pytest.raises(DesignError, match="at least one stimulus"):
        allocate([Tally("a")], 0, **moment)  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="quota"):
        allocate([Tally("a")], 1, quota=0, **moment)  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="twice"):
        allocate([Tally("a"), Tally("a")], 1, **moment)  # type: ignore[arg-type]
    with pytest.raises(DesignError, match="-1 ratings"):
        Tally("a", -1)


@given(st.integers(2, 9), st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**62))
@settings(deadline=None)
def test_without_drop_outs_counts_never_differ_by_more_than_one(
    n: int, size: int, participants: int, seed: int
) -> None:
    size = min(size, n)
    counts = [0] * n
    for number in range(participants):
        table = [Tally(stimulus, count) for stimulus, count in enumerate(counts)]
        for stimulus in allocate(
            table, size, now=NOW, free_after=FREE_AFTER, seed=seed + number
        ):
            counts[stimulus] += 1
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_trial_by_trial_200_participants_with_drop_outs_end_within_two_votes(
    seed: int,
) -> None:
    votes = fill("allocate", n_stimuli=25, size=10, chunk=1, seed=seed)
    assert difference(votes) <= 2
    # About 0.7 × 10 + 0.3 × 4.5 answers each: nobody's were thrown away.
    assert 1500 < sum(map(len, votes)) < 1850
