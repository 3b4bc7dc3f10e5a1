"""Configuration: what is accepted, and that every refusal names the key and what it should be."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clepsydra.config import (
    BudgetConfig,
    CalendarConfig,
    DeployConfig,
    EvaluateConfig,
    ModelsConfig,
    ModelSpec,
    MonitorConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
    parse_as_of,
)
from clepsydra.errors import ConfigError
from helpers import make_task, parameters


def test_the_projects_own_configuration_is_accepted() -> None:
    sources = SourcesConfig.model_validate(parameters("collect")["sources"])
    assert sources.target[0] == "flights"
    assert list(sources.of_role("covariate")) == ["weather"]
    assert sources.target[1].needed_columns() == [
        *("year", "month", "day", "hour"),
        *("origin", "carrier", "sched_dep_time", "dest", "flight", "dep_time"),
    ]
    assert TaskConfig.model_validate(parameters("clean")["task"]).season_length == 168
    assert ModelsConfig.model_validate(parameters("train")["models"]).reference == "seasonal_naive"
    for model, stage, key in (
        (CalendarConfig, "clean", "calendar"),
        (WindowsConfig, "split", "windows"),
        (EvaluateConfig, "evaluate", "evaluate"),
        (BudgetConfig, "train", "budget"),
        (DeployConfig, "deploy", "deploy"),
        (MonitorConfig, "monitor", "monitor"),
    ):
        model.model_validate(parameters(stage)[key])


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone", "unknown time zone 'Mars/Olympus'.*IANA name"),
        ({"freq": "fortnight"}, "freq", "unknown frequency 'fortnight'.*W-SUN"),
        ({"horizon": 0}, "horizon", "0 is neither a number of steps nor of days"),
        ({"horizon": "0D"}, "horizon", "'0D' is neither"),
        ({"horizon": "1W"}, "horizon", "'1W' is neither"),
        ({"horizon": "-1D"}, "horizon", "'-1D' is neither"),
        ({"horizon": "D"}, "horizon", "'D' is neither"),
        ({"horizon": ""}, "horizon", "'' is neither"),
        ({"gap": -1}, "gap", "-1 is neither"),
        ({"gate": "9:00"}, "gate", "'9:00' is no time of day: write .* minutes, e.g. '09:00'"),
        ({"gate": "24:00"}, "gate", "'24:00' is no time of day"),
        ({"gate": "09:60"}, "gate", "'09:60' is no time of day"),
        ({"gate": "09:00:00"}, "gate", "'09:00:00' is no time of day"),
        ({"gate": "morning"}, "gate", "'morning' is no time of day"),
        ({"gate": 630}, "gate", "630 is a number.* without quotes: write gate: '10:30'"),
        ({"gate": 9.5}, "gate", "valid string"),
        ({"season_lengths": []}, "season_lengths", "at least 1 item"),
        ({"season_lengths": [0]}, "season_lengths", "at least 1 step"),
        ({"fill": "magic"}, "fill", "'zero' or 'interpolate'"),
        ({"mart_aggregate": "median"}, "mart_aggregate", "'sum' or 'mean'"),
        ({"seasons": [24]}, "seasons", "unknown key: did you mean"),
    ],
)
def test_a_wrong_task_names_the_key_and_what_it_should_be(
    changes: dict[str, Any], key: str, says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        make_task(**changes)
    assert caught.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gap": "1D"}, "'gate' and 'gap' both say .*: leave out gap: 1D, .* gate: '09:00'"),
        ({"horizon": 24}, "'gate' needs 'horizon' in days.*: instead of 24 write .* horizon: 1D"),
        ({"freq": "D"}, "'gate' does not fit steps of D.*: leave it out and write 'gap' in steps"),
        ({"freq": "MS"}, "'gate' does not fit steps of MS"),
    ],
)
def test_a_gate_says_what_it_does_not_go_with(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        make_task(**{"gate": "09:00", "horizon": "1D", **changes})


def test_a_gate_is_a_time_of_day() -> None:
    task = make_task(gate="09:05", horizon="2D", freq="15min")
    assert task.gate_time == dt.time(9, 5)
    assert make_task().gate_time is None
    assert TaskConfig.model_validate(task.model_dump()) == task


@pytest.mark.parametrize("freq", ["h", "15min", "D", "B", "W-SUN", "W-MON", "MS", "ME", "QE", "YS"])
def test_pandas_frequencies_are_accepted(freq: str) -> None:
    assert make_task(freq=freq).freq == freq


@pytest.mark.parametrize("freq", ["2D", "7D", "48h", "2W-SUN", "2MS", "3QE"])
def test_a_multiple_of_days_or_longer_is_refused_because_the_grid_would_lose_steps(
    freq: str,
) -> None:
    with pytest.raises(ValidationError, match=freq):
        make_task(freq=freq)


def test_seasons_are_sorted_and_the_longest_is_the_reference() -> None:
    task = make_task(season_lengths=[168, 24, 24])
    assert task.season_lengths == [24, 168]
    assert task.season_length == 168


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"calibrate": -1}, "calibrate"),
        ({"select": 0}, "select"),
        ({"report": 0}, "report"),
        ({"refit_every": 0}, "refit_every"),
        ({"step": 0}, "step"),
        ({"step": -1}, "step"),
        ({"step": "1W"}, "step"),
        ({"history": 0}, "history"),
        ({"history": "0D"}, "history"),
        ({"history": "56"}, "history"),
        ({"windows": 3}, "windows"),
    ],
)
def test_wrong_windows_name_the_key(changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WindowsConfig.model_validate({"calibrate": 1, "select": 1, "report": 1, **changes})
    assert caught.value.errors()[0]["loc"][0] == key


@pytest.mark.parametrize("history", [None, 1, 1344, "56D"])
def test_a_history_is_all_of_the_past_or_a_span(history: int | str | None) -> None:
    windows = {"calibrate": 1, "select": 1, "report": 1, "history": history}
    assert WindowsConfig.model_validate(windows).history == history


def test_holidays_need_a_country() -> None:
    with pytest.raises(ValidationError, match="'holiday_distance' needs 'country'"):
        CalendarConfig(columns=["holiday_distance"])


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (DeployConfig, {"max_relative_error": 0}),
        (EvaluateConfig, {"shrinkage": -1}),
        (EvaluateConfig, {"confidence": 1}),
        (EvaluateConfig, {"bootstrap": 99}),
        (MonitorConfig, {"significance": 1}),
        (MonitorConfig, {"max_share_drifted": 1.1}),
        (ModelSpec, {"engine": "sarimax", "option": {}}),
    ],
)
def test_values_out_of_range_name_the_key(model: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(values)
    assert caught.value.errors()[0]["loc"][0] == list(values)[-1]


@given(st.dates())
def test_as_of_reads_every_day_in_every_form(day: dt.date) -> None:
    midnight = dt.datetime.combine(day, dt.time(13))
    assert parse_as_of(day) == parse_as_of(day.isoformat()) == parse_as_of(midnight) == day


def test_as_of_latest_is_no_day() -> None:
    assert parse_as_of("latest") is None


@pytest.mark.parametrize("value", ["yesterday", "2013-13-01", "15/12/2013", "", None, 20131301])
def test_as_of_that_is_no_day_says_how_to_write_it(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"as_of is .*write a day as YYYY-MM-DD, or 'latest'"):
        parse_as_of(value)
