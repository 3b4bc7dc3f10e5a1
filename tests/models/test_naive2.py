"""Naive2 against the competition's recipe written out, and histories it cannot adjust."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from clepsydra.models.base import History
from clepsydra.models.naive2 import Naive2Model, is_seasonal, naive2
from helpers import make_series, make_task


def seasonal_history(season: int, steps: int, strength: float = 0.5) -> np.ndarray:
    random = np.random.default_rng(season)
    figure = 1 + strength * np.sin(2 * np.pi * np.arange(steps) / season)
    return np.linspace(50, 80, steps) * figure * random.normal(1, 0.02, size=steps)


def spikes(season: int, steps: int) -> np.ndarray:
    return np.where(np.arange(steps) % season == 0, 100.0, 10.0)


def written_out(y: np.ndarray, horizon: int, season: int) -> list[float]:
    """Classical multiplicative decomposition, step by step, then the last value."""
    half, n = season // 2, len(y)
    ratios: dict[int, list[float]] = {place: [] for place in range(season)}
    for t in range(half, n - half):
        if season % 2:
            trend = sum(y[t - half : t + half + 1]) / season
        else:
            inner = sum(y[t - half + 1 : t + half])
            trend = (y[t - half] / 2 + inner + y[t + half] / 2) / season
        ratios[t % season].append(y[t] / trend)
    figure = [sum(ratios[place]) / len(ratios[place]) for place in range(season)]
    mean = sum(figure) / season
    last = y[-1] / (figure[(n - 1) % season] / mean)
    return [last * figure[(n + step) % season] / mean for step in range(horizon)]


@pytest.mark.parametrize(("season", "steps"), [(12, 50), (4, 41), (7, 60), (24, 120)])
def test_a_seasonal_history_is_adjusted_as_the_recipe_says(season: int, steps: int) -> None:
    y = seasonal_history(season, steps)
    assert is_seasonal(y, season)
    found = naive2(y, 2 * season + 1, season)
    np.testing.assert_allclose(found, written_out(y, 2 * season + 1, season))
    assert np.ptp(found) > 0


@pytest.mark.parametrize(
    "y",
    [
        np.full(50, 3.0),
        np.zeros(50),
        spikes(12, 35),
        np.random.default_rng(0).normal(10, 1, size=60),
        np.array([5.0]),
    ],
    ids=["constant", "zeros", "under three seasons", "noise", "one step"],
)
def test_else_the_last_value_is_repeated(y: np.ndarray) -> None:
    assert naive2(y, 3, 12).tolist() == [y[-1]] * 3


def test_values_below_zero_have_no_multiplicative_season_however_seasonal_they_are() -> None:
    y = seasonal_history(12, 60) - 60
    assert is_seasonal(y, 12)
    assert naive2(y, 3, 12).tolist() == [y[-1]] * 3


def test_three_seasons_are_enough() -> None:
    assert is_seasonal(spikes(12, 36), 12)
    assert not is_seasonal(spikes(12, 35), 12)


def test_the_test_is_that_of_the_benchmarks() -> None:
    random, found, expected = np.random.default_rng(0), [], []
    for _ in range(300):
        y = np.convolve(random.normal(size=63), np.ones(4), "valid")
        centred = y - y.mean()
        r = [sum(centred[lag:] * centred[: 60 - lag]) / sum(centred**2) for lag in range(1, 5)]
        limit = 1.645 / 60**0.5 * (1 + 2 * (r[0] ** 2 + r[1] ** 2 + r[2] ** 2)) ** 0.5
        expected.append(abs(r[3]) > limit)
        found.append(is_seasonal(y, 4))
    assert found == expected
    assert 0 < sum(found) < 300


def test_it_tests_at_90_percent() -> None:
    """In about a tenth of the series without a season chance looks like one."""
    random = np.random.default_rng(0)
    found = [is_seasonal(random.normal(size=200), 12) for _ in range(1000)]
    assert 0.05 < np.mean(found) < 0.12


def test_wrong_arguments_are_named() -> None:
    y = np.arange(1.0, 9.0)
    with pytest.raises(ValueError, match="horizon is 0"):
        naive2(y, 0, 1)
    with pytest.raises(ValueError, match="season_length is 0"):
        naive2(y, 1, 0)
    for wrong in (np.array([]), np.array([1.0, np.nan]), y.reshape(2, 4)):
        with pytest.raises(ValueError, match="give a vector of values, none missing"):
            naive2(wrong, 1, 1)


def test_the_engine_forecasts_every_series_with_the_shortest_season() -> None:
    task = make_task(season_lengths=[6, 24])
    frames = [
        make_series(uid, "2013-01-01", level * seasonal_history(6, 60))
        for uid, level in (("a", 1.0), ("b", 9.0))
    ]
    rows = pd.concat(frames, ignore_index=True)
    history = History.of(rows[["unique_id", "ds", "y"]])
    ds = pd.date_range(rows["ds"].max(), periods=9, freq="h")[1:]
    future = pd.DataFrame({"unique_id": np.repeat(["a", "b"], 8), "ds": [*ds, *ds]})
    model = Naive2Model(task, 8)
    found = model.predict(model.fit(history), history, future, 8)
    expected = [naive2(rows.loc[rows["unique_id"] == uid, "y"].to_numpy(), 8, 6) for uid in "ab"]
    np.testing.assert_array_equal(found["y_hat"], np.concatenate(expected))
    pd.testing.assert_frame_equal(found[["unique_id", "ds"]], future)
