"""Configuration: what is accepted, and that every refusal names the key and what it should be."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
import yaml
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
from clepsydra.models.registry import fallback_chain
from helpers import make_source, make_task, parameters
from line_runner import PROJECT

TARGET = {"role": "target", "path": "a.csv", "id": "id", "time": "t", "value": "v"}
WEATHER = {"role": "covariate", "path": "w.csv", "time": "t", "columns": ["temp"]}


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
    ("changes", "says"),
    [
        ({"role": "goal"}, "'target', 'covariate' or 'attributes'"),
        ({"timezone": "EST5PDT"}, "unknown time zone 'EST5PDT'"),
        ({"time": None}, "a target source needs 'time'"),
        ({"id": None}, "a long target needs 'id'"),
        ({"value": None}, "'aggregate: count' goes with no 'value'"),
        ({"aggregate": "count"}, "'aggregate: count' goes with no 'value'"),
        ({"aggregate": "mode"}, "'count', 'sum', 'mean' or 'last'"),
        ({"known": "in_advance"}, "'known: in_advance' is for covariate sources"),
        ({"role": "covariate", "columns": []}, "a covariate source needs 'columns'"),
        ({"role": "covariate", "columns": ["x"], "time": None}, "covariate source needs 'time'"),
        ({"role": "attributes", "columns": ["x"]}, "an attributes source needs 'join'"),
        ({"layout": "tall"}, "'long', 'wide' or 'rows'"),
        ({"separater": ";"}, "unknown key: did you mean"),
    ],
)
def test_a_wrong_source_says_what_it_should_be(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        make_source(**changes)


API = {"url": "https://example.org/load"}
TABLE = {"url": "sqlite:///load.db", "table": "load"}
ROWS = {"layout": "rows", "time": None, "value": None}
WIDE = {"layout": "wide", "id": None, "value": None}
COVARIATE = {"role": "covariate", "id": None, "value": None, "columns": ["temp"]}
ATTRIBUTES = {**COVARIATE, "role": "attributes", "time": None, "join": ["id"]}
START = "2013-07-01T00:00"


@pytest.mark.parametrize(
    ("changes", "key", "says"),
    [
        # Where rows come from
        ({"path": None}, "path", "name one of 'path', 'http' and 'sql'; named: none"),
        ({"http": API}, "http", r"'path', 'http' and 'sql'; named: \['path', 'http'\]"),
        ({"sql": TABLE}, "sql", r"'path', 'http' and 'sql'; named: \['path', 'sql'\]"),
        ({"path": None, "http": API, "sql": TABLE}, "sql", r"named: \['http', 'sql'\]"),
        ({"path": None, "http": API, "package": "p"}, "package", "needs 'path', the file"),
        # How they are written
        ({"separator": ""}, "separator", "at least 1 character"),
        ({"separator": ";;"}, "separator", "at most 1 character"),
        ({"separator": "§"}, "separator", "'§' cannot separate cells: write e.g. ';'"),
        ({"separator": '"'}, "separator", "cannot separate cells"),
        ({"separator": "\n"}, "separator", "cannot separate cells"),
        ({"skip_lines": -1}, "skip_lines", "greater than or equal to 0"),
        ({"decimal": ";"}, "decimal", "'.' or ','"),
        # A row a series
        (ROWS, "layout: rows", "is for a target with 'start' or 'end', and without 'time'"),
        ({**ROWS, "start": START, "end": START}, "layout: rows", "with 'start' or 'end'"),
        ({**ROWS, "start": START, "time": "t"}, "layout: rows", "without 'time'"),
        ({**ATTRIBUTES, "layout": "rows", "start": START}, "layout: rows", "is for a target"),
        ({**ROWS, "start": "soon"}, "start", "valid datetime"),
        ({"start": START}, "start", "'start' has no effect on this source"),
        ({"end": START}, "end", "'end' has no effect on this source"),
        ({**ROWS, "start": START, "value": "v"}, "value", "'value' has no effect"),
        ({**ROWS, "start": START, "unique": ["id"]}, "unique", "'unique' has no effect"),
        # A column a series
        ({**WIDE, "id": "id"}, "id", "'id' has no effect"),
        ({**WIDE, "value": "v"}, "value", "'value' has no effect"),
        ({**WIDE, "unique": ["a"]}, "unique", "'unique' has no effect"),
        ({**COVARIATE, "layout": "wide"}, "layout", "'layout' has no effect"),
        # The only series
        ({"name": "all"}, "name", "'name' has no effect"),
        ({**WIDE, "name": "all"}, "name", "'name' has no effect"),
        ({**ROWS, "start": START, "id": None, "name": "all"}, "name", "'name' has no effect"),
        ({**COVARIATE, "name": "all"}, "name", "'name' has no effect"),
        ({"id": None}, "name", "or 'name', if all rows are of one series"),
        ({"id": []}, "id", "needs 'id', the column"),
        # Time
        ({"time": []}, "time", "a target source needs 'time', the name of its time column"),
        ({"time": {"month": "m", "day": "d"}}, "time", "needs at least 'year'"),
        ({"time": {"year": "y", "hour": "h"}}, "time", "leaves one out: before 'hour' come year"),
        ({"time": {"year": "y", "second": "s"}}, "time", "'minute'"),
        ({"time": {"year": "y"}, "time_format": "%Y"}, "time_format", "has no effect"),
        ({"time": {"year": "y"}, "interval": " - "}, "interval", "has no effect"),
        ({"interval": "-"}, "interval", "'-' is a part of the times as well: write all that is"),
        (
            {"interval": " ", "time_format": "%d.%m.%Y %H:%M"},
            "interval",
            "is a part of the times as well",
        ),
        ({"time_format": "%Q"}, "time_format", "'%Q' is no strptime format"),
        ({"time_format": "%"}, "time_format", "'%' is no strptime format"),
        ({"time_format": "%H:%M"}, "time_format", "'%H:%M' does not say which year"),
        ({"time_format": "%d/%m"}, "time_format", "does not say which year: write e.g."),
        ({"time_format": "mixed"}, "time_format", "does not say which year|no strptime format"),
        ({"time_format": "epoch"}, "time_format", "no strptime format|does not say which year"),
        ({"ambiguous": "guess"}, "ambiguous", "'order', 'earlier', 'later' or 'quarantine'"),
        ({"nonexistent": "drop"}, "nonexistent", "'quarantine' or 'shift_forward'"),
        # Values
        ({"duplicates": "mean"}, "duplicates", "'first' or 'last'"),
        ({"scale": 0}, "scale", "greater than 0"),
        ({"minimum": 2, "maximum": 1}, "minimum", "'minimum' 2 is above 'maximum' 1"),
        ({"minimum": "low"}, "minimum", "valid number"),
        ({"require": {"x": "no x"}}, "require", "'require' has no effect"),
        # Names that tables have already
        (
            {**ATTRIBUTES, "columns": {"a": "unit"}},
            "columns",
            "'unit' in 'columns' is what the tables call a column of their own",
        ),
        ({"id": ["freq"]}, "id", "'freq' in 'id' is what the tables call a column of their own"),
        ({**COVARIATE, "columns": ["y"]}, "columns", "'y' in 'columns' is what the tables call"),
        ({**COVARIATE, "columns": {"t": "ds"}}, "columns", "'ds' in 'columns'"),
        ({**ATTRIBUTES, "columns": ["join_key"]}, "columns", "'join_key' in 'columns'"),
        ({**COVARIATE, "columns": {"a": "t", "b": "t"}}, "columns", "several columns the name 't'"),
        ({"columns": ["a"]}, "columns", "'columns' has no effect"),
        ({"join": ["a"]}, "join", "'join' has no effect"),
        ({**COVARIATE, "aggregate": "count"}, "aggregate: count", "has no effect"),
        ({"lasts": "1D"}, "lasts", "'lasts' is for covariate sources"),
    ],
    ids=str,
)
def test_a_wrong_source_names_the_key_and_what_it_should_be(
    changes: dict[str, Any], key: str, says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        make_source(**changes)
    error = caught.value.errors()[-1]
    assert key in error["loc"] or f"'{key}" in error["msg"]
    assert len(error["msg"]) > 15


@pytest.mark.parametrize(
    "changes",
    [
        {"path": None, "http": API},
        {"path": None, "sql": TABLE},
        {**ROWS, "start": START},
        {**ROWS, "end": "2013-07-01T00:00:00+02:00"},
        WIDE,
        {**WIDE, "columns": {"a": "b"}},
        {"id": None, "name": "all"},
        {"time": ["day", "at"], "interval": " - "},
        {"time": "t", "interval": "/"},
        {"time": {"year": "y", "month": "m"}},
        *({"time_format": style} for style in ("epoch_s", "epoch_ms", "%Y", "%d.%m.%y %H:%M")),
        *({"time_format": style} for style in ("%Y-%m-%dT%H:%M:%S%z", "%G-W%V-%u", "%Y %j")),
        {"minimum": 1, "maximum": 1},
        {"separator": "\t"},
        ATTRIBUTES,
        {**ATTRIBUTES, "columns": ["x", "y"]},
        {**COVARIATE, "lasts": "1D", "known": "in_advance"},
    ],
    ids=str,
)
def test_a_source_may_be_described_so(changes: dict[str, Any]) -> None:
    source = make_source(**changes)
    assert type(source).model_validate(source.model_dump()) == source


@pytest.mark.parametrize(
    "name", ["", "2nd", "a b", "a-b", "a.b", "é", "_a", "shard_1", "panel", "a/b", "a:b"]
)
def test_a_name_that_no_source_can_have_is_shown(name: str) -> None:
    with pytest.raises(
        ValidationError, match=r"source names are letters, digits and '_'"
    ) as caught:
        SourcesConfig.model_validate({"a": TARGET, name: WEATHER})
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["load", "Load_2", "a", "panels", "shards"])
def test_a_name_is_letters_digits_and_underscores(name: str) -> None:
    assert SourcesConfig.model_validate({name: TARGET}).target[0] == name


def test_two_covariates_may_not_give_the_same_column() -> None:
    other = {**WEATHER, "columns": {"t": "temp"}}
    with pytest.raises(ValidationError, match="'columns' of 'w' and of 'x' both give 'temp'"):
        SourcesConfig.model_validate({"a": TARGET, "w": WEATHER, "x": other})


@pytest.mark.parametrize(
    "sources", [{}, {"w": WEATHER}, {"a": TARGET, "b": TARGET}], ids=["none", "zero", "two"]
)
def test_exactly_one_target_is_asked_for_and_those_found_are_named(sources: dict[str, Any]) -> None:
    found = [name for name, source in sources.items() if source["role"] == "target"]
    with pytest.raises(
        ValidationError,
        match=re.escape(f"exactly one source has 'role: target'; these have: {found}"),
    ):
        SourcesConfig.model_validate(sources)


def test_an_error_in_a_source_names_the_source_and_the_key() -> None:
    with pytest.raises(ValidationError) as caught:
        SourcesConfig.model_validate({"a": TARGET, "w": {**WEATHER, "timezone": "Nowhere"}})
    assert caught.value.errors()[0]["loc"] == ("w", "timezone")


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({}, "name at least one model"),
        ({"a": {"engine": "sarimax", "intervals": "wide"}}, "'conformal' or 'own'"),
        ({"a": {"engine": "sarimax", "timeout": 0}}, "greater than 0"),
        ({"a": {"engine": "sarimax", "max_history": 1}}, "greater than or equal to 2"),
        (
            {"a": {"engine": "sarimax"}, "m": {"engine": "median", "options": {"of": ["b"]}}},
            r"'m': 'of' names \['b'\]; choose from \['a'\]",
        ),
        (
            {"a": {"engine": "sarimax"}, "m": {"engine": "median"}},
            r"'m' \(median\): of: List should have at least 1",
        ),
        (
            {"a": {"engine": "sarimax"}, "m": {"engine": "median", "options": {"of": ["m"]}}},
            r"'m': 'of' names \['m'\]; choose from \['a'\]",
        ),
        (
            {
                "a": {"engine": "sarimax"},
                "m": {"engine": "median", "options": {"of": ["a"], "off": 1}},
            },
            r"'m' \(median\): off: ",
        ),
    ],
)
def test_wrong_models_say_what_they_should_be(models: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ModelsConfig.model_validate(models)


def test_the_models_of_the_readme_are_accepted() -> None:
    text = (PROJECT / "README.md").read_text()
    [section] = re.findall(r"^### Models\n(.*?)^### ", text, re.DOTALL | re.MULTILINE)
    blocks = [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    ]
    found = [ModelsConfig.model_validate(block["models"]) for block in blocks if "models" in block]
    assert len(found) == 2
    for models in found:
        for name in models.root:
            fallback_chain(name, models)
    assert found[1].root["season_regression"].options == {"lasting": ["temperature"]}
    assert "correction" not in found[1].root


def test_a_model_of_a_list_that_is_null_is_in_nothing_of_it() -> None:
    hourly = ModelsConfig.model_validate("hourly")
    found = ModelsConfig.model_validate({"like": "hourly", "trees": None})
    assert list(found.root) == [name for name in hourly.root if name != "trees"]
    for name in hourly.combinations:
        assert found.members(name) == [its for its in hourly.members(name) if its != "trees"]
    monthly = ModelsConfig.model_validate({"like": "monthly", "theta": None})
    assert fallback_chain("ets", monthly) == ["seasonal_naive"]
    assert monthly.members("weighted") == ["ces", "ets", "windows"]


def test_of_a_model_with_another_engine_nothing_of_the_list_is_kept() -> None:
    changes = {"ets": {"engine": "sarimax"}, "weighted": {"engine": "stacked"}}
    found = ModelsConfig.model_validate({"like": "monthly", **changes})
    assert found.root["ets"] == ModelSpec(engine="sarimax")
    assert found.members("weighted") == ["theta", "ces", "ets", "windows"]
    same = {"ets": {"engine": "statsforecast", "max_history": 50}}
    kept = ModelsConfig.model_validate({"like": "monthly", **same}).root["ets"]
    assert (kept.options["model"], kept.fallback) == ("AutoETS", ["theta", "seasonal_naive"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"corection": None}, "'corection' is null, but 'hourly' has no such model.*correction"),
        ({"tres": {"max_history": 9}}, "'tres' has no engine, and 'hourly' has no such.*trees"),
        ({"zzz": None}, "'zzz' is null, but .* has seasonal_naive, autoregression, "),
        ({"seasonal_naive": None}, "'seasonal_naive' is null, but it is the reference of 'hourly'"),
        (
            {"trees": None, "median": {"options": {"of": ["trees"]}}},
            r"'median': 'of' names \['trees'\]; choose from ",
        ),
        (
            dict.fromkeys(["autoregression", "autoregression_levels", "trees", "trees_levels"]),
            r"'median': 'of' names \['autoregression', .*'trees_levels'\]; choose from ",
        ),
        ({"median": {"options": {"of": None}}}, r"'median' \(median\): of: List should have"),
        ({"trees": {"options": 1}}, "trees.options"),
        ({"trees": 1}, "trees"),
    ],
)
def test_wrong_changes_of_a_list_say_what_they_should_be(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        ModelsConfig.model_validate({"like": "hourly", **changes})


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


def test_ids_times_and_renames_have_one_form() -> None:
    source = make_source(id=["a", "b"], time={"year": "y", "month": "m"}, unique=["a", "c"])
    assert source.id_columns == ["a", "b"]
    assert source.time_columns == ["y", "m"]
    assert source.needed_columns() == ["y", "m", "a", "b", "value", "c"]
    covariate = make_source(role="covariate", columns={"t": "temp"}, join={"origin": "faa"})
    assert covariate.renames == {"t": "temp"}
    assert covariate.join_on == {"origin": "faa"}
    assert make_source(role="covariate", columns=["t"], join=["o"]).join_on == {"o": "o"}


@pytest.mark.parametrize("minutes", [0, -1, "ten", float("inf"), float("nan")])
def test_a_budget_is_a_number_of_minutes(minutes: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        BudgetConfig.model_validate({"minutes": minutes})
    assert caught.value.errors()[0]["loc"] == ("minutes",)
    assert BudgetConfig.model_validate({"minutes": 0.5}).minutes == 0.5
    assert BudgetConfig.model_validate({}).minutes is None


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
