"""Tests of significance: how often they are wrong, and what they say when they cannot tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import ttest_1samp

from clepsydra.models.comparison import (
    compare,
    diebold_mariano,
    find_best,
    model_confidence_set,
)
from helpers import make_series


def correlated(seed: int, steps: int, share: float = 0.5) -> np.ndarray:
    """Differences of mean zero, each of which keeps a share of the one before."""
    noise = np.random.default_rng(seed).normal(size=steps + 100)
    return lfilter([1], [1, -share], noise)[-steps:]


@pytest.mark.parametrize(("steps", "horizon"), [(336, 24), (100, 7)])
def test_where_models_are_equal_it_rejects_about_as_often_as_it_says(
    steps: int, horizon: int
) -> None:
    pvalues = [diebold_mariano(correlated(seed, steps), horizon).pvalue for seed in range(500)]
    assert 0.03 < np.mean(np.array(pvalues) < 0.05) < 0.10


def test_without_regard_to_autocorrelation_it_would_reject_too_often() -> None:
    """The simulation above can fail."""
    pvalues = [diebold_mariano(correlated(seed, 336), 24, lags=0).pvalue for seed in range(200)]
    assert np.mean(np.array(pvalues) < 0.05) > 0.15


def test_a_real_difference_is_found() -> None:
    found = [diebold_mariano(correlated(seed, 336) + 0.5, 24) for seed in range(200)]
    assert np.mean([test.pvalue < 0.05 for test in found]) > 0.9
    assert all(test.statistic > 0 for test in found)


def written_out(difference: np.ndarray, horizon: int) -> float:
    """The statistic from the formulas of the papers."""
    n, mean = len(difference), sum(difference) / len(difference)
    variance = 0.0
    for lag in range(-(horizon - 1), horizon):
        covariance = sum(
            (difference[t] - mean) * (difference[t - abs(lag)] - mean) for t in range(abs(lag), n)
        )
        variance += (1 - abs(lag) / horizon) * covariance / n
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    return mean / (variance / n) ** 0.5 * correction**0.5


@pytest.mark.parametrize("horizon", [1, 2, 7, 24])
def test_the_statistic_is_that_of_the_papers(horizon: int) -> None:
    difference = correlated(horizon, 60) + 0.3
    found = diebold_mariano(difference, horizon)
    assert found.statistic == pytest.approx(written_out(difference, horizon))
    assert found.mean_difference == pytest.approx(difference.mean())
    assert (found.steps, found.note) == (60, "")


def test_one_step_ahead_it_is_the_t_test() -> None:
    difference = correlated(0, 40, share=0.0) + 0.2
    found, expected = diebold_mariano(difference, 1), ttest_1samp(difference, 0)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.pvalue == pytest.approx(expected.pvalue)


@given(seed=st.integers(0, 1000), horizon=st.integers(1, 9), power=st.integers(-300, 300))
def test_it_has_no_side_and_no_unit(seed: int, horizon: int, power: int) -> None:
    difference = correlated(seed, 30)
    one = diebold_mariano(difference, horizon)
    other = diebold_mariano(-difference * 2.0**power, horizon)
    assert other.statistic == pytest.approx(-one.statistic)
    assert other.pvalue == pytest.approx(one.pvalue)
    assert other.mean_difference == pytest.approx(-one.mean_difference * 2.0**power)


@pytest.mark.parametrize(
    ("difference", "horizon", "note"),
    [
        (np.zeros(50), 3, "the losses are the same at every time"),
        (np.full(50, 0.1), 3, "the losses differ by the same amount at every time"),
        (np.arange(24.0), 24, "24 steps; a test needs 25, of errors up to 24 steps ahead"),
        (np.array([1.0]), 1, "1 steps; a test needs 2, of errors up to 1 steps ahead"),
        (np.array([]), 1, "0 steps; a test needs 2, of errors up to 1 steps ahead"),
    ],
)
def test_where_there_is_no_test_a_note_says_why(
    difference: np.ndarray, horizon: int, note: str
) -> None:
    found = diebold_mariano(difference, horizon)
    assert np.isnan([found.statistic, found.pvalue]).all()
    assert (found.note, found.steps) == (note, len(difference))
    assert np.isnan(found.mean_difference) == (len(difference) == 0)


@given(
    values=st.lists(st.floats(-1e300, 1e300), max_size=30),
    horizon=st.integers(1, 30),
    constant=st.booleans(),
)
def test_it_never_fails_and_says_why_there_is_no_pvalue(
    values: list[float], horizon: int, constant: bool
) -> None:
    difference = np.array(values[:1] * len(values) if constant else values)
    found = diebold_mariano(difference, horizon)
    assert np.isnan(found.pvalue) == (found.note != "")
    assert not found.pvalue < 0
    assert not found.pvalue > 1


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="none missing"):
        diebold_mariano(np.array([1.0, np.nan]), 1)
    with pytest.raises(ValueError, match="horizon 0"):
        diebold_mariano(np.arange(9.0), 0)
    with pytest.raises(ValueError, match="lags -1"):
        diebold_mariano(np.arange(9.0), 1, lags=-1)
    with pytest.raises(ValueError, match="confidence 1"):
        model_confidence_set(pd.DataFrame({"m": [1.0]}), 1, confidence=1)
    with pytest.raises(ValueError, match=r"losses of \['n'\] are missing"):
        model_confidence_set(pd.DataFrame({"m": [1.0], "n": [np.nan]}), 1)


def losses_of(*excess: float, seed: int = 0, steps: int = 200) -> pd.DataFrame:
    """Losses of models `m0`, `m1`, … that exceed chance by these."""
    common = np.abs(correlated(seed, steps))
    return pd.DataFrame(
        {
            f"m{number}": common + correlated(1000 * (number + 1) + seed, steps) * 0.5 + more
            for number, more in enumerate(excess)
        }
    )


def confidence_set(losses: pd.DataFrame, horizon: int = 5, **options: float) -> set[str]:
    found = model_confidence_set(losses, horizon, repetitions=200, **options)
    assert found["model"].tolist() == sorted(losses.columns)
    return set(found.loc[found["included"], "model"])


def test_models_that_are_equally_good_stay_and_a_much_worse_one_is_out() -> None:
    assert confidence_set(losses_of(0, 0, 0, 3)) == {"m0", "m1", "m2"}
    assert confidence_set(losses_of(3, 0)) == {"m1"}


def test_the_set_holds_the_best_models_as_often_as_it_says() -> None:
    kept = [confidence_set(losses_of(0, 0, 0, seed=seed)) for seed in range(60)]
    assert np.mean([len(models) == 3 for models in kept]) > 0.75
    assert all(kept)
    assert any(len(models) < 3 for models in kept), "else it tells nothing apart"


def test_less_confidence_makes_a_smaller_set() -> None:
    losses = losses_of(0, 0.1, 0.2, 0.4)
    sets = [confidence_set(losses, confidence=level) for level in (0.999, 0.9, 0.1)]
    assert sets[0] >= sets[1] >= sets[2]
    assert len(sets[0]) > len(sets[2]) >= 1


@given(order=st.permutations(["m0", "m1", "m2", "m3"]))
def test_the_order_of_the_models_does_not_matter(order: list[str]) -> None:
    losses = losses_of(0, 0.1, 0.2, 3, steps=60)
    expected = model_confidence_set(losses, 3, repetitions=100)
    pd.testing.assert_frame_equal(model_confidence_set(losses[order], 3, repetitions=100), expected)


def test_models_with_the_same_losses_share_their_place() -> None:
    losses = losses_of(0, 0, 3).assign(twin=lambda table: table["m0"], late=lambda t: t["m2"])
    found = model_confidence_set(losses, 5).set_index("model")
    assert found.loc["twin"].equals(found.loc["m0"])
    assert found.loc["late"].equals(found.loc["m2"])
    assert not found.loc["late", "included"]
    only = model_confidence_set(losses[["m0", "twin"]], 5)
    assert only["mcs_pvalue"].tolist() == [1, 1]


def test_a_model_that_is_worse_by_the_same_at_every_time_is_out() -> None:
    losses = losses_of(0, 0).assign(worse=lambda table: table["m0"] + 0.01)
    found = model_confidence_set(losses, 5).set_index("model")
    assert found.loc["worse", "mcs_pvalue"] == 0
    assert found.loc[["m0", "m1"], "included"].all()
    constant = pd.DataFrame({"m0": [1.0] * 20, "m1": [2.0] * 20})
    assert confidence_set(constant) == {"m0"}


def test_one_model_alone_is_the_best() -> None:
    found = model_confidence_set(losses_of(0), 5)
    assert found[["mcs_pvalue", "included"]].to_numpy().tolist() == [[1.0, True]]


@pytest.mark.parametrize("steps", [0, 1, 9])
def test_with_fewer_than_two_blocks_nothing_is_told_apart(steps: int) -> None:
    found = model_confidence_set(losses_of(0, 100).iloc[:steps], 5)
    assert found["included"].all()
    assert found["mcs_pvalue"].isna().all()


def over_time(
    losses: pd.DataFrame, metric: str = "mae", step: int = 5, gap: int = 0
) -> pd.DataFrame:
    """Losses as `losses_over_time` gives them, of windows of five steps that begin every `step`."""
    before = pd.Timedelta(hours=1 + gap)
    ds = make_series("", "2024-01-01", range(len(losses)))["ds"]
    tables = [
        losses.iloc[start : start + 5].assign(
            ds=ds.iloc[start : start + 5], cutoff=ds.iloc[start] - before
        )
        for start in range(0, len(losses) - 4, step)
    ]
    long = pd.concat(tables).melt(["ds", "cutoff"], var_name="model", value_name="loss")
    return long.assign(metric=metric, series=1)


@pytest.mark.parametrize("gap", [0, 3])
def test_every_model_is_compared_with_the_reference_and_the_best(gap: int) -> None:
    losses = losses_of(0.5, 0, 3)
    both = [over_time(losses, gap=gap), over_time(losses[["m0", "m1"]] * 2, "mase", gap=gap)]
    table = pd.concat(both)
    found = compare(table.sample(frac=1, random_state=0), "m0").set_index(
        ["metric", "model", "against"]
    )
    pairs = [("m0", "m1"), ("m1", "m0"), ("m2", "m0"), ("m2", "m1")]
    assert set(found.loc["mae"].index) == set(pairs)
    assert set(found.loc["mase"].index) == set(pairs[:2])
    for model, against in pairs:
        row = found.loc[("mae", model, against)]
        expected = diebold_mariano((losses[model] - losses[against]).to_numpy(), 5 + gap)
        assert row["pvalue"] == pytest.approx(expected.pvalue)
        assert row["mean_difference"] == pytest.approx(expected.mean_difference)
        assert row["steps"] == 200
    assert found.loc[("mae", "m1", "m0"), "pvalue"] == found.loc[("mae", "m0", "m1"), "pvalue"]


def test_times_that_several_windows_forecast_count_once() -> None:
    losses = losses_of(0, 1, steps=40)
    once, often = (compare(over_time(losses, step=step), "m0") for step in (5, 1))
    pd.testing.assert_frame_equal(once, often)


def test_the_best_models_are_found_for_each_metric() -> None:
    losses = losses_of(0, 3)
    table = pd.concat([over_time(losses), over_time(-losses, "mase")])
    found = find_best(table, 0.9, 200).set_index(["metric", "model"])["included"]
    assert found.to_dict() == {
        ("mae", "m0"): True,
        ("mae", "m1"): False,
        ("mase", "m0"): False,
        ("mase", "m1"): True,
    }


def test_without_windows_there_is_nothing_to_compare() -> None:
    nothing = over_time(losses_of(0, 1)).iloc[:0]
    assert compare(nothing, "m0").empty
    assert find_best(nothing, 0.9, 200).empty
    assert "pvalue" in compare(nothing, "m0")


@pytest.mark.parametrize("seed", range(4))
def test_losses_that_are_whole_numbers_have_a_confidence_set(seed: int) -> None:
    """Two of their statistics may be equal to the last bit; the best is in the set."""
    random = np.random.default_rng(seed)
    losses = pd.DataFrame(random.integers(1, 4, (28, 5)).astype(float), columns=list("abcde"))
    found = model_confidence_set(losses, horizon=14, repetitions=200).set_index("model")
    assert found["mcs_pvalue"].between(0, 1).all()
    assert found.loc[losses.mean().idxmin(), "included"]
    assert model_confidence_set(losses, 14, repetitions=200).equals(found.reset_index())
