"""The words of `flags` columns, each with the sentence that pages explain it by.

No pandas here: the web process reads it.
"""

from __future__ import annotations

MOS = {
    "no_ratings": "Nobody has rated this stimulus: nothing can be computed.",
    "n_too_small": "One rating only: no SD and no interval.",
    "zero_variance": "All ratings are equal: SD 0; t, z, bootstrap give no interval.",
    "binomial_refused": (
        "The ratings spread more than a binomial (SOS a > 0.25): its bounded interval "
        "would be too narrow, so none is given."
    ),
    "repeats_averaged": (
        "Participants rated this stimulus more than once and their mean was taken: "
        "n, mean, SD and interval are of people; median, quartiles, mode, n_1 …, "
        "shares and consensus are of answers."
    ),
    "not_five_points": "The scale has not five points: no %GoB and no %PoW.",
}
RECOVERY = {
    "mle_collapsed": (
        "A rater carries more than half of the weight of the maximum likelihood, or is "
        "fitted perfectly: its scores are theirs, and an error that would be 0 is "
        "empty. Read the MOS, or shrink (ours)."
    ),
    "no_noise_left": "The recovery explains every rating of it: no error to be had.",
    "mle_refused": "The maximum likelihood was refused; analysis.json says why.",
}
FAST_MS = 600  # no look at a picture is shorter; set it from the pilot
RATERS = {
    "one_rating": "One rating only: no SD, no inconsistency, no error of the bias.",
    "few_ratings": "Fewer than five ratings: no verdict on agreement.",
    "constant": "Every rating is the same: a straight line, agreement is undefined.",
    "straight_line": "At least nine ratings in ten are the same.",
    "low_agreement": (
        "Correlates with the mean of the others by less than 0.75 (P.913's figure for "
        "quality; a taste of one's own does the same)."
    ),
    "bt500_rejected": "BT.500 would reject this person.",
    "fast": "More than half of the answers came faster than a look takes.",
    "traps_failed": "Missed at least one catch trial.",
    "dominates_mle": "The likelihood has collapsed onto this person.",
    "not_compared": (
        "Excluded by hand: in no other table, and not compared with the others."
    ),
}
CONTRASTS = {
    "too_few_pairs": "Fewer than two people rated both: no test.",
    "no_variation": "All differences are equal: the tests have nothing to work on.",
}
FACTORS = {
    "few_participants": "Fewer than ten participants: clustered intervals are rough.",
    "one_participant": "One participant only: no clustered interval.",
}

PAIRS = {
    "never_met": (
        "Comparisons do not connect all pictures: this score compares with those of "
        "the same group only."
    ),
    "never_compared": "Compared with no other picture: no score.",
    "bias_reduced": (
        "Pictures of its group never lost or never won: Firth's bias-reduced score."
    ),
    "one_person": "Compared by one person only: no error from resampling people.",
    "people_alike": "All resamples of people are alike: no error from them.",
    "few_resamples": (
        "Most resamples of people do not connect the group: no error from them."
    ),
}

MEANINGS: dict[str, str] = {
    **MOS,
    **RECOVERY,
    **RATERS,
    **CONTRASTS,
    **FACTORS,
    **PAIRS,
}
"""Sentence by word, of all tables."""


def sentences(cell: str) -> list[str]:
    """The sentences of a `flags` cell, words joined by ``;``.

    Raises KeyError for a word that nobody has explained.
    """
    return [MEANINGS[word] for word in cell.split(";") if word]
