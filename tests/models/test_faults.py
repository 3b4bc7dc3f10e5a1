"""Five in a hundred series are damaged, in ten ways: all are forecast, and no other one moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits
from toys import daily_windows, knowledge_of

from clepsydra.config import ModelsConfig, TaskConfig
from clepsydra.models.backtest import BacktestResult, backtest
from clepsydra.models.base import quantile_columns
from clepsydra.models.forecasting import LAST_RESORT, candidates
from clepsydra.models.registry import global_models, local_models
from helpers import flights, make_task, project_models

IDS = ("EWR-UA", "JFK-B6", "LGA-MQ", "LGA-DL", "JFK-AA")
WEEKS = 40
STEPS = 4 * 168
TASK = make_task(season_lengths=[24, 168], horizon=24, minimum=0)
KEYS = ["unique_id", "cutoff", "ds"]
# Every engine of a single series and of all of them, besides those of the project's configuration.
MORE = {
    "holt_winters": {
        "engine": "statsforecast",
        "options": {"model": "HoltWinters", "season_length": 24},
        "max_history": 120,
    },
    "mstl": {
        "engine": "statsforecast",
        "options": {"model": "MSTL", "season_length": 24},
        "max_history": 120,
    },
    "croston": {"engine": "statsforecast", "options": {"model": "CrostonOptimized"}},
    "naive2": {"engine": "naive2"},
    "smoothing_states": {"engine": "exponential_smoothing", "options": {"season_length": 24}},
    "var": {"engine": "var", "options": {"group_by": "week"}},
    "lightgbm": {
        "engine": "mlforecast",
        "options": {
            "estimator": "lightgbm.LGBMRegressor",
            "params": {"n_estimators": 20},
            "blocks": 2,
            "static_columns": ["week"],
        },
    },
}


def damages() -> dict[str, tuple[str, np.ndarray]]:
    """Ten ways in which a series is damaged: what is said of it, and how it looks."""
    random = np.random.default_rng(0)
    plain = random.poisson(10, STEPS).astype(float)

    def with_at(place: int, value: float) -> np.ndarray:
        damaged = plain.copy()
        damaged[place] = value
        return damaged

    signs = np.where(np.arange(STEPS) % 2, 1.0, -1.0)
    return {
        "too short": ("too short: 6 steps", plain[:30]),
        "one value": ("too short: 1 steps", plain[:1]),
        "constant": ("constant: every value is 7", np.full(STEPS, 7.0)),
        "zero": ("constant: every value is 0", np.zeros(STEPS)),
        "missing": ("not finite: 1 of", with_at(-50, np.nan)),
        "empty": ("not finite: ", np.full(STEPS, np.nan)),
        "infinite": ("not finite: 1 of", with_at(-40, np.inf)),
        "absurd scale": ("absurd scale: a value of", plain * 1e20),
        "spike": ("absurd scale: a value of 1e+12", with_at(-30, 1e12)),
        "overflowing": ("absurd scale: a value of 1e+160", signs * 1e160),
    }


@dataclass(frozen=True)
class Case:
    """The backtests with the damaged series and without, and the configuration."""

    models: ModelsConfig
    damaged: BacktestResult
    healthy: BacktestResult


def healthy_series() -> pd.DataFrame:
    """Real flights: the same few series from week after week, as if each were another one."""
    real = flights("2013-01-05", "2013-12-15", IDS)["panel"]
    frames = []
    for unique_id, rows in real.groupby("unique_id"):
        y = rows["y"].to_numpy()
        for week in range(WEEKS):
            part = y[168 * week : 168 * week + STEPS]
            frames.append(
                pd.DataFrame(
                    {
                        "unique_id": f"{unique_id}-{week:02}",
                        "ds": pd.date_range("2013-02-01", periods=STEPS, freq="h"),
                        "y": part,
                        "is_imputed": False,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def run(
    panel: pd.DataFrame, models: ModelsConfig, task: TaskConfig, number: int = 1
) -> BacktestResult:
    """The last `number` windows of a day, for which all models learn once."""
    windows = daily_windows(number, panel["ds"].max() + pd.Timedelta("1h"))
    static = panel[["unique_id"]].drop_duplicates(ignore_index=True)
    static["week"] = static["unique_id"].str.rsplit("-", n=1).str[-1]
    names = [*local_models(models), *global_models(models)]
    return backtest(
        candidates(names, models, task, 24),
        knowledge_of(panel, task, static=static),
        windows,
        refit_every=number,
        final_fit=False,
    )


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def specifications() -> ModelsConfig:
    """Those of the project, with less to do, and more."""
    specs = project_models().model_dump()
    for spec in specs.values():
        spec["max_history"] = spec["max_history"] and min(spec["max_history"], 336)
    specs["sarimax"]["options"] |= {"seasons": 1, "maxiter": 5}
    for name in ("linear", "boosting"):
        specs[name]["options"] |= {"lags": [24, 168], "rolling_means": {24: [24]}}
    specs["boosting"]["options"]["params"] |= {"max_iter": 30}
    specs["correction"]["options"]["params"] |= {"n_estimators": 30}
    return ModelsConfig.model_validate({**specs, **MORE})


@pytest.fixture(scope="module")
def case() -> Case:
    models, healthy = specifications(), healthy_series()
    end = healthy["ds"].max()
    frames = [
        pd.DataFrame(
            {
                "unique_id": f"damaged {name}-00",
                "ds": pd.date_range(end=end, periods=len(y), freq="h"),
                "y": y,
                "is_imputed": False,
            }
        )
        for name, (_, y) in damages().items()
    ]
    panel = pd.concat([*frames, healthy], ignore_index=True)
    assert panel["unique_id"].nunique() == 210
    return Case(models, run(panel, models, TASK), run(healthy, models, TASK))


def is_damaged(rows: pd.DataFrame) -> pd.Series:
    return rows["unique_id"].str.startswith("damaged")


def test_every_series_is_forecast_by_every_model(case: Case) -> None:
    rows = case.damaged.forecasts
    assert np.isfinite(rows["y_hat"]).all()
    assert (rows["y_hat"] >= 0).all()
    steps = rows.groupby(["model", "unique_id"]).size()
    names = set(case.models.root)
    # One value is the last of all, so nothing was known of that series at the cutoff.
    assert set(rows["model"]) == names
    assert len(steps) == len(names) * 209
    assert set(steps) == {24}


def test_no_healthy_series_moves_by_a_bit(case: Case) -> None:
    """For the models of all series it is as if the damaged ones were absent."""
    found = case.damaged.forecasts
    found = found[~is_damaged(found)].reset_index(drop=True)
    expected = case.healthy.forecasts
    columns = [*KEYS, "model", "y_hat", *quantile_columns()]
    order = [*KEYS, "model"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True)[columns],
        expected.sort_values(order, ignore_index=True)[columns],
        check_exact=True,
    )


def test_every_fallback_is_counted_with_what_is_wrong_and_whose_forecast_it_is(
    case: Case,
) -> None:
    order = ["model", "unique_id"]
    failures = case.damaged.failures.sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(
        failures[~is_damaged(failures)].reset_index(drop=True),
        case.healthy.failures.sort_values(order, ignore_index=True),
    )
    able = {
        "constant": {"seasonal_naive", "croston", "naive2"},
        "zero": {"seasonal_naive", "croston", "naive2"},
        "too short": {"croston", "naive2"},
        "one value": set(case.models.root),
    }
    for name, (says, _) in damages().items():
        its = failures[failures["unique_id"] == f"damaged {name}-00"].set_index("model")
        assert set(its.index) == set(case.models.root) - able.get(name, set()), name
        assert its["reason"].str.startswith(says).all(), name
        fallback = "seasonal_naive" if name in {"constant", "zero"} else LAST_RESORT
        assert set(its["fallback"]) <= {fallback}, name


@pytest.mark.parametrize("model", ["theta", "sarimax", "boosting", "lightgbm"])
def test_a_forecast_is_the_model_s_own_where_no_failure_is_counted(case: Case, model: str) -> None:
    naive = case.damaged.forecasts.query("model == 'seasonal_naive'").set_index(KEYS)["y_hat"]
    rows = case.damaged.forecasts.query("model == @model").set_index(KEYS)["y_hat"]
    same = (rows == naive).groupby("unique_id").all()
    failures = case.damaged.failures.query("model == @model")
    assert set(same[same].index) == set(failures["unique_id"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e15])
def test_a_series_that_is_damaged_after_a_model_has_learnt_moves_no_other_one(value: float) -> None:
    """In a second window, for which nothing is learnt anew."""
    names = ("seasonal_naive", "theta", "sarimax", "boosting", "lightgbm", "var")
    models = ModelsConfig({name: specifications().root[name] for name in names})
    healthy = healthy_series()
    some = healthy["unique_id"].unique()[:8]
    healthy = healthy[healthy["unique_id"].isin(some)].reset_index(drop=True)
    damaged, its = healthy.copy(), healthy["unique_id"] == some[3]
    last_days = healthy["ds"] > healthy["ds"].max() - pd.Timedelta("48h")
    damaged.loc[its & last_days, "y"] = value
    expected, found = run(healthy, models, TASK, 2), run(damaged, models, TASK, 2)
    others = expected.forecasts["unique_id"] != some[3]
    pd.testing.assert_frame_equal(
        found.forecasts[others], expected.forecasts[others], check_exact=True
    )
    late = found.failures.query("cutoff == cutoff.max()")
    assert set(late.loc[late["unique_id"] == some[3], "model"]) == set(names)
