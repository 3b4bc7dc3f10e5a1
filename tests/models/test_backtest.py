"""Backtests: no leak, no lost series, one finite row for every step, also when clocks change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn.ensemble  # noqa: F401  only threads of what is loaded can be limited
from threadpoolctl import threadpool_limits

from clepsydra.config import CleaningConfig, ModelsConfig, SourcesConfig, TaskConfig, WindowsConfig
from clepsydra.models.backtest import backtest, finalize, history_length, to_wall_frame, until
from clepsydra.models.base import build_models, global_models, local_models
from clepsydra.pipelines.clean.regular import regularize
from clepsydra.pipelines.split.nodes import make_windows
from clepsydra.pipelines.train.nodes import (
    assemble_backtests,
    backtest_models,
    without_past_only,
)
from clepsydra.timegrid import add_span, grid
from helpers import NEW_YORK, flights, make_series, make_task, project_models

IDS = ("EWR-UA", "JFK-B6", "LGA-MQ")
NAIVE = ModelsConfig.model_validate(
    {"naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}}}
)
PAST_ONLY = ["temperature_f", "wind_mph", "rain_in", "visibility_mi"]


# The leak test: seven weeks of the real flights, every model of the configuration


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    found = dict(flights("2013-09-18", "2013-11-08", IDS))
    # More than a season apart, so that what follows one cutoff is what the next one builds on.
    config = WindowsConfig(calibrate=1, select=1, report=1, step="8D", refit_every=2)
    found["config"] = config
    found["windows"] = make_windows(found["series"], found["task"], config, found["clock"])
    return found


def run_all(real: dict[str, Any], panel: pd.DataFrame) -> pd.DataFrame:
    """The backtests of every model, by the nodes of the train stage."""
    models, task = project_models(), real["task"]
    common = (real["future"], real["windows"], real["sources"], task, models, real["config"])
    with threadpool_limits(1):  # more threads only wait for each other on so little data
        local, *_ = backtest_models(panel, *common)
        others = [backtest_models(panel, *common, name)[0] for name in global_models(models)]
    return assemble_backtests(panel, local, real["windows"], task, models, *others)


@pytest.fixture(scope="module")
def honest(real: dict[str, Any]) -> pd.DataFrame:
    return run_all(real, real["panel"])


def test_every_model_forecasts_every_step_of_every_series(
    real: dict[str, Any], honest: pd.DataFrame
) -> None:
    assert set(honest["model"]) == set(project_models().root)
    assert np.isfinite(honest["y_hat"]).all()
    steps = honest.groupby(["model", "unique_id", "cutoff"]).size()
    assert len(steps) == len(project_models().root) * len(IDS) * len(real["windows"])
    assert set(steps) == {24}


def test_the_future_does_not_move_the_forecasts_of_any_model(
    real: dict[str, Any], honest: pd.DataFrame
) -> None:
    cutoff = real["windows"]["cutoff"].iloc[1]
    panel = real["panel"].copy()
    after = panel["ds"] > cutoff
    assert set(PAST_ONLY) < set(panel.columns)
    random = np.random.default_rng(0)
    panel.loc[after, "y"] = random.poisson(20, after.sum()).astype(float)
    for column in PAST_ONLY:
        panel.loc[after, column] = (random.normal(size=after.sum()) * 1e3).astype("float32")
    moved = run_all(real, panel)
    keys = ["unique_id", "cutoff", "ds", "model"]
    early, late = honest["cutoff"] <= cutoff, honest["cutoff"] > cutoff
    columns = [column for column in honest.columns if column != "y"]
    pd.testing.assert_frame_equal(moved.loc[early, columns], honest.loc[early, columns])
    # The change is large enough to be seen: what comes later does move, in every model.
    assert moved.loc[late, keys].equals(honest.loc[late, keys])
    differs = (moved["y_hat"] != honest["y_hat"])[late].groupby(honest.loc[late, "model"]).any()
    assert differs.all(), differs


def in_a_gap(level_after: float) -> pd.DataFrame:
    """Backtests of a daily series that is silent from the 80th to the 89th day."""
    task = make_task(freq="D", season_lengths=[7], horizon=3)
    observed = make_series("a", "2013-01-01", 10.0 + np.arange(100) % 7, freq="D")
    observed.loc[90:, "y"] += level_after
    observed = observed.drop(index=range(80, 90)).drop(columns="is_imputed")
    regular = regularize(
        pl.from_pandas(observed), pd.Timestamp("2013-04-11"), task, CleaningConfig()
    )
    panel = pd.DataFrame(
        {"unique_id": "a", "ds": regular.steps, "y": regular.y, "is_imputed": regular.is_imputed}
    )
    assert panel["is_imputed"].sum() == 10
    cutoffs = panel["ds"].iloc[[70, 85, 88]]
    windows = pd.DataFrame(
        {
            "cutoff": cutoffs.to_numpy(),
            "target_start": (cutoffs + pd.Timedelta("1D")).to_numpy(),
            "target_end": (cutoffs + pd.Timedelta("4D")).to_numpy(),
        }
    )
    models = build_models(local_models(project_models()), project_models(), task, 3)
    future = panel.iloc[:0][["unique_id", "ds"]]
    return backtest(models, project_models(), panel, future, windows, task, 1).forecasts


def test_a_forecast_made_in_a_gap_knows_nothing_of_its_far_end() -> None:
    """The panel's gaps are interpolated for people; a model is shown the last value before."""
    calm, jump = in_a_gap(0.0), in_a_gap(1000.0)
    assert len(calm) == 3 * 3 * len(local_models(project_models()))
    pd.testing.assert_frame_equal(calm, jump)


def test_past_only_columns_never_reach_a_model(real: dict[str, Any]) -> None:
    panel, sources = real["panel"], real["sources"]
    shown = without_past_only(panel, sources)
    assert not set(PAST_ONLY) & set(shown.columns)
    assert set(panel.columns) - set(shown.columns) == set(PAST_ONLY)
    assert {"hour", "dayofweek", "holiday_distance"} < set(shown.columns)
    description = sources.model_dump()
    description["weather"]["known"] = "in_advance"
    known = SourcesConfig.model_validate(description)
    assert list(without_past_only(panel, known).columns) == list(panel.columns)


# Failures are isolated and counted


class Naive:
    """The last value, or what the test wants to go wrong."""

    min_history = 2

    def __init__(self, raises: str = "", nan: str = "", fit_fails: bool = False):
        self._raises, self._nan, self._fit_fails = raises, nan, fit_fails

    def fit(self, history: pd.DataFrame) -> None:
        if self._fit_fails:
            raise RuntimeError("no fit today")

    def predict(self, state: None, history: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
        if self._raises in set(history["unique_id"]):
            raise ZeroDivisionError("bad luck")
        last = history.groupby("unique_id")["y"].last()
        found = future[["unique_id", "ds"]].assign(y_hat=future["unique_id"].map(last))
        found.loc[found["unique_id"] == self._nan, "y_hat"] = np.nan
        return found


def small_panel() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frames = [
        make_series(uid, "2013-01-01", random.integers(1, 50, 24 * 10)) for uid in ("a", "b", "c")
    ]
    return pd.concat([*frames, make_series("tiny", "2013-01-08 23:00", range(49))])


def daily_windows(number: int, end: str = "2013-01-11") -> pd.DataFrame:
    starts = pd.date_range(end=pd.Timestamp(end) - pd.Timedelta("1D"), periods=number, freq="D")
    return pd.DataFrame(
        {
            "cutoff": starts - pd.Timedelta("1h"),
            "target_start": starts,
            "target_end": starts + pd.Timedelta("1D"),
        }
    )


def run(model: Any, panel: pd.DataFrame, windows: pd.DataFrame, **changes: Any) -> Any:
    task = make_task(**changes)
    future = panel[["unique_id", "ds"]].iloc[:0]
    return backtest({"naive": model}, NAIVE, panel, future, windows, task, refit_every=2)


def test_a_series_that_fails_gets_the_fallback_and_a_reason_and_others_are_unchanged() -> None:
    panel, windows = small_panel(), daily_windows(3)
    good = run(Naive(), panel, windows)
    bad = run(Naive(raises="a", nan="b"), panel, windows)
    assert good.failures["unique_id"].unique().tolist() == ["tiny"]
    keys = ["unique_id", "cutoff", "ds", "model"]
    pd.testing.assert_frame_equal(bad.forecasts[keys], good.forecasts[keys])
    assert np.isfinite(bad.forecasts["y_hat"]).all()
    is_c = good.forecasts["unique_id"] == "c"
    pd.testing.assert_frame_equal(bad.forecasts[is_c], good.forecasts[is_c])
    reasons = bad.failures[bad.failures["unique_id"] != "tiny"]
    assert sorted(reasons[["unique_id", "cutoff"]].itertuples(index=False, name=None)) == sorted(
        (uid, cutoff) for uid in ("a", "b") for cutoff in windows["cutoff"]
    )
    assert reasons.groupby("unique_id")["reason"].agg(set).to_dict() == {
        "a": {"ZeroDivisionError: bad luck"},
        "b": {"naive gave no finite value for every step"},
    }
    y = panel.set_index(["unique_id", "ds"])["y"]
    for uid in ("a", "b"):
        rows = bad.forecasts[bad.forecasts["unique_id"] == uid]
        season_ago = [y[uid, stamp - pd.Timedelta("24h")] for stamp in rows["ds"]]
        assert rows["y_hat"].tolist() == season_ago


def test_a_fit_that_fails_is_a_reason_for_every_series() -> None:
    panel, windows = small_panel(), daily_windows(2)
    found = run(Naive(fit_fails=True), panel, windows)
    assert np.isfinite(found.forecasts["y_hat"]).all()
    able = found.failures[found.failures["unique_id"] != "tiny"]
    assert len(able) == 3 * 2
    assert set(able["reason"]) == {"fit failed: RuntimeError: no fit today"}


def test_a_series_too_short_for_a_model_or_a_season_repeats_its_last_value() -> None:
    panel, windows = small_panel(), daily_windows(2)
    found = run(Naive(), panel, windows, season_lengths=[48])
    tiny = found.forecasts[found.forecasts["unique_id"] == "tiny"]
    assert tiny["cutoff"].unique().tolist() == windows["cutoff"].tolist()
    first, second = (
        tiny.loc[tiny["cutoff"] == cutoff, "y_hat"].tolist() for cutoff in windows["cutoff"]
    )
    assert first == [0.0] * 24
    assert second == [24.0] * 24
    reason = found.failures.query("unique_id == 'tiny'")["reason"].tolist()
    assert reason == ["too short: 1 steps, naive needs 2"]


def test_costs_count_windows_and_series_and_no_panel_is_no_work() -> None:
    panel, windows = small_panel(), daily_windows(3)
    costs = run(Naive(), panel, windows).costs
    assert costs[["model", "windows", "series"]].to_numpy().tolist() == [["naive", 3, 4]]
    nothing = run(Naive(), panel.iloc[:0], windows)
    assert nothing.forecasts.empty
    assert nothing.failures.empty
    assert list(nothing.forecasts.columns) == ["unique_id", "cutoff", "ds", "model", "y_hat"]


# The wall clock

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


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("offset", [-26, -12, -4, -3, -2, -1, 0, 1, 2, 12, 26])
def test_forecasts_across_a_clock_change_have_one_right_value_for_every_utc_step(
    change: str, offset: int
) -> None:
    panel, windows = around(change, offset)
    task = wall_task()
    models = build_models(["naive"], NAIVE, task, lead=30)
    future = panel[["unique_id", "ds"]].iloc[:0]
    found = backtest(models, NAIVE, panel, future, windows, task, refit_every=1)
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
    models = build_models(["naive"], NAIVE, task, lead=season)
    future = panel[["unique_id", "ds"]].iloc[:0]
    found = backtest(models, NAIVE, panel, future, windows, task, refit_every=1)
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


# Small parts


def test_histories_end_at_the_cutoff_and_are_as_long_as_asked() -> None:
    panel = small_panel()
    cutoff = pd.Timestamp("2013-01-09 05:00")
    assert until(panel, cutoff, None)["ds"].max() == cutoff
    assert until(panel, cutoff, 5).groupby("unique_id").size().to_dict() == {
        **dict.fromkeys("abc", 5),
        "tiny": 5,
    }
    spec = NAIVE.root["naive"]
    assert history_length(Naive(), spec) is None
    assert history_length(Naive(), spec.model_copy(update={"max_history": 9})) == 9
    model = Naive()
    model.min_history = 20
    assert history_length(model, spec.model_copy(update={"max_history": 9})) == 20


def test_impossible_values_are_clipped_and_counts_are_whole() -> None:
    y_hat = pd.Series([-1.2, 0.4, 2.6])
    assert finalize(y_hat, make_task()).tolist() == [-1.2, 0.4, 2.6]
    assert finalize(y_hat, make_task(minimum=0)).tolist() == [0.0, 0.4, 2.6]
    assert finalize(y_hat, make_task(minimum=0, integer=True)).tolist() == [0.0, 0.0, 3.0]


def test_the_projects_models_are_local_global_or_combined() -> None:
    models = project_models()
    assert set(local_models(models)) | set(global_models(models)) == set(models.root) - {"median"}
