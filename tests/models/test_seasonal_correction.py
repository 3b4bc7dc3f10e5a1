"""One regressor over all series, that learns when the seasonal naive forecast is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import daily_windows, run, small_panel

from clepsydra.models.anchored import Layout
from clepsydra.models.base import History
from clepsydra.models.changes import Changes, Targets
from clepsydra.models.seasonal_correction import SeasonalCorrectionModel
from helpers import make_task

DAY, WEEK = 24, 168
NEIGHBOURS = {"estimator": "sklearn.neighbors.KNeighborsRegressor"}
HUBER = {"objective": "huber", "alpha": 0.5}
HIST = {"estimator": "sklearn.ensemble.HistGradientBoostingRegressor", "params": {"max_iter": 50}}


def timetables(days: int = 72, series: int = 12, seed: int = 0) -> pd.DataFrame:
    """Counts by hour that repeat, until a departure moves for good; some are cancelled once."""
    random = np.random.default_rng(seed)
    y = np.zeros((series, days, DAY))
    for its in y:
        its[:, 6:22] = random.integers(0, 3, 16)
        for day in np.flatnonzero(random.random(days) < 0.07):
            moved, to = random.choice(np.arange(6, 22), 2, replace=False)
            its[day:, to] += its[day:, moved]
            its[day:, moved] = 0
    cancelled = random.random(y.shape) < 0.02
    ds = pd.date_range("2024-01-01", periods=days * DAY, freq="h")
    return pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{number:02}" for number in range(series)], len(ds)),
            "ds": np.tile(ds, series),
            "y": np.where(cancelled, 0.0, y).ravel(),
        }
    )


def split(rows: pd.DataFrame, known_days: int, days: int) -> tuple[History, pd.DataFrame]:
    """What is known after so many days, and the rows of the days that follow."""
    start = rows["ds"].min()
    cut, end = (start + pd.Timedelta(number, "D") for number in (known_days, known_days + days))
    later = rows[(rows["ds"] >= cut) & (rows["ds"] < end)].reset_index(drop=True)
    return History.of(rows[rows["ds"] < cut].reset_index(drop=True)), later


def model_of(lead: int = 2 * DAY, horizon: int | str = DAY, **options: Any) -> Any:
    task = make_task(season_lengths=[DAY, WEEK], horizon=horizon)
    return SeasonalCorrectionModel(task, lead, **options)


def naive_of(rows: pd.DataFrame, later: pd.DataFrame) -> np.ndarray:
    before = later.assign(ds=later["ds"] - pd.Timedelta(WEEK, "h"))[["unique_id", "ds"]]
    return before.merge(rows, on=["unique_id", "ds"], how="left")["y"].to_numpy()


@pytest.mark.parametrize("options", [{"scaled": False, "params": HUBER}, {}, HIST], ids=str)
def test_it_follows_a_new_timetable_and_forgets_a_cancellation(options: dict[str, Any]) -> None:
    rows, model = timetables(), model_of(**options)
    state = model.fit(split(rows, 58, 2)[0])
    errors = []
    for known in range(58, 70):
        history, later = split(rows, known, 2)
        found = model.predict(state, history, later[["unique_id", "ds"]], 2 * DAY)
        tomorrow = (later.groupby("unique_id").cumcount() >= DAY).to_numpy()
        y = later["y"].to_numpy()
        pair = found["y_hat"].round().clip(lower=0).to_numpy(), naive_of(rows, later)
        errors.append([np.abs(y - forecast)[tomorrow].mean() for forecast in pair])
    own, naive = np.mean(errors, axis=0)
    assert own < 0.75 * naive


def test_steps_of_the_gap_and_steps_that_were_always_zero_are_as_a_week_before() -> None:
    rows = timetables()
    history, later = split(rows, 60, 2)
    model = model_of()
    found = model.predict(model.fit(history), history, later[["unique_id", "ds"]], 2 * DAY)
    naive = naive_of(rows, later)
    gap = (later.groupby("unique_id").cumcount() < DAY).to_numpy()
    night = (later["ds"].dt.hour < 6).to_numpy()
    np.testing.assert_allclose(found["y_hat"][gap], naive[gap])
    np.testing.assert_array_equal(found["y_hat"][night], 0.0)
    assert (found["y_hat"][~gap & ~night] != naive[~gap & ~night]).any()


def test_forecasts_move_with_the_unit_of_each_series() -> None:
    rows = timetables(days=40)
    history, later = split(rows, 38, 2)
    factor = np.where(history.rows["unique_id"] == "s03", 1024.0, 1.0)
    other = History.of(history.rows.assign(y=history.rows["y"] * factor))
    model, ahead = model_of(), later[["unique_id", "ds"]]
    one, two = (model.predict(model.fit(its), its, ahead, 2 * DAY) for its in (history, other))
    expected = one["y_hat"] * np.where(one["unique_id"] == "s03", 1024.0, 1.0)
    np.testing.assert_allclose(two["y_hat"], expected, rtol=1e-9)


def test_counts_are_seen_as_they_are_unless_it_is_said() -> None:
    history, later = split(timetables(days=40), 38, 2)

    def forecast(integer: bool, **options: Any) -> np.ndarray:
        task = make_task(season_lengths=[DAY, WEEK], horizon=DAY, integer=integer)
        model = SeasonalCorrectionModel(task, 2 * DAY, **options)
        ahead = later[["unique_id", "ds"]]
        return model.predict(model.fit(history), history, ahead, 2 * DAY)["y_hat"].to_numpy()

    for integer in (True, False):
        found = [forecast(integer), *(forecast(not integer, scaled=its) for its in (False, True))]
        np.testing.assert_array_equal(found[0], found[1 if integer else 2])
        assert (found[0] != found[2 if integer else 1]).any()


def test_a_regressor_that_takes_no_missing_values_gets_none() -> None:
    history, later = split(timetables(days=40), 38, 2)
    model = model_of(**NEIGHBOURS)
    found = model.predict(model.fit(history), history, later[["unique_id", "ds"]], 2 * DAY)
    assert np.isfinite(found["y_hat"]).all()


def test_seeds_are_averaged_and_two_runs_are_alike() -> None:
    history, later = split(timetables(days=40), 38, 2)

    def forecast(**options: Any) -> pd.Series:
        model = model_of(**options)
        ahead = later[["unique_id", "ds"]]
        return model.predict(model.fit(history), history, ahead, 2 * DAY)["y_hat"]

    pd.testing.assert_series_equal(forecast(seeds=2), forecast(seeds=2), check_exact=True)
    both = [forecast(params={"random_state": seed}) for seed in range(2)]
    np.testing.assert_allclose(forecast(seeds=2), np.mean(both, axis=0))


def test_columns_known_in_advance_are_used() -> None:
    """Nothing departs on a holiday, and a week after it all does again."""
    rows = timetables()
    day = (rows["ds"] - rows["ds"].min()).dt.days
    rows["free"] = day.isin([9, 13, 21, 28, 30, 39, 43, 44, 51, 61]).astype(float)
    rows["y"] = rows["y"].where(rows["free"] == 0, 0.0)
    history, later = split(rows, 60, 2)
    history = History.of(history.rows, ("free",))
    errors = {}
    for known in (True, False):
        model = model_of(known_columns=known)
        shown = history.for_model(model)
        ahead = later[["unique_id", "ds", *shown.known]]
        found = model.predict(model.fit(shown), shown, ahead, 2 * DAY)["y_hat"]
        errors[known] = np.abs(found - later["y"])[later["free"] == 1].mean()
    assert errors[True] < 0.5 * errors[False]


def test_a_forecast_from_another_hour_is_learnt_for_that_hour() -> None:
    rows = timetables(days=40)
    history, _ = split(rows, 38, 2)
    model = model_of(lead=36)
    state = model.fit(history)
    end = history.rows["ds"].max()
    earlier = History.of(history.rows[history.rows["ds"] <= end - pd.Timedelta("5h")])
    wanted = rows[(rows["ds"] > end - pd.Timedelta("5h")) & (rows["ds"] <= end)]
    ahead = wanted[["unique_id", "ds"]].reset_index(drop=True)
    found = model.predict(state, earlier, ahead, 5)
    pd.testing.assert_frame_equal(found, model.predict(model.fit(earlier), earlier, ahead, 5))


@pytest.mark.parametrize("seasons", [[24, 168], [4], [1], [7, 28]], ids=str)
def test_what_is_not_there_yet_is_no_feature(seasons: list[int]) -> None:
    random = np.random.default_rng(0)
    value = random.normal(size=800)
    rows = pd.DataFrame({"unique_id": np.repeat(["a", "b"], 400)})
    changed = value.copy()
    changed[331:400] = 99.0
    steps = np.arange(1, 49)
    targets = Targets(np.zeros(48, int), np.full(48, 330), steps)
    one, two = (
        Changes(Layout.of(rows, values, rows.iloc[:0], []), seasons) for values in (value, changed)
    )
    np.testing.assert_array_equal(one.base(targets), two.base(targets))
    np.testing.assert_array_equal(one.columns(targets), two.columns(targets))
    assert np.isfinite(one.base(targets)).all()


def test_a_short_series_is_no_other_series() -> None:
    """Before the first step of a series nothing is known, though another series lies there."""
    rows = pd.DataFrame({"unique_id": ["a"] * 400 + ["b"] * 20})
    values = np.r_[np.full(400, 99.0), np.arange(20.0)]
    targets = Targets(np.ones(3, int), np.full(3, 419), np.arange(1, 4))
    ahead = pd.DataFrame({"unique_id": ["b"] * 3})
    changes = Changes(Layout.of(rows, values, ahead, []), [4, 8])
    np.testing.assert_array_equal(changes.base(targets), [12, 13, 14])
    assert np.nanmax(np.abs(changes.columns(targets))) <= 20


@pytest.mark.parametrize("seasons", [[1], [7], [4, 12]], ids=str)
def test_it_forecasts_whatever_the_seasons(seasons: list[int]) -> None:
    random = np.random.default_rng(0)
    ds = pd.date_range("2020-01-01", periods=208, freq="D")
    y = 10 + np.arange(208) % max(seasons) + random.normal(0, 0.5, (3, 208))
    rows = pd.DataFrame({"unique_id": np.repeat(["a", "b", "c"], 208), "ds": np.tile(ds, 3)})
    rows["y"] = y.ravel()
    past = rows["ds"] < ds[200]
    history, later = History.of(rows[past].reset_index(drop=True)), rows[~past]
    task = make_task(freq="D", season_lengths=seasons, horizon=8)
    model = SeasonalCorrectionModel(task, 8)
    found = model.predict(model.fit(history), history, later[["unique_id", "ds"]], 8)
    assert np.abs(found["y_hat"].to_numpy() - later["y"].to_numpy()).mean() < 0.8


def test_a_backtest_has_its_forecast_of_every_series() -> None:
    model = SeasonalCorrectionModel(make_task(), DAY)
    found = run(model, small_panel(), daily_windows(2))
    assert np.isfinite(found.forecasts["y_hat"]).all()
    assert set(found.failures["unique_id"]) <= {"tiny"}


def test_too_few_steps_are_said() -> None:
    history, _ = split(timetables(days=12, series=1), 8, 2)
    with pytest.raises(ValueError, match="steps to learn from, of at least 50"):
        model_of().fit(history)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seeds": 0}, "'seeds' is 0: at least 1"),
        ({"seeds": 2, "estimator": "sklearn.svm.SVR"}, "has no 'random_state'"),
        ({"scaled": False, **NEIGHBOURS}, "takes no weights"),
        ({"params": {"n_estimatorz": 5}}, "n_estimatorz"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        model_of(**options)
