"""SARIMAX: seasons as regressors, parameters kept between fits, failures left out."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from clepsydra.models.state_space import SarimaxModel
from helpers import make_series, make_task

SEASON = 8


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    """Two series of a noisy season."""
    random = np.random.default_rng(0)
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(160) / SEASON)
    return pd.concat(
        [
            make_series("a", "2013-01-01", season + random.normal(scale=0.3, size=160)),
            make_series("b", "2013-01-01", 3 * season + random.normal(scale=0.3, size=160)),
        ],
        ignore_index=True,
    )


def future(steps: int, *ids: str) -> pd.DataFrame:
    ds = pd.date_range("2013-01-07 16:00", periods=steps, freq="h")
    return pd.MultiIndex.from_product([ids, ds], names=["unique_id", "ds"]).to_frame(index=False)


def model(lead: int = 10) -> SarimaxModel:
    return SarimaxModel(make_task(season_lengths=[SEASON]), lead)


def test_a_season_is_continued(history: pd.DataFrame) -> None:
    one = model()
    found = one.predict(one.fit(history), history, future(10, "a", "b"))
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(160, 170) / SEASON)
    a, b = (found.loc[found["unique_id"] == uid, "y_hat"].to_numpy() for uid in ("a", "b"))
    assert np.abs(a - season).mean() < 0.5
    assert np.abs(b - 3 * season).mean() < 1.0
    assert found["ds"].tolist() == future(10, "a", "b")["ds"].tolist()


def test_only_seasons_that_are_known_at_the_lead_are_regressors() -> None:
    assert model(lead=8).min_history == 2 * 16 + 10
    assert model(lead=9).min_history == 2 * 24 + 10
    assert model(lead=24).min_history == 2 * 32 + 10


def test_new_history_moves_the_forecast_without_a_new_fit(history: pd.DataFrame) -> None:
    one = model()
    state = pickle.loads(pickle.dumps(one.fit(history)))
    before = {uid: values.copy() for uid, values in state.items()}
    lifted = history.assign(y=history["y"] + np.where(history["ds"] >= "2013-01-07 08:00", 50, 0))
    calm = one.predict(state, history, future(4, "a"))
    moved = one.predict(state, lifted, future(4, "a"))
    assert (moved["y_hat"] - calm["y_hat"]).abs().max() > 1
    for uid, values in state.items():
        np.testing.assert_array_equal(values, before[uid])


def test_a_series_too_short_or_not_asked_for_is_absent(history: pd.DataFrame) -> None:
    one = model()
    short = make_series("short", "2013-01-06", range(40))
    everything = pd.concat([history, short], ignore_index=True)
    state = one.fit(everything)
    assert set(state) == {"a", "b"}
    assert set(one.predict(state, everything, future(3, "a", "short"))["unique_id"]) == {"a"}
    nothing = one.predict({}, everything, future(3, "a"))
    assert nothing.empty
    assert list(nothing.columns) == ["unique_id", "ds", "y_hat"]


def test_a_differenced_model_has_no_constant_and_still_forecasts(history: pd.DataFrame) -> None:
    one = SarimaxModel(make_task(season_lengths=[SEASON]), 4, order=(0, 1, 1), seasons=1)
    found = one.predict(one.fit(history), history, future(4, "a"))
    assert np.isfinite(found["y_hat"]).all()
