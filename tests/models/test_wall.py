"""The wall clock of models: one right value for every step, also when the clocks change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import NAIVE, knowledge_of

from clepsydra.config import ModelsConfig, TaskConfig
from clepsydra.models.backtest import BacktestResult, backtest
from clepsydra.models.forecasting import candidates
from clepsydra.models.wall import to_wall_frame
from clepsydra.timegrid import add_span, grid
from helpers import NEW_YORK, make_task

CHANGES = {"spring": "2013-03-10 07:00", "autumn": "2013-11-03 06:00"}


def wall_task(**changes: Any) -> TaskConfig:
    return make_task(timezone=NEW_YORK, **changes)


def timetable(utc: pd.DatetimeIndex) -> np.ndarray:
    """A value that depends on the local hour only."""
    return utc.tz_localize("UTC").tz_convert(NEW_YORK).hour.to_numpy().astype(float)


def around(change: str, offset: int, steps: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Eight days of a timetable around a clock change, and one window near it."""
    at = pd.Timestamp(CHANGES[change])
    utc = pd.date_range(at - pd.Timedelta("5D"), at + pd.Timedelta("3D"), freq="h")
    panel = pd.DataFrame({"unique_id": "a", "ds": utc, "y": timetable(utc)})
    cutoff = at + pd.Timedelta(hours=offset)
    window = {
        "cutoff": [cutoff],
        "target_start": [cutoff + pd.Timedelta("1h")],
        "target_end": [cutoff + pd.Timedelta(hours=steps + 1)],
    }
    return panel, pd.DataFrame(window)


def naive(
    panel: pd.DataFrame, windows: pd.DataFrame, task: TaskConfig, lead: int
) -> BacktestResult:
    models = candidates(["naive"], NAIVE, task, lead)
    return backtest(models, knowledge_of(panel, task), windows, refit_every=1)


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("offset", [-26, -12, -4, -3, -2, -1, 0, 1, 2, 12, 26])
def test_forecasts_across_a_clock_change_have_one_right_value_for_every_utc_step(
    change: str, offset: int
) -> None:
    panel, windows = around(change, offset)
    task = wall_task()
    found = naive(panel, windows, task, 30)
    assert found.failures.empty, found.failures["reason"].tolist()
    window = windows.iloc[0]
    steps = grid(window["target_start"], window["target_end"], "h", NEW_YORK)
    assert found.forecasts["ds"].tolist() == steps.tolist()
    assert np.isfinite(found.forecasts["y_hat"]).all()
    y_hat = found.forecasts.set_index("ds")["y_hat"]
    # Only the days after a skipped hour may copy the value that stood in for it.
    right = y_hat == timetable(steps)
    wrong_hours = set(timetable(y_hat.index[~right]))
    assert wrong_hours <= ({2.0} if change == "spring" else set())


@pytest.mark.parametrize("freq", ["2h", "3h", "6h", "30min"])
@pytest.mark.parametrize("change", list(CHANGES))
def test_steps_other_than_an_hour_keep_their_values_across_a_clock_change(
    freq: str, change: str
) -> None:
    at = pd.Timestamp(CHANGES[change]).floor("6h")
    step = pd.Timedelta(pd.tseries.frequencies.to_offset(freq))
    utc = pd.date_range(at - pd.Timedelta("8D"), at + pd.Timedelta("4D"), freq=freq)
    random = np.random.default_rng(0)
    panel = pd.DataFrame({"unique_id": "a", "ds": utc, "y": random.uniform(1, 9, len(utc))})
    season = int(pd.Timedelta("1D") / step)
    task = wall_task(freq=freq, season_lengths=[season])
    cutoff = at + pd.Timedelta("3D") - step
    start = cutoff + step
    windows = pd.DataFrame(
        {"cutoff": [cutoff], "target_start": [start], "target_end": [start + pd.Timedelta("1D")]}
    )
    found = naive(panel, windows, task, season)
    assert found.failures.empty, found.failures["reason"].tolist()
    y = panel.set_index("ds")["y"]
    expected = [y[stamp - pd.Timedelta("1D")] for stamp in found.forecasts["ds"]]
    assert found.forecasts["y_hat"].tolist() == expected


@pytest.mark.parametrize("change", list(CHANGES))
def test_the_wall_frame_is_regular_and_keeps_every_other_value(change: str) -> None:
    panel, _ = around(change, 0)
    two = pd.concat([panel, panel.assign(unique_id="b").iloc[7:]], ignore_index=True)
    wall = to_wall_frame(two, wall_task())
    assert list(wall.columns) == list(two.columns)
    for uid, rows in wall.groupby("unique_id"):
        assert set(rows["ds"].diff().dropna()) == {pd.Timedelta("1h")}, uid
    expected = wall["ds"].dt.hour.astype(float)
    right = wall["y"] == expected
    skipped = wall["ds"] == pd.Timestamp("2013-03-10 02:00")
    assert (right | skipped).all()
    assert (wall.loc[skipped, "y"] == 1.0).all()
    assert skipped.sum() == (2 if change == "spring" else 0)


def test_days_and_months_stand_on_local_midnight_on_the_wall_clock() -> None:
    for freq, steps in (("D", 60), ("MS", 14), ("W-SUN", 20)):
        start = (
            pd.Timestamp("2013-02-01 05:00")
            if freq != "W-SUN"
            else pd.Timestamp("2013-02-03 05:00")
        )
        end = add_span(start, steps, freq, NEW_YORK)
        ds = grid(start, end, freq, NEW_YORK)
        panel = pd.DataFrame({"unique_id": "a", "ds": ds, "y": range(steps)})
        wall = to_wall_frame(panel, wall_task(freq=freq))
        assert wall["y"].tolist() == list(range(steps))
        assert (wall["ds"] == wall["ds"].dt.normalize()).all()


@pytest.mark.parametrize("change", list(CHANGES))
def test_as_much_history_is_shown_as_was_asked_for(change: str) -> None:
    """An hour that is repeated is one on the clock that models see."""
    at = pd.Timestamp(CHANGES[change])
    utc = pd.date_range(at - pd.Timedelta("30D"), at + pd.Timedelta("3D"), freq="h")
    panel = pd.DataFrame({"unique_id": "a", "ds": utc, "y": timetable(utc)})
    task = wall_task()
    origin = knowledge_of(panel, task).at(utc[-1])
    for longest in (48, 336, 500):
        rows = origin.history(longest).rows
        assert len(rows) == longest
        assert rows["ds"].diff().dropna().unique().tolist() == [pd.Timedelta("1h")]
    short = ModelsConfig({"naive": NAIVE.root["naive"].model_copy(update={"max_history": 48})})
    windows = around(change, 60, 12)[1]
    found = backtest(
        candidates(["naive"], short, task, 30), knowledge_of(panel, task), windows, refit_every=1
    )
    assert found.failures.empty


@pytest.mark.parametrize("cutoff", ["2024-09-05", "2024-09-07", "2024-09-08", "2024-09-10"])
def test_days_go_on_where_clocks_skip_midnight(cutoff: str) -> None:
    """In Chile 8 September 2024 began at one."""
    zone = "America/Santiago"
    task = make_task(freq="D", season_lengths=[7], horizon=3, timezone=zone)
    first = pd.Timestamp("2024-06-01 04:00")
    utc = grid(first, add_span(first, 120, "D", zone), "D", zone)
    panel = pd.concat(
        [
            pd.DataFrame({"unique_id": uid, "ds": utc, "y": level + np.arange(120.0) % 7})
            for uid, level in (("a", 0.0), ("b", 5.0))
        ]
    )
    at = utc[np.searchsorted(utc, pd.Timestamp(cutoff))]
    steps = [add_span(at, number, "D", zone) for number in (1, 4)]
    windows = pd.DataFrame({"cutoff": [at], "target_start": steps[:1], "target_end": steps[1:]})
    specs = {
        **NAIVE.model_dump(),
        "ridge": {
            "engine": "mlforecast",
            "options": {"estimator": "sklearn.linear_model.Ridge", "params": {"alpha": 1e-6}},
        },
    }
    models = candidates(["naive", "ridge"], ModelsConfig.model_validate(specs), task, 3)
    found = backtest(models, knowledge_of(panel, task), windows, refit_every=1)
    assert found.failures.empty, found.failures["reason"].tolist()
    merged = found.forecasts.merge(panel, on=["unique_id", "ds"])
    assert len(merged) == 2 * 2 * 3
    np.testing.assert_allclose(merged["y_hat"], merged["y"], atol=1e-3)
