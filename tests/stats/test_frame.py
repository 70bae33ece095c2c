from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats.frame import BrokenRatings, as_numbers, validate


def tidy(*rows: tuple, columns: str = "participant stimulus rating") -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=columns.split())


def test_it_reads_subject_as_participant() -> None:
    ratings = validate(tidy(("S1", "A", 4), columns="subject stimulus rating"))
    assert list(ratings.frame["participant"]) == ["S1"]


def test_it_says_which_column_is_absent() -> None:
    with pytest.raises(BrokenRatings, match="no column stimulus"):
        validate(tidy(("P1", 4), columns="participant rating"))


@pytest.mark.parametrize(
    ("rating", "reason"),
    [
        ("six", "rating is not a number"),
        (6, "rating is outside 1–5"),
        (0, "rating is outside 1–5"),
        (np.inf, "rating is outside 1–5"),
        (3.5, "rating is not a whole number"),
    ],
)
def test_it_refuses_a_bad_rating_with_its_line_and_reason(
    rating: object, reason: str
) -> None:
    frame = tidy(("P1", "A", 4), ("P2", "A", rating))
    frame.index = pd.Index([2, 3], name="line")
    ratings = validate(frame)
    assert ratings.refused.to_dict("records") == [
        {"line": 3, "column": "rating", "value": str(rating), "reason": reason}
    ]
    assert len(ratings.frame) == 1


def test_it_refuses_a_row_without_participant() -> None:
    ratings = validate(tidy(("", "A", 4), (None, "A", 4), ("P", "A", 4)))
    assert list(ratings.refused["reason"]) == ["participant is empty"] * 2


def test_it_keeps_a_missing_rating_as_planned_and_unanswered() -> None:
    ratings = validate(tidy(("P1", "A", np.nan), ("P2", "A", ""), ("P3", "A", "4")))
    assert ratings.refused.empty
    assert list(ratings.n_missing) == [2]
    assert list(ratings.votes.rating) == [4.0]


@pytest.mark.parametrize("column", ["simulated", "pilot", "excluded"])
def test_it_leaves_marked_rows_out_unless_asked(column: str) -> None:
    frame = tidy(("P1", "A", 4), ("P2", "A", 5)).assign(**{column: ["true", "false"]})
    ratings = validate(frame)
    assert list(ratings.frame["participant"]) == ["P2"]
    assert ratings.left_out == {column: 1}
    assert len(validate(frame, **{f"include_{column}": True}).frame) == 2


def test_it_counts_only_trials_of_kind_rating() -> None:
    frame = tidy(
        ("P1", "A", 4, "rating"),
        ("P1", "A", 1, "training"),
        ("P1", "A", 1, "catch"),
        columns="participant stimulus rating kind",
    )
    ratings = validate(frame)
    assert list(ratings.votes.rating) == [4.0]
    assert len(ratings.frame) == 3


def test_it_averages_repeats_by_default_and_counts_them_when_told() -> None:
    frame = tidy(("P1", "A", 4), ("P1", "A", 5), ("P2", "A", 1))
    assert list(validate(frame).votes.rating) == [4.5, 1.0]
    assert list(validate(frame, repeats="votes").votes.rating) == [4.0, 5.0, 1.0]


def test_it_accepts_a_table_without_rows() -> None:
    ratings = validate(tidy())
    assert ratings.votes.n_items == 0


def test_it_does_not_count_a_repeat_that_was_answered_once_as_missing() -> None:
    frame = tidy(("P1", "A", 4), ("P1", "A", np.nan))
    assert list(validate(frame).n_missing) == [0]
    assert list(validate(frame, repeats="votes").n_missing) == [1]


def test_it_takes_a_missing_kind_for_rating_and_refuses_an_unknown_one() -> None:
    frame = tidy(
        ("P1", "A", 4, None),
        ("P2", "A", 3, ""),
        ("P3", "A", 2, "rehearsal"),
        columns="participant stimulus rating kind",
    )
    ratings = validate(frame)
    assert list(ratings.votes.rating) == [4.0, 3.0]
    assert list(ratings.refused["reason"]) == [
        "kind is none of rating, training, catch, repeat"
    ]


def test_it_knows_participants_by_number_too() -> None:
    ratings = validate(tidy((1, 10, 4), (2, 10, 5), (1, 11, 3)))
    assert list(ratings.votes.raters) == [1, 2]
    assert list(ratings.votes.items) == [10, 11]


def test_it_refuses_rows_rated_on_another_scale() -> None:
    frame = tidy(("P1", "A", 4), ("P2", "A", 3)).assign(scale_max=[5, 7])
    ratings = validate(frame)
    assert list(ratings.refused["reason"]) == ["rated on another scale"]


def test_it_wants_booleans_that_are_booleans() -> None:
    frame = tidy(("P1", "A", 4), ("P2", "A", 3)).assign(pilot=["no", "perhaps"])
    assert list(validate(frame).refused["reason"]) == [
        "pilot is neither true nor false"
    ]


@pytest.mark.parametrize("options", [{"repeats": "last"}, {"scale": (5, 1)}])
def test_it_refuses_options_that_mean_nothing(options) -> None:
    with pytest.raises(ValueError, match=r"repeats is|no width"):
        validate(tidy(("P1", "A", 4)), **options)


def test_it_accepts_a_catch_trial_that_belongs_to_no_question() -> None:
    frame = tidy(
        ("P1", "A", 4, "rating", "style"),
        ("P1", "B", 4, "catch", None),
        ("P1", "A", 4, "rating", None),
        columns="participant stimulus rating kind question",
    )
    ratings = validate(frame)
    assert list(ratings.frame["kind"]) == ["rating", "catch"]
    assert list(ratings.refused["reason"]) == ["question is empty"]


def test_half_points_and_sliders_are_found_or_declared() -> None:
    halves = tidy(("P1", "A", 2.5), ("P2", "A", 4), ("P3", "A", 5))
    found = validate(halves, step=None)
    assert (found.step, len(found.frame)) == (0.5, 3)
    assert "steps of 0.5 (--step says otherwise)" in found.notes[0]
    slider = validate(
        tidy(("P1", "A", 33.371), ("P2", "A", 71.2)), scale=(0, 100), step=None
    )
    assert (slider.step, slider.refused.empty) == (0, True)
    declared = validate(halves, step=0.25)
    assert (declared.step, declared.notes) == (0.25, ())
    refused = validate(halves, step=1)
    assert list(refused.refused["reason"]) == ["rating is not a whole number"]


def test_a_few_values_between_points_are_slips_and_no_scale() -> None:
    rows = [(f"P{k}", "A", 2 + k % 4) for k in range(40)]
    ratings = validate(tidy(*rows, ("P40", "A", 2.5)), step=None)
    assert ratings.step == 1
    assert ratings.refusals() == ["rating is not a whole number: '2.5'."]
    assert ratings.unusable() == []
    assert "1 of 41 rows could not be used" in ratings.remarks[0]


def test_whole_ratings_are_on_a_scale_of_whole_points() -> None:
    assert validate(tidy(("P1", "A", 2), ("P2", "A", 4)), step=None).step == 1


@pytest.mark.parametrize("step", [-1, 5, float("nan")])
def test_a_step_fits_its_scale(step: float) -> None:
    with pytest.raises(ValueError, match="does not fit the scale"):
        validate(tidy(("P1", "A", 4)), step=step)


def test_the_scale_is_what_the_rows_state() -> None:
    frame = tidy(("P1", "A", 0), ("P2", "A", 9)).assign(scale_min=0, scale_max=10)
    ratings = validate(frame, scale=None)
    assert (ratings.scale_min, ratings.scale_max) == (0, 10)
    assert ratings.refused.empty
    assert validate(tidy(("P1", "A", 4)), scale=None).scale_max == 5


def test_a_scale_from_zero_is_never_read_as_one_from_one() -> None:
    """The zeros would be lost and all else one too low, however few the zeros are."""
    rows = [(f"P{k}", "A", 1 + k % 4) for k in range(99)]
    ratings = validate(tidy(*rows, ("P99", "A", 0)))
    assert ratings.share_refused == 0.01
    assert ratings.unusable() == [
        "The ratings look like a scale of 0–4, read as 1–5: say --scale 0-4."
    ]
    assert validate(tidy(*rows, ("P99", "A", 0)), scale=(0, 4)).unusable() == []
    one_slip = validate(tidy(*rows, ("P98", "A", 5), ("P99", "A", 0)))
    assert one_slip.unusable() == []


def test_too_many_refused_rows_are_no_basis() -> None:
    ratings = validate(tidy(("P1", "A", 40), ("P2", "A", 71), ("P3", "A", 3)))
    assert ratings.unusable() == [
        "2 of 3 rows cannot be used (67%; more than 5%).",
        "The ratings go from 3 to 71, and the scale is 1–5: say --scale LOW-HIGH.",
    ]


def test_labels_that_differ_in_capitals_or_spaces_are_noted() -> None:
    frame = tidy(("P1", "S1.png", 3), ("p1", "s1.PNG", 4), ("P2", "S 1.png", 5))
    participant, stimulus = validate(frame).remarks
    assert participant.startswith("'P1' and 'p1': each counts as a participant of its")
    assert stimulus.startswith("'S1.png' and 's1.PNG' and 'S 1.png': each counts as a")


def test_several_ratings_of_one_stimulus_are_said() -> None:
    frame = tidy(("P1", "A", 3), ("P1", "A", 5), ("P2", "A", 4), ("P2", "A", 4))
    assert validate(frame).remarks == [
        "For 2 pairs of a person and a stimulus there are several ratings, for 1 of "
        "them different ones (P1 on A: 3, 5); they were averaged."
    ]
    assert validate(frame.drop(index=[0, 3])).remarks == []


def test_numbers_of_a_column_are_those_that_are_written_as_one() -> None:
    texts = np.array(["1", "2_1", "nan", "", None, "1e3", "0,5"], object)
    np.testing.assert_array_equal(
        as_numbers(texts), [1, np.nan, np.nan, np.nan, np.nan, 1000, 0.5]
    )


def test_alpha_is_no_factor_where_a_balance_was_set() -> None:
    columns = "participant stimulus rating balance alpha"
    frame = tidy(
        ("P1", "A", 4, 0.1, 0.031), ("P1", "B", 2, 0.3, 0.074), columns=columns
    )
    assert list(validate(frame).factors) == ["balance"]
    frame.loc[1, ["balance", "alpha"]] = [None, 0.5]
    factors = validate(frame).factors
    assert list(factors["alpha"].isna()) == [True, False]
    assert list(factors["balance"].isna()) == [False, True]
