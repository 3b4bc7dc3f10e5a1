"""The parts that engines give add up to the forecasts that they make, whatever the data."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsforecast.models as library
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from clepsydra.models.base import History, Model
from clepsydra.models.contributions import contributions
from clepsydra.models.parts import total
from clepsydra.models.registry import ENGINES
from clepsydra.models.statistical_components import components
from clepsydra.models.target_transforms import Targets
from helpers import make_series, make_task

STEPS, AHEAD = 150, 6
TASK = make_task(season_lengths=[4, 12], horizon=AHEAD)

CORRECTIONS: list[dict[str, Any]] = [
    {},
    {"seeds": 2, "scaled": False, "params": {"n_estimators": 5}},
    {"estimator": "sklearn.linear_model.LinearRegression", "scaled": True},
]

SERIES_ENGINES: list[tuple[str, dict[str, Any]]] = [
    *(
        ("statsforecast", {"model": name})
        for name in (
            *("Naive", "SeasonalNaive", "RandomWalkWithDrift", "HistoricAverage"),
            *("SimpleExponentialSmoothingOptimized", "SeasonalExponentialSmoothingOptimized"),
            *("Holt", "Theta", "DynamicOptimizedTheta", "MSTL"),
        )
    ),
    ("statsforecast", {"model": "Theta", "decomposition_type": "additive"}),
    ("statsforecast", {"model": "MSTL", "trend_forecaster": "Naive", "season_length": 4}),
    ("naive2", {}),
    ("autoregression", {}),
    ("autoregression", {"log": False, "lags": [1, 2]}),
    ("exponential_smoothing", {"season_length": 4}),
    (
        "exponential_smoothing",
        {"season_length": 4, "trend": "add", "damped_trend": True, "seasonal": "mul"},
    ),
    ("exponential_smoothing", {"trend": "mul", "seasonal": None}),
    ("sarimax", {"seasons": 2, "known_columns": True}),
    (
        "sarimax",
        {"order": (1, 1, 1), "seasonal_order": (1, 0, 0, 4), "seasons": 0, "maxiter": 3},
    ),
    ("unobserved_components", {"known_columns": True, "maxiter": 3}),
    (
        "unobserved_components",
        {"level": "smooth trend", "autoregressive": 1, "stochastic_seasonal": True, "maxiter": 3},
    ),
    ("unobserved_components", {"level": "irregular", "maxiter": 3}),
]

_FEW = {"n_estimators": 4, "random_state": 0}
REGRESSORS: dict[str, dict[str, Any]] = {
    "sklearn.linear_model.LinearRegression": {},
    "sklearn.linear_model.Ridge": {},
    "sklearn.ensemble.RandomForestRegressor": _FEW,
    "sklearn.ensemble.HistGradientBoostingRegressor": {"max_iter": 5},
    "lightgbm.LGBMRegressor": _FEW,
}
WAYS: list[dict[str, Any]] = [
    {},
    {"target_transforms": ["difference_season"], "balance": True},
    {"target_transforms": ["log1p", "difference_season", "standard_scaler"]},
    {"target_transforms": ["standard_scaler"], "blocks": 3, "past_only_columns": True},
    {"strategy": "recursive", "target_transforms": ["difference_season"], "lags": [1, 2, 4]},
    {"static_columns": ("kind",), "encoding": "onehot"},
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def made(seed: int, zeros: bool = False) -> tuple[History, pd.DataFrame]:
    """Three series with two seasons, a known and a past-only column, and what is known ahead."""
    random = np.random.default_rng(seed)
    frames = []
    for name in "abc":
        size = np.exp(random.normal(1, 1))
        season = np.resize(random.normal(0, 1, 4), STEPS + AHEAD)
        walk = np.cumsum(random.normal(0, 0.1, STEPS + AHEAD))
        y = size * (8 + season + walk + random.normal(0, 0.3, STEPS + AHEAD))
        y = np.round(np.maximum(y - 6 * size, 0)) if zeros else np.maximum(y, 0.1)
        frames.append(make_series(name, "2013-01-01", y))
    rows = pd.concat(frames, ignore_index=True).drop(columns="is_imputed")
    rows["warmth"] = random.normal(15, 5, len(rows))
    rows["seen"] = random.normal(0, 1, len(rows))
    step = rows.groupby("unique_id").cumcount()
    static = pd.DataFrame({"unique_id": list("abc"), "kind": ["x", "y", "x"]})
    past = rows[step < STEPS].reset_index(drop=True)
    future = rows[step >= STEPS].drop(columns=["y", "seen"]).reset_index(drop=True)
    return History(past, static, ("warmth",), ("seen",)), future


def model_of(engine: str, options: dict[str, Any]) -> Model:
    module, _, name = ENGINES[engine].path.rpartition(".")
    return getattr(importlib.import_module(module), name)(TASK, AHEAD, **options)


def check(model: Model, history: History, future: pd.DataFrame, ids: list[str]) -> pd.DataFrame:
    """The parts of these series, which add up to their forecasts."""
    shown = history.for_model(model)
    ahead = future[["unique_id", "ds", *shown.known]]
    state = model.fit(shown)
    made = model.predict(state, shown, ahead, AHEAD)
    found = model.explain(state, shown, ahead[ahead["unique_id"].isin(ids)], AHEAD)
    assert found is not None
    assert sorted(found["unique_id"].unique()) == sorted(ids)
    both = total(found).merge(made, on=["unique_id", "ds"], suffixes=("", "_made"))
    assert len(both) == AHEAD * len(ids)
    scale = np.maximum(both["y_hat_made"].abs(), 1.0)
    assert ((both["y_hat"] - both["y_hat_made"]).abs() <= 1e-6 * scale).all()
    return found


@pytest.mark.parametrize(("engine", "options"), SERIES_ENGINES, ids=str)
@settings(max_examples=5)
@given(seed=st.integers(0, 1000), zeros=st.booleans())
def test_components_add_up(engine: str, options: dict[str, Any], seed: int, zeros: bool) -> None:
    history, future = made(seed, zeros and "mul" not in options.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(model_of(engine, options), history, future, ["a", "c"])


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("regressor", REGRESSORS)
@settings(max_examples=2)
@given(seed=st.integers(0, 1000))
def test_features_of_lags_add_up(regressor: str, way: dict[str, Any], seed: int) -> None:
    history, future = made(seed)
    options = {"estimator": regressor, "params": REGRESSORS[regressor], **way}
    found = check(model_of("mlforecast", options), history, future, ["b"])
    features = set(found.loc[found["kind"] == "feature", "feature"])
    assert "warmth" in features
    if "static_columns" in way:
        assert {"kind_x", "kind_y"} <= features
    if "difference_season" in way.get("target_transforms", []):
        assert "12 steps before" in set(found.loc[found["kind"] == "base", "feature"])
    assert set(found["scale"]) == {"log1p" if "log1p" in str(way) else "value"}


@pytest.mark.parametrize("regressor", [None, *REGRESSORS])
@settings(max_examples=2)
@given(seed=st.integers(0, 1000), zeros=st.booleans())
def test_features_of_windows_add_up(regressor: str | None, seed: int, zeros: bool) -> None:
    history, future = made(seed, zeros)
    params = {"params": REGRESSORS[regressor]} if regressor else {}
    model = model_of("window_regression", {"estimator": regressor, **params})
    found = check(model, history, future, ["a", "c"])
    assert {"recent values", "earlier seasons", "warmth"} & set(found["feature"])
    for unique_id, rows in found.groupby("unique_id"):
        low = history.described["low"][unique_id]
        assert set(rows["scale"]) == {"log" if low > 0 else "value"}


@pytest.mark.parametrize("options", CORRECTIONS, ids=str)
@settings(max_examples=3)
@given(seed=st.integers(0, 1000), zeros=st.booleans())
def test_corrections_add_up_to_the_naive_forecast(
    options: dict[str, Any], seed: int, zeros: bool
) -> None:
    history, future = made(seed, zeros)
    found = check(model_of("seasonal_correction", options), history, future, ["a", "c"])
    naive = found[found["feature"] == "12 steps before"]
    again = history.rows.groupby("unique_id")["y"].tail(12).groupby(history.rows["unique_id"])
    for unique_id, values in again:
        its = naive.loc[naive["unique_id"] == unique_id, "contribution"]
        assert unique_id == "b" or np.allclose(its, values.to_numpy()[:AHEAD])
    assert {"warmth", "recent values", "earlier seasons"} <= set(found["feature"])


@settings(max_examples=3)
@given(seed=st.integers(0, 1000), zeros=st.booleans())
def test_seasons_and_columns_add_up(seed: int, zeros: bool) -> None:
    history, future = made(seed, zeros)
    options = {"lasting": ["warmth"], "products": [["warmth", "warmth"]], "max_origins": 25}
    model = model_of("season_regression", options)
    found = check(model, history, future, ["a", "c"])
    assert {"warmth", "warmth and warmth", "recent values"} <= set(found["feature"])


def test_a_feature_that_predicts_nothing_contributes_nothing() -> None:
    """And the one that predicts all has all: a linear model knows how much of it."""
    rows = np.random.default_rng(0).normal(size=(50, 2))
    line = LinearRegression().fit(rows, 3 * rows[:, 0])
    found = contributions(line, rows, line.predict(rows), lambda: rows.mean(axis=0))
    np.testing.assert_allclose(found.of_features[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(found.of_features[:, 0], 3 * (rows[:, 0] - rows[:, 0].mean()))


@pytest.mark.parametrize("kind", ["ANA", "AAA", "MNM", "MAM", "MMM", "ANN", "AAN"])
def test_the_states_of_an_ets_are_its_components(kind: str) -> None:
    history, _ = made(0)
    y = history.rows.loc[history.rows["unique_id"] == "a", "y"].to_numpy()
    model = library.AutoETS(season_length=4, model=kind)
    found = components(model, y, AHEAD)
    assert found is not None
    mean = model.forecast(y=y, h=AHEAD)["mean"]
    np.testing.assert_allclose(sum(found.values()), mean, rtol=1e-9)
    assert ("trend" in found) == (kind[1] != "N")
    assert ("season" in found) == (kind[2] != "N")
    if kind == "AAA":
        steps = np.diff(found["trend"])
        np.testing.assert_allclose(steps, steps[0], atol=1e-9)
        np.testing.assert_allclose(found["season"][:2], found["season"][4:], atol=1e-9)


def test_without_known_columns_the_errors_of_sarimax_are_white_about_their_constant() -> None:
    history, future = made(0)
    model = model_of("sarimax", {"order": (0, 0, 0), "seasons": 1})
    found = check(model, history, future, ["a"])
    errors = found.loc[found["feature"] == "errors", "contribution"]
    assert errors.nunique() == 1 or np.ptp(errors) < 1e-9
    again = found.loc[found["feature"] == "12 steps before", "contribution"].to_numpy()
    y = history.rows.loc[history.rows["unique_id"] == "a", "y"].to_numpy()
    ratio = again / y[-12 : -12 + AHEAD]
    np.testing.assert_allclose(ratio, ratio[0])


def test_what_has_no_explanation_says_so() -> None:
    history, future = made(0)
    model = model_of("statsforecast", {"model": "AutoCES"})
    shown = history.for_model(model)
    assert model.explain(None, shown, future[["unique_id", "ds"]], AHEAD) is None
    with pytest.raises(ValueError, match="no scale adds up"):
        _ = Targets(("difference_season", "log1p"), 12).scale
