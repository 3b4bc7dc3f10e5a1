"""One regression over all series, of steps relative to the level they start from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import daily_windows, run, small_panel

from clepsydra.models.anchored import Anchored, Layout
from clepsydra.models.base import History
from clepsydra.models.basis import Basis
from clepsydra.models.window_regression import WindowRegressionModel
from helpers import make_task

LEAD = 4
TREES = {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor"}


def made(
    series: int = 20, steps: int = 60, seed: int = 0
) -> tuple[History, pd.DataFrame, np.ndarray]:
    """Series with a season of four and a level that wanders; what follows, and its values."""
    random = np.random.default_rng(seed)
    season = np.resize([0.0, 0.3, 0.1, -0.4], steps + LEAD)
    walk = np.cumsum(random.normal(0, 0.02, (series, steps + LEAD)), axis=1)
    y = np.exp(random.normal(3, 2, (series, 1)) + season + walk)
    ds = pd.date_range("2013-01-01", periods=steps + LEAD, freq="h")
    rows = pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{number:03}" for number in range(series)], len(ds)),
            "ds": np.tile(ds, series),
            "y": y.ravel(),
        }
    )
    past = rows["ds"] < ds[steps]
    future = rows.loc[~past, ["unique_id", "ds"]].reset_index(drop=True)
    return History.of(rows[past].reset_index(drop=True)), future, y[:, steps:]


def forecast(history: History, future: pd.DataFrame, **options: Any) -> np.ndarray:
    model = WindowRegressionModel(make_task(season_lengths=[4]), LEAD, **options)
    found = model.predict(model.fit(history), history, future, LEAD)
    assert found[["unique_id", "ds"]].equals(future)
    return found["y_hat"].to_numpy().reshape(-1, LEAD)


@pytest.mark.parametrize("options", [{}, {"log": False}, TREES], ids=str)
def test_it_learns_the_season_and_follows_the_level(options: dict[str, Any]) -> None:
    history, future, truth = made()
    found = forecast(history, future, **options)
    naive = history.rows["y"].to_numpy().reshape(len(truth), -1)[:, -4:]
    error = np.abs(np.log(found / truth)).mean()
    assert error < 0.06
    assert error < 1.5 * np.abs(np.log(naive / truth)).mean()


def test_a_series_of_a_few_steps_has_its_season_from_the_others() -> None:
    history, future, truth = made()
    rows = history.rows
    short = (rows["unique_id"] != "s000") | (rows.groupby("unique_id").cumcount() >= 56)
    found = forecast(History.of(rows[short].reset_index(drop=True)), future)
    assert np.abs(np.log(found[0] / truth[0])).max() < 0.2


@settings(max_examples=20)
@given(factor=st.floats(1e-3, 1e6), number=st.integers(0, 19))
def test_forecasts_move_with_the_unit_of_each_series(factor: float, number: int) -> None:
    history, future, _ = made()
    scale = np.where(history.rows["unique_id"] == f"s{number:03}", factor, 1.0)
    other = History.of(history.rows.assign(y=history.rows["y"] * scale))
    expected = forecast(history, future)
    expected[number] *= factor
    np.testing.assert_allclose(forecast(other, future), expected, rtol=1e-6)


def test_a_series_of_a_few_spikes_does_not_spoil_the_others() -> None:
    history, future, truth = made()
    spikes = history.rows["unique_id"] == "s000"
    place = history.rows.groupby("unique_id").cumcount()
    y = history.rows["y"].where(~spikes, place.isin([20, 41, 55]).astype(float))
    found = forecast(History.of(history.rows.assign(y=y)), future)
    error = np.abs(np.log(found[1:] / truth[1:])).mean()
    assert error < 1.3 * np.abs(np.log(forecast(history, future)[1:] / truth[1:])).mean()


def test_the_order_of_the_future_does_not_matter() -> None:
    history, future, _ = made()
    model = WindowRegressionModel(make_task(season_lengths=[4]), LEAD)
    state = model.fit(history)
    mixed = model.predict(state, history, future.sample(frac=1, random_state=0), LEAD)
    pd.testing.assert_frame_equal(mixed, model.predict(state, history, future, LEAD))


def known_history(steps: int) -> tuple[History, pd.DataFrame, np.ndarray]:
    """A series that does what a column known in advance says: a bend, a while later, and a day."""
    random = np.random.default_rng(0)
    ds = pd.date_range("2013-01-01", periods=steps + 24, freq="h")
    warmth = 15 + 10 * np.sin(np.arange(len(ds)) / 200) + random.normal(0, 2, len(ds))
    lately = pd.Series(np.maximum(15 - warmth, 0)).ewm(halflife=6).mean().to_numpy()
    free = (ds.dayofyear % 11 == 0).astype(float)
    y = 100 + 5 * lately - 20 * free + 10 * np.sin(np.arange(len(ds)) * np.pi / 12)
    rows = pd.DataFrame({"unique_id": "a", "ds": ds, "y": y, "warmth": warmth, "free": free})
    known = ("warmth", "free")
    history = History.of(rows.iloc[:steps], known)
    return history, rows.iloc[steps:].drop(columns="y").reset_index(drop=True), y[steps:]


def test_columns_known_in_advance_are_used_bent_and_lagged() -> None:
    history, future, truth = known_history(24 * 300)
    errors = {}
    for known in (True, False):
        model = WindowRegressionModel(make_task(), 24, known_columns=known)
        shown = history.for_model(model)
        ahead = future[["unique_id", "ds", *shown.known]]
        found = model.predict(model.fit(shown), shown, ahead, 24)["y_hat"]
        errors[known] = np.abs(found - truth).mean()
    assert errors[True] < 1.5
    assert errors[False] > 2 * errors[True]


def test_a_forecast_from_another_hour_of_the_day_is_learnt_for_that_hour() -> None:
    history, _, _ = known_history(24 * 100)
    plain = History.of(history.rows[["unique_id", "ds", "y"]])
    model = WindowRegressionModel(make_task(), 6)
    state = model.fit(plain)
    later = History.of(plain.rows.iloc[:-5])
    ahead = plain.rows.iloc[-5:][["unique_id", "ds"]].reset_index(drop=True)
    found = model.predict(state, later, ahead, 5)
    pd.testing.assert_frame_equal(found, model.predict(model.fit(later), later, ahead, 5))
    assert np.abs(found["y_hat"] - plain.rows["y"].iloc[-5:].to_numpy()).max() < 20


def test_what_is_not_there_yet_is_no_feature() -> None:
    """Features of an origin are the same whatever comes after it."""
    random = np.random.default_rng(0)
    value = random.normal(size=400)
    rows = pd.DataFrame({"unique_id": np.repeat(["a", "b"], 200)})
    changed = value.copy()
    changed[121:200] = 99.0
    series, origin = np.array([0]), np.array([120])
    for seasons in ([24, 168], [4], [1], [7, 28]):
        one, two = (
            Anchored(Layout.of(rows, values, rows.iloc[:0], []), seasons)
            for values in (value, changed)
        )
        np.testing.assert_array_equal(one.of_origin(series, origin), two.of_origin(series, origin))
        for step in (1, 7, 24, 48):
            np.testing.assert_array_equal(
                one.of_step(series, origin, step), two.of_step(series, origin, step)
            )


def test_few_whole_numbers_are_categories_and_others_bend() -> None:
    rows = pd.DataFrame({"unique_id": "a", "day": np.arange(70) % 7, "warmth": np.arange(70) / 7})
    layout = Layout.of(rows, np.zeros(70), rows.iloc[:0], ["day", "warmth"])
    now, lagged = Basis.of(layout, [24]).expand(layout)
    np.testing.assert_array_equal(now[:, :7], np.eye(7)[np.arange(70) % 7])
    assert now.shape == (70, 7 + 4 * 6)
    assert lagged.shape == (70, 6)
    np.testing.assert_allclose(now[:, 7], rows["warmth"])
    smoothed = rows["warmth"].ewm(halflife=6, adjust=False).mean()
    np.testing.assert_allclose(now[:, 13], smoothed)


def test_a_missing_value_of_a_column_is_its_mean_and_a_missing_day_is_none() -> None:
    rows = pd.DataFrame({"unique_id": "a", "day": [0.0, 1, np.nan] * 9, "w": np.arange(27.0) / 2})
    rows.loc[3, "w"] = np.nan
    layout = Layout.of(rows, np.zeros(27), rows.iloc[:0], ["day", "w"])
    now, _ = Basis.of(layout, [1], bent=False).expand(layout)
    assert np.isfinite(now).all()
    assert now[3, 1] == pytest.approx(rows["w"].mean())


def test_a_backtest_has_its_forecast_of_every_series() -> None:
    found = run(WindowRegressionModel(make_task(), 24), small_panel(), daily_windows(2))
    assert np.isfinite(found.forecasts["y_hat"]).all()
    assert set(found.failures["unique_id"]) <= {"tiny"}


def test_too_few_origins_are_said() -> None:
    history, _, _ = made(series=1, steps=9)
    with pytest.raises(ValueError, match="origins to learn from: series need 4 steps ahead"):
        WindowRegressionModel(make_task(season_lengths=[4]), LEAD).fit(history)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"params": {"alpha": 1}}, "'params' are of an 'estimator'"),
        ({"estimator": "sklearn.svm.SVR", "params": {"q": 1}}, "'q'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        WindowRegressionModel(make_task(), 24, **options)
