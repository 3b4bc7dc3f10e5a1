"""Every metric against a second implementation, and what becomes of divisions by zero."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_pinball_loss,
    root_mean_squared_error,
)

from clepsydra.models.intervals import LEVELS, quantile_columns
from clepsydra.models.metrics import METRICS, history_scales, owa, score_groups
from helpers import make_series

SEASON = 4
QUANTILES = quantile_columns()
UNIT_FREE = ["smape", "mape", "mase", "rmsse", "wql", "msis", "coverage_80", "coverage_95"]


def make_forecasts(
    y: np.ndarray, spread: float, unique_id: str = "a", model: str = "m"
) -> pd.DataFrame:
    """Forecasts that miss by `spread`, with normal quantiles around them."""
    random = np.random.default_rng(len(y))
    y_hat = y + random.normal(scale=spread, size=len(y))
    table = pd.DataFrame({"unique_id": unique_id, "model": model, "y": y, "y_hat": y_hat})
    table[QUANTILES] = y_hat[:, None] + norm.ppf(LEVELS) * spread / 2
    return table


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.concat(
        [make_series(unique_id, "2024-01-01", random.gamma(2, 10, size=40)) for unique_id in "abc"]
    )


@pytest.fixture(scope="module")
def forecasts() -> pd.DataFrame:
    random = np.random.default_rng(1)
    tables = []
    for unique_id, steps in {"a": 30, "b": 45, "c": 1}.items():
        y = random.gamma(2, 10, size=steps)
        if unique_id == "b":
            y[[3, 7]] = 0, np.nan
        for model, spread in {"m": 2.0, "n": 9.0}.items():
            tables.append(make_forecasts(y, spread, unique_id, model))
    return pd.concat(tables).sample(frac=1, random_state=0)


@pytest.fixture(scope="module")
def scores(forecasts: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """A row a series and model, a column a metric."""
    return to_wide(score_groups(forecasts, history_scales(history, SEASON)))


def to_wide(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.pivot(index=["unique_id", "model"], columns="metric", values="value")


def differences(history: pd.DataFrame, unique_id: str) -> list[float]:
    y = history.loc[history["unique_id"] == unique_id, "y"].tolist()
    return [y[t] - y[t - SEASON] for t in range(SEASON, len(y))]


def second_opinion(rows: pd.DataFrame, history: pd.DataFrame) -> dict[str, float]:
    """All metrics of one series and model, by other libraries or straight from the formula."""
    rows = rows.dropna()
    y, y_hat, q = rows["y"].to_numpy(), rows["y_hat"].to_numpy(), rows[QUANTILES].to_numpy()
    seasonal = differences(history, rows["unique_id"].iloc[0])
    scale = sum(abs(d) for d in seasonal) / len(seasonal)
    squared_scale = sum(d * d for d in seasonal) / len(seasonal)
    by_level = [mean_pinball_loss(y, q[:, i], alpha=level) for i, level in enumerate(LEVELS)]
    interval = scoringrules.interval_score(y, q[:, 0], q[:, -1], 0.05)
    some = y != 0
    return {
        "mae": mean_absolute_error(y, y_hat),
        "rmse": root_mean_squared_error(y, y_hat),
        "bias": sum(y_hat - y) / len(y),
        "smape": sum(200 * abs(f - a) / (abs(a) + abs(f)) for a, f in zip(y, y_hat, strict=True))
        / len(y),
        "mape": 100 * mean_absolute_percentage_error(y[some], y_hat[some]),
        "mase": mean_absolute_error(y, y_hat) / scale,
        "rmsse": root_mean_squared_error(y, y_hat) / squared_scale**0.5,
        "pinball": np.mean(scoringrules.crps_quantile(y, q, np.array(LEVELS))) / 2,
        "wql": 2 * np.mean(by_level) * len(y) / sum(abs(y)),
        "crps": 2 * np.trapezoid([0, *by_level, 0], [0, *LEVELS, 1]),
        "msis": np.mean(interval) / scale,
        "coverage_80": sum((a >= b[1]) and (a <= b[-2]) for a, b in zip(y, q, strict=True))
        / len(y),
        "coverage_95": sum((a >= b[0]) and (a <= b[-1]) for a, b in zip(y, q, strict=True))
        / len(y),
    }


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_equals_a_second_implementation(
    scores: pd.DataFrame, forecasts: pd.DataFrame, history: pd.DataFrame, metric: str
) -> None:
    assert len(scores) == 6
    for key, rows in forecasts.groupby(["unique_id", "model"]):
        expected = second_opinion(rows, history)[metric]
        assert scores.loc[key, metric] == pytest.approx(expected, rel=1e-12), key


def test_the_crps_of_a_normal_forecast_is_near_the_exact_one() -> None:
    y = np.random.default_rng(0).normal(size=20_000)
    table = pd.DataFrame({"unique_id": "a", "model": "m", "y": y, "y_hat": 0.0})
    table[QUANTILES] = norm.ppf(LEVELS)
    scales = pd.DataFrame({"unique_id": ["a"], "scale": [1.0], "squared_scale": [1.0]})
    found = to_wide(score_groups(table, scales)).loc[("a", "m")]
    exact = scoringrules.crps_normal(y, 0.0, 1.0).mean()
    assert found["crps"] == pytest.approx(exact, rel=0.02)
    assert abs(found["crps"] - exact) < abs(2 * found["pinball"] - exact)
    assert found["coverage_80"] == pytest.approx(0.8, abs=0.01)
    assert found["coverage_95"] == pytest.approx(0.95, abs=0.01)


def test_the_scale_has_the_season_that_is_asked_for(history: pd.DataFrame) -> None:
    for season in (1, SEASON):
        scales = history_scales(history, season).set_index("unique_id")
        y = history.loc[history["unique_id"] == "b", "y"].to_numpy()
        step = y[season:] - y[:-season]
        assert scales.loc["b", "scale"] == pytest.approx(np.abs(step).mean())
        assert scales.loc["b", "squared_scale"] == pytest.approx((step**2).mean())
    with pytest.raises(ValueError, match="season_length is 0"):
        history_scales(history, 0)


def test_a_missing_value_of_the_history_is_not_bridged() -> None:
    history = pd.DataFrame({"unique_id": "a", "y": [1.0, np.nan, 5.0, 6.0]})
    assert history_scales(history, 1)["scale"].tolist() == [1.0]


SCALES = pd.DataFrame(
    {
        "unique_id": ["plain", "flat", "new"],
        "scale": [2.0, 0.0, np.nan],
        "squared_scale": [8.0, 0.0, np.nan],
    }
)


def reasons(table: pd.DataFrame) -> dict[str, str]:
    """Metrics without a value, and why."""
    found = score_groups(table, SCALES)
    assert found["value"].isna().tolist() == (found["note"] != "").tolist()
    missing = found[found["value"].isna()]
    return dict(zip(missing["metric"], missing["note"], strict=True))


ACTUALS = np.array([4.0, 0.0, 6.0])
OF_QUANTILES = ["pinball", "wql", "crps", "msis", "coverage_80", "coverage_95"]


def test_where_there_is_something_to_divide_by_no_value_is_missing() -> None:
    assert reasons(make_forecasts(ACTUALS, 1.0, "plain")) == {}


@pytest.mark.parametrize(
    ("unique_id", "why"),
    [
        ("flat", "scale is zero"),
        ("new", "less than a season of history"),
        ("unheard of", "less than a season of history"),
    ],
)
def test_a_scale_that_is_zero_or_missing_is_said(unique_id: str, why: str) -> None:
    found = reasons(make_forecasts(ACTUALS, 1.0, unique_id))
    assert found == dict.fromkeys(["mase", "rmsse", "msis"], why)


def test_actuals_of_zero_leave_nothing_to_divide_by() -> None:
    table = make_forecasts(np.zeros(3), 1.0, "plain")
    assert reasons(table) == dict.fromkeys(["mape", "wql"], "every actual is zero")
    perfect = to_wide(score_groups(table.assign(y_hat=0.0), SCALES)).loc[("plain", "m")]
    assert perfect["smape"] == 0


def test_without_quantiles_only_their_metrics_are_missing() -> None:
    table = make_forecasts(ACTUALS, 1.0, "plain")
    expected = dict.fromkeys(OF_QUANTILES, "no quantiles")
    assert reasons(table.drop(columns=QUANTILES)) == expected
    assert reasons(table.assign(**dict.fromkeys(QUANTILES, np.nan))) == expected
    assert reasons(table.drop(columns="q0.5")) == expected


def test_a_step_without_quantiles_counts_for_the_point_forecast_only() -> None:
    table = make_forecasts(ACTUALS, 1.0, "plain")
    partly = table.copy()
    partly.loc[0, QUANTILES] = np.nan
    found = to_wide(score_groups(partly, SCALES))
    all_of, rest = (to_wide(score_groups(part, SCALES)) for part in (table, table[1:]))
    pd.testing.assert_frame_equal(found[OF_QUANTILES], rest[OF_QUANTILES])
    points = [metric for metric in METRICS if metric not in OF_QUANTILES]
    pd.testing.assert_frame_equal(found[points], all_of[points])


def test_a_group_without_an_actual_or_a_forecast_stays_and_says_so() -> None:
    table = make_forecasts(ACTUALS, 1.0, "plain")
    assert reasons(table.assign(y=np.nan)) == dict.fromkeys(METRICS, "no actual")
    points = [metric for metric in METRICS if metric not in OF_QUANTILES]
    assert reasons(table.assign(y_hat=np.nan)) == dict.fromkeys(points, "no forecast")


def test_a_table_without_rows_has_no_scores() -> None:
    found = score_groups(make_forecasts(ACTUALS, 1.0).iloc[:0], SCALES)
    assert found.empty
    assert list(found) == ["unique_id", "model", "metric", "value", "note"]


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="y_hat"):
        score_groups(make_forecasts(ACTUALS, 1.0).drop(columns="y_hat"), SCALES)


NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 5e-324, 1e300, np.nan]),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)


@given(
    rows=st.lists(st.tuples(st.sampled_from("ab"), NUMBERS, NUMBERS, NUMBERS), max_size=12),
    past=st.lists(st.tuples(st.sampled_from("ab"), NUMBERS), max_size=12),
)
def test_no_value_is_infinite_or_missing_without_a_reason(
    rows: list[tuple[str, float, float, float]], past: list[tuple[str, float]]
) -> None:
    table = pd.DataFrame(rows, columns=["unique_id", "y", "y_hat", "spread"]).assign(model="m")
    numbers = ["y", "y_hat", "spread"]
    table[numbers] = table[numbers].astype(float)
    for level, name in zip(LEVELS, QUANTILES, strict=True):
        table[name] = table["y_hat"] + table["spread"].abs() * (level - 0.5)
    history = pd.DataFrame(past, columns=["unique_id", "y"]).astype({"y": float})
    found = score_groups(table, history_scales(history, 1))
    assert len(found) == table["unique_id"].nunique() * len(METRICS)
    assert not np.isinf(found["value"]).any()
    assert (found["value"].isna() == (found["note"] != "")).all()
    value = found.dropna().set_index("metric")["value"]
    assert (value.drop("bias", errors="ignore") >= 0).all()
    assert (value[value.index.isin(["coverage_80", "coverage_95"])] <= 1).all()
    assert (value[value.index == "smape"] <= 200 * (1 + 1e-9)).all()


@given(
    y=st.lists(st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=1, max_size=8),
    power=st.integers(-20, 20),
)
def test_unit_free_metrics_do_not_change_with_the_unit(y: list[float], power: int) -> None:
    table = make_forecasts(np.array(y), 3.0, "plain")
    unit = 2.0**power
    other, scales = table.copy(), SCALES.copy()
    other[["y", "y_hat", *QUANTILES]] *= unit
    scales["scale"] *= unit
    scales["squared_scale"] *= unit**2
    one, two = (to_wide(score_groups(*pair)) for pair in ((table, SCALES), (other, scales)))
    pd.testing.assert_frame_equal(one[UNIT_FREE], two[UNIT_FREE], rtol=1e-9)
    rest = [metric for metric in METRICS if metric not in UNIT_FREE]
    pd.testing.assert_frame_equal(one[rest] * unit, two[rest], rtol=1e-9)


def test_the_best_possible_forecast_has_no_error() -> None:
    table = make_forecasts(ACTUALS, 0.0, "plain")
    found = to_wide(score_groups(table, SCALES)).loc[("plain", "m")]
    assert (found.drop(["coverage_80", "coverage_95"]) == 0).all()
    assert (found[["coverage_80", "coverage_95"]] == 1).all()


def test_owa_averages_the_ratios_and_is_missing_where_the_reference_has_no_error() -> None:
    scores = pd.DataFrame({"smape": [10.0, 5.0, 20.0], "mase": [2.0, 3.0, 4.0]}, index=[*"nab"])
    assert owa(scores, "n").to_dict() == {"n": 1.0, "a": 1.0, "b": 2.0}
    scores.loc["n", "mase"] = 0.0
    assert owa(scores, "n").isna().all()
    with pytest.raises(KeyError, match="none"):
        owa(scores, "none")
