from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.stats import mixed
from analysis.stats.frame import validate

TERMS = ["conv2_2", "conv4_2", "conv5_2", "B"]


@pytest.fixture
def model(panel):
    """y, x without intercept (condition against reference, content B) and group."""
    rated = panel[panel["rating"].notna()]
    x = [rated["condition"] == level for level in TERMS[:3]]
    x.append(rated["content"] == "B")
    return rated["rating"].to_numpy(), np.column_stack(x) * 1.0, rated["participant"]


def with_intercept(x: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(x)), x])


def r_values(block: dict) -> list[float]:
    return [block[name] for name in block]


def test_it_equals_lme4_by_reml(model, vectors) -> None:
    y, x, group = model
    fit = mixed.linear_mixed(y, with_intercept(x), group)
    # R lme4/lmerTest, the cross-check of lmm.random_intercept_reml.
    assert fit.coef == pytest.approx(
        [
            4.36538283515624,
            -1.29424909628312,
            -0.631907597446828,
            -1.86496961400521,
            -0.0475944059799837,
        ],
        rel=1e-6,
    )
    assert fit.se == pytest.approx(
        [
            0.236291686913997,
            0.275320384288985,
            0.27850979453536,
            0.275183897950341,
            0.195726737093591,
        ],
        rel=1e-6,
    )
    assert fit.df == pytest.approx(
        [
            66.3810335696703,
            75.6134452170629,
            75.8771612400036,
            75.6239909579326,
            75.478453226165,
        ],
        rel=1e-3,
    )
    assert fit.variance == pytest.approx(0.090053282857578, rel=1e-5)
    assert fit.residual == pytest.approx(0.868499682527001, rel=1e-6)
    assert fit.loglik == pytest.approx(-126.956811076575, rel=1e-10)
    statsmodels = vectors["lmm.random_intercept_reml"]
    assert fit.coef == pytest.approx(r_values(statsmodels["coef"]), rel=1e-3)


def test_it_equals_lme4_on_the_likelihood_ratio_of_condition(model, vectors) -> None:
    y, x, group = model
    full = mixed.linear_mixed(y, with_intercept(x), group, reml=False)
    reduced = mixed.linear_mixed(y, with_intercept(x[:, 3:]), group, reml=False)
    expected = vectors["lmm.lrt_condition"]
    assert full.loglik == pytest.approx(expected["ll1"], rel=1e-9)
    assert full.variance == pytest.approx(expected["var_participant_ml"], rel=1e-5)
    chi2, df, p = mixed.likelihood_ratio(full, reduced)
    assert (chi2, df) == (pytest.approx(expected["chisq"], rel=1e-5), expected["df"])
    assert p == pytest.approx(expected["p"], rel=1e-4)


def test_it_equals_statsmodels_on_clustered_least_squares(model, vectors) -> None:
    y, x, group = model
    fit = mixed.clustered_least_squares(y, with_intercept(x), group)
    expected = list(vectors["lmm.cluster_ols_alternative"].values())
    assert fit.coef == pytest.approx([e["coef"] for e in expected], rel=1e-8)
    assert fit.se == pytest.approx([e["se_cluster"] for e in expected], rel=1e-8)


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize(("nodes", "block"), [(1, "laplace"), (10, "agq10")])
def test_it_equals_r_on_the_cumulative_link_model(
    link, nodes, block, model, vectors
) -> None:
    y, x, group = model
    fit = mixed.cumulative_link_mixed(y, x, group, link=link, nodes=nodes)
    expected = vectors[f"ordinal.clmm_{link}"][block]
    # R's probit Laplace is 1.7e-4 off the exact one (checked by brute force).
    slack = 5e-4 if nodes == 1 else 1e-5
    assert fit.loglik == pytest.approx(expected["logLik"], abs=slack)
    assert fit.coef == pytest.approx(r_values(expected["beta"]), rel=1e-3)
    assert fit.thresholds == pytest.approx(r_values(expected["alpha"]), rel=1e-3)
    assert np.sqrt(fit.variance) == pytest.approx(expected["sd"], rel=1e-3)
    if "se" in expected:
        se = r_values(expected["se"])
        assert fit.thresholds_se == pytest.approx(se[:4], rel=2e-3)
        assert fit.se == pytest.approx(se[4:8], rel=2e-3)


def test_it_finds_no_variance_where_people_do_not_differ() -> None:
    y = np.tile([1.0, 2, 3, 4], 5)
    group = np.repeat(np.arange(5), 4)
    fit = mixed.linear_mixed(y, np.ones((20, 1)), group)
    assert fit.variance == 0
    assert fit.coef == pytest.approx([2.5])
    assert fit.se == pytest.approx([y.std(ddof=1) / np.sqrt(20)])


def test_it_refuses_confounded_factors(model) -> None:
    y, x, group = model
    twice = np.column_stack([np.ones(len(y)), x, x[:, 0]])
    with pytest.raises(mixed.NotEstimable, match="confounded"):
        mixed.linear_mixed(y, twice, group)


def test_it_refuses_complete_separation() -> None:
    y = np.repeat([1, 5], 20)
    x = (y == 5).astype(float)[:, None]
    with pytest.raises(mixed.NotEstimable, match="separates the ratings completely"):
        mixed.cumulative_link_mixed(y, x, np.tile(np.arange(10), 4))


def test_it_codes_ratios_weights_layers_and_names() -> None:
    levels = pd.DataFrame(
        {
            "alpha": [1e-3, 1e-2, 1e-1, 1e-1],
            "beta": [1, 1, 1, 1],
            "tv_weight": [0, 1e-4, 1e-3, 1e-3],
            "content_layer": ["conv10_1", "conv2_1", "conv4_2", "conv2_1"],
            "style": ["wave", "scream", "wave", "wave"],
            "size": [256, 256, 256, 256],
        }
    )
    coded = mixed.design_columns(levels, list(levels))
    assert list(coded) == ["alpha/beta", "tv_weight", "content_layer", "style"]
    np.testing.assert_allclose(
        coded["alpha/beta"]["log10(alpha/beta)"], [-3, -2, -1, -1]
    )
    assert list(coded["tv_weight"]) == ["log10(tv_weight + 1e-05)"]
    linear = coded["content_layer"]["content_layer.L"]
    assert linear == pytest.approx(np.array([1, -1, 0, -1]) / np.sqrt(2))
    assert list(coded["style"]) == ["style=scream"]


def test_it_tables_both_models_on_the_panel(panel, vectors) -> None:
    table, notes = mixed.factor_effects(validate(panel), ["condition", "content"])
    assert notes == []
    lmm = table[table["model"] == "lmm"].set_index("term")
    expected = vectors["lmm.lrt_condition"]
    row = lmm.loc["condition (all)"]
    assert row["chi2"] == pytest.approx(expected["chisq"], rel=1e-5)
    assert lmm.loc["condition=conv5_2", "estimate"] == pytest.approx(-1.86497, rel=1e-4)
    clmm = table[table["model"] == "clmm"].set_index("term")
    assert clmm.loc["condition=conv5_2", "estimate"] == pytest.approx(
        -4.42626648970413, rel=1e-3
    )


def test_it_notes_what_it_could_not_fit(panel) -> None:
    doubled = panel.assign(twin=panel["condition"])
    table, notes = mixed.factor_effects(validate(doubled), ["condition", "twin"])
    assert table.empty
    assert all("confounded" in note for note in notes)


def numbered(kind: str = "") -> pd.DataFrame:
    """24 ratings of four scenes numbered 1–4, of which the second is the best."""
    rng = np.random.default_rng(4)
    rows = [
        (f"P{p}", f"S{scene}{p % 2}", str(scene), int(np.clip(score, 1, 5)))
        for p in range(12)
        for scene, mean in ((1, 2), (2, 5), (3, 2), (4, 3))
        for score in [round(mean + rng.normal(0, 0.7))]
    ]
    columns = ["participant", "stimulus", kind or "scene", "rating"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize(
    ("name", "kinds", "terms", "said"),
    [
        ("scene", {}, ["scene"], "numeric"),
        ("scene", {"scene": "nominal"}, ["scene=2", "scene=3", "scene=4"], "nominal"),
        ("content", {}, ["content=2", "content=3", "content=4"], "nominal"),
        ("content", {"content": "numeric"}, ["content"], "numeric"),
    ],
)
def test_a_factor_has_the_kind_it_was_declared_as(name, kinds, terms, said) -> None:
    """Contents are names, whatever they are called; the table says which kind."""
    ratings = validate(numbered(name), kinds=kinds)
    table, notes = mixed.factor_effects(ratings, [name])
    lmm = table[table["model"] == "lmm"].set_index("term")
    assert list(lmm.index) == [
        "(intercept)",
        *terms,
        f"{name} (all)",
        "SD of participants",
    ]
    assert lmm.loc[f"{name} (all)", "df"] == len(terms)
    assert set(lmm.loc[[*terms, f"{name} (all)"], "factor_kind"]) == {said}
    assert any("--nominal scene" in note for note in notes) == (
        not kinds and terms == ["scene"]
    )


def test_levels_written_as_text_are_the_same_numbers() -> None:
    numbers = pd.DataFrame({"alpha": [0.01, 0.1, 1.0], "beta": [1, 1, 1]})
    texts = pd.DataFrame({"alpha": ["0.01", "0.10", "1"], "beta": ["1", "1", "1"]})
    kinds = {"beta": "numeric"}
    one, other = (mixed.design_columns(it, ["alpha"], kinds) for it in (numbers, texts))
    np.testing.assert_allclose(
        one["alpha/beta"]["log10(alpha/beta)"], other["alpha/beta"]["log10(alpha/beta)"]
    )


def test_a_numeric_factor_has_numbers_only() -> None:
    frame = numbered().replace({"scene": {"4": "four"}})
    ratings = validate(frame, kinds={"scene": "numeric"})
    assert mixed.factor_effects(ratings, ["scene"])[1] == [
        "scene is numeric, and its level 'four' is no number."
    ]
