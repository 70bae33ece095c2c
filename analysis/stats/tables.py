"""Every table of a report, an entry each: how it is computed, what its columns mean.

A new table is an entry of TABLES. A new statistic of each stimulus is one of
`mos.OF_STIMULI`, and one of the whole panel one of `reliability.OF_PANELS`: they are
seen in their table and in the codebook.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from analysis.stats import (
    anova,
    contrasts,
    factors,
    mixed,
    mos,
    pairs,
    questions,
    raters,
    reliability,
)
from analysis.stats.case import (
    LARGE,
    RESAMPLES,
    Case,
    Options,
    rejected_by,
)
from analysis.stats.frame import Ratings, divide
from analysis.stats.meanings import SCORE, SHARE, Meaning
from analysis.stats.reliability import complete_block
from analysis.stats.rules import RULES, column_part

Answers = Literal["ratings", "choices"]


@dataclass(frozen=True)
class ReportTable:
    """A table of the report, a file of its own.

    | field | meaning |
    | --- | --- |
    | compute | the table of a case; None where this case has none. Left out: whoever
      knows more than the ratings adds it (`analysis.reports.compute`) |
    | columns | what they mean, those of COMMON and `analysis.columns` apart |
    | patterns | the same of columns that are as many as a scale or the rules have |
    | answers | what people must have given: ratings, or choices between two pictures |
    """

    compute: Callable[[Case], pd.DataFrame | None] | None = None
    columns: Mapping[str, Meaning] = field(default_factory=dict)
    patterns: Mapping[str, Meaning] = field(default_factory=dict)
    answers: Answers = "ratings"


# How they are computed --------------------------------------------------------


def mos_by_condition(case: Case) -> pd.DataFrame:
    """The pooled MOS of the levels asked for, else of every factor worth pooling."""
    ratings, options, by, notes = case.compared, case.options, case.by, case.notes
    chosen = by
    if not options.by:
        pooling = factors.worth_pooling(ratings)
        chosen = [name for name in pooling if name not in options.metrics]
    tables = [
        factors.by_factor(
            ratings,
            names.split(","),
            level=options.level,
            ci_method=options.condition_ci,
            resamples=options.resamples or RESAMPLES,
            seed=options.seed,
            differences=case.differences,
        )
        for names in chosen
    ]
    for names in chosen:
        notes += factors.imbalance(ratings, names.split(","))
    if not tables:
        return pd.DataFrame(columns=["n_ratings", "n_participants", "n_stimuli", "mos"])
    if case.kept.references:
        tables = [table.assign(is_reference=False) for table in tables]
        tables += references_by_condition(case, chosen)
    stacked = pd.concat(tables, ignore_index=True)
    first = list(dict.fromkeys(f for names in chosen for f in names.split(",")))
    return stacked[[*first, *stacked.columns.difference(first, sort=False)]]


def references_by_condition(case: Case, chosen: Sequence[str]) -> list[pd.DataFrame]:
    """The rows of the hidden references beside those of the levels: all of them, and
    those of each content where contents are pooled."""
    originals, options = case.kept.of_references, case.options
    if originals.votes.n_items == 0:
        return []
    by_content = "content" in chosen and "content" in originals.factors
    return [
        factors.by_factor(
            originals,
            names,
            level=options.level,
            ci_method=options.condition_ci,
            resamples=options.resamples or RESAMPLES,
            seed=options.seed,
        ).assign(is_reference=True)
        for names in ([], *([["content"]] if by_content else []))
    ]


def all_raters(case: Case) -> pd.DataFrame:
    """Everybody who rated, then those excluded by hand, compared with nobody."""
    models, options = case.recovered_of_all, case.options
    table = raters.raters_table(
        case.ratings,
        {q: named["chosen"] for q, named in models.items() if "chosen" in named},
        reading=options.bt500_reading,
        fast_ms=options.fast_ms,
    )
    names = table["participant"].astype(str)
    table["excluded"] = names.isin(list(case.rejected))
    table["exclusion_reason"] = names.map(case.rejected)
    by_hand = case.ratings.of_the_excluded()
    if by_hand.rows.empty:
        return table
    left = _excluded(by_hand, options)
    return pd.concat([table, left], ignore_index=True)


def _excluded(by_hand: Ratings, options: Options) -> pd.DataFrame:
    """Rows of `raters.csv` for those excluded by hand, with the reason."""
    table = raters.raters_table(by_hand, {}, fast_ms=options.fast_ms, compared=False)
    first = by_hand.frame.drop_duplicates("participant")
    reasons = first.get("exclusion_reason", [""] * len(first))
    said = dict(zip(first["participant"].astype(str), reasons, strict=True))
    table["excluded"] = True
    table["exclusion_reason"] = table["participant"].astype(str).map(said)
    return table


def compared_pairs(case: Case) -> pd.DataFrame:
    """Families: all stimuli, then the levels of every single factor asked for, then
    each stimulus against the hidden references of its content."""
    ratings, options, by, notes = case.compared, case.options, case.by, case.notes
    tables = []
    for question, votes in ratings.votes_by_question:
        families: list[tuple[str, np.ndarray, list[object], np.ndarray | None]] = []
        if votes.n_items * (votes.n_items - 1) // 2 <= contrasts.MAX_PAIRS:
            block = complete_block(votes)
            full = block.shape[1] == votes.n_items and min(block.shape) > 1
            nemenyi = contrasts.nemenyi(block) if full else None
            families.append(("stimulus", votes.matrix(), list(votes.items), nemenyi))
        else:
            notes.append(
                f"{votes.n_items} stimuli make more than {contrasts.MAX_PAIRS} pairs: "
                "contrasts.csv compares the levels of factors only."
            )
        for factor in (name for name in by if name in ratings.factors):
            matrix, levels = factors.level_matrix(votes, ratings, factor)
            families.append((factor, matrix, levels, None))
        for family, matrix, names, nemenyi in families:
            try:
                table = contrasts.contrasts(
                    matrix, names, level=options.level, family=family
                )
            except contrasts.TooManyPairs as refusal:
                notes.append(f"{family}: {refusal}")
                continue
            a, b = np.triu_indices(len(names), 1)
            table["p_nemenyi"] = np.nan if nemenyi is None else nemenyi[a, b]
            if question is not None:
                table.insert(0, "question", question)
            tables.append(table)
    tables += against_references(case)
    if not tables:
        return contrasts.contrasts(np.empty((0, 0)), [])
    return pd.concat(tables, ignore_index=True)


def with_question(stimuli: pd.Index, question: str | None) -> pd.Index:
    """The items of all questions that these stimuli are under one of them."""
    if question is None:
        return stimuli
    names = ["stimulus", "question"]
    return pd.MultiIndex.from_product([stimuli, [question]], names=names)


def against_references(case: Case) -> list[pd.DataFrame]:
    """Each stimulus against the hidden references of its content, by question: a family
    of its own, whose differences are DMOS less the top of the scale."""
    tables: list[pd.DataFrame] = []
    kept = case.kept
    if not kept.references:
        return tables
    every_group, every_mark = mos.reference_groups(kept)
    for question, votes in kept.votes_by_question:
        place = kept.votes.items.get_indexer(with_question(votes.items, question))
        group, refers = every_group[place], every_mark[place]
        pairs = [
            (int(a), int(b))
            for b in np.flatnonzero(refers)
            for a in np.flatnonzero(~refers & (group == group[b]))
        ]
        if not pairs:
            continue
        try:
            table = contrasts.contrasts(
                votes.matrix(),
                list(votes.items),
                pairs=sorted(pairs),
                level=case.options.level,
                family=contrasts.AGAINST_REFERENCES,
            )
        except contrasts.TooManyPairs as refusal:
            case.notes.append(f"{contrasts.AGAINST_REFERENCES}: {refusal}")
            continue
        table["p_nemenyi"] = np.nan
        if question is not None:
            table.insert(0, "question", question)
        tables.append(table)
    return tables


def agreement(case: Case) -> pd.DataFrame:
    """Every statistic of agreement, a row each."""
    options = case.options
    return reliability.reliability_table(
        case.kept, level=options.level, resamples=case.resamples, seed=options.seed
    )


def sensitivity(ratings: Ratings) -> pd.DataFrame:
    """MOS and n of every stimulus under every screening rule, side by side; DMOS too
    where references are hidden.

    P.913's rounds and Spearman's ranks are left out above 200,000 ratings.
    """
    tables = []
    differences = mos.differential(ratings) if ratings.references else None
    for question, votes in ratings.votes_by_question:
        table = votes.items.to_frame(index=False)
        if question is not None:
            table["question"] = question
        if differences is not None:
            stimuli = table["stimulus"].astype(str)
            table["is_reference"] = stimuli.isin(ratings.references)
            keys = with_question(votes.items, question)
            theirs = differences.items.get_indexer(keys)
        for screen, rule in RULES.items():
            if not rule.quick and len(votes.rating) > LARGE:
                continue
            rejected = rejected_by(votes, screen)
            kept = votes.take(~rejected[votes.rater])
            n = kept.n_by_item
            name = column_part(screen)
            table[f"n_{name}"] = n
            table[f"mos_{name}"] = divide(kept.sum_by_item(kept.rating), n)
            if differences is not None:
                out = differences.raters.isin(votes.raters[rejected])
                left = differences.take(~out[differences.rater])
                mean = divide(left.sum_by_item(left.rating), left.n_by_item)
                table[f"dmos_{name}"] = mean[theirs]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def factor_effects(case: Case) -> pd.DataFrame | None:
    """The terms of both mixed models, if a model was asked for."""
    if not case.model:
        return None
    effects, refused = mixed.factor_effects(
        case.compared, case.model, level=case.options.level
    )
    case.notes += refused
    return effects


def two_factors(case: Case) -> pd.DataFrame | None:
    """The ANOVA of the model's two factors, question by question."""
    if len(case.model) != 2:
        return None
    return _question_by_question(
        case.compared, lambda ratings: anova.anova_table(ratings, *case.model)
    )


def order_effects(case: Case) -> pd.DataFrame:
    """What order and time of day did to the answers to each question."""
    level = case.options.level
    return _question_by_question(
        case.kept, lambda ratings: factors.order_effects(ratings, level=level)
    )


def _question_by_question(
    ratings: Ratings, compute: Callable[[Ratings], pd.DataFrame]
) -> pd.DataFrame:
    """The tables of all questions, one below the other."""
    tables = []
    for question, asked in ratings.by_question:
        table = compute(asked)
        if question is not None:
            table.insert(0, "question", question)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def between_questions(case: Case) -> pd.DataFrame | None:
    """How far the questions measured the same, where there are several."""
    if len(case.compared.questions) < 2:
        return None
    return questions.correlations(
        case.compared,
        level=case.options.level,
        resamples=case.resamples,
        seed=case.options.seed,
    )


def pair_scale(case: Case) -> pd.DataFrame:
    """The scale that choices give, question by question; nobody is screened."""
    options = case.options
    scales = []
    rows = case.ratings.choices
    for question, part in rows.groupby("question", sort=False, observed=True):
        if options.exclude:
            part = part[~part["participant"].astype(str).isin(options.exclude)]
        try:
            table, remarks = pairs.scale_tables(
                part,
                resamples=RESAMPLES if options.resamples is None else options.resamples,
                seed=options.seed,
            )
        except pairs.NoComparisons as nothing:
            case.notes.append(f"{question}: {nothing}")
            continue
        table.insert(1, "question", str(question))
        scales.append(table)
        case.notes += remarks
    if not scales:
        return pd.DataFrame(columns=["stimulus", "question", "score"])
    return pd.concat(scales, ignore_index=True)


# What they are ----------------------------------------------------------------

# Columns that several tables have.
COMMON: dict[str, Meaning] = {
    "a": ("text", "", "First of the two compared; differences are a - b"),
    "b": ("text", "", "Second of the two compared"),
    "bootstrap_n": ("integer", "", "Bootstrap resamples behind the row"),
    "ci_high": ("number", SCORE, "Upper end of the interval, not clipped to the scale"),
    "ci_level": ("number", SHARE, "Confidence level of every interval in the row"),
    "ci_low": ("number", SCORE, "Lower end of the interval, not clipped to the scale"),
    "ci_method": ("text", "", "How the interval was made"),
    "df": ("number", "", "Degrees of freedom of t"),
    "effect": ("text", "", "position, fatigue, speed, time_of_day; or factors"),
    "estimate": ("number", SCORE, "Estimate (speed: log ms; CLMM: log odds)"),
    "flags": ("text", "", "Machine words joined by ;, explained in analysis.json"),
    "model": ("text", "", "lmm (rating points) or clmm (log odds, logit link)"),
    "mos": ("number", SCORE, "Mean opinion score"),
    "n": ("integer", "", "Ratings that count (participants, unless repeats=votes)"),
    "n_participants": ("integer", "people", "People behind the row"),
    "n_raters": ("integer", "people", "People behind the statistic"),
    "n_ratings": ("integer", "ratings", "Ratings behind the row"),
    "n_stimuli": ("integer", "stimuli", "Stimuli behind the row"),
    "p": ("number", SHARE, "Two-sided p of t (or z), not corrected"),
    "sd": ("number", SCORE, "Standard deviation (N - 1)"),
    "se": ("number", SCORE, "Standard error"),
    "value": ("text", "", "Value of the statistic, or the refused cell as it was"),
}

TABLES: dict[str, ReportTable] = {
    "mos_by_stimulus.csv": ReportTable(
        lambda case: case.mos_by_stimulus,
        columns={
            "ci_half_width": ("number", SCORE, "Half of ci_high - ci_low"),
            "median": ("number", SCORE, "Median"),
            "mode": ("text", SCORE, "Most frequent rating; several joined by |"),
            "mos_bias_removed": (
                "number",
                SCORE,
                "P.913 12.4: mean after removing biases",
            ),
            "mos_mle": (
                "number",
                SCORE,
                "P.910 maximum likelihood by alternating projection",
            ),
            "mos_mle_se": (
                "number",
                SCORE,
                "Its standard error from stimulus residuals",
            ),
            "mos_mle_se_raters": (
                "number",
                SCORE,
                "The other one, from raters' weights",
            ),
            "mos_recovered": (
                "number",
                SCORE,
                "Quality by the method named in `recovery`",
            ),
            "mos_recovered_se": ("number", SCORE, "Its standard error"),
            "n_missing": ("integer", "", "Planned and not answered"),
            "q1": ("number", SCORE, "First quartile (type 7)"),
            "q3": ("number", SCORE, "Third quartile (type 7)"),
            "recovery": (
                "text",
                "",
                "Recovery method of mos_recovered, bias, inconsistency",
            ),
            "screening": (
                "text",
                "",
                "Screening applied: none, bt500, p913, … or custom",
            ),
        },
    ),
    "mos_by_condition.csv": ReportTable(
        mos_by_condition,
        columns={
            "bootstrap_seed": ("integer", "", "Seed of the bootstrap"),
            "marginal_ci_high": ("number", SCORE, "Upper end of marginal_mos (t)"),
            "marginal_ci_low": ("number", SCORE, "Lower end of marginal_mos (t)"),
            "marginal_mos": (
                "number",
                SCORE,
                "Mean of the means of marginal_over's cells",
            ),
            "marginal_over": (
                "text",
                "",
                "Crossed factors whose combinations weigh the same",
            ),
            "marginal_se": (
                "number",
                SCORE,
                "SE of marginal_mos, clustered by participant",
            ),
            "se_clustered": (
                "number",
                SCORE,
                "Standard error clustered by participant",
            ),
        },
    ),
    "raters.csv": ReportTable(
        all_raters,
        columns={
            "bias": (
                "number",
                SCORE,
                "How far the person rates above the panel (recovery)",
            ),
            "bias_se": ("number", SCORE, "Standard error of bias"),
            "bt500_p": (
                "integer",
                "ratings",
                "Ratings far above the mean (BT.500's P)",
            ),
            "bt500_q": (
                "integer",
                "ratings",
                "Ratings far below the mean (BT.500's Q)",
            ),
            "bt500_stat1": ("number", SHARE, "(P + Q)/rated; over 0.05 and …"),
            "bt500_stat2": (
                "number",
                SHARE,
                "|P - Q|/(P + Q) under 0.3 rejects; empty for 0/0",
            ),
            "inconsistency": ("number", SCORE, "SD of the person's noise (recovery)"),
            "inconsistency_high": ("number", SCORE, "Upper end of the χ² interval"),
            "inconsistency_low": ("number", SCORE, "Lower end of the χ² interval"),
            "irv": ("number", SCORE, "SD (N - 1) of all the person's ratings"),
            "longstring": (
                "integer",
                "trials",
                "Longest run of equal ratings as presented",
            ),
            "mean": ("number", SCORE, "Mean of the person's ratings"),
            "median_response_ms": ("number", "ms", "Median response time"),
            "n_rated": ("integer", "stimuli", "Different stimuli rated"),
            "r_loo": ("number", "-1–1", "Pearson's r with the mean of the others"),
            "retest_difference": ("number", SCORE, "Mean |first - repeated rating|"),
            "retest_n": ("integer", "trials", "Repeated trials"),
            "rho_loo": ("number", "-1–1", "Spearman's ρ with the mean of the others"),
            "share_fast": (
                "number",
                SHARE,
                "Share of answers under the speed threshold",
            ),
            "share_modal": (
                "number",
                SHARE,
                "Share of the person's most frequent rating",
            ),
            "traps_passed": ("integer", "trials", "Catch trials answered as asked"),
            "traps_total": ("integer", "trials", "Catch trials answered"),
            "weight_share": ("number", SHARE, "Share of all weight in the likelihood"),
        },
    ),
    "contrasts.csv": ReportTable(
        compared_pairs,
        columns={
            "dominance": ("number", "-1–1", "Σ sign(difference)/n"),
            "dz": ("number", "SD", "Cohen's d_z: mean difference over its SD"),
            "dz_high": ("number", "SD", "Upper end of d_z (noncentral t)"),
            "dz_low": ("number", "SD", "Lower end of d_z (noncentral t)"),
            "family": ("text", "", "The family of comparisons that Holm corrects over"),
            "mean_diff": ("number", SCORE, "Mean of a - b over people who rated both"),
            "n_pairs": ("integer", "people", "People who rated both"),
            "p_holm": ("number", SHARE, "p after Holm over the family"),
            "p_nemenyi": (
                "number",
                SHARE,
                "Nemenyi's p after Friedman, complete raters only",
            ),
            "p_wilcoxon": ("number", SHARE, "Wilcoxon signed rank, zeros by Pratt"),
            "p_wilcoxon_holm": ("number", SHARE, "The same after Holm"),
            "planned": (
                "boolean",
                "",
                "Named in the pre-registration; else exploratory",
            ),
            "rank_biserial": (
                "number",
                "-1–1",
                "Matched rank-biserial correlation, no zeros",
            ),
            "rank_biserial_high": ("number", "-1–1", "Upper end (Fisher's z)"),
            "rank_biserial_low": ("number", "-1–1", "Lower end (Fisher's z)"),
            "sd_diff": ("number", SCORE, "SD (N - 1) of the differences"),
            "t": ("number", "", "Paired t"),
            "wilcoxon_w_plus": (
                "number",
                "",
                "Sum of Pratt ranks of positive differences",
            ),
        },
    ),
    "reliability.csv": ReportTable(
        agreement,
        columns={
            "note": ("text", "", "What the statistic rests on, or why it is empty"),
            "statistic": ("text", "", "Name of the statistic"),
        },
    ),
    "screening.csv": ReportTable(
        lambda case: sensitivity(case.ratings),
        patterns={
            r"n_(?P<name>\w+)": (
                "integer",
                "ratings",
                "Ratings left after {name} screening",
            ),
            r"mos_(?P<name>\w+)": ("number", SCORE, "MOS after {name} screening"),
            r"dmos_(?P<name>\w+)": ("number", SCORE, "DMOS after {name} screening"),
        },
    ),
    "question_correlations.csv": ReportTable(
        between_questions,
        columns={
            "people_high": ("number", "-1–1", "Upper end of that interval"),
            "people_low": (
                "number",
                "-1–1",
                "Lower end of the interval from resampling people (percentile)",
            ),
        },
    ),
    "order_effects.csv": ReportTable(
        order_effects,
        columns={
            "level": ("text", "", "Level of the effect"),
        },
    ),
    "metrics.csv": ReportTable(
        lambda case: case.judged_metrics[0] if case.measured else None,
        columns={
            "coefficients": ("text", "", "Coefficients of the mapping, joined by |"),
            "d": ("integer", "", "Coefficients of the mapping (1 without)"),
            "krocc": ("number", "-1–1", "Kendall's τ_b of raw metric and MOS"),
            "mapping": ("text", "", "Monotone mapping fitted before PLCC and errors"),
            "metric": ("text", "", "Objective metric"),
            "n_intervals": ("integer", "stimuli", "Stimuli whose MOS has an interval"),
            "outlier_ratio": (
                "number",
                SHARE,
                "Share of MOS off by more than their interval",
            ),
            "plcc": ("number", "-1–1", "Pearson's r of mapped metric and MOS"),
            "plcc_high": ("number", "-1–1", "Upper end (Fisher's z)"),
            "plcc_low": ("number", "-1–1", "Lower end (Fisher's z)"),
            "rmse": (
                "number",
                SCORE,
                "Root mean square error over N - d (P.1401 7.5.1)",
            ),
            "rmse_star": ("number", SCORE, "The same beyond each interval only (7.7)"),
            "srocc": ("number", "-1–1", "Spearman's ρ of raw metric and MOS"),
            "srocc_p": ("number", SHARE, "Its two-sided p"),
        },
    ),
    "metric_differences.csv": ReportTable(
        lambda case: case.judged_metrics[1] if case.measured else None,
        columns={
            "f_rmse": ("number", "", "F of the two RMSE² (P.1401 7.6.4)"),
            "p_outliers": (
                "number",
                SHARE,
                "p of the two outlier ratios (P.1401 7.6.2)",
            ),
            "p_outliers_holm": ("number", SHARE, "The same after Holm"),
            "p_plcc": ("number", SHARE, "p of the two PLCC as dependent (Meng et al.)"),
            "p_plcc_holm": ("number", SHARE, "The same after Holm"),
            "p_rmse": ("number", SHARE, "p of f_rmse, as if independent"),
            "p_rmse_holm": ("number", SHARE, "The same after Holm"),
            "z_outliers": ("number", "", "z of the two outlier ratios"),
            "z_plcc": ("number", "", "z of the two PLCC"),
        },
    ),
    "factor_effects.csv": ReportTable(
        factor_effects,
        columns={
            "chi2": ("number", "", "Likelihood ratio of leaving the factor out (ML)"),
            "factor_kind": (
                "text",
                "",
                "Numeric (a slope), ordered or nominal (names)",
            ),
            "term": ("text", "", "Term of the model, factor=level or a number"),
        },
    ),
    "anova.csv": ReportTable(
        two_factors,
        columns={
            "df1": ("integer", "", "Degrees of freedom of the effect"),
            "df2": ("integer", "", "Degrees of freedom of its error"),
            "f": ("number", "", "F of the effect against its interaction with raters"),
            "method": ("text", "", "rm_anova, or art: the same on aligned ranks"),
        },
    ),
    "refused.csv": ReportTable(
        lambda case: None if case.ratings.refused.empty else case.ratings.refused,
        columns={
            "column": ("text", "", "Column of the refused cell"),
            "line": ("integer", "", "Line in the file that was read"),
            "reason": ("text", "", "Why the row was refused"),
        },
    ),
    "planned_contrasts.csv": ReportTable(
        columns={
            "factor": ("text", "", "Factor whose levels a and b are compared"),
            "p_planned": (
                "number",
                SHARE,
                "The p that decides, as it was pre-registered",
            ),
        },
    ),
    "pair_scale.csv": ReportTable(
        pair_scale,
        columns={
            "comparisons": ("number", "", "Comparisons it was part of"),
            "estimator": (
                "text",
                "",
                "ml, firth (bias-reduced: ml is not finite) or prior",
            ),
            "group": ("integer", "", "Pictures that comparisons connect; a zero each"),
            "prior": ("number", "", "Wins added each way to every pair of a group"),
            "score": (
                "number",
                "log odds",
                "Score on the scale of the comparisons, centred by group",
            ),
            "se_bootstrap": (
                "number",
                "log odds",
                "Its standard error from resampling people",
            ),
            "wins": ("number", "", "Comparisons won, ties half each"),
        },
        answers="choices",
    ),
}
