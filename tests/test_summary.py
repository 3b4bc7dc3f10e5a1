"""The printed end of a run: every figure is there, also when figures are missing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from kedro.pipeline import Pipeline

from clepsydra.profile import profile_table
from clepsydra.summary import format_summary
from profiles import profile_of

SUMMARY: dict[str, Any] = {
    "as_of": "2013-12-15",
    "cutoff": "2013-12-15T04:00:00",
    "series": 35,
    "series_forecast": 34,
    "first_step": "2013-12-16 05:00:00",
    "last_step": "2013-12-17 04:00:00",
    "flags": {"ended": 3, "short": 2},
    "champions": {"boosting": 21, "median": 13},
    "verdict": {
        "reference": "seasonal_naive",
        "report_windows": 14,
        "first_report_target": "2013-12-01 05:00:00",
        "last_select_target": "2013-12-01 05:00:00",
        "series": 35,
        "series_judged": 30,
        "series_with_zero_scale": 4,
        "series_without_scale": 1,
        "champion_mase": 0.4325,
        "reference_mase": 0.5,
        "champion_mae": 1.5,
        "reference_mae": 2.0,
        "coverage_80": 0.8123,
        "relative_error": 0.865,
    },
    "promotion": {"promoted": True, "reason": "good enough", "relative_error": 0.865, "limit": 1},
    "rows_in": 323_456,
    "rows_excluded": {"cancelled": 7_654},
    "rows_quarantined": 17,
    "quarantine_reasons": {"not a number": 12, "no series id": 5},
    "steps_imputed": 4_321,
    "backtest_fallbacks": {"theta": 1_111, "sarimax": 22},
    "forecast_fallbacks": {"sarimax": 6},
    "failed_models": {"var": "ValueError: 'group_by' is 'region'"},
    "windows": {"calibrate": [7, 7], "select": [14, 14], "report": [14, 14]},
    "tuned": {},
    "seconds_per_series": {"sarimax": 2.345, "theta": 0.0123, "naive": 0.0001},
    "canary": {"clean": ["sarimax", "theta", "naive"], "not tested": ["var"]},
    "retraining": {"retrain": False, "reasons": [], "forecasts_due": 0, "realised_mase": None},
}
NO_PROFILE = profile_table([], Pipeline([]), "run-1")


def changed(**changes: Any) -> dict[str, Any]:
    """The summary with these values; those that are mappings are merged."""
    summary = copy.deepcopy(SUMMARY)
    for name, value in changes.items():
        is_merged = name in {"verdict", "promotion", "retraining"}
        summary[name] = {**summary[name], **value} if is_merged else value
    return summary


def printed(**changes: Any) -> str:
    return format_summary(changed(**changes), NO_PROFILE, 12.34, "SequentialRunner")


def test_every_figure_is_printed() -> None:
    text = printed()
    for figure in (
        "as of 2013-12-15",
        "34 of 35 series, 2013-12-16 05:00:00 to 2013-12-17 04:00:00 UTC",
        "boosting 21, median 13",
        "MASE 0.432, seasonal_naive 0.500: 13.5% lower",
        "14 windows from 2013-12-01 05:00:00",
        "5 series without a MASE: 4 with scale zero, 1 too short",
        "80 % intervals held 81%",
        "323,456 in, 17 quarantined (not a number 12, no series id 5)",
        "set aside (cancelled 7,654)",
        "4,321 grid steps imputed",
        "ended 3, short 2",
        "1,133 in backtests (theta 1,111, sarimax 22), 6 in forecasts (sarimax 6)",
        "var FORECAST NOTHING of its own: ValueError: 'group_by' is 'region'",
        "sarimax 2.3 s, theta 12 ms, naive 0.1 ms",
        "none seen: 3 models forecast the same with another future",
        "not tested, all fallbacks: var",
        "no reason to retrain",
        "12.3 s; no node was timed",
    ):
        assert figure in text
    assert "REFUSED" not in text
    assert "None" not in text
    assert "nan" not in text


def test_models_that_did_not_fit_in_the_budget_are_named_with_the_reason() -> None:
    left = {"sarimax": "left out: 740 s expected, 310 s left", "median": "left out: 1 of 2"}
    text = printed(budget={"models": 4, "run": 2, "seconds": 290.4, "took": 2.25}, left_out=left)
    assert "\n budget        2 of 4 models run: 290 s expected, 2.2 s to find out\n" in text
    assert "\n               sarimax left out: 740 s expected, 310 s left\n" in text
    assert "\n               median left out: 1 of 2\n" in text
    unknown = {"models": 1, "run": 1, "seconds": None, "took": 60.0}
    assert "an unknown time expected" in printed(budget=unknown, left_out={})
    assert "budget" not in printed()


def test_windows_that_there_is_no_room_for_are_told() -> None:
    text = printed(windows={"calibrate": [0, 7], "select": [7, 14], "report": [14, 14]})
    assert "NO ROOM in the history for all windows: calibrate 0 of 7, select 7 of 14\n" in text
    assert "NO ROOM" not in printed()


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        ({}, '{"a": 2} of 9 trials: MASE 0.800, its own 0.900'),
        ({"own_score": None}, '{"a": 2} of 9 trials: MASE 0.800, its own failed'),
        ({"stopped": "over"}, '{"a": 2} of 9 trials: MASE 0.800, its own 0.900; over'),
        ({"is_own": True}, "stays as it is, the best of 9 trials"),
        (
            {"is_own": True, "tried": 1, "stopped": "over"},
            "stays as it is, the best of 1 trial; over",
        ),
        ({"is_own": True, "failed": 3}, "stays as it is, the best of 9 trials; 3 failed: no"),
        ({"score": None}, "NOT TUNED, 9 trials failed: no"),
        ({"tried": 0, "score": None, "stopped": "too short"}, "NOT TUNED; too short"),
    ],
)
def test_what_became_of_tuning_is_told(outcome: dict[str, Any], line: str) -> None:
    its = {"tried": 9, "failed": 0, "options": '{"a": 2}', "is_own": False, "score": 0.8}
    its |= {"own_score": 0.9, "problem": "no", "stopped": "", **outcome}
    assert f"\n tuned         trees: {line}\n" in printed(tuned={"trees": its})
    assert "tuned" not in printed()


def test_champions_worse_than_the_reference_are_shouted() -> None:
    worse = {"champion_mase": 0.6, "relative_error": 1.2}
    assert "MASE 0.600, seasonal_naive 0.500: 20.0% HIGHER" in printed(verdict=worse)


def test_without_a_mase_the_mean_absolute_error_is_shown() -> None:
    verdict = {"champion_mase": None, "reference_mase": None, "relative_error": 0.75}
    assert "MAE 1.500, seasonal_naive 2.000: 25.0% lower" in printed(verdict=verdict)


def test_without_any_score_that_is_said() -> None:
    names = ["champion_mase", "reference_mase", "champion_mae", "reference_mae"]
    nothing = dict.fromkeys([*names, "coverage_80", "relative_error"])
    text = printed(verdict=nothing)
    assert "no window could be scored" in text
    assert "intervals" not in text


def test_a_refused_gate_says_why() -> None:
    promotion = {"promoted": False, "reason": "error is 1.2, not at most 1"}
    text = printed(promotion=promotion)
    assert "REFUSED, seasonal_naive is used: error is 1.2, not at most 1" in text


def test_nothing_to_tell_prints_no_empty_lines() -> None:
    scales = {"series_with_zero_scale": 0, "series_without_scale": 0}
    text = printed(verdict=scales, rows_excluded={}, quarantine_reasons={}, rows_quarantined=0)
    assert "without a MASE" not in text
    assert "set aside" not in text
    assert "323,456 in, 0 quarantined\n" in text
    assert "fallbacks     0 in backtests, 0 in forecasts\n" in printed(
        backtest_fallbacks={}, forecast_fallbacks={}
    )
    assert "imputed" not in printed(steps_imputed=0)
    assert "flags" not in printed(flags={})


def test_reasons_to_retrain_and_forecasts_that_came_due_are_printed() -> None:
    retraining = {"reasons": ["60% of series drifted"], "forecasts_due": 7, "realised_mase": 0.91}
    text = printed(retraining={**retraining, "retrain": True})
    assert "60% of series drifted" in text
    assert "7 earlier forecasts came due: MASE 0.910" in text


def test_a_run_without_a_summary_prints_its_time_only() -> None:
    text = format_summary(None, NO_PROFILE, 1.0, "SequentialRunner")
    assert "1.0 s" in text
    assert "accuracy" not in text


RUNNER = "<clepsydra.runners.ParallelRunner object at 0x7f00>"


def test_time_and_memory_are_told_by_stage() -> None:
    first, second = ("clean.first", 1, 0.0, 2.0), ("train.shard_0.second", 2, 3.0, 9.0)
    profile = profile_of(first, second, waits={second[0]: {first[0]}}, peak_mb=1235.6)
    text = format_summary(None, profile, 10.0, RUNNER, n_shards=1)
    for line in (
        "time 10.0 s, 2 nodes, ParallelRunner",
        "stages, s clean 2.0, train 6.0",
        "parallel 2 processes, 40% of their time in nodes",
        "critical path 8.0 s in 2 nodes, 80% of the time; longest train.shard_0.second 6.0 s",
        "bound 8.0 s at best on 2 processes, 8.0 s on any number, 1.0 times as fast as one",
        "memory 1,236 MB in the largest process",
        "advice train is bound by its longest shard, train.shard_0.second (6.0 s): raise "
        "n_shards from 1",
    ):
        assert line in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 78


def test_nothing_to_advise_is_no_line() -> None:
    profile = profile_of(("clean.first", 1, 0.0, 2.0))
    text = format_summary(None, profile, 2.0, RUNNER)
    assert "advice" not in text
    assert "1 process, 100% of their time" in text


def test_nodes_that_took_no_time_have_no_bound() -> None:
    text = format_summary(None, profile_of(("clean.first", 1, 0.0, 0.0)), 1.0, RUNNER)
    assert "critical path 0.0 s" in text
    assert "bound" not in text
