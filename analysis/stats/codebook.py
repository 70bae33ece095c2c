"""What every column of the report's files means: (type, unit, description)."""

from __future__ import annotations

import re

import pandas as pd

SCORE = "rating points"
SHARE = "0–1"

COLUMNS: dict[str, tuple[str, str, str]] = {
    "a": ("text", "", "First of the two compared; differences are a - b"),
    "alpha": ("number", "", "Content weight α of the render"),
    "b": ("text", "", "Second of the two compared"),
    "beta": ("number", "", "Style weight β of the render"),
    "bias": ("number", SCORE, "How far the person rates above the panel (recovery)"),
    "bias_se": ("number", SCORE, "Standard error of bias"),
    "bootstrap_n": ("integer", "", "Bootstrap resamples drawn"),
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
    "column": ("text", "", "Column of the refused cell"),
    "consensus": ("number", SHARE, "Tastle–Wierman: 1 unanimous, 0 split at the ends"),
    "content": ("text", "", "Content image"),
    "content_layer": ("text", "", "Layer of the content loss"),
    "df": ("number", "", "Degrees of freedom of t"),
    "dmos": ("number", SCORE, "Mean of own rating - own rating of the reference + top"),
    "dmos_ci_high": ("number", SCORE, "Upper end of the t interval of dmos"),
    "dmos_ci_low": ("number", SCORE, "Lower end of the t interval of dmos"),
    "dmos_n": ("integer", "people", "People who rated stimulus and reference"),
    "dominance": ("number", "-1–1", "Σ sign(difference)/n"),
    "dz": ("number", "SD", "Cohen's d_z: mean difference over its SD"),
    "dz_high": ("number", "SD", "Upper end of d_z (noncentral t)"),
    "dz_low": ("number", "SD", "Lower end of d_z (noncentral t)"),
    "effect": ("text", "", "position, fatigue, speed or time_of_day"),
    "estimate": ("number", SCORE, "Estimate (speed: log ms; CLMM: log odds)"),
    "evaluations": ("integer", "", "Function evaluations of the optimiser"),
    "excluded": ("boolean", "", "Left out of the tables of this report"),
    "exclusion_reason": ("text", "", "Why"),
    "family": ("text", "", "The family of comparisons that Holm corrects over"),
    "flags": ("text", "", "Machine words joined by ;, explained in analysis.json"),
    "inconsistency": ("number", SCORE, "SD of the person's noise (recovery)"),
    "inconsistency_high": ("number", SCORE, "Upper end of the χ² interval"),
    "inconsistency_low": ("number", SCORE, "Lower end of the χ² interval"),
    "irv": ("number", SCORE, "SD (N - 1) of all the person's ratings"),
    "level": ("text", "", "Level of the effect"),
    "line": ("integer", "", "Line in the file that was read"),
    "longstring": ("integer", "trials", "Longest run of equal ratings as presented"),
    "mean": ("number", SCORE, "Mean of the person's ratings"),
    "mean_diff": ("number", SCORE, "Mean of a - b over people who rated both"),
    "median": ("number", SCORE, "Median"),
    "median_response_ms": ("number", "ms", "Median response time"),
    "mode": ("text", SCORE, "Most frequent rating; several joined by |"),
    "model": ("text", "", "lmm (rating points) or clmm (log odds, logit link)"),
    "mos": ("number", SCORE, "Mean opinion score"),
    "mos_bias_removed": ("number", SCORE, "P.913 12.4: mean after removing biases"),
    "mos_mle": ("number", SCORE, "P.910 maximum likelihood by alternating projection"),
    "mos_mle_se": ("number", SCORE, "Its standard error from stimulus residuals"),
    "mos_recovered": ("number", SCORE, "Quality by the method named in `recovery`"),
    "mos_recovered_se": ("number", SCORE, "Its standard error"),
    "n": ("integer", "", "Ratings that count (participants, unless repeats=votes)"),
    "n_missing": ("integer", "", "Planned and not answered"),
    "n_pairs": ("integer", "people", "People who rated both"),
    "n_participants": ("integer", "people", "People behind the row"),
    "n_rated": ("integer", "stimuli", "Different stimuli rated"),
    "n_raters": ("integer", "people", "People behind the statistic"),
    "n_ratings": ("integer", "ratings", "Ratings behind the row"),
    "n_stimuli": ("integer", "stimuli", "Stimuli behind the row"),
    "network": ("text", "", "Network of the losses"),
    "note": ("text", "", "What the statistic rests on, or why it is empty"),
    "objective": ("text", "", "Objective of the render"),
    "p": ("number", SHARE, "Two-sided p of t (or z), not corrected"),
    "p_gob": ("number", SHARE, "Share of the two best categories (%GoB/100)"),
    "p_gob_high": ("number", SHARE, "Upper end of its Wilson interval"),
    "p_gob_low": ("number", SHARE, "Lower end of its Wilson interval"),
    "p_holm": ("number", SHARE, "p after Holm over the family"),
    "p_nemenyi": ("number", SHARE, "Nemenyi's p after Friedman, complete raters only"),
    "p_pow": ("number", SHARE, "Share of the two worst categories (%PoW/100)"),
    "p_pow_high": ("number", SHARE, "Upper end of its Wilson interval"),
    "p_pow_low": ("number", SHARE, "Lower end of its Wilson interval"),
    "p_top_box": ("number", SHARE, "Share of the best category"),
    "p_wilcoxon": ("number", SHARE, "Wilcoxon signed rank, zeros by Pratt"),
    "p_wilcoxon_holm": ("number", SHARE, "The same after Holm"),
    "participant": ("text", "", "Pseudonym of the participant"),
    "pooling": ("text", "", "Pooling of the network"),
    "q1": ("number", SCORE, "First quartile (type 7)"),
    "q3": ("number", SCORE, "Third quartile (type 7)"),
    "question": ("text", "", "Question that was rated"),
    "r_loo": ("number", "-1–1", "Pearson's r with the mean of the others"),
    "rank_biserial": ("number", "-1–1", "Matched rank-biserial correlation, no zeros"),
    "rank_biserial_high": ("number", "-1–1", "Upper end (Fisher's z)"),
    "rank_biserial_low": ("number", "-1–1", "Lower end (Fisher's z)"),
    "reason": ("text", "", "Why the row was refused"),
    "recovery": ("text", "", "Recovery method of mos_recovered, bias, inconsistency"),
    "retest_difference": ("number", SCORE, "Mean |first - repeated rating|"),
    "retest_n": ("integer", "trials", "Repeated trials"),
    "rho_loo": ("number", "-1–1", "Spearman's ρ with the mean of the others"),
    "screening": ("text", "", "Screening applied: none, bt500, p913, … or custom"),
    "sd": ("number", SCORE, "Standard deviation (N - 1)"),
    "sd_diff": ("number", SCORE, "SD (N - 1) of the differences"),
    "se": ("number", SCORE, "Standard error"),
    "se_clustered": ("number", SCORE, "Standard error clustered by participant"),
    "seed": ("integer", "", "Seed of the render"),
    "share_fast": ("number", SHARE, "Share of answers under the speed threshold"),
    "share_modal": ("number", SHARE, "Share of the person's most frequent rating"),
    "size": ("integer", "px", "Size of the render"),
    "start": ("text", "", "Starting image of the render"),
    "statistic": ("text", "", "Name of the statistic"),
    "stimulus": ("text", "", "Pseudonym of the stimulus"),
    "style": ("text", "", "Style image"),
    "style_layers": ("text", "", "Layers of the style loss, joined by |"),
    "t": ("number", "", "Paired t"),
    "term": ("text", "", "Term of the model, factor=level or a number"),
    "traps_passed": ("integer", "trials", "Catch trials answered as asked"),
    "traps_total": ("integer", "trials", "Catch trials answered"),
    "tv_weight": ("number", "", "Weight of the total variation"),
    "value": ("text", "", "Value of the statistic, or the refused cell as it was"),
    "weight_share": ("number", SHARE, "Share of all weight in the likelihood"),
    "weights": ("text", "", "Weights of the network"),
    "wilcoxon_w_plus": ("number", "", "Sum of Pratt ranks of positive differences"),
}
PATTERNS = {
    r"n_\d+": ("integer", "ratings", "Ratings in this category of the scale"),
    r"n_(?P<name>\w+)": ("integer", "ratings", "Ratings left after {name} screening"),
    r"mos_(?P<name>\w+)": ("number", SCORE, "MOS after {name} screening"),
}


def codebook(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for every column of every file; unknown columns are study factors."""
    return pd.DataFrame(
        [
            {"file": file, "column": column, **_describe(str(column))}
            for file, table in tables.items()
            for column in table.columns
        ]
    )


def _describe(column: str) -> dict[str, str]:
    meaning = COLUMNS.get(column)
    if meaning is None:
        for pattern, (kind, unit, text) in PATTERNS.items():
            match = re.fullmatch(pattern, column)
            if match:
                meaning = (kind, unit, text.format(**match.groupdict()))
                break
        else:
            meaning = ("text", "", "Factor of the study")
    return dict(zip(("type", "unit", "description"), meaning, strict=True))
