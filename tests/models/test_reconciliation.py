"""Forecasts that add up, whatever was forecast and whatever the hierarchy is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hierarchicalforecast.methods import MinTrace
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.models.base import quantile_columns
from clepsydra.models.reconciliation import (
    champion_errors,
    known_errors,
    nearest_possible,
    reconcile,
    summing_matrix,
    whole_numbers,
)
from helpers import make_task

STEPS = pd.date_range("2024-01-05", periods=3, freq="h")
CUTOFFS = pd.date_range("2024-01-01", periods=4, freq="D")


def levels_of(groupings: list[list[int]], size: int) -> pd.DataFrame:
    """Levels of `size` series, each summed by the numbers that a grouping gives them."""
    bottom = [f"s{number}" for number in range(size)]
    rows = [
        (f"g{place}={group}", name)
        for place, groups in enumerate(groupings)
        for group, name in zip(groups, bottom, strict=True)
    ]
    rows += [(name, name) for name in bottom]
    return pd.DataFrame(rows, columns=["unique_id", "bottom_id"])


@st.composite
def hierarchies(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Forecasts, errors known, and levels: crossed or nested, of few series or more."""
    size = draw(st.integers(2, 12))
    grouping = st.lists(st.integers(0, 2), min_size=size, max_size=size)
    levels = levels_of([[0] * size, *draw(st.lists(grouping, max_size=3))], size)
    ids = levels["unique_id"].unique()
    random = np.random.default_rng(draw(st.integers(0, 999)))
    scale = 10.0 ** draw(st.integers(-3, 6))
    forecasts = pd.MultiIndex.from_product([ids, STEPS], names=["unique_id", "ds"]).to_frame(False)
    forecasts["y_hat"] = random.normal(0.5, 1, len(forecasts)) * scale
    spread = np.sort(random.normal(0, 1, (len(forecasts), len(quantile_columns()))), axis=1)
    forecasts[quantile_columns()] = forecasts[["y_hat"]].to_numpy() + spread * scale
    some = draw(st.sampled_from([0, 1, 2, 40]))
    times = pd.date_range("2024-01-01", periods=some, freq="h")
    errors = pd.MultiIndex.from_product([ids, times], names=["unique_id", "ds"]).to_frame(False)
    errors["cutoff"] = CUTOFFS[0]
    errors["error"] = random.normal(0, 1, len(errors)) * scale
    errors.loc[errors["unique_id"].isin(draw(st.sets(st.sampled_from(list(ids))))), "error"] = 0.0
    kept = random.random(len(errors)) < draw(st.sampled_from([1.0, 0.7]))
    unseen = draw(st.sets(st.sampled_from(list(ids)), max_size=2))
    return forecasts, errors[kept & ~errors["unique_id"].isin(unseen)], levels


@given(
    hierarchy=hierarchies(),
    minimum=st.sampled_from([None, 0.0, 2.5]),
    integer=st.booleans(),
)
def test_every_sum_is_the_sum_of_its_members(
    hierarchy: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame],
    minimum: float | None,
    integer: bool,
) -> None:
    forecasts, errors, levels = hierarchy
    found = reconcile(forecasts, errors, levels, make_task(minimum=minimum, integer=integer))
    wide = found.pivot(index="unique_id", columns="ds", values="y_hat")
    sums = levels.merge(wide, left_on="bottom_id", right_index=True)
    sums = sums.groupby("unique_id")[list(wide.columns)].sum()
    size = max(1.0, float(wide.abs().max(axis=None)))
    assert (sums - wide).abs().max(axis=None) <= 1e-6 * (1.0 if size < 1e6 else size / 1e6)
    bottom = wide.loc[levels["bottom_id"].unique()]
    if minimum is not None:
        assert (bottom >= minimum - 1e-12).all(axis=None)
        assert (found[quantile_columns()] >= minimum).all(axis=None)
    if integer:
        assert (wide == wide.round()).all(axis=None)
    assert (found[quantile_columns()].diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    pd.testing.assert_frame_equal(found[["unique_id", "ds"]], forecasts[["unique_id", "ds"]])
    assert list(found) == list(forecasts)


def example(size: int = 6) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Forecasts, 60 errors of each series, and levels."""
    random = np.random.default_rng(1)
    levels = levels_of([[0] * size, [number % 2 for number in range(size)]], size)
    ids = levels["unique_id"].unique()
    times = pd.date_range("2024-01-01", periods=60, freq="h")
    errors = pd.MultiIndex.from_product([ids, times], names=["unique_id", "ds"]).to_frame(False)
    errors = errors.assign(cutoff=CUTOFFS[0], error=random.normal(0, 2, len(errors)))
    forecasts = pd.MultiIndex.from_product([ids, STEPS], names=["unique_id", "ds"]).to_frame(False)
    forecasts["y_hat"] = random.normal(20, 2, len(forecasts))
    return forecasts, errors, levels


@pytest.mark.parametrize("unit", [1.0, 1e-6, 1e6])
def test_it_is_the_projection_of_the_library_in_any_unit(unit: float) -> None:
    forecasts, errors, levels = example()
    ids = summing_matrix(levels).index
    matrix = summing_matrix(levels).to_numpy()
    residuals = errors.pivot(index="unique_id", columns="ds", values="error").reindex(ids)
    made = forecasts.pivot(index="unique_id", columns="ds", values="y_hat").reindex(ids)
    expected = MinTrace("mint_shrink").fit_predict(
        S=matrix,
        y_hat=made.to_numpy(),
        y_insample=residuals.to_numpy(),
        y_hat_insample=np.zeros(residuals.shape),
    )["mean"]
    scaled = forecasts.assign(y_hat=unit * forecasts["y_hat"])
    found = reconcile(scaled, errors.assign(error=unit * errors["error"]), levels, make_task())
    wide = found.pivot(index="unique_id", columns="ds", values="y_hat").reindex(ids)
    np.testing.assert_allclose(wide / unit, expected, rtol=1e-6)


def test_coherent_forecasts_stay_as_they_are() -> None:
    forecasts, errors, levels = example()
    once = reconcile(forecasts, errors, levels, make_task())
    twice = reconcile(once, errors, levels, make_task())
    np.testing.assert_allclose(twice["y_hat"], once["y_hat"], rtol=1e-9)


def test_what_was_wrong_least_is_moved_least() -> None:
    forecasts, errors, levels = example()
    total = errors["unique_id"] == "g0=0"
    sure = errors.assign(error=errors["error"].where(~total, errors["error"] / 1000))
    moved = reconcile(forecasts, sure, levels, make_task())["y_hat"] - forecasts["y_hat"]
    is_total = forecasts["unique_id"] == "g0=0"
    assert moved[is_total].abs().max() < 0.01 * moved[~is_total].abs().max()


def test_a_series_without_a_forecast_is_left_out_of_the_sums() -> None:
    forecasts, errors, levels = example()
    without = forecasts[forecasts["unique_id"] != "s3"]
    found = reconcile(without, errors, levels, make_task())
    wide = found.pivot(index="unique_id", columns="ds", values="y_hat")
    others = [name for name in levels["bottom_id"].unique() if name != "s3"]
    np.testing.assert_allclose(wide.loc["g0=0"], wide.loc[others].sum())


def test_quantiles_move_with_their_forecast() -> None:
    forecasts, errors, levels = example()
    names = quantile_columns()
    for level, name in zip(np.linspace(-9, 9, len(names)), names, strict=True):
        forecasts[name] = forecasts["y_hat"] + level
    forecasts.loc[0, quantile_columns()] = np.nan
    found = reconcile(forecasts, errors, levels, make_task())
    width = found[quantile_columns()].sub(found["y_hat"], axis=0)
    before = forecasts[quantile_columns()].sub(forecasts["y_hat"], axis=0)
    np.testing.assert_allclose(width, before, atol=1e-9)


@given(seed=st.integers(0, 999), minimum=st.sampled_from([0.0, 1.0]))
def test_no_possible_forecast_is_nearer(seed: int, minimum: float) -> None:
    """The optimum of the bounded problem: where it is not at the bound the gradient is zero."""
    random = np.random.default_rng(seed)
    root = random.normal(size=(8, 8))
    precision = root @ root.T + 0.1 * np.eye(8)
    wanted = random.normal(1, 2, (8, 4))
    found = nearest_possible(wanted, precision, minimum)
    gradient = precision @ (found - wanted)
    at_bound = found <= minimum + 1e-9
    assert (found >= minimum).all()
    assert (np.abs(gradient[~at_bound]) < 0.05).all()
    assert (gradient[at_bound] > -0.05).all()


@given(
    seed=st.integers(0, 999),
    size=st.integers(2, 300),
    level=st.sampled_from([0.1, 0.3, 0.7, 5.0]),
    minimum=st.sampled_from([None, 0.0, 0.5]),
)
def test_rounding_does_not_make_a_sum_lean(
    seed: int, size: int, level: float, minimum: float | None
) -> None:
    random = np.random.default_rng(seed)
    values = np.maximum(random.normal(level, 0.1, (size, 3)), minimum or 0.0)
    matrix = np.vstack([np.ones((1, size)), np.arange(size) % 2, np.eye(size)])
    found = whole_numbers(values, matrix, minimum)
    assert (found == np.round(found)).all()
    assert (np.abs(found - values) < 1).all()
    assert minimum is None or (found >= minimum).all()
    if minimum != 0.5:
        off = np.abs(found - values).sum(axis=0) if size < 2 else np.abs((found - values).sum(0))
        assert (off <= 2 * np.sqrt(size / 12) + 1).all()


@given(seed=st.integers(0, 999), rows=st.integers(2, 6), columns=st.integers(2, 8))
def test_rounding_ends_where_sums_cross_and_they_do_not_lean(
    seed: int, rows: int, columns: int
) -> None:
    random = np.random.default_rng(seed)
    values = random.gamma(0.7, 1.0, (rows * columns, 2))
    each = np.eye(rows * columns).reshape(-1, rows, columns)
    matrix = np.vstack(
        [np.ones((1, len(values))), each.sum(2).T, each.sum(1).T, np.eye(len(values))]
    )
    found = whole_numbers(values, matrix, 0.0)
    assert (np.abs(found - values) < 1).all()
    sums = matrix[matrix.sum(axis=1) > 1]
    leaning = [
        np.abs(sums @ (its - values)) > 2 * np.sqrt(sums.sum(axis=1) / 12)[:, None] + 1e-9
        for its in (found, np.round(values))
    ]
    assert leaning[0].sum() <= leaning[1].sum()


def test_an_item_that_two_sums_pull_at_is_rounded_once() -> None:
    values = np.array([[0.54], [0.55], [0.40]])
    matrix = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    found = whole_numbers(values, matrix, 0.0)
    assert set(found.ravel()) <= {0.0, 1.0}
    assert abs(found.sum() - values.sum()) < 1


def backtests(**changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Backtests of two models of `a` on four windows, of which each ends a day after its cutoff."""
    windows = pd.DataFrame({"cutoff": CUTOFFS})
    windows["target_end"] = windows["cutoff"] + pd.Timedelta(25, "h")
    rows = [
        {"unique_id": "a", "cutoff": cutoff, "ds": cutoff + pd.Timedelta(1, "h"), "model": model}
        for cutoff in CUTOFFS
        for model in ("good", "bad")
    ]
    return pd.DataFrame(rows).assign(y=[1.0, 1.0, np.nan, 1.0] * 2, y_hat=3.0, **changes), windows


def test_errors_are_those_of_champions_where_there_was_an_actual() -> None:
    table, windows = backtests()
    errors = champion_errors(table, {"a": "good"}, windows)
    assert errors["model"].unique().tolist() == ["good"]
    assert errors["cutoff"].tolist() == [CUTOFFS[0], CUTOFFS[2]]
    assert errors["error"].tolist() == [2.0, 2.0]


def test_errors_of_a_window_are_known_when_it_has_ended() -> None:
    table, windows = backtests()
    errors = champion_errors(table, {"a": "bad"}, windows)
    for place, cutoff in enumerate(CUTOFFS):
        known = known_errors(errors, cutoff, make_task())
        assert known["cutoff"].tolist() == list(CUTOFFS[:place])
    early = CUTOFFS[1] - pd.Timedelta(1, "h")
    assert known_errors(errors, early, make_task()).empty


def test_a_quantile_that_could_not_be_lower_is_not_lifted() -> None:
    """Of a sum that is forecast higher than its two members together."""
    levels = pd.DataFrame(
        [("total", "a"), ("total", "b"), ("a", "a"), ("b", "b")], columns=["unique_id", "bottom_id"]
    )
    forecasts = pd.DataFrame({"unique_id": ["total", "a", "b"], "y_hat": [9.0, 1.0, 2.0], "ds": 0})
    for number, column in enumerate(quantile_columns()):
        forecasts[column] = (forecasts["y_hat"] + number - 5).clip(lower=0.0)
    none = pd.DataFrame({"unique_id": [], "cutoff": [], "ds": [], "error": []})
    found = reconcile(forecasts, none, levels, make_task(minimum=0.0)).set_index("unique_id")
    assert found.loc["a", "y_hat"] > 2
    before = forecasts.set_index("unique_id")[quantile_columns()].loc["a"]
    after = found.loc["a", quantile_columns()].astype(float)
    assert (after[before == 0] == 0).all()
    assert (after[before > 0] > before[before > 0]).all()
    assert after.is_monotonic_increasing
