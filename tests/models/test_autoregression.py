"""A series' regression on its own past."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from toys import daily_windows, run, small_panel

from clepsydra.models.autoregression import AutoregressionModel, autoregression
from clepsydra.models.base import History
from clepsydra.models.lags import autoregressive_lags
from helpers import make_series, make_task


def process(steps: int, seed: int = 0) -> np.ndarray:
    """An autoregression of order two around a season of four."""
    random = np.random.default_rng(seed)
    y = np.zeros(steps)
    for step in range(2, steps):
        y[step] = 0.5 * y[step - 1] + 0.3 * y[step - 2] + random.normal()
    return 50 + y + np.resize([0.0, 5.0, 1.0, -4.0], steps)


def by_sklearn(y: np.ndarray, horizon: int, lags: list[int], season: int) -> np.ndarray:
    """The same regression, with the rows scaled so that scikit-learn has one penalty for all."""
    z = list((y - y.mean()) / y.std())
    steps = np.arange(max(lags), len(y))
    seasonal = np.sqrt(0.003 / 0.1) * np.eye(season)

    def row(step: int) -> list[float]:
        return [*(z[step - lag] for lag in lags), *seasonal[step % season]]

    ridge = Ridge(alpha=0.003 * len(steps) / 100)
    fitted = ridge.fit([row(step) for step in steps], [z[step] for step in steps])
    for step in range(len(y), len(y) + horizon):
        z.append(float(fitted.predict([row(step)])[0]))
    return y.mean() + y.std() * np.array(z[len(y) :])


@pytest.mark.parametrize("lags", [[1, 2, 4], [1], [2, 8]])
def test_it_is_the_ridge_regression_of_sklearn_step_by_step(lags: list[int]) -> None:
    y = process(300)
    found = autoregression(y, 12, lags, season_length=4)
    np.testing.assert_allclose(found, by_sklearn(y, 12, lags, 4), rtol=1e-6)


def test_it_finds_what_made_the_series() -> None:
    y = process(4000)
    found = autoregression(y, 1, [1, 2], season_length=4)[0]
    season = np.array([0.0, 5.0, 1.0, -4.0])
    plain = y - 50 - np.resize(season, len(y))
    expected = 50 + season[len(y) % 4] + 0.5 * plain[-1] + 0.3 * plain[-2]
    assert abs(found - expected) < 0.2


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    factor=st.sampled_from([1e-3, 1.0, 2.0, 1e6]),
    shift=st.sampled_from([0.0, -7.0, 1e3]),
)
def test_forecasts_move_with_unit_and_origin_of_the_values(
    seed: int, factor: float, shift: float
) -> None:
    y = process(80, seed)
    one = autoregression(y, 6, [1, 4], 4)
    other = autoregression(shift + factor * y, 6, [1, 4], 4)
    np.testing.assert_allclose(other, shift + factor * one, rtol=1e-6, atol=1e-6 * factor)


def test_no_forecast_goes_far_beyond_the_values_seen() -> None:
    y = 1.2 ** np.arange(40.0)
    found = autoregression(y, 200, [1, 2], 1)
    assert found.max() <= y.max() + 0.3 * np.ptp(y) + 1e-9


def test_a_constant_goes_on_and_too_little_history_is_said() -> None:
    assert autoregression(np.full(20, 3.0), 2, [1], 1).tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="5 steps are too few for a lag of 4"):
        autoregression(np.arange(5.0), 2, [4], 1)


def test_logarithms_are_taken_of_positive_series_only() -> None:
    y = process(200)
    rows = [make_series("up", "2013-01-01", y), make_series("zero", "2013-01-01", y - y.min())]
    history = History.of(pd.concat(rows, ignore_index=True).drop(columns="is_imputed"))
    ahead = pd.date_range(history.rows["ds"].max(), periods=4, freq="h")[1:]
    future = pd.DataFrame({"unique_id": np.repeat(["up", "zero"], 3), "ds": np.tile(ahead, 2)})
    task = make_task(season_lengths=[4])
    found = AutoregressionModel(task, 3).predict(None, history, future, 3)
    found = found.set_index("unique_id")["y_hat"]
    lags = autoregressive_lags([4])
    np.testing.assert_allclose(found["up"], np.exp(autoregression(np.log(y), 3, lags, 4)))
    np.testing.assert_allclose(found["zero"], autoregression(y - y.min(), 3, lags, 4))


def test_a_backtest_has_its_forecast_of_every_series_with_history_enough() -> None:
    found = run(AutoregressionModel(make_task(), 24), small_panel(), daily_windows(2))
    assert set(found.failures["unique_id"]) == {"tiny"}
    assert np.isfinite(found.forecasts["y_hat"]).all()


@pytest.mark.parametrize("options", [{"lags": [0, 1]}, {"ridge": -1.0}, {"seasonal_ridge": -1.0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give at least 1, 0 and 0"):
        AutoregressionModel(make_task(), 24, **options)  # type: ignore[arg-type]
