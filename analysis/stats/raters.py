"""One row a participant: what they rated, how they lean, and why they were flagged."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.stats import screening
from analysis.stats.flags import FAST_MS
from analysis.stats.frame import Ratings, averaged, divide
from analysis.stats.mos import join_flags
from analysis.stats.ranks import without_dust
from analysis.stats.recovery import Recovered


def raters_table(
    ratings: Ratings,
    recovered: dict[str | None, Recovered],
    *,
    reading: str = "recommendation",
    fast_ms: float = FAST_MS,
    compared: bool = True,
) -> pd.DataFrame:
    """Participants by question, columns as `raters.csv`; flags never exclude anyone.

    `recovered` maps each question (None if one, unnamed) to the model whose bias and
    inconsistency are shown; a question it lacks has them empty. `reading` is BT.500's.
    People who are not `compared`, not being a panel, have their own figures only.
    """
    tables = []
    # A catch trial may belong to no question: whoever missed it missed it for all.
    traps = screening.traps(ratings)
    for (question, votes), (_, asked) in zip(
        ratings.votes_by_question, ratings.by_question, strict=True
    ):
        attention = screening.attention(asked, fast_ms=fast_ms)
        attention[list(traps)] = traps.reindex(attention.index)
        n = votes.n_by_rater
        mean = divide(votes.sum_by_rater(votes.rating), n)
        squares = votes.sum_by_rater((votes.rating - mean[votes.rater]) ** 2)
        bt500 = screening.bt500(votes, reading=reading)
        table = pd.DataFrame(
            {
                "n": n,
                "n_rated": n
                if ratings.repeats == "mean"
                else averaged(votes).n_by_rater,
                "mean": mean,
                "sd": without_dust(np.sqrt(divide(squares, np.maximum(n - 1, 0)))),
            },
            index=votes.raters,
        )
        model = recovered.get(question)
        for name in (
            "bias",
            "bias_se",
            "inconsistency",
            "inconsistency_low",
            "inconsistency_high",
            "weight_share",
        ):
            table[name] = np.nan if model is None else getattr(model, name)
        if model is not None:
            # Nothing is left of a perfect fit to estimate an error by.
            errors = ["bias_se", "inconsistency_low", "inconsistency_high"]
            table.loc[model.perfect, errors] = np.nan
        others = screening.leave_one_out(votes).join(
            bt500[["p", "q", "stat1", "stat2"]].add_prefix("bt500_")
        )
        table = table.join(others if compared else others.astype(float) * np.nan)
        table = table.join(attention)
        constant = (n > 1) & (table["sd"] == 0)
        table["flags"] = join_flags(
            {
                "one_rating": n == 1,
                "few_ratings": n < screening.MIN_RATED,
                "constant": constant,
                "straight_line": (n >= 10) & (table["share_modal"] >= 0.9) & ~constant,
                "low_agreement": (n >= screening.MIN_RATED)
                & (table["r_loo"] < screening.P913_THRESHOLD),
                "bt500_rejected": bt500["rejected"] & compared,
                "fast": table["share_fast"] > 0.5,
                "traps_failed": table["traps_passed"] < table["traps_total"],
                "dominates_mle": np.zeros(len(n), bool)
                if model is None
                else model.dominant,
                "not_compared": np.full(len(n), not compared),
            }
        )
        if question is not None:
            table.insert(0, "question", question)
        tables.append(table.reset_index())
    return pd.concat(tables, ignore_index=True)
