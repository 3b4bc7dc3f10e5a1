"""State space models: parameters kept between fits, failures left out, honest intervals."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from toys import knowledge_of

from clepsydra.config import TaskConfig
from clepsydra.cost import Cost
from clepsydra.models.base import History, Model, quantile_columns
from clepsydra.models.forecasting import Candidate, fit
from clepsydra.models.isolation import Isolation
from clepsydra.models.state_space import (
    ExponentialSmoothingModel,
    SarimaxModel,
    UnobservedComponentsModel,
)
from helpers import make_series, make_task

SEASON = 8


@pytest.fixture(scope="module")
def history() -> History:
    """Two series of a noisy season."""
    random = np.random.default_rng(0)
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(160) / SEASON)
    rows = pd.concat(
        [
            make_series("a", "2013-01-01", season + random.normal(scale=0.3, size=160)),
            make_series("b", "2013-01-01", 3 * season + random.normal(scale=0.3, size=160)),
        ],
        ignore_index=True,
    )
    return History.of(rows[["unique_id", "ds", "y"]])


def future(steps: int, *ids: str) -> pd.DataFrame:
    ds = pd.date_range("2013-01-07 16:00", periods=steps, freq="h")
    return pd.MultiIndex.from_product([ids, ds], names=["unique_id", "ds"]).to_frame(index=False)


def task() -> TaskConfig:
    return make_task(season_lengths=[SEASON])


def model(lead: int = 10) -> SarimaxModel:
    return SarimaxModel(task(), lead)


MODELS = [
    model(),
    SarimaxModel(task(), 10, order=(1, 0, 0), seasonal_order=(0, 1, 1, SEASON), seasons=0),
    UnobservedComponentsModel(task(), 10),
    UnobservedComponentsModel(task(), 10, level="local linear trend", stochastic_seasonal=True),
    ExponentialSmoothingModel(task(), 10),
    ExponentialSmoothingModel(task(), 10, "mul", "add", damped_trend=True, seasonal="mul"),
]


@pytest.mark.parametrize("one", MODELS, ids=lambda one: type(one).__name__)
def test_a_season_is_continued_with_quantiles_of_its_noise(history: History, one: Model) -> None:
    state = pickle.loads(pickle.dumps(one.fit(history)))
    found = one.predict(state, history, future(10, "a", "b"), 10)
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(160, 170) / SEASON)
    a, b = (found.loc[found["unique_id"] == uid] for uid in ("a", "b"))
    assert np.abs(a["y_hat"].to_numpy() - season).mean() < 0.5
    assert np.abs(b["y_hat"].to_numpy() - 3 * season).mean() < 1.0
    assert found["ds"].tolist() == future(10, "a", "b")["ds"].tolist()
    # Noise of 0.3: its middle 95 % are 1.2 wide.
    width = a["q0.975"] - a["q0.025"]
    assert 0.8 < width.mean() < 3.0
    assert (np.diff(found[quantile_columns()].to_numpy(), axis=1) > 0).all()


def test_only_seasons_that_are_known_at_the_lead_are_regressors() -> None:
    assert model(lead=8).min_history == 2 * 16 + 10
    assert model(lead=9).min_history == 2 * 24 + 10
    assert model(lead=24).min_history == 2 * 32 + 10


@pytest.mark.parametrize("one", MODELS, ids=lambda one: type(one).__name__)
def test_new_history_moves_the_forecast_without_a_new_fit(history: History, one: Model) -> None:
    state = pickle.loads(pickle.dumps(one.fit(history)))
    before = {uid: values.copy() for uid, values in state.items()}
    rows = history.rows
    lifted = rows.assign(y=rows["y"] + np.where(rows["ds"] >= "2013-01-07 08:00", 50, 0))
    calm = one.predict(state, history, future(4, "a"), 4)
    moved = one.predict(state, History.of(lifted), future(4, "a"), 4)
    assert (moved["y_hat"] - calm["y_hat"]).abs().max() > 1
    for uid, values in state.items():
        np.testing.assert_array_equal(values, before[uid])


@pytest.mark.parametrize("one", MODELS, ids=lambda one: type(one).__name__)
def test_a_series_is_forecast_alike_alone_and_beside_others(history: History, one: Model) -> None:
    both = one.predict(one.fit(history), history, future(4, "a", "b"), 4)
    only = history.only(pd.Index(["b"]))
    alone = one.predict(one.fit(only), only, future(4, "b"), 4)
    pd.testing.assert_frame_equal(
        both[both["unique_id"] == "b"].reset_index(drop=True), alone, check_exact=True
    )


def test_a_series_too_short_or_not_asked_for_is_absent(history: History) -> None:
    one = model()
    short = make_series("short", "2013-01-06", range(40)).drop(columns="is_imputed")
    everything = History.of(pd.concat([history.rows, short], ignore_index=True))
    state = one.fit(everything)
    assert set(state) == {"a", "b"}, "a series too short is absent"
    found = one.predict(state, everything, future(3, "a", "short"), 3)
    assert set(found["unique_id"]) == {"a"}
    nothing = one.predict({}, everything, future(3, "a"), 3)
    assert nothing.empty
    assert list(nothing.columns) == ["unique_id", "ds", "y_hat", *quantile_columns()]


def test_a_differenced_model_has_no_constant_and_still_forecasts(history: History) -> None:
    one = SarimaxModel(task(), 4, order=(0, 1, 1), seasons=1)
    found = one.predict(one.fit(history), history, future(4, "a"), 4)
    assert np.isfinite(found["y_hat"]).all()


@pytest.mark.parametrize("kind", [SarimaxModel, UnobservedComponentsModel])
def test_a_column_known_in_advance_is_a_regressor(history: History, kind: type[Model]) -> None:
    random = np.random.default_rng(1)
    rows = history.only(pd.Index(["a"])).rows.reset_index(drop=True)
    promotion = random.integers(0, 2, 170).astype(float)
    rows = rows.assign(y=rows["y"] + 20 * promotion[:160], promotion=promotion[:160], always=1.0)
    ahead = future(10, "a").assign(promotion=promotion[160:], always=1.0)
    season = 10 + 5 * np.sin(2 * np.pi * np.arange(160, 170) / SEASON)
    errors = {}
    for known in (True, False):
        one = kind(task(), 10, known_columns=known)  # type: ignore[call-arg]
        shown = History.of(rows, ("promotion", "always")).for_model(one)
        columns = ["unique_id", "ds", *shown.known]
        found = one.predict(one.fit(shown), shown, ahead[columns], 10)
        errors[known] = np.abs(found["y_hat"] - season - 20 * promotion[160:]).mean()
    assert errors[True] < errors[False] / 2, errors
    assert errors[False] > 5


def test_why_a_series_could_not_be_fitted_is_kept(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = model()
    estimate = one._estimate

    def fails_for_small(y: np.ndarray, known: np.ndarray) -> np.ndarray:
        if y.mean() < 20:
            raise np.linalg.LinAlgError("singular matrix")
        return estimate(y, known)

    monkeypatch.setattr(one, "_estimate", fails_for_small)
    knowledge = knowledge_of(history.rows.assign(is_imputed=False), task())
    candidate = Candidate("sarimax", one, None, False, None)
    with Isolation() as isolation:
        learnt = fit(candidate, knowledge.at(history.rows["ds"].max()), isolation, Cost())
    assert set(learnt.state) == {"b"}
    assert learnt.reasons == {"a": "LinAlgError: singular matrix (test_state_space.py:155)"}
