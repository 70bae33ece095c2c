"""What every column of the report's files means: (type, unit, description).

What a column of the ratings means stands in `analysis.columns`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.columns import LOSSES, SCORE, every_column

SHARE = "0–1"

COLUMNS: dict[str, tuple[str, str, str]] = {
    "a": ("text", "", "First of the two compared; differences are a - b"),
    "b": ("text", "", "Second of the two compared"),
    "bias": ("number", SCORE, "How far the person rates above the panel (recovery)"),
    "bias_se": ("number", SCORE, "Standard error of bias"),
    "bootstrap_n": ("integer", "", "Bootstrap resamples behind the row"),
    "bootstrap_seed": ("integer", "", "Seed of the bootstrap"),
    "bt500_p": ("integer", "ratings", "Ratings far above the mean (BT.500's P)"),
    "bt500_q": ("integer", "ratings", "Ratings far below the mean (BT.500's Q)"),
    "bt500_stat1": ("number", SHARE, "(P + Q)/rated; over 0.05 and …"),
    "bt500_stat2": (
        "number",
        SHARE,
        "|P - Q|/(P + Q) under 0.3 rejects; empty for 0/0",
    ),
    "chi2": ("number", "", "Likelihood ratio of leaving the factor out (ML)"),
    "ci_half_width": ("number", SCORE, "Half of ci_high - ci_low"),
    "ci_high": ("number", SCORE, "Upper end of the interval, not clipped to the scale"),
    "ci_level": ("number", SHARE, "Confidence level of every interval in the row"),
    "ci_low": ("number", SCORE, "Lower end of the interval, not clipped to the scale"),
    "ci_method": ("text", "", "How the interval was made"),
    "coefficients": ("text", "", "Coefficients of the mapping, joined by |"),
    "column": ("text", "", "Column of the refused cell"),
    "comparisons": ("number", "", "Comparisons it was part of"),
    "consensus": ("number", SHARE, "Tastle–Wierman: 1 unanimous, 0 split at the ends"),
    "d": ("integer", "", "Coefficients of the mapping (1 without)"),
    "df": ("number", "", "Degrees of freedom of t"),
    "df1": ("integer", "", "Degrees of freedom of the effect"),
    "df2": ("integer", "", "Degrees of freedom of its error"),
    "dmos": ("number", SCORE, "Mean of own rating - own rating of the reference + top"),
    "dmos_ci_high": ("number", SCORE, "Upper end of the t interval of dmos"),
    "dmos_ci_low": ("number", SCORE, "Lower end of the t interval of dmos"),
    "dmos_n": ("integer", "people", "People who rated stimulus and reference"),
    "dominance": ("number", "-1–1", "Σ sign(difference)/n"),
    "dz": ("number", "SD", "Cohen's d_z: mean difference over its SD"),
    "dz_high": ("number", "SD", "Upper end of d_z (noncentral t)"),
    "dz_low": ("number", "SD", "Lower end of d_z (noncentral t)"),
    "effect": ("text", "", "position, fatigue, speed, time_of_day; or factors"),
    "estimate": ("number", SCORE, "Estimate (speed: log ms; CLMM: log odds)"),
    "estimator": ("text", "", "ml, firth (bias-reduced: ml is not finite) or prior"),
    "f": ("number", "", "F of the effect against its interaction with raters"),
    "f_rmse": ("number", "", "F of the two RMSE² (P.1401 7.6.4)"),
    "factor": ("text", "", "Factor whose levels a and b are compared"),
    "family": ("text", "", "The family of comparisons that Holm corrects over"),
    "flags": ("text", "", "Machine words joined by ;, explained in analysis.json"),
    "group": ("integer", "", "Pictures that comparisons connect; a zero each"),
    "inconsistency": ("number", SCORE, "SD of the person's noise (recovery)"),
    "inconsistency_high": ("number", SCORE, "Upper end of the χ² interval"),
    "inconsistency_low": ("number", SCORE, "Lower end of the χ² interval"),
    "irv": ("number", SCORE, "SD (N - 1) of all the person's ratings"),
    "krocc": ("number", "-1–1", "Kendall's τ_b of raw metric and MOS"),
    "level": ("text", "", "Level of the effect"),
    "line": ("integer", "", "Line in the file that was read"),
    "longstring": ("integer", "trials", "Longest run of equal ratings as presented"),
    "mapping": ("text", "", "Monotone mapping fitted before PLCC and errors"),
    "marginal_ci_high": ("number", SCORE, "Upper end of marginal_mos (t)"),
    "marginal_ci_low": ("number", SCORE, "Lower end of marginal_mos (t)"),
    "marginal_mos": ("number", SCORE, "Mean of the means of marginal_over's cells"),
    "marginal_over": ("text", "", "Crossed factors whose combinations weigh the same"),
    "marginal_se": ("number", SCORE, "SE of marginal_mos, clustered by participant"),
    "mean": ("number", SCORE, "Mean of the person's ratings"),
    "mean_diff": ("number", SCORE, "Mean of a - b over people who rated both"),
    "median": ("number", SCORE, "Median"),
    "median_response_ms": ("number", "ms", "Median response time"),
    "method": ("text", "", "rm_anova, or art: the same on aligned ranks"),
    "metric": ("text", "", "Objective metric"),
    "mode": ("text", SCORE, "Most frequent rating; several joined by |"),
    "model": ("text", "", "lmm (rating points) or clmm (log odds, logit link)"),
    "mos": ("number", SCORE, "Mean opinion score"),
    "mos_bias_removed": ("number", SCORE, "P.913 12.4: mean after removing biases"),
    "mos_mle": ("number", SCORE, "P.910 maximum likelihood by alternating projection"),
    "mos_mle_se": ("number", SCORE, "Its standard error from stimulus residuals"),
    "mos_mle_se_raters": ("number", SCORE, "The other one, from raters' weights"),
    "mos_recovered": ("number", SCORE, "Quality by the method named in `recovery`"),
    "mos_recovered_se": ("number", SCORE, "Its standard error"),
    "n": ("integer", "", "Ratings that count (participants, unless repeats=votes)"),
    "n_intervals": ("integer", "stimuli", "Stimuli whose MOS has an interval"),
    "n_missing": ("integer", "", "Planned and not answered"),
    "n_pairs": ("integer", "people", "People who rated both"),
    "n_participants": ("integer", "people", "People behind the row"),
    "n_rated": ("integer", "stimuli", "Different stimuli rated"),
    "n_raters": ("integer", "people", "People behind the statistic"),
    "n_ratings": ("integer", "ratings", "Ratings behind the row"),
    "n_stimuli": ("integer", "stimuli", "Stimuli behind the row"),
    "note": ("text", "", "What the statistic rests on, or why it is empty"),
    "outlier_ratio": ("number", SHARE, "Share of MOS off by more than their interval"),
    "p": ("number", SHARE, "Two-sided p of t (or z), not corrected"),
    "p_gob": ("number", SHARE, "Share of answers in the two best of five (%GoB)"),
    "p_gob_high": ("number", SHARE, "Upper end of its Wilson interval"),
    "p_gob_low": ("number", SHARE, "Lower end of its Wilson interval"),
    "p_holm": ("number", SHARE, "p after Holm over the family"),
    "p_nemenyi": ("number", SHARE, "Nemenyi's p after Friedman, complete raters only"),
    "p_outliers": ("number", SHARE, "p of the two outlier ratios (P.1401 7.6.2)"),
    "p_outliers_holm": ("number", SHARE, "The same after Holm"),
    "p_planned": ("number", SHARE, "The p that decides, as it was pre-registered"),
    "p_plcc": ("number", SHARE, "p of the two PLCC as dependent (Meng et al.)"),
    "p_plcc_holm": ("number", SHARE, "The same after Holm"),
    "p_pow": ("number", SHARE, "Share of answers in the two worst of five (%PoW)"),
    "p_pow_high": ("number", SHARE, "Upper end of its Wilson interval"),
    "p_pow_low": ("number", SHARE, "Lower end of its Wilson interval"),
    "p_rmse": ("number", SHARE, "p of f_rmse, as if independent"),
    "p_rmse_holm": ("number", SHARE, "The same after Holm"),
    "p_top_box": ("number", SHARE, "Share of answers in the best category"),
    "p_wilcoxon": ("number", SHARE, "Wilcoxon signed rank, zeros by Pratt"),
    "p_wilcoxon_holm": ("number", SHARE, "The same after Holm"),
    "planned": ("boolean", "", "Named in the pre-registration; else exploratory"),
    "plcc": ("number", "-1–1", "Pearson's r of mapped metric and MOS"),
    "plcc_high": ("number", "-1–1", "Upper end (Fisher's z)"),
    "plcc_low": ("number", "-1–1", "Lower end (Fisher's z)"),
    "prior": ("number", "", "Wins added each way to every pair of a group"),
    "q1": ("number", SCORE, "First quartile (type 7)"),
    "q3": ("number", SCORE, "Third quartile (type 7)"),
    "r_loo": ("number", "-1–1", "Pearson's r with the mean of the others"),
    "rank_biserial": ("number", "-1–1", "Matched rank-biserial correlation, no zeros"),
    "rank_biserial_high": ("number", "-1–1", "Upper end (Fisher's z)"),
    "rank_biserial_low": ("number", "-1–1", "Lower end (Fisher's z)"),
    "reason": ("text", "", "Why the row was refused"),
    "recovery": ("text", "", "Recovery method of mos_recovered, bias, inconsistency"),
    "retest_difference": ("number", SCORE, "Mean |first - repeated rating|"),
    "retest_n": ("integer", "trials", "Repeated trials"),
    "rho_loo": ("number", "-1–1", "Spearman's ρ with the mean of the others"),
    "rmse": ("number", SCORE, "Root mean square error over N - d (P.1401 7.5.1)"),
    "rmse_star": ("number", SCORE, "The same beyond each interval only (7.7)"),
    "score": (
        "number",
        "log odds",
        "Score on the scale of the comparisons, centred by group",
    ),
    "screening": ("text", "", "Screening applied: none, bt500, p913, … or custom"),
    "sd": ("number", SCORE, "Standard deviation (N - 1)"),
    "sd_diff": ("number", SCORE, "SD (N - 1) of the differences"),
    "se": ("number", SCORE, "Standard error"),
    "se_bootstrap": ("number", "log odds", "Its standard error from resampling people"),
    "se_clustered": ("number", SCORE, "Standard error clustered by participant"),
    "share_fast": ("number", SHARE, "Share of answers under the speed threshold"),
    "share_modal": ("number", SHARE, "Share of the person's most frequent rating"),
    "srocc": ("number", "-1–1", "Spearman's ρ of raw metric and MOS"),
    "srocc_p": ("number", SHARE, "Its two-sided p"),
    "statistic": ("text", "", "Name of the statistic"),
    "t": ("number", "", "Paired t"),
    "factor_kind": ("text", "", "Numeric (a slope), ordered or nominal (names)"),
    "term": ("text", "", "Term of the model, factor=level or a number"),
    "traps_passed": ("integer", "trials", "Catch trials answered as asked"),
    "traps_total": ("integer", "trials", "Catch trials answered"),
    "value": ("text", "", "Value of the statistic, or the refused cell as it was"),
    "weight_share": ("number", SHARE, "Share of all weight in the likelihood"),
    "wilcoxon_w_plus": ("number", "", "Sum of Pratt ranks of positive differences"),
    "wins": ("number", "", "Comparisons won, ties half each"),
    "z_outliers": ("number", "", "z of the two outlier ratios"),
    "z_plcc": ("number", "", "z of the two PLCC"),
}
PATTERNS = {
    r"n_-?\d+": ("integer", "ratings", "Ratings in this category of the scale"),
    r"n_(?P<name>\w+)": ("integer", "ratings", "Ratings left after {name} screening"),
    r"mos_(?P<name>\w+)": ("number", SCORE, "MOS after {name} screening"),
}


def codebook(files: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row for every column of every file; unknown columns are study factors."""
    return pd.DataFrame(
        [
            {"file": file, "column": column, **describe(str(column))}
            for file, columns in files.items()
            for column in columns
        ]
    )


def describe(column: str) -> dict[str, str]:
    """Type, unit and description of a column."""
    known = {it.name: it for it in every_column()} | LOSSES
    meaning = COLUMNS.get(column)
    if column in known:
        own = known[column]
        meaning = own.type, own.unit, own.meaning
    if meaning is None:
        for pattern, (kind, unit, text) in PATTERNS.items():
            match = re.fullmatch(pattern, column)
            if match:
                meaning = (kind, unit, text.format(**match.groupdict()))
                break
        else:
            meaning = ("text", "", "Factor of the study")
    return dict(zip(("type", "unit", "description"), meaning, strict=True))
