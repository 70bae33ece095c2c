from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import NormalDist, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from survey.design import (
    DesignError,
    Precision,
    PrecisionGoal,
    Tally,
    VoteSums,
    allocate_widest,
    assess,
    half_width,
    student_t,
)

NOW = datetime(2026, 1, 1, 12)
votes_on_five = st.lists(st.integers(1, 5), min_size=2, max_size=60)


def sums(votes: list[int], stimulus: str = "a") -> VoteSums[str]:
    return VoteSums(stimulus, len(votes), sum(votes), sum(v * v for v in votes))


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95, 0.99, 0.999])
def test_students_t_agrees_with_scipy(level: float) -> None:
    for df in [*range(1, 60), 100, 255, 499, 500, 501, 502, 700, 5000, 10**6]:
        expected = stats.t.ppf((1 + level) / 2, df)
        assert student_t(level, df) == pytest.approx(expected, rel=1e-9), df


@given(votes_on_five, st.sampled_from([0.8, 0.95, 0.99]))
def test_a_half_width_is_students_t_times_the_standard_error(
    votes: list[int], level: float
) -> None:
    given_sums = sums(votes)
    found = half_width(given_sums.n, given_sums.total, given_sums.squares, level=level)
    if len(set(votes)) == 1:
        assert found is None
        return
    n = len(votes)
    t = stats.t.ppf((1 + level) / 2, n - 1)
    assert found == pytest.approx(t * stdev(votes) / math.sqrt(n), rel=1e-9)


@given(votes_on_five.filter(lambda votes: len(set(votes)) > 1), st.integers(2, 5))
def test_more_of_the_same_votes_narrow_the_interval_and_a_higher_level_widens_it(
    votes: list[int], times: int
) -> None:
    once, often = sums(votes), sums(votes * times)
    width = half_width(once.n, once.total, once.squares)
    narrower = half_width(often.n, often.total, often.squares)
    wider = half_width(once.n, once.total, once.squares, level=0.99)
    assert width is not None and narrower is not None and wider is not None
    assert narrower < width < wider


@given(votes_on_five, st.integers(1, 10**6))
def test_a_half_width_does_not_depend_on_where_the_scale_begins(
    votes: list[int], shift: int
) -> None:
    here, there = sums(votes), sums([vote + shift for vote in votes])
    assert half_width(here.n, here.total, here.squares) == half_width(
        there.n, there.total, there.squares
    )


def test_one_vote_or_none_has_no_interval() -> None:
    assert half_width(0, 0, 0) is None
    assert half_width(1, 4, 16) is None


@pytest.mark.parametrize(("n", "total", "squares"), [(3, 9, 26), (-1, 0, 0), (0, 1, 1)])
def test_sums_that_no_votes_can_have_are_refused(
    n: int, total: float, squares: float
) -> None:
    with pytest.raises(DesignError, match="the sum"):
        half_width(n, total, squares)


def test_votes_with_fractions_may_round_below_zero_spread() -> None:
    assert half_width(3, 0.1 * 3, 3 * 0.1**2) in (None, pytest.approx(0, abs=1e-7))


@pytest.mark.parametrize(
    "options",
    [
        {"half_width": 0},
        {"half_width": math.nan},
        {"half_width": 0.3, "level": 95},
        {"half_width": 0.3, "minimum": 14},
        {"half_width": 0.3, "step": 0},
        {"half_width": 0.3, "maximum": 10},
    ],
)
def test_a_goal_that_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(DesignError):
        PrecisionGoal(**options)  # type: ignore[arg-type]


@given(
    st.integers(0, 200),
    st.integers(15, 40),
    st.integers(1, 12),
    st.none() | st.integers(40, 90),
)
def test_looks_come_in_steps_from_the_minimum_to_the_maximum(
    n: int, minimum: int, step: int, maximum: int | None
) -> None:
    goal = PrecisionGoal(0.3, minimum=minimum, step=step, maximum=maximum)
    looks = [size for size in range(minimum, 300) if (size - minimum) % step == 0]
    if maximum is not None:
        looks = [size for size in looks if size < maximum] + [maximum]
    assert goal.look(n) == max([size for size in looks if size <= n], default=0)
    if maximum is None or n < maximum:
        assert goal.next_look(n) == min(size for size in looks if size > n)


def test_nothing_is_done_below_the_minimum_however_narrow() -> None:
    goal = PrecisionGoal(1.0)
    almost = assess(sums([3, 4] * 7), goal)
    assert (almost.done, almost.reason, almost.more) == (False, "few", 1)
    reached = assess(sums([3, 4] * 7 + [3]), goal)
    assert (reached.done, reached.reason, reached.more) == (True, "precise", 0)


def test_unanimous_votes_count_as_enough_and_say_so() -> None:
    goal = PrecisionGoal(0.2)
    assert assess(sums([5] * 15), goal) == Precision(
        "a", 15, None, True, "unanimous", 0
    )
    assert assess(sums([5] * 4), goal).more == 11
    assert assess(VoteSums("a", 0, 0, 0), goal).more == 15


def test_a_maximum_stops_what_will_never_be_precise() -> None:
    goal = PrecisionGoal(0.05, maximum=32)
    verdict = assess(sums([1, 5] * 15), goal)
    assert (verdict.done, verdict.more) == (False, 2)
    verdict = assess(sums([1, 5] * 16), goal)
    assert (verdict.done, verdict.reason) == (True, "maximum")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=15, max_size=40),
    st.sampled_from([0.1, 0.25, 0.4]),
)
def test_the_votes_still_expected_are_the_first_look_that_suffices(
    votes: list[int], target: float
) -> None:
    goal = PrecisionGoal(target)
    verdict = assess(sums(votes), goal)
    if verdict.done:
        assert verdict.more == 0
        return
    look = goal.next_look(len(votes))
    sd = stdev(votes)
    while stats.t.ppf(0.975, look - 1) * sd / math.sqrt(look) > target:
        look = goal.next_look(look)
    assert verdict.more == look - len(votes)


def test_the_half_widths_of_published_sample_sizes() -> None:
    # The smallest n with t S / √n ≤ h, as scipy finds it.
    for sd, target, n in [(0.8, 0.3, 30), (0.8, 0.25, 42), (1.0, 0.3, 46)]:
        assert student_t(0.95, n - 1) * sd / math.sqrt(n) <= target
        assert student_t(0.95, n - 2) * sd / math.sqrt(n - 1) > target


def test_the_widest_interval_is_asked_about_first_and_done_ones_never() -> None:
    looks = {
        "wide": sums([1, 3, 5] * 5, "wide"),
        "middling": sums([2, 3, 4] * 5, "middling"),
        "done": sums([3] * 14 + [4], "done"),
    }
    tallies = [Tally(name, 15) for name in ("done", "middling", "wide")]
    tallies.append(Tally("new", 3))

    def order(
        *more: Tally[str], size: int = 5, seen: tuple[str, ...] = ()
    ) -> list[str]:
        changed = {tally.stimulus: tally for tally in (*tallies, *more)}
        return allocate_widest(
            changed.values(),
            looks,
            size,
            goal=PrecisionGoal(0.3),
            now=NOW,
            free_after=timedelta(minutes=2),
            seed=1,
            seen=seen,
        )

    assert order() == ["new", "wide", "middling"]
    assert order(size=1) == ["new"]
    assert order(seen=("new",)) == ["wide", "middling"]
    # Sixty people are rating the wide one: what they bring will do for now.
    busy = Tally("wide", 15, (NOW,) * 60)
    assert order(busy) == ["new", "middling", "wide"]
    gone = Tally("wide", 15, (NOW - timedelta(minutes=2),) * 60)
    assert order(gone) == ["new", "wide", "middling"]


def chances(mean: float, sd: float) -> list[float]:
    """How often people answer 1 … 5 when they feel mean ± sd and round."""
    felt = NormalDist(mean, sd)
    edges = [0.0, *(felt.cdf(edge) for edge in (1.5, 2.5, 3.5, 4.5)), 1.0]
    return [high - low for low, high in pairwise(edges)]


def covered(
    mean: float, sd: float, goal: PrecisionGoal, studies: int, draw: random.Random
) -> int:
    """In how many studies the interval at the stop holds the true mean."""
    weights = chances(mean, sd)
    truth = sum(score * chance for score, chance in enumerate(weights, start=1))
    hits = 0
    for _ in range(studies):
        n = total = squares = 0
        verdict = None
        while verdict is None or not verdict.done:
            look = goal.next_look(n)
            for vote in draw.choices(range(1, 6), weights, k=look - n):
                total, squares = total + vote, squares + vote * vote
            n = look
            verdict = assess(VoteSums("a", n, total, squares), goal)
        width = verdict.half_width or 0.0
        hits += abs(total / n - truth) <= width
    return hits


def test_the_interval_at_the_stop_covers_almost_as_often_as_it_says() -> None:
    """95 % intervals, looks at 15, 20, … votes, 200 seeded studies of each panel.

    With 3,000 studies a panel they cover 93.8 % to 96.4 %. One panel's share of 200
    has a standard error of 1.6 points, the share of all of them one of 0.6.
    """
    draw = random.Random(20261122)
    panels = [
        (mean, sd, target)
        for mean, sd in [(3.0, 0.6), (3.0, 0.8), (3.2, 1.1), (4.2, 0.8)]
        for target in (0.25, 0.35)
    ]
    shares = [
        covered(mean, sd, PrecisionGoal(target), 200, draw) / 200
        for mean, sd, target in panels
    ]
    assert min(shares) > 0.89
    assert 0.93 < sum(shares) / len(shares) < 0.965


def test_near_the_ends_of_the_scale_the_interval_covers_less_often() -> None:
    """Looks cost more where most people say 1 or 5 and few dissent.

    With 3,000 studies 90.3 % at a latent mean of 1.3 and 92.9 % at 4.6; without
    looks, at a fixed 15 to 40 votes, Student's t covers 93 to 94 % and 95 % there.
    """
    draw = random.Random(20261122)
    for mean, sd in [(1.3, 0.8), (4.6, 0.7)]:
        share = covered(mean, sd, PrecisionGoal(0.25), 400, draw) / 400
        assert 0.86 < share < 0.95
