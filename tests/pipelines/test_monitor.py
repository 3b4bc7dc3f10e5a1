"""Monitoring: realised errors, drift, silence, and the decision they lead to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import MonitorConfig, TaskConfig
from clepsydra.datasets.forecast_store import ForecastQueryDataset
from clepsydra.pipelines.monitor.nodes import (
    compare_seasons,
    decide_retraining,
    detect_drift,
    measure_accuracy,
    measure_freshness,
)
from helpers import make_series, make_task

MONITOR = MonitorConfig()
CLOCK = {"cutoff": "2013-01-03T23:00:00", "panel_end": "2013-01-04T00:00:00"}
PANEL = pd.concat(
    [make_series("a", "2013-01-01", [10.0] * 72), make_series("zero", "2013-01-01", [0.0] * 72)]
)
SCALES = pd.DataFrame({"unique_id": ["a", "zero"], "scale": [2.0, 0.0]})


def forecasts(unique_id: str, cutoff: str, y_hat: float, width: float = 1.0) -> pd.DataFrame:
    frame = make_series(unique_id, "2013-01-01", [0.0] * 24).drop(columns=["y", "is_imputed"])
    ahead = pd.Timestamp(cutoff) + pd.Timedelta("1h") - frame["ds"].min()
    return frame.assign(
        ds=frame["ds"] + ahead,
        cutoff=pd.Timestamp(cutoff),
        model="m",
        y_hat=y_hat,
        **{"q0.1": y_hat - width, "q0.9": y_hat + width},
    )


def measure(folder: Path, published: pd.DataFrame, panel: pd.DataFrame = PANEL) -> pd.DataFrame:
    """The accuracy of what was published of the series of a panel."""
    dataset = ForecastQueryDataset(str(folder / "forecasts.db"))
    dataset.save(published)
    return measure_accuracy(dataset.load(), panel, SCALES, CLOCK)


def drift_of(*panels: pd.DataFrame, task: TaskConfig | None = None) -> pd.DataFrame:
    """What drifted of the panels of some shards."""
    return detect_drift(MONITOR, *(compare_seasons(panel, task or make_task()) for panel in panels))


def test_errors_of_forecasts_that_came_due(tmp_path: Path) -> None:
    table = pd.concat(
        [
            forecasts("a", "2013-01-01 23:00", 14.0),
            forecasts("a", "2013-01-02 23:00", 9.5),
            forecasts("zero", "2013-01-02 23:00", 1.0, width=0.5),
            forecasts("a", "2013-01-03 23:00", 99.0),
        ]
    )
    found = measure(tmp_path, table).set_index(["unique_id", "cutoff"])
    assert len(found) == 3, "this run's own forecasts have not come due"
    assert found["steps"].tolist() == [24, 24, 24]
    assert found["mae"].tolist() == [4.0, 0.5, 1.0]
    assert found["mase"].tolist()[:2] == [2.0, 0.25]
    assert np.isnan(found["mase"].iloc[2])
    assert found["coverage_80"].tolist() == [0.0, 1.0, 0.0]


def test_steps_without_an_actual_are_not_compared(tmp_path: Path) -> None:
    late = forecasts("a", "2013-01-03 11:00", 10.0)
    assert measure(tmp_path, late)["steps"].tolist() == [12]


def test_nothing_due_is_an_empty_table_with_its_columns(tmp_path: Path) -> None:
    found = measure(tmp_path, forecasts("a", "2013-01-03 23:00", 1.0))
    assert found.empty
    due = measure(tmp_path, forecasts("a", "2013-01-02 23:00", 9.5))
    assert found.dtypes.to_dict() == due.dtypes.to_dict(), "it is a part of one table with others"


def test_a_changed_distribution_is_drift_and_a_steady_one_is_not() -> None:
    random = np.random.default_rng(0)
    steady = random.normal(size=24 * 6)
    moved = steady.copy()
    moved[-24:] += 5
    panel = pd.concat(
        [
            make_series("moved", "2013-01-01", moved),
            make_series("short", "2013-01-01", moved[-119:]),
            make_series("steady", "2013-01-01", steady),
        ]
    )
    found = drift_of(panel).set_index("unique_id")
    assert found["drifted"].to_dict() == {"moved": True, "steady": False}
    nothing = drift_of(panel, task=make_task(season_lengths=[3]))
    assert nothing.empty
    assert list(nothing.columns) == ["unique_id", "statistic", "pvalue", "drifted"]


def test_false_alarms_are_rare_among_many_series() -> None:
    random = np.random.default_rng(0)
    panel = pd.concat(
        [make_series(f"s{n}", "2013-01-01", random.normal(size=120)) for n in range(200)]
    )
    assert drift_of(panel)["drifted"].sum() <= 1


@settings(max_examples=20)
@given(st.lists(st.integers(0, 5), min_size=4, max_size=4))
def test_drift_is_the_same_in_any_shards(shards: list[int]) -> None:
    random = np.random.default_rng(0)
    series = [make_series(f"s{n}", "2013-01-01", random.normal(size=120)) for n in range(3)]
    moved = np.r_[random.normal(size=96), random.normal(1.2, 1, size=24)]
    panel = pd.concat([*series, make_series("moved", "2013-01-01", moved)])
    shard = panel["unique_id"].map(dict(zip(panel["unique_id"].unique(), shards, strict=True)))
    found = drift_of(*(panel[shard == number] for number in range(6)))
    whole = drift_of(panel)
    pd.testing.assert_frame_equal(found, whole)
    its = whole.set_index("unique_id").loc["moved"]
    assert its["pvalue"] < MONITOR.significance < 4 * its["pvalue"], "by itself it has drifted"
    assert not found["drifted"].any(), "of four tests one is as small by chance"


def test_accuracy_is_of_the_series_of_the_shard(tmp_path: Path) -> None:
    table = pd.concat([forecasts(uid, "2013-01-02 23:00", 1.0) for uid in ("a", "zero", "gone")])
    whole = measure(tmp_path, table)
    assert whole["unique_id"].tolist() == ["a", "zero"]
    for unique_id in ("a", "zero"):
        its = PANEL[PANEL["unique_id"] == unique_id]
        found = measure(tmp_path, table, its)
        expected = whole[whole["unique_id"] == unique_id].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)
    assert measure(tmp_path, table, PANEL.iloc[:0]).empty


def test_a_series_silent_for_more_than_two_seasons_is_stale() -> None:
    last = pd.to_datetime(["2013-01-03 23:00", "2013-01-02 00:00", "2013-01-01 23:00", None])
    series = pd.DataFrame({"unique_id": list("abcd"), "last_ds": last})
    found = measure_freshness(series, CLOCK, make_task(), MONITOR).set_index("unique_id")
    assert found["stale"].to_dict() == {"a": False, "b": False, "c": True, "d": False}
    assert found["silent_days"]["b"] == 2.0


def decide(**changes: Any) -> dict[str, Any]:
    values = {
        "accuracy": pd.DataFrame({"mase": [0.5, 0.7]}),
        "drift": pd.DataFrame({"drifted": [True, False, False]}),
        "freshness": pd.DataFrame({"unique_id": ["b", "a"], "stale": [True, True]}),
        "verdict": {"champion_mase": 0.5},
        **changes,
    }
    return decide_retraining(**values, promotion={"promoted": True}, monitor=MONITOR)


def test_without_a_reason_there_is_no_retraining() -> None:
    found = decide()
    assert found["retrain"] is False
    assert found["reasons"] == []
    assert found["realised_mase"] == pytest.approx(0.6)
    assert found["forecasts_due"] == 2
    assert found["stale_series"] == ["a", "b"]


def test_grown_errors_and_drift_are_reasons() -> None:
    grown = decide(accuracy=pd.DataFrame({"mase": [0.76]}))
    assert grown["retrain"] is True
    assert grown["reasons"] == ["realised MASE 0.76 is over 1.5 times the backtest's 0.50"]
    drifted = decide(drift=pd.DataFrame({"drifted": [True, True, False]}))
    assert drifted["reasons"] == ["67% of series drifted, more than 50%"]


@pytest.mark.parametrize(
    "changes",
    [
        {"accuracy": pd.DataFrame({"mase": []})},
        {"accuracy": pd.DataFrame({"mase": [np.nan, np.nan]})},
        {"verdict": {"champion_mase": None}},
        {"drift": pd.DataFrame({"drifted": []})},
    ],
    ids=["nothing due", "no scale", "no backtest", "no drift"],
)
def test_missing_figures_are_null_and_no_reason(changes: dict[str, Any]) -> None:
    found = decide(**changes)
    assert found["retrain"] is False
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    if "accuracy" in changes:
        assert found["realised_mase"] is None
