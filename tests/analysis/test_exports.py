from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest

from analysis.columns import RATINGS_LONG
from analysis.exports import csv_lines, ratings_rows
from survey.client import InProcess, take_part
from survey.methods import method_of
from survey.models import Participant, Rating, Study
from survey.participant.leaving import withdraw

pytestmark = pytest.mark.django_db


def people_answer(study: Study, *ratings: int, most_trials: int = 99) -> None:
    """One participant for each rating, who gives it to every picture."""
    for rating in ratings:
        take_part(
            InProcess("testserver"),
            study.get_absolute_url(),
            choose=lambda code, rating=rating: rating,  # type: ignore[misc]
            method=method_of(study),
            most_trials=most_trials,
        )


def exported(study: Study) -> list[dict[str, str]]:
    text = "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))
    return list(csv.DictReader(io.StringIO(text)))


def test_a_rating_is_traceable_to_the_parameters_of_its_picture(study: Study) -> None:
    people_answer(study, 4)
    rows = exported(study)
    assert [row["trial"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        stimulus = study.stimuli.get(code=row["stimulus"])
        assert stimulus.render is not None
        assert row["alpha"] == repr(stimulus.render.alpha)
        assert row["style_layers"] == "conv1_1|conv2_1|conv3_1|conv4_1|conv5_1"
        assert row["weights"] == "random:0"
        assert row["rated_at"].endswith("Z")
        assert (row["rating"], row["scale_min"], row["scale_max"]) == ("4", "1", "5")
        assert (row["simulated"], row["pilot"], row["excluded"]) == ("false",) * 3


def test_an_unanswered_trial_is_a_row_without_a_rating(study: Study) -> None:
    people_answer(study, 3, most_trials=1)
    assert [row["rating"] for row in exported(study)] == ["3", "", ""]


def test_who_withdrew_is_not_in_it(study: Study) -> None:
    people_answer(study, 3, 5)
    withdraw(Participant.objects.first())  # type: ignore[arg-type]
    assert {row["rating"] for row in exported(study)} == {"5"}


def test_no_token_and_no_key_of_the_database_is_in_it(study: Study) -> None:
    people_answer(study, 3)
    participant = Participant.objects.get()
    text = "".join(csv_lines(RATINGS_LONG, ratings_rows(study)))
    assert participant.code in text
    assert participant.token_sha256 not in text
    assert study.slug not in text


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_cannot_run_as_a_formula(
    make_study: Callable[..., Study], sign: str
) -> None:
    study = make_study(title=f"{sign}HYPERLINK(1)", pictures=1)
    people_answer(study, 3)
    lead = "\n" if sign == "\r" else sign
    assert exported(study)[0]["study"] == f"'{lead}HYPERLINK(1)"


def test_queries_do_not_grow_with_the_ratings(
    study: Study, django_assert_num_queries: Any
) -> None:
    people_answer(study, 1, 2, 3)
    with django_assert_num_queries(4):
        assert len(list(ratings_rows(study))) == 9
    assert Rating.objects.count() == 9
