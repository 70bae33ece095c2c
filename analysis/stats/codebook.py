"""What every column of the report's files means: (type, unit, description).

What a factor of the lab's own renders means stands in `generation.engine.factors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from generation.engine.factors import FACTORS

SCORE = "rating points"
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
    "choice": ("text", "", "first, second or tie"),
    "ci_half_width": ("number", SCORE, "Half of ci_high - ci_low"),
    "ci_high": ("number", SCORE, "Upper end of the interval, not clipped to the scale"),
    "ci_level": ("number", SHARE, "Confidence level of every interval in the row"),
    "ci_low": ("number", SCORE, "Lower end of the interval, not clipped to the scale"),
    "ci_method": ("text", "", "How the interval was made"),
    "coefficients": ("text", "", "Coefficients of the mapping, joined by |"),
    "column": ("text", "", "Column of the refused cell"),
    "comparisons": ("number", "", "Comparisons it was part of"),
    "consensus": ("number", SHARE, "Tastle–Wierman: 1 unanimous, 0 split at the ends"),
    "content_loss": ("number", "", "Content loss of the finished render"),
    "d": ("integer", "", "Coefficients of the mapping (1 without)"),
    "device_class": ("text", "", "phone, tablet, desktop or unknown"),
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
    "excluded": ("boolean", "", "Left out of the tables of this report"),
    "exclusion_reason": ("text", "", "Why"),
    "displayed_scale": ("number", "", "CSS pixels per picture pixel, as far as known"),
    "instructed": ("boolean", "", "The page says which answer to give"),
    "passed": ("boolean", "", "The check was answered as expected"),
    "expected": ("text", "", "The answer that a catch trial asks for"),
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
    "is_reference": ("boolean", "", "The stimulus is the hidden reference (ACR-HR)"),
    "kind": (
        "text",
        "",
        "rating, training, catch or repeat; only rating counts in a MOS",
    ),
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
    "participant": ("text", "", "Pseudonym of the participant"),
    "pilot": ("boolean", "", "From the pilot: counts nowhere"),
    "planned": ("boolean", "", "Named in the pre-registration; else exploratory"),
    "plcc": ("number", "-1–1", "Pearson's r of mapped metric and MOS"),
    "plcc_high": ("number", "-1–1", "Upper end (Fisher's z)"),
    "plcc_low": ("number", "-1–1", "Lower end (Fisher's z)"),
    "prior": ("number", "", "Wins added each way to every pair of a group"),
    "q1": ("number", SCORE, "First quartile (type 7)"),
    "q3": ("number", SCORE, "Third quartile (type 7)"),
    "question": ("text", "", "Question that was rated"),
    "r_loo": ("number", "-1–1", "Pearson's r with the mean of the others"),
    "rank_biserial": ("number", "-1–1", "Matched rank-biserial correlation, no zeros"),
    "rank_biserial_high": ("number", "-1–1", "Upper end (Fisher's z)"),
    "rank_biserial_low": ("number", "-1–1", "Lower end (Fisher's z)"),
    "rated_at": ("text", "ISO 8601, UTC", "When the answer was stored"),
    "rating": ("number", SCORE, "The answer; empty: planned and not answered"),
    "reason": ("text", "", "Why the row was refused"),
    "recovery": ("text", "", "Recovery method of mos_recovered, bias, inconsistency"),
    "response_ms": ("integer", "ms", "From the picture being there to the answer"),
    "retest_difference": ("number", SCORE, "Mean |first - repeated rating|"),
    "retest_n": ("integer", "trials", "Repeated trials"),
    "rho_loo": ("number", "-1–1", "Spearman's ρ with the mean of the others"),
    "rmse": ("number", SCORE, "Root mean square error over N - d (P.1401 7.5.1)"),
    "rmse_star": ("number", SCORE, "The same beyond each interval only (7.7)"),
    "scale_max": ("number", SCORE, "Highest category of the scale"),
    "scale_min": ("number", SCORE, "Lowest category of the scale"),
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
    "second": ("text", "", "The second picture of a pair"),
    "seconds": ("number", "s", "When the answer was stored, since this person's start"),
    "share_fast": ("number", SHARE, "Share of answers under the speed threshold"),
    "share_modal": ("number", SHARE, "Share of the person's most frequent rating"),
    "side": ("text", "", "Where the first picture of a pair stood"),
    "simulated": ("boolean", "", "The participant is a program"),
    "srocc": ("number", "-1–1", "Spearman's ρ of raw metric and MOS"),
    "srocc_p": ("number", SHARE, "Its two-sided p"),
    "statistic": ("text", "", "Name of the statistic"),
    "stimulus": ("text", "", "Pseudonym of the stimulus"),
    "study": ("text", "", "Title of the study"),
    "study_version": ("integer", "", "Version of the study that the person saw"),
    "style_loss": ("number", "", "Style loss of the finished render"),
    "t": ("number", "", "Paired t"),
    "factor_kind": ("text", "", "Numeric (a slope), ordered or nominal (names)"),
    "term": ("text", "", "Term of the model, factor=level or a number"),
    "traps_passed": ("integer", "trials", "Catch trials answered as asked"),
    "traps_total": ("integer", "trials", "Catch trials answered"),
    "trial": ("integer", "", "Place of the trial in the person's session, from 1"),
    "tv_loss": ("number", "", "Total variation of the finished render"),
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
    meaning = COLUMNS.get(column)
    factor = FACTORS.get(column)
    if meaning is None and factor is not None and factor.column:
        meaning = factor.type_name, factor.unit, factor.description
    if meaning is None:
        for pattern, (kind, unit, text) in PATTERNS.items():
            match = re.fullmatch(pattern, column)
            if match:
                meaning = (kind, unit, text.format(**match.groupdict()))
                break
        else:
            meaning = ("text", "", "Factor of the study")
    return dict(zip(("type", "unit", "description"), meaning, strict=True))
