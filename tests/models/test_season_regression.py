"""A regression of a season of steps ahead, on the calendar, the weather and the newest steps."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.models.base import History
from clepsydra.models.season_columns import SeasonColumns
from clepsydra.models.season_regression import SeasonRegressionModel
from clepsydra.models.season_rows import SeasonRows
from helpers import make_task

DAY, LEAD = 24, 39
SEASONS = [24, 168]
OPTIONS: dict[str, Any] = {
    "averages": {"warmth": {"north": 0.75, "south": 0.25}},
    "lasting": ["warmth"],
    "products": [["warmth", "weekday"]],
}


def made(days: int = 200, level: float = 1000.0) -> tuple[History, pd.DataFrame, np.ndarray]:
    """A load that is heated for, less at weekends, and what follows 08:00."""
    random = np.random.default_rng(0)
    ds = pd.date_range("2013-01-01", periods=DAY * days + 9 + LEAD, freq="h")
    hour, weekday = ds.hour.to_numpy(), ds.dayofweek.to_numpy()
    year = 12 + 8 * np.sin(np.arange(len(ds)) / 900) + 4 * np.sin((hour - 9) * np.pi / 12)
    weather = np.cumsum(random.normal(0, 0.4, len(ds)))
    weather -= pd.Series(weather).rolling(240, min_periods=1).mean().to_numpy()
    north, south = year + weather, year + 5 + random.normal(0, 1, len(ds))
    warmth = pd.Series(0.75 * north + 0.25 * south)
    cold = np.maximum(14 - warmth.ewm(halflife=24).mean().to_numpy(), 0)
    holiday = np.isin(np.arange(len(ds)) // DAY % 40, [17]).astype(float)
    load = 0.02 * cold * np.where(weekday < 5, 1.0, 1.6) - 0.1 * (weekday >= 5) - 0.15 * holiday
    load += 0.1 * np.sin((hour - 6) * np.pi / 12) + random.normal(0, 0.003, len(ds))
    rows = pd.DataFrame({"unique_id": "a", "ds": ds, "y": level * np.exp(load)})
    rows = rows.assign(north=north, south=south, weekday=weekday, holiday=holiday)
    known = ("north", "south", "weekday", "holiday")
    future = rows.iloc[-LEAD:].drop(columns="y").reset_index(drop=True)
    return History.of(rows.iloc[:-LEAD], known), future, rows["y"].to_numpy()[-LEAD:]


def model(**options: Any) -> SeasonRegressionModel:
    return SeasonRegressionModel(make_task(season_lengths=SEASONS), LEAD, **{**OPTIONS, **options})


def test_it_knows_what_weather_and_calendar_do() -> None:
    history, future, truth = made()
    its = model()
    found = its.predict(its.fit(history), history, future, LEAD)
    assert found[["unique_id", "ds"]].equals(future[["unique_id", "ds"]])
    error = np.abs(found["y_hat"] / truth - 1).mean()
    naive = history.rows["y"].to_numpy()[-168 : -168 + LEAD]
    assert error < 0.012
    assert error < 0.2 * np.abs(naive / truth - 1).mean()


@pytest.mark.parametrize("missing", ["lasting", "products"])
def test_an_effect_that_lasts_or_depends_has_to_be_said(missing: str) -> None:
    history, future, truth = made()
    errors = []
    for its in (model(), model(**{missing: []})):
        found = its.predict(its.fit(history), history, future, LEAD)["y_hat"]
        errors.append(np.abs(found / truth - 1).mean())
    assert errors[0] < errors[1]


def test_forecasts_move_with_the_unit() -> None:
    its = model()
    history, future, _ = made()
    found = its.predict(its.fit(history), history, future, LEAD)["y_hat"]
    larger, _, _ = made(level=5e6)
    other = its.predict(its.fit(larger), larger, future, LEAD)["y_hat"]
    np.testing.assert_allclose(other, 5000 * found, rtol=1e-8)


def test_values_below_zero_are_no_logarithms() -> None:
    history, future, truth = made()
    rows = history.rows.assign(y=history.rows["y"] - 1000)
    below = History.of(rows, history.known)
    its = model()
    found = its.predict(its.fit(below), below, future, LEAD)["y_hat"]
    assert np.abs(found - (truth - 1000)).mean() < 30


def test_of_a_longer_history_as_much_is_used_as_it_takes() -> None:
    history, future, _ = made()
    its = model()
    state = pickle.loads(pickle.dumps(its.fit(history)))
    whole = its.predict(state, history, future, LEAD)["y_hat"]
    newest = History.of(history.rows.iloc[-150 * DAY - 1 :].reset_index(drop=True), history.known)
    np.testing.assert_allclose(its.predict(state, newest, future, LEAD)["y_hat"], whole)


def test_fewer_steps_are_the_first_of_all() -> None:
    history, future, truth = made()
    its = model()
    state = its.fit(history)
    found = its.predict(state, history, future.iloc[:20], 20)["y_hat"]
    assert len(found) == 20
    assert np.abs(found / truth[:20] - 1).mean() < 0.02
    with pytest.raises(ValueError, match="a horizon of 40: it learnt 39 steps"):
        its.predict(state, history, future, 40)


def test_a_forecast_from_another_hour_of_the_day_is_learnt_for_that_hour() -> None:
    history, _, _ = made()
    its = model()
    later = History.of(history.rows.iloc[:-5], history.known)
    ahead = history.rows.iloc[-5:].drop(columns="y").reset_index(drop=True)
    found = its.predict(its.fit(history), later, ahead, 5)
    pd.testing.assert_frame_equal(found, its.predict(its.fit(later), later, ahead, 5))


def test_without_columns_there_are_the_newest_steps() -> None:
    history, future, truth = made()
    plain = History.of(history.rows[["unique_id", "ds", "y"]])
    its = SeasonRegressionModel(make_task(season_lengths=SEASONS), LEAD)
    found = its.predict(its.fit(plain), plain, future[["unique_id", "ds"]], LEAD)["y_hat"]
    assert np.abs(found / truth - 1).mean() < 0.1


def test_the_start_of_a_column_that_begins_late_is_not_learnt_from() -> None:
    history, future, truth = made()
    rows = history.rows.copy()
    rows.loc[rows.index < 40 * DAY, ["north", "south"]] = np.nan
    late = History.of(rows, history.known)
    its = model()
    found = its.predict(its.fit(late), late, future, LEAD)["y_hat"]
    assert np.abs(found / truth - 1).mean() < 0.02


def test_what_is_not_there_yet_is_no_feature() -> None:
    random = np.random.default_rng(0)
    value = random.normal(size=DAY * 40)
    known = pd.DataFrame({"warmth": random.normal(size=len(value)), "free": np.arange(960) % 2})
    expanded = SeasonColumns.of(known, DAY, {}, ["warmth"], []).expand(known)
    origin = np.array([DAY * 20 + 8])
    changed = np.where(np.arange(len(value)) > origin, 99.0, value)
    one, other = (SeasonRows(y, expanded, SEASONS, origin, LEAD) for y in (value, changed))
    for step in range(1, LEAD + 1):
        np.testing.assert_allclose(one.step(step), other.step(step))


def test_columns_are_categories_flags_or_bend() -> None:
    known = pd.DataFrame(
        {"day": np.arange(70) % 7, "free": np.arange(70) % 2, "w": np.arange(70) / 7, "c": 0.5}
    )
    known["c"] += np.arange(70) % 3 / 10
    found = SeasonColumns.of(known, DAY, {}, ["w"], [("free", "day")]).expand(known)
    np.testing.assert_array_equal(found.now[:, :7], np.eye(7)[np.arange(70) % 7])
    np.testing.assert_array_equal(found.now[:, 7], known["free"])
    np.testing.assert_allclose(found.now[:, 8], known["w"])
    np.testing.assert_allclose(found.season[69, 0], known["w"][-DAY:].mean())
    np.testing.assert_array_equal(found.echo[:, 0], known["free"])
    product = found.now[:, -7:]
    np.testing.assert_array_equal(product.sum(axis=1), known["free"])


def test_an_average_is_of_those_that_are_there() -> None:
    known = pd.DataFrame({"north": [1.5, np.nan, np.nan] * 9, "south": [4.5, 2.25, np.nan] * 9})
    averages = {"both": {"north": 2.0, "south": 1.0}}
    found = SeasonColumns.of(known, 4, averages, [], []).expand(known).now
    np.testing.assert_allclose(found[:3, 0], [2.5, 2.25, 2.375])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"products": [["warmth"]]}, "'products' has"),
        ({"averages": {"x": {"east": 1.0}}}, r"'averages' of \['east'\]: there are the columns"),
        ({"lasting": ["north"]}, r"name \['north'\]: there are the columns \['warmth'"),
        ({"products": [["warmth", "rain"]]}, r"name \['rain'\]"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    history, _, _ = made(60)
    with pytest.raises(ValueError, match=says):
        its = model(**options)
        raise its.fit(history)["a"]


def test_too_few_origins_are_said() -> None:
    history, _, _ = made(30)
    found = model().fit(history)["a"]
    with pytest.raises(ValueError, match="origins to learn from: it takes 20, with 336 steps"):
        raise found
