"""Conformal quantiles: ordered, possible, honest about coverage, and ignorant of the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.models.intervals import (
    LEVELS,
    add_quantiles,
    calibrate,
    pool_shapes,
    quantile_columns,
    rolling_quantiles,
)
from helpers import make_task

QUANTILES = quantile_columns()
numbers = st.floats(-1e6, 1e6, allow_nan=False)


def residuals(
    y_hat: np.ndarray,
    noise: np.ndarray,
    unique_id: str = "a",
    model: str = "m",
    steps: int = 24,
) -> pd.DataFrame:
    """Errors of windows of so many hours."""
    place = np.arange(len(y_hat))
    cutoff = pd.Timestamp("2012-12-31 23:00") + pd.to_timedelta(place // steps * steps, "h")
    return pd.DataFrame(
        {
            "unique_id": unique_id,
            "model": model,
            "cutoff": cutoff,
            "ds": cutoff + pd.to_timedelta(place % steps + 1, "h"),
            "y_hat": y_hat,
            "y": y_hat + noise,
        }
    )


def points(y_hat: np.ndarray, unique_id: str = "a", model: str = "m") -> pd.DataFrame:
    ds = pd.date_range("2014-01-01", periods=len(y_hat), freq="h")
    return pd.DataFrame({"unique_id": unique_id, "model": model, "ds": ds, "y_hat": y_hat})


def test_the_columns_are_named_after_their_levels() -> None:
    assert QUANTILES[0] == "q0.025"
    assert QUANTILES[-1] == "q0.975"
    assert "q0.5" in QUANTILES
    assert len(QUANTILES) == len(LEVELS)


@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=150),
    st.lists(numbers, min_size=1, max_size=10),
    st.sampled_from([None, 0.0, -100.0]),
)
def test_quantiles_are_finite_sorted_and_not_below_the_minimum(
    past: list[tuple[float, float]], ahead: list[float], minimum: float | None
) -> None:
    y_hat, y = np.array(past).T
    table = residuals(y_hat, y - y_hat)
    found = add_quantiles(points(np.array(ahead)), calibrate(table), make_task(minimum=minimum))
    values = found[QUANTILES].to_numpy()
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=1) >= 0).all()
    if minimum is not None:
        assert (values >= minimum).all()
    assert found["y_hat"].tolist() == ahead


def test_quantiles_are_those_of_errors_around_the_forecast() -> None:
    noise = np.random.default_rng(0).normal(size=24 * 200)
    calibration = calibrate(residuals(np.full(len(noise), 10.0), noise))
    found = add_quantiles(points(np.array([10.0])), calibration, make_task())
    expected = 10.0 + np.quantile(noise, LEVELS)
    np.testing.assert_allclose(found[QUANTILES].to_numpy()[0], expected, atol=0.5)


def test_errors_that_grow_with_the_step_make_intervals_that_do() -> None:
    random = np.random.default_rng(0)
    step = np.arange(24 * 400) % 24 + 1
    calibration = calibrate(residuals(np.full(len(step), 100.0), random.normal(0, step)))
    found = add_quantiles(points(np.full(24, 100.0)), calibration, make_task())
    width = (found["q0.9"] - found["q0.1"]).to_numpy()
    np.testing.assert_allclose(width, 2 * 1.2816 * np.arange(1, 25), rtol=0.25)


@pytest.mark.parametrize("windows_of_each", [1, 2, 5, 8])
def test_series_of_few_windows_are_covered_as_often_as_said(windows_of_each: int) -> None:
    """Each errs on a scale of its own, more in some windows than in others, which so few of them
    only hint at."""
    random = np.random.default_rng(0)
    past, ahead = [], []
    for number in range(400):
        scale, name = np.exp(random.normal(0, 1)), f"s{number:03}"
        y_hat = random.normal(50.0, 10.0, (windows_of_each + 1, 48))
        of_window = scale * np.exp(random.normal(0, 0.7, (windows_of_each + 1, 1)))
        noise = random.normal(0, 1, y_hat.shape) * of_window
        past.append(residuals(y_hat[1:].ravel(), noise[1:].ravel(), name, steps=48))
        ahead.append(points(y_hat[0], name).assign(y=y_hat[0] + noise[0]))
    found = add_quantiles(pd.concat(ahead), calibrate(pd.concat(past)), make_task())
    for low, high, nominal in (("q0.1", "q0.9", 0.8), ("q0.025", "q0.975", 0.95)):
        assert found["y"].between(found[low], found[high]).mean() == pytest.approx(
            nominal, abs=0.02
        )


def test_small_forecasts_do_not_borrow_the_spread_of_large_ones() -> None:
    random = np.random.default_rng(1)
    y_hat = np.repeat([0.0, 100.0], 200)
    table = residuals(y_hat, random.normal(scale=np.where(y_hat == 0, 0.01, 20.0)))
    found = add_quantiles(points(np.array([0.0, 100.0])), calibrate(table), make_task())
    width = (found["q0.9"] - found["q0.1"]).to_numpy()
    assert width[0] < 0.2
    assert width[1] > 30


def test_a_series_without_residuals_uses_those_of_its_model_and_a_model_without_has_none() -> None:
    """In proportion: residuals of 10 % on series of level 10 are residuals of 10 % of 500."""
    calibration = calibrate(residuals(np.full(50, 10.0), np.linspace(-1, 1, 50)))
    new_series = add_quantiles(points(np.array([500.0]), "new"), calibration, make_task())
    np.testing.assert_allclose(new_series["q0.5"], 500.0, atol=1e-9)
    assert 545 < new_series["q0.975"][0] < 550
    new_model = add_quantiles(points(np.array([5.0]), "a", "other"), calibration, make_task())
    assert new_model[QUANTILES].isna().all(axis=None)


@pytest.mark.parametrize("factor", [1e3, 1e6])
def test_how_large_other_series_are_changes_no_interval(factor: float) -> None:
    random = np.random.default_rng(3)
    parts = {
        uid: residuals(size * random.uniform(0.5, 1.5, 96), size * random.normal(0, 0.1, 96), uid)
        for uid, size in {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}.items()
    }
    larger = {**parts, "d": parts["d"].assign(**(factor * parts["d"][["y", "y_hat"]]))}
    found = [
        add_quantiles(points(np.array([1.2, 0.6])), calibrate(pd.concat(its.values())), make_task())
        for its in (parts, larger)
    ]
    pd.testing.assert_frame_equal(found[0], found[1])


def test_steps_are_counted_from_the_first_even_where_it_has_no_actual() -> None:
    """Of 24 hours the errors of the second twelve are ten times as large."""
    noise = np.tile(np.repeat([1.0, 10.0], 12), 60) * np.tile([-1.0, 1.0], 720)
    table = residuals(np.full(1440, 50.0), noise)
    is_first = table["ds"].dt.hour.between(0, 11)
    holes = table.assign(y=table["y"].where(~is_first | (table["cutoff"] < "2013-01-20")))
    widths = [
        add_quantiles(points(np.full(24, 50.0)), calibrate(rows), make_task()).eval(
            "`q0.9` - `q0.1`"
        )
        for rows in (table, holes)
    ]
    # Steps with few errors share them with their neighbours.
    for width in widths:
        np.testing.assert_allclose(width[:8] / width[15], 0.1, atol=0.02)


def test_missing_actuals_are_no_residuals() -> None:
    table = residuals(np.zeros(50), np.linspace(-1, 1, 50))
    holes = residuals(np.full(9, 7.0), np.full(9, np.nan))
    pd.testing.assert_frame_equal(calibrate(pd.concat([table, holes])), calibrate(table))


def windows(number: int, gap_hours: int = 24) -> pd.DataFrame:
    cutoff = pd.date_range("2013-01-01 23:00", periods=number, freq="D")
    start = cutoff + pd.Timedelta(hours=gap_hours + 1)
    return pd.DataFrame(
        {"cutoff": cutoff, "target_start": start, "target_end": start + pd.Timedelta("24h")}
    )


def backtests(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """A daily pattern and normal errors, larger by day than by night."""
    random = np.random.default_rng(seed)
    frames = []
    for window in table.itertuples():
        ds = pd.date_range(window.target_start, window.target_end, freq="h", inclusive="left")
        y_hat = 50.0 + 40.0 * np.sin(2 * np.pi * ds.hour.to_numpy() / 24)
        noise = random.normal(scale=1 + y_hat / 10)
        frames.append(residuals(y_hat, noise).assign(cutoff=window.cutoff, ds=ds))
    return pd.concat(frames, ignore_index=True)


def test_coverage_is_about_nominal_on_a_stationary_process() -> None:
    table = windows(120)
    found = rolling_quantiles(backtests(table), table, make_task())
    later = found[found["cutoff"] >= table["cutoff"][20]]
    assert len(later) == 2_400
    for low, high, nominal in (("q0.1", "q0.9", 0.8), ("q0.025", "q0.975", 0.95)):
        inside = later["y"].between(later[low], later[high])
        assert inside.mean() == pytest.approx(nominal, abs=0.03)
        for is_large in (True, False):
            assert inside[(later["y_hat"] > 50) == is_large].mean() == pytest.approx(
                nominal, abs=0.05
            )


@pytest.mark.parametrize("gap_hours", [0, 24, 72])
def test_only_windows_that_ended_by_the_cutoff_are_learnt_from(gap_hours: int) -> None:
    table = windows(12, gap_hours)
    rows = backtests(table)
    found = rolling_quantiles(rows, table, make_task())
    for number, window in enumerate(table.itertuples()):
        changed = rows.assign(y=rows["y"].where(rows["cutoff"] != window.cutoff, 1e6))
        moved = rolling_quantiles(changed, table, make_task())
        differs = (moved[QUANTILES].ne(found[QUANTILES]) & found[QUANTILES].notna()).any(axis=1)
        affected = set(found.loc[differs, "cutoff"])
        known_from = {
            later.cutoff
            for later in table.itertuples()
            # The end is exclusive: at the cutoff an hour before it the last step is known.
            if later.cutoff >= window.target_end - pd.Timedelta("1h")
        }
        assert affected <= known_from, f"window {number} changed windows that did not know it"
        assert affected == known_from


def test_the_first_windows_have_nothing_to_learn_from_and_no_row_is_lost() -> None:
    table = windows(5)
    rows = backtests(table)
    found = rolling_quantiles(rows, table, make_task())
    assert len(found) == len(rows)
    missing = found.groupby("cutoff")["q0.5"].agg(lambda column: column.isna().all())
    assert missing.tolist() == [True, True, False, False, False]


def test_a_row_has_all_of_its_own_quantiles_or_none() -> None:
    """One that is missing would otherwise come from other errors, and cross its neighbours."""
    random = np.random.default_rng(0)
    calibration = calibrate(residuals(np.full(200, 50.0), random.normal(size=200)))
    own = points(np.full(3, 50.0)).assign(
        **{name: 50.0 + place for place, name in enumerate(QUANTILES)}
    )
    own.loc[1, "q0.025"] = np.nan
    own.loc[2, "q0.975"] = np.inf
    found = add_quantiles(own, calibration, make_task())[QUANTILES].to_numpy()
    assert found[0].tolist() == own.loc[0, QUANTILES].tolist()
    conformal = add_quantiles(points(np.full(1, 50.0)), calibration, make_task())
    for row in (1, 2):
        assert found[row].tolist() == conformal.loc[0, QUANTILES].tolist()


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 1000))
def test_series_calibrated_in_any_shards_have_the_intervals_of_all_together(
    shards: list[int], seed: int
) -> None:
    """Also one that is alone in its shard and has no errors yet."""
    random = np.random.default_rng(seed)
    tables = [
        residuals(random.gamma(2.0, 5.0, 96), random.normal(size=96) * scale, uid, model)
        for uid, scale in zip("abcde", (1, 3, 9, 2, 5), strict=True)
        for model in ("m", "n")
    ]
    errors = pd.concat(tables, ignore_index=True)
    ahead = pd.concat([points(random.gamma(2.0, 5.0, 12), uid) for uid in "abcdef"])
    expected = add_quantiles(ahead, calibrate(errors), make_task()).set_index(["unique_id", "ds"])
    shard = dict(zip("abcdef", shards, strict=True))
    of_errors, of_points = (frame["unique_id"].map(shard) for frame in (errors, ahead))
    shapes = pool_shapes(*(errors[of_errors == number] for number in range(4)))
    parts = [
        add_quantiles(
            ahead[of_points == number],
            calibrate(errors[of_errors == number], shapes),
            make_task(),
        )
        for number in set(shards)
    ]
    found = pd.concat(parts).set_index(["unique_id", "ds"]).loc[expected.index]
    assert found[QUANTILES].notna().all(axis=None)
    pd.testing.assert_frame_equal(found, expected)
