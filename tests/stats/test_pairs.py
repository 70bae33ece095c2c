from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from analysis.stats import pairs
from analysis.stats.__main__ import main
from analysis.stats.frame import BrokenRatings, validate


@pytest.fixture
def wins(panel):
    return pairs.wins_from_ratings(validate(panel).votes)


@pytest.fixture
def items(panel):
    return validate(panel).votes.items


def test_it_counts_wins_within_people(wins, vectors) -> None:
    np.testing.assert_array_equal(wins.sum(axis=0), vectors["bt.win_matrix"])


@pytest.mark.parametrize(
    ("model", "vector", "tolerance"),
    [
        ("bradley_terry", "bt.bradley_terry", 1e-4),
        ("thurstone", "bt.thurstone_v", 1e-5),
    ],
)
def test_it_equals_choix_and_r(model, vector, tolerance, wins, items, vectors) -> None:
    scale = pairs.fit(wins, items, model=model)
    expected = vectors[vector]
    ours = dict(zip(scale.items, scale.score, strict=True))
    assert ours == pytest.approx(expected, rel=tolerance)
    assert scale.score.mean() == pytest.approx(0, abs=1e-12)


def test_it_equals_the_textbook_example(rating_sets) -> None:
    case = json.loads((rating_sets / "small_expected_cases.json").read_text())
    case = case["bradley_terry_wikipedia"]
    names = pd.Index(list("ABCD"))
    wins = np.zeros((4, 4))
    for winner, loser, count in case["games"]:
        wins[names.get_loc(winner), names.get_loc(loser)] = count
    score = pairs.fit(wins, names).score
    expected = case["expected_power_scores_geometric_mean_1"]
    assert np.exp(score) == pytest.approx([expected[n] for n in names], rel=1e-2)


def test_it_takes_the_closed_form_for_two_items() -> None:
    wins = np.array([[0.0, 30], [10, 0]])
    scale = pairs.fit(wins, pd.Index(list("ab")))
    assert scale.score[0] - scale.score[1] == pytest.approx(np.log(3))
    # Information of a difference of log odds is n p (1 - p); centring halves the SE.
    assert scale.se == pytest.approx([1 / np.sqrt(40 * 0.75 * 0.25) / 2] * 2)


def test_it_refuses_an_unbeaten_item_and_accepts_a_declared_prior() -> None:
    wins = np.array([[0.0, 5, 5], [0, 0, 3], [0, 2, 0]])
    names = pd.Index(["best", "b", "c"])
    with pytest.raises(pairs.Disconnected, match=r"one is best.*declare a prior"):
        pairs.fit(wins, names)
    scale = pairs.fit(wins, names, prior=0.1)
    assert np.isfinite(scale.score).all()
    assert scale.table()["prior"].tolist() == [0.1] * 3
    assert scale.table()["stimulus"][0] == "best"


def test_it_reads_choices_by_name_or_side() -> None:
    frame = pd.DataFrame(
        [
            ("P", "a", "b", "a"),
            ("P", "a", "b", "second"),
            ("Q", "b", "a", "tie"),
            ("Q", "b", "a", None),
        ],
        columns=["participant", "stimulus", "second", "choice"],
    )
    wins, items = pairs.wins_from_choices(frame)
    assert list(items) == ["a", "b"]
    assert wins.sum(axis=0).tolist() == [[0, 1.5], [1.5, 0]]


def test_it_says_which_choice_it_cannot_read() -> None:
    frame = pd.DataFrame(
        [("P", "a", "b", "c")],
        columns=["participant", "stimulus", "second", "choice"],
        index=pd.Index([2], name="line"),
    )
    with pytest.raises(BrokenRatings, match="Line 2: 'c' is no choice between 'a'"):
        pairs.wins_from_choices(frame)


def test_it_widens_errors_when_people_are_the_unit(wins, items) -> None:
    first, again = (pairs.fit(wins, items, resamples=200) for _ in range(2))
    np.testing.assert_array_equal(first.se_bootstrap, again.se_bootstrap)
    assert first.se_bootstrap.mean() > first.se.mean()


def test_it_recovers_a_known_scale() -> None:
    rng = np.random.default_rng(5)
    truth = np.linspace(-1.5, 1.5, 6)
    p = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    upper = np.triu(rng.binomial(2000, p), 1)
    wins = (upper + np.triu(2000 - upper, 1).T).astype(float)
    scale = pairs.fit(wins, pd.RangeIndex(6))
    assert np.abs(scale.score - truth).max() < 4 * scale.se.max()


def test_it_writes_a_scale_from_the_command_line(vectors_dir, tmp_path) -> None:
    path = str(vectors_dir / "vectors_ratings.csv")
    out = tmp_path / "scale.csv"
    assert main(["pairs", path, "--resamples", "50", "--out", str(out)]) == 0
    assert pd.read_csv(out)["stimulus"][0] == "S05"


def half_wins(choices: list[tuple[str, str]], names: str) -> np.ndarray:
    """Items × items from (winner, loser)."""
    wins = np.zeros((len(names), len(names)))
    for winner, loser in choices:
        wins[names.index(winner), names.index(loser)] += 1
    return wins


@pytest.mark.parametrize("won", [0, 3, 7])
def test_firths_estimate_of_two_is_a_half_more_for_each(won) -> None:
    """For one log odds Jeffreys' prior is a half on either side (Firth 1993, 3.3)."""
    wins = np.array([[0.0, won], [7 - won, 0]])
    scale = pairs.fit(wins, pd.Index(["a", "b"]), estimator="firth")
    expected = np.log((won + 0.5) / (7 - won + 0.5))
    assert scale.difference("a", "b") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("model", "cdf", "density"),
    [
        ("bradley_terry", stats.logistic.cdf, stats.logistic.pdf),
        ("thurstone", stats.norm.cdf, stats.norm.pdf),
    ],
)
def test_firths_estimate_maximises_the_penalised_likelihood(
    model, cdf, density
) -> None:
    """a never lost and e never won: maximised by simplex, from the definition."""
    choices = [*zip("aaabbccd", "bcebcdee", strict=True), ("c", "b"), ("d", "b")]
    wins = half_wins(choices, "abcde")
    rows = np.array([np.eye(5)[i] - np.eye(5)[j] for i in range(5) for j in range(5)])

    def penalised(free: np.ndarray) -> float:
        score = np.append(free, -free.sum())
        d = rows @ score
        n = (wins + wins.T).ravel() / 2  # every pair stands there twice
        weight = n * density(d) ** 2 / (cdf(d) * cdf(-d))
        information = (rows[:, :4].T * weight) @ rows[:, :4]
        loglik = (wins.ravel() * np.log(cdf(d))).sum()
        return -loglik - np.linalg.slogdet(information)[1] / 2

    best = optimize.minimize(
        penalised,
        np.zeros(4),
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 9999, "maxfev": 9999},
    ).x
    # d log|X'WX| does not ask which four of the five are free.
    scale = pairs.fit(wins, pd.Index(list("abcde")), model=model, estimator="auto")
    assert set(scale.estimator) == {"firth"}
    assert scale.score == pytest.approx(np.append(best, -best.sum()), abs=1e-5)
    assert "bias_reduced" in scale.table()["flags"][0]


@pytest.mark.parametrize(
    ("pictures", "each", "studies"),
    [(10, 20, 60), (40, 20, 15), (100, 20, 5), (40, 6, 15), (100, 6, 4)],
)
def test_scores_are_not_drawn_together(pictures, each, studies) -> None:
    """The slope of estimated on true abilities, with few comparisons a picture.

    Firth's is near 1; the maximum likelihood, where it is finite, a little above.
    """
    rng = np.random.default_rng(pictures + each)
    slopes = []
    for _ in range(studies):
        truth = rng.normal(0, 1, pictures)
        truth -= truth.mean()
        a = np.repeat(np.arange(pictures), each // 2)
        b = (a + rng.integers(1, pictures, len(a))) % pictures
        first = rng.random(len(a)) < special.expit(truth[a] - truth[b])
        wins = np.zeros((pictures, pictures))
        np.add.at(wins, (np.where(first, a, b), np.where(first, b, a)), 1)
        scales = [
            pairs.fit(wins, pd.RangeIndex(pictures), estimator=estimator)
            for estimator in ("firth", "auto")
        ]
        if scales[0].group.max() == 1:
            slopes.append([it.score @ truth / (truth @ truth) for it in scales])
    assert len(slopes) > studies / 2
    firth, automatic = np.mean(slopes, axis=0)
    assert 0.9 < firth < 1.1
    assert 0.9 < automatic < 1.2


def test_groups_that_never_met_have_a_zero_each() -> None:
    choices = [("a", "b"), ("b", "a"), ("a", "b"), ("x", "y"), ("y", "x"), ("x", "z")]
    wins = half_wins(choices, "abxyzl")
    scale = pairs.fit(wins, pd.Index(list("abxyzl")), estimator="auto")
    table = scale.table().set_index("stimulus")
    assert table.loc[list("ab"), "group"].nunique() == 1
    assert table.loc[list("xyz"), "group"].nunique() == 1
    assert table["group"].nunique() == 3
    for group in (list("ab"), list("xyz")):
        assert table.loc[group, "score"].sum() == pytest.approx(0, abs=1e-9)
        assert table.loc[group, "flags"].str.contains("never_met").all()
    assert scale.difference("a", "b") == pytest.approx(np.log(2))
    assert np.isnan(scale.difference("a", "x"))
    assert (table.loc["a", "estimator"], table.loc["x", "estimator"]) == ("ml", "firth")
    assert np.isnan(table.loc["l", ["score", "se"]].astype(float)).all()
    assert table.loc["l", "flags"] == "never_compared"
    # Alone they have the same places: one group says nothing about the other.
    alone = pairs.fit(wins[:2, :2], pd.Index(list("ab")))
    assert table.loc["a", "se"] == pytest.approx(alone.se[0])
    first = pairs.remarks(scale)[0]
    assert first.startswith("The comparisons leave 3 groups that never met (one is l)")
    declared = pairs.fit(wins, pd.Index(list("abxyzl")), prior=0.5)
    assert np.isnan(declared.difference("a", "x"))


def test_resamples_of_a_separated_scale_are_finite() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        [
            (f"P{p}", a, b, "first" if rng.random() < 0.8 else "second")
            for p in range(12)
            for a, b in ("bc", "cd", "bd")
        ]
        + [(f"P{p}", "a", b, "first") for p in range(12) for b in "bcd"],
        columns=["participant", "stimulus", "second", "choice"],
    )
    table, notes = pairs.scale_tables(frame, resamples=60)
    assert table["stimulus"][0] == "a"
    assert (table["estimator"] == "firth").all()
    numbers = table[["score", "se", "se_bootstrap"]]
    assert np.isfinite(numbers).all(axis=None) and numbers.abs().max(axis=None) < 10
    assert notes == [note for note in notes if "Firth" in note] != []
    one = pairs.scale_tables(frame[frame["participant"] == "P1"], resamples=60)[0]
    assert one["se_bootstrap"].isna().all()
    assert one["flags"].str.contains("one_person").all()


def test_people_who_compared_nothing_are_not_resampled(panel) -> None:
    votes = validate(panel).votes
    absent = panel.assign(participant="X" + panel["participant"], rating=np.nan)
    more = validate(pd.concat([panel, absent])).votes
    scales = [
        pairs.fit(pairs.wins_from_ratings(v), v.items, resamples=50)
        for v in (votes, more)
    ]
    np.testing.assert_array_equal(scales[0].se_bootstrap, scales[1].se_bootstrap)


CHOICES = """\
participant,stimulus,second,choice,simulated,excluded,kind,question
P1,a,b,first,false,false,rating,style
P2,a,b,second,false,false,rating,style
P3,a,b,first,false,false,rating,style
P1,b,a,first,false,false,rating,content
P2,b,a,second,false,false,rating,content
bot,b,a,first,true,false,rating,style
out,b,a,first,false,true,rating,style
P1,b,a,first,false,false,training,style
"""


def test_the_command_line_compares_what_counts(tmp_path, capsys) -> None:
    path, out = tmp_path / "choices.csv", tmp_path / "scale.csv"
    path.write_text(CHOICES)
    command = ["pairs", str(path), "--resamples", "0", "--out", str(out)]
    assert main(command) == 0
    table = pd.read_csv(out).set_index(["question", "stimulus"])
    # style: a won 2 of 3; content: one each. Nobody else's choices.
    assert table.loc[("style", "a"), "score"] == pytest.approx(np.log(2) / 2)
    assert table.loc[("style", "a"), "comparisons"] == 3
    assert table.loc[("content", "a"), "score"] == pytest.approx(0, abs=1e-9)
    said = capsys.readouterr().err
    assert "1 rows left out: simulated." in said
    assert "1 rows left out: excluded." in said
    assert main([*command, "--include-simulated", "--include-excluded"]) == 0
    table = pd.read_csv(out).set_index(["question", "stimulus"])
    assert table.loc[("style", "a"), "comparisons"] == 5


def test_the_command_line_says_what_lies_outside_the_scale(tmp_path, capsys) -> None:
    path, out = tmp_path / "ratings.csv", tmp_path / "scale.csv"
    rows = [("A", 5, 2), ("B", 4, 3), ("C", 1, 2)] * 20
    lines = [
        f"{name}{k},{stimulus},{value}"
        for k, (name, *values) in enumerate(rows)
        for stimulus, value in zip("xy", values, strict=True)
    ]
    lines[2] = "B1,x,9"
    path.write_text("\n".join(["participant,stimulus,rating", *lines]))
    assert main(["pairs", str(path), "--resamples", "0", "--out", str(out)]) == 0
    assert "Line 4: rating is outside 1–5: '9'." in capsys.readouterr().err
    assert pd.read_csv(out)["comparisons"].tolist() == [59, 59]
    command = ["pairs", str(path), "--scale", "1-9", "--resamples", "0"]
    assert main([*command, "--out", str(out)]) == 0
    assert pd.read_csv(out)["comparisons"].tolist() == [60, 60]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("participant,stimulus,second,choice\n", "There are no rows that count"),
        ("participant,stimulus,rating\n", "There are no rows that count"),
        ("participant,stimulus,second,choice\nP,a,b,\n", "There are no comparisons"),
        ("participant,stimulus,rating\nP,a,3\nQ,b,3\n", "There are no comparisons"),
        ("participant,stimulus,choice\nP,a,first\n", "no column second"),
        ("participant,stimulus,second,choice\nP,a,b,z\n", "Line 2: 'z' is no choice"),
    ],
)
def test_the_command_line_needs_comparisons(text, sentence, tmp_path, capsys) -> None:
    path = tmp_path / "choices.csv"
    path.write_text(text)
    assert main(["pairs", str(path)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_people_who_all_choose_alike_leave_no_error_of_nothing() -> None:
    rows = [
        {"participant": f"p{person}", "stimulus": a, "second": b, "choice": "tie"}
        for person in range(4)
        for a, b in ("xy", "yz", "xz")
    ]
    table, _ = pairs.scale_tables(pd.DataFrame(rows), resamples=20)
    assert table["se_bootstrap"].isna().all()
    assert (table["se"] > 0).all()
    assert set(table["flags"]) == {"people_alike"}
