"""Screening of people who rate unlike the others: flags with reasons, no deletion.

Each method returns a table with one row a rater, in the order of `Votes.raters`.
Two readings of ITU-R BT.500 are named because they reject different people:
``recommendation`` (BT.500-14 A1-2.3.1: SD with N - 1, shares of the stimuli the person
rated, unanimous stimuli say nothing) and ``reference`` (the ITU's reference code: SD
with N, shares of all stimuli times the most repeats, unanimous stimuli count on both
sides).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.stats.frame import Ratings, Votes, divide
from analysis.stats.ranks import ranks_within

MIN_RATED = 5  # fewer rated stimuli than this: a correlation gives no verdict
P913_THRESHOLD = 0.75  # VQEG's test plans; made for quality, taste may well disagree
# Equal to a bound up to rounding is equal: a lone dissenter among five sits exactly on
# mean + 2 SD, and the order of summation must not decide.
TIE = 1e-9


def bt500(votes: Votes, *, reading: str = "recommendation") -> pd.DataFrame:
    """BT.500 observer screening: p, q, stat1, stat2 (NaN for 0/0), rejected.

    Counts how often a rater lies at least 2 SD (√20 SD where the kurtosis β₂ is
    outside 2–4) above (p) and below (q) the mean; rejected when
    (p + q)/rated > 0.05 and |p - q|/(p + q) < 0.3. One pass; where it would reject
    everyone it rejects nobody.
    """
    if reading not in ("recommendation", "reference"):
        raise ValueError(f"BT.500 is read as recommendation or reference: {reading!r}")
    by_text = reading == "recommendation"
    n = votes.n_by_item
    mean = divide(votes.sum_by_item(votes.rating), n)
    deviation = votes.rating - mean[votes.item]
    squared = deviation**2
    m2 = divide(votes.sum_by_item(squared), n)
    kurtosis = divide(divide(votes.sum_by_item(squared**2), n), m2**2)
    factor = np.where((kurtosis > 2 - TIE) & (kurtosis < 4 + TIE), 2, np.sqrt(20))
    sd = np.sqrt(m2 * (divide(n, n - 1) if by_text else 1))
    bound = np.where((m2 == 0) & by_text, np.inf, factor * sd - TIE)[votes.item]
    p = votes.sum_by_rater(deviation >= bound)
    q = votes.sum_by_rater(deviation <= -bound)
    stat1 = divide(p + q, votes.n_by_rater if by_text else _all_trials(votes))
    stat2 = divide(np.abs(p - q), p + q)
    rejected = (stat1 > 0.05) & (stat2 < 0.3)  # NaN compares false: accepted
    return pd.DataFrame(
        {
            "p": p.astype(int),
            "q": q.astype(int),
            "stat1": stat1,
            "stat2": stat2,
            "rejected": rejected & (not rejected.all()),
        },
        index=votes.raters,
    )


def _all_trials(votes: Votes) -> int:
    cell = votes.rater * np.int64(votes.n_items) + votes.item
    repeats = np.unique(cell, return_counts=True)[1]
    return votes.n_items * int(repeats.max(initial=1))


def leave_one_out(votes: Votes) -> pd.DataFrame:
    """r_loo and rho_loo: the correlation with the mean of the others.

    The honest figure for small panels, where a rater's own share of the MOS lifts r.
    """
    n, total = votes.n_by_item, votes.sum_by_item(votes.rating)
    shared = votes.take(n[votes.item] > 1)
    others = (total[shared.item] - shared.rating) / (n[shared.item] - 1)
    return pd.DataFrame(
        {
            "r_loo": pearson_by_rater(shared, others),
            "rho_loo": spearman_by_rater(shared, others),
        },
        index=votes.raters,
    )


def pearson_by_rater(
    votes: Votes, other: np.ndarray, rating: np.ndarray | None = None
) -> np.ndarray:
    """Pearson's r of the rating with `other` (one value a vote) by rater."""
    n = votes.n_by_rater
    x, y = (
        values - divide(votes.sum_by_rater(values), n)[votes.rater]
        for values in (votes.rating if rating is None else rating, other)
    )
    xx, yy = votes.sum_by_rater(x * x), votes.sum_by_rater(y * y)
    # Rounding leaves a constant vector a variance of about 1e-32: that is none.
    varies = (xx > 1e-20) & (yy > 1e-20)
    product = np.sqrt(np.where(varies, xx, 0)) * np.sqrt(np.where(varies, yy, 0))
    return np.clip(divide(votes.sum_by_rater(x * y), product), -1, 1)


def spearman_by_rater(votes: Votes, other: np.ndarray) -> np.ndarray:
    """Spearman's ρ of the rating with `other` by rater, ties at their mean rank."""
    return pearson_by_rater(
        votes,
        ranks_within(other, votes.rater),
        ranks_within(votes.rating, votes.rater),
    )


def correlation_screen(votes: Votes, *, method: str = "pearson") -> pd.DataFrame:
    """The one-pass rule of BT.1788 and the reference code: r, threshold, rejected.

    r is `method` (pearson or spearman) with the MOS, the rater included; rejects
    r ≤ min(0.7, mean r - SD r), SD with N; nobody where that would be everybody.
    """
    mos = divide(votes.sum_by_item(votes.rating), votes.n_by_item)
    correlate = {"pearson": pearson_by_rater, "spearman": spearman_by_rater}[method]
    r = correlate(votes, mos[votes.item])
    known = r[~np.isnan(r)]
    threshold = min(0.7, known.mean() - known.std()) if len(known) else np.nan
    low = r <= threshold
    return pd.DataFrame(
        {"r": r, "threshold": threshold, "rejected": low & (not low.all())},
        index=votes.raters,
    )


def p913_correlation(
    votes: Votes, *, threshold: float = P913_THRESHOLD
) -> pd.DataFrame:
    """P.913 Annex A: discard the lowest r below `threshold`, one at a time.

    After each removal the MOS and every r are computed anew, the rater included in the
    MOS. Columns: r (at removal, or final), rejected, order (1 = first removed), and
    `undecided` where fewer than five stimuli were rated or r is undefined.
    """
    rejected = np.zeros(votes.n_raters, bool)
    order = np.full(votes.n_raters, np.nan)
    r_then = np.full(votes.n_raters, np.nan)
    n, few = votes.n_by_rater, votes.n_by_rater < MIN_RATED
    x = votes.rating - divide(votes.sum_by_rater(votes.rating), n)[votes.rater]
    xx = votes.sum_by_rater(x * x)
    n_item, total = votes.n_by_item.copy(), votes.sum_by_item(votes.rating)
    by_item, by_rater = votes.item.argsort(), votes.rater.argsort()
    item_at = np.append(0, np.cumsum(n_item))
    rater_at = np.append(0, np.cumsum(n))
    mos = divide(total, n_item)
    # Sums of the MOS over what each rater saw; a removal touches only its own items.
    seen = mos[votes.item]
    m, mm, xm = (votes.sum_by_rater(v) for v in (seen, seen**2, x * seen))
    while True:
        yy = mm - divide(m * m, n)
        varies = (xx > 1e-12) & (yy > 1e-12)
        r = np.where(varies, divide(xm, np.sqrt(np.where(varies, xx * yy, 1))), np.nan)
        judged = np.where(rejected | few | np.isnan(r), np.inf, r)
        worst = int(judged.argmin()) if len(judged) else -1
        if worst < 0 or judged[worst] >= threshold:
            break
        rejected[worst] = True
        order[worst], r_then[worst] = rejected.sum(), r[worst]
        own = by_rater[rater_at[worst] : rater_at[worst + 1]]
        np.subtract.at(total, votes.item[own], votes.rating[own])
        np.subtract.at(n_item, votes.item[own], 1)
        items = np.unique(votes.item[own])
        before = mos[items]
        mos[items] = divide(total[items], n_item[items])
        touched = by_item[_ranges(item_at[items], item_at[items + 1])]
        old = np.repeat(before, np.diff(item_at)[items])
        new = np.nan_to_num(mos[votes.item[touched]])
        rater = votes.rater[touched]
        m += np.bincount(rater, new - old, votes.n_raters)
        mm += np.bincount(rater, new**2 - old**2, votes.n_raters)
        xm += np.bincount(rater, x[touched] * (new - old), votes.n_raters)
    return pd.DataFrame(
        {
            "r": np.where(rejected, r_then, r),
            "rejected": rejected,
            "order": order,
            "undecided": ~rejected & (few | np.isnan(r)),
        },
        index=votes.raters,
    )


def _ranges(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The concatenation of range(start[k], stop[k])."""
    length = stop - start
    first = np.repeat(start - np.append(0, np.cumsum(length)[:-1]), length)
    return first + np.arange(length.sum())


def attention(ratings: Ratings, *, fast_ms: float = 600) -> pd.DataFrame:
    """Straight-lining, speed, catch trials and test–retest, one row a rater.

    longstring: longest run of equal ratings in presentation order (needs `trial`);
    irv: SD (N - 1) of the rater's ratings, NaN below two; share_modal; response times
    in ms; traps from rows of kind ``catch`` (`expected` or `passed` says what was
    right); retest_difference: mean |first - repeat|, kind ``repeat`` or repeated rows.
    """
    answers = ratings.answers
    n = answers.n_by_rater
    mean = divide(answers.sum_by_rater(answers.rating), n)
    deviation = answers.rating - mean[answers.rater]
    # Values that occur, not categories: a scale may have half points, or any.
    category, values = pd.factorize(answers.rating)
    width = len(values)
    counts = np.bincount(
        answers.rater * width + category, minlength=answers.n_raters * width
    ).reshape(answers.n_raters, width)
    table = pd.DataFrame(
        {
            "longstring": _longest_runs(ratings),
            "irv": np.sqrt(
                divide(answers.sum_by_rater(deviation**2), np.maximum(n - 1, 0))
            ),
            "share_modal": divide(counts.max(axis=1, initial=0), n),
        },
        index=answers.raters,
    )
    rows = ratings.rows[ratings.rows["rating"].notna()]
    if "response_ms" in rows:
        times = pd.to_numeric(rows["response_ms"], errors="coerce")
        fast = (times < fast_ms).where(times.notna()).astype(float)
        every = range(len(table))
        for name, by_rater in (
            ("median_response_ms", times.groupby(answers.rater).median()),
            ("share_fast", fast.groupby(answers.rater).mean()),
        ):
            table[name] = by_rater.reindex(every).to_numpy()
    else:
        table["median_response_ms"] = table["share_fast"] = np.nan
    return table.join(traps(ratings)).join(_retest(ratings))


def _longest_runs(ratings: Ratings) -> np.ndarray:
    if "trial" not in ratings.frame:
        return np.full(ratings.answers.n_raters, np.nan)
    answers = ratings.answers
    trial = pd.to_numeric(ratings.rows["trial"], errors="coerce").to_numpy(float)
    order = np.lexsort((trial[ratings.rows["rating"].notna()], answers.rater))
    rater, rating = answers.rater[order], answers.rating[order]
    starts = np.ones(len(order), bool)
    starts[1:] = (np.diff(rater) != 0) | (np.diff(rating) != 0)
    begin = np.flatnonzero(starts)
    longest = np.zeros(answers.n_raters)
    np.maximum.at(longest, rater[begin], np.diff(np.append(begin, len(order))))
    return np.where(longest > 0, longest, np.nan)


def traps(ratings: Ratings) -> pd.DataFrame:
    """traps_passed and traps_total; empty where no catch trial was shown."""
    frame = ratings.frame
    columns = ["traps_passed", "traps_total"]
    if "kind" not in frame or not {"expected", "passed"} & set(frame.columns):
        return pd.DataFrame(np.nan, ratings.answers.raters, columns)
    catch = frame[(frame["kind"] == "catch") & frame["rating"].notna()]
    passed = (
        catch["passed"].astype(bool)
        if "passed" in catch
        else catch["rating"] == pd.to_numeric(catch["expected"], errors="coerce")
    )
    counted = passed.groupby(catch["participant"], sort=False).agg(["sum", "size"])
    return counted.set_axis(columns, axis=1).reindex(ratings.answers.raters)


def _retest(ratings: Ratings) -> pd.DataFrame:
    first, again = retest_pairs(ratings)
    difference = (first - again).abs()
    return pd.DataFrame(
        {
            "retest_difference": difference.groupby(level="participant").mean(),
            "retest_n": difference.groupby(level="participant").size(),
        }
    ).reindex(ratings.answers.raters)


def retest_pairs(ratings: Ratings) -> tuple[pd.Series, pd.Series]:
    """First and second answer of every participant who saw a stimulus twice."""
    frame = ratings.frame
    if "kind" in frame:
        frame = frame[frame["kind"].isin(["rating", "repeat"])]
    answered_once = len(ratings.votes.rating) == len(ratings.answers.rating)
    if len(frame) == len(ratings.rows) and answered_once and ratings.repeats == "mean":
        frame = frame.iloc[:0]  # nobody saw anything twice: spare the search
    keys = ["participant", "stimulus", *({"question"} & set(frame.columns))]
    answered = frame[frame["rating"].notna()]
    answered = answered[answered.duplicated(keys, keep=False)]
    if "trial" in answered:
        answered = answered.sort_values("trial", kind="stable")
    time = answered.groupby(keys, sort=False).cumcount()
    first, again = (
        answered[time == k].set_index(keys)["rating"].sort_index() for k in (0, 1)
    )
    return first, again
