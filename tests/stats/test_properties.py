"""What must hold for any ratings at all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.stats import (
    contrasts,
    flags,
    grim,
    planning,
    recovery,
    reliability,
    screening,
)
from analysis.stats.frame import Ratings, Votes, validate
from analysis.stats.mos import mos_table

settings.register_profile("stats", deadline=None, max_examples=15, derandomize=True)
settings.load_profile("stats")

RATING = st.integers(1, 5)
ANSWER = st.one_of(RATING, st.none())


def frames(answer=ANSWER, people=(2, 7), stimuli=(2, 6)) -> st.SearchStrategy:
    """Tidy frames of a people × stimuli panel."""

    @st.composite
    def draw_frame(draw) -> pd.DataFrame:
        p = draw(st.integers(*people))
        s = draw(st.integers(*stimuli))
        cells = draw(st.lists(answer, min_size=p * s, max_size=p * s))
        return pd.DataFrame(
            {
                "participant": np.repeat([f"P{i}" for i in range(p)], s),
                "stimulus": np.tile([f"S{j}" for j in range(s)], p),
                "rating": pd.Series(cells, dtype=float),
            }
        )

    return draw_frame()


def by_stimulus(frame: pd.DataFrame, **options) -> pd.DataFrame:
    return mos_table(validate(frame, **options)).set_index("stimulus").sort_index()


def likelihood(frame: pd.DataFrame) -> pd.Series | None:
    votes = validate(frame).votes
    try:
        return pd.Series(recovery.p910(votes).quality, votes.items).sort_index()
    except recovery.NotIdentifiable:
        return None


@given(frames(), st.randoms(use_true_random=False))
def test_it_does_not_care_about_the_order_of_rows(frame, random) -> None:
    order = list(range(len(frame)))
    random.shuffle(order)
    shuffled = frame.iloc[order]
    pd.testing.assert_frame_equal(by_stimulus(frame), by_stimulus(shuffled))
    plain, other = (validate(f).votes for f in (frame, shuffled))
    for screen in (screening.bt500, screening.p913_correlation):
        a, b = (screen(v)["rejected"].sort_index() for v in (plain, other))
        pd.testing.assert_series_equal(a, b)
    assert reliability.krippendorff(plain).value == pytest.approx(
        reliability.krippendorff(other).value, nan_ok=True
    )


@given(frames())
def test_it_does_not_care_what_people_and_pictures_are_called(frame) -> None:
    renamed = frame.assign(
        participant=frame["participant"].map(lambda name: f"z{name[::-1]}"),
        stimulus=frame["stimulus"].map(lambda name: f"y{name[::-1]}"),
    )
    plain, other = mos_table(validate(frame)), mos_table(validate(renamed))
    pd.testing.assert_frame_equal(
        plain.drop(columns="stimulus"), other.drop(columns="stimulus")
    )
    a, b = (recovery.p913(validate(f).votes) for f in (frame, renamed))
    np.testing.assert_array_equal(a.bias, b.bias)


@given(frames())
def test_it_keeps_everything_within_its_bounds(frame) -> None:
    table = by_stimulus(frame)
    assert table["mos"].dropna().between(1, 5).all()
    assert (table["sd"].dropna() >= 0).all()
    assert (table["q1"].dropna() <= table["median"].dropna()).all()
    assert (table["median"].dropna() <= table["q3"].dropna()).all()
    for share in ("p_top_box", "p_gob", "p_pow", "consensus"):
        assert table[share].dropna().between(0, 1).all()
    for share in ("p_gob", "p_pow"):
        known = table[table["n"] > 0]
        assert (known[f"{share}_low"] <= known[share] + 1e-12).all()
        assert (known[f"{share}_high"] >= known[share] - 1e-12).all()
        assert known[[f"{share}_low", f"{share}_high"]].stack().between(0, 1).all()
    counts = table[[f"n_{k}" for k in range(1, 6)]]
    assert (counts.sum(axis=1) == table["n"]).all()
    assert (table["n"] + table["n_missing"] == frame["participant"].nunique()).all()
    assert set(";".join(table["flags"]).split(";")) <= {*flags.MOS, ""}


@given(frames())
def test_it_gives_an_interval_or_a_reason(frame) -> None:
    table = by_stimulus(frame)
    empty = table["ci_low"].isna()
    assert (empty == (table["flags"] != "")).all()
    held = table[~empty]
    assert (held["ci_low"] < held["mos"]).all()
    assert (held["mos"] < held["ci_high"]).all()


@given(frames())
def test_it_bounds_the_binomial_interval_by_the_scale(frame) -> None:
    table = mos_table(validate(frame), ci_method="binomial")
    held = table[table["ci_low"].notna()]
    assert held[["ci_low", "ci_high"]].stack().between(1, 5).all()
    assert (held["ci_low"] <= held["mos"]).all()
    assert (held["mos"] <= held["ci_high"]).all()


@given(frames())
def test_it_widens_the_interval_with_the_level(frame) -> None:
    ratings = validate(frame)
    half = [mos_table(ratings, level=q)["ci_half_width"] for q in (0.8, 0.95, 0.99)]
    known = half[0].notna()
    assert (half[0][known] < half[1][known]).all()
    assert (half[1][known] < half[2][known]).all()


@given(frames(), st.data())
def test_it_raises_a_mos_when_a_rating_rises(frame, data) -> None:
    below = frame.index[frame["rating"] < 5]
    assume(len(below))
    row = data.draw(st.sampled_from(list(below)))
    raised = frame.copy()
    raised.loc[row, "rating"] += 1
    before, after = by_stimulus(frame)["mos"], by_stimulus(raised)["mos"]
    stimulus = frame.loc[row, "stimulus"]
    assert after[stimulus] > before[stimulus]
    pd.testing.assert_series_equal(after.drop(stimulus), before.drop(stimulus))


@given(frames())
def test_it_does_not_change_when_every_answer_is_given_twice(frame) -> None:
    doubled = pd.concat([frame, frame], ignore_index=True)
    columns = ["n", "n_missing", "mos", "sd", "ci_low", "ci_high", "median", "p_gob"]
    pd.testing.assert_frame_equal(
        by_stimulus(frame)[columns], by_stimulus(doubled)[columns]
    )
    votes = by_stimulus(doubled, repeats="votes")
    assert (votes["n"] == 2 * by_stimulus(frame)["n"]).all()
    pd.testing.assert_series_equal(votes["mos"], by_stimulus(frame)["mos"])


@given(frames(RATING, people=(3, 8), stimuli=(4, 8)), st.floats(-3, 3), st.data())
def test_it_takes_a_shift_of_one_person_for_bias(frame, shift, data) -> None:
    votes = validate(frame).votes
    who = data.draw(st.integers(0, votes.n_raters - 1))
    moved = Votes(
        votes.rater,
        votes.item,
        votes.rating + shift * (votes.rater == who),
        votes.raters,
        votes.items,
    )
    share = shift / votes.n_raters
    a, b = recovery.p913(votes), recovery.p913(moved)
    expected = np.where(np.arange(votes.n_raters) == who, shift - share, -share)
    np.testing.assert_allclose(b.bias - a.bias, expected, atol=1e-9)
    np.testing.assert_allclose(b.quality - a.quality, share, atol=1e-9)
    try:
        a, b = recovery.p910(votes), recovery.p910(moved)
    except recovery.NotIdentifiable:
        return
    if not a.collapsed:  # a collapsed likelihood has several maxima
        np.testing.assert_allclose(b.quality - a.quality, share, atol=1e-5)
        np.testing.assert_allclose(b.inconsistency, a.inconsistency, atol=1e-5)


@given(frames())
def test_it_centres_biases_and_shares_out_all_weight(frame) -> None:
    votes = validate(frame).votes
    try:
        model = recovery.p910(votes)
    except recovery.NotIdentifiable:
        return
    assert np.nanmean(model.bias) == pytest.approx(0, abs=1e-9)
    assert np.nansum(model.weight_share) == pytest.approx(1)
    rated = votes.n_by_item > 0
    assert np.isfinite(model.quality[rated]).all()
    assert np.isnan(model.quality[~rated]).all()


@given(frames())
def test_it_never_rejects_everybody(frame) -> None:
    votes = validate(frame).votes
    for reading in ("recommendation", "reference"):
        assert not screening.bt500(votes, reading=reading)["rejected"].all()


@given(frames(RATING))
def test_it_finds_full_agreement_in_copies_of_one_person(frame) -> None:
    one = frame[frame["participant"] == "P0"]
    assume(one["rating"].nunique() > 1)
    copies = pd.concat([one.assign(participant=f"C{k}") for k in range(3)])
    votes = validate(copies).votes
    block = reliability.complete_block(votes)
    for metric in reliability.METRICS:
        assert reliability.krippendorff(votes, metric).value == pytest.approx(1)
    assert reliability.kendall_w(block).value == pytest.approx(1)
    assert [s.value for s in reliability.icc(block)] == pytest.approx([1] * 6)


@given(frames(RATING))
def test_it_keeps_agreement_at_most_one(frame) -> None:
    votes = validate(frame).votes
    block = reliability.complete_block(votes)
    values = [reliability.krippendorff(votes, m).value for m in reliability.METRICS]
    values += [s.value for s in reliability.icc(block) if s.statistic.endswith("_1")]
    values.append(reliability.kendall_w(block).value)
    assert all(np.isnan(v) or v <= 1 + 1e-12 for v in values)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), min_size=1, max_size=30))
def test_it_adjusts_p_upwards_and_in_order(p) -> None:
    p = np.array(p)
    adjusted = contrasts.holm(p)
    known = ~np.isnan(p)
    assert (np.isnan(adjusted) == ~known).all()
    assert (adjusted[known] >= p[known]).all()
    assert (adjusted[known] <= 1).all()
    order = np.argsort(p[known], kind="stable")
    assert (np.diff(adjusted[known][order]) >= 0).all()


@given(frames())
def test_it_compares_both_ways_with_opposite_signs(frame) -> None:
    votes = validate(frame).votes
    there, back = (
        contrasts.contrasts(votes.matrix(), range(votes.n_items), pairs=[pair])
        for pair in ((0, 1), (1, 0))
    )
    for column in ("mean_diff", "t", "dz", "rank_biserial", "dominance"):
        assert there[column][0] == pytest.approx(-back[column][0], nan_ok=True)
    for column in ("p", "p_wilcoxon"):
        assert there[column][0] == pytest.approx(back[column][0], nan_ok=True)


@given(
    st.lists(RATING, min_size=1, max_size=60),
    st.integers(0, 3),
    st.sampled_from(grim.CONVENTIONS),
)
def test_it_always_finds_a_mean_that_was_really_printed(ratings, decimals, how) -> None:
    from fractions import Fraction

    n, total = len(ratings), sum(ratings)
    mean = grim.printed(Fraction(total, n), decimals, how)
    assert total in grim.sums(mean, n, how, (1, 5))
    if n > 1:
        sd = float(np.std(ratings, ddof=1))
        text = grim.printed(Fraction(sd).limit_denominator(10**9), 2, how)
        assume(abs(sd * 100 % 1 - 0.5) > 1e-6 and sd * 100 % 1 > 1e-6)
        assert grim.sd_fits(text, total, n, how, (1, 5))


@given(st.floats(0.1, 2), st.floats(0.1, 1))
def test_it_plans_more_people_for_more_precision(sd, half) -> None:
    n = planning.n_for_half_width(sd, half)
    assert planning.n_for_half_width(sd, half / 2) >= n
    assert planning.n_for_half_width(2 * sd, half) >= n
    assert planning.n_for_difference(half, sd, comparisons=21) >= (
        planning.n_for_difference(half, sd)
    )


@given(frames())
def test_it_splits_by_question_as_if_asked_alone(frame) -> None:
    both = pd.concat([frame.assign(question=q) for q in ("style", "content")])
    ratings: Ratings = validate(both)
    alone = validate(frame).votes
    for _, votes in ratings.votes_by_question:
        np.testing.assert_array_equal(votes.rating, alone.rating)
        assert list(votes.items) == list(alone.items)
    table = mos_table(ratings)
    assert len(table) == 2 * alone.n_items
