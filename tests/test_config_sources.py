"""Sources: what is accepted, and that every refusal names the key and what it should be."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from clepsydra.config import SourcesConfig
from helpers import make_source

TARGET = {"role": "target", "path": "a.csv", "id": "id", "time": "t", "value": "v"}
WEATHER = {"role": "covariate", "path": "w.csv", "time": "t", "columns": ["temp"]}


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


def test_ids_times_and_renames_have_one_form() -> None:
    source = make_source(id=["a", "b"], time={"year": "y", "month": "m"}, unique=["a", "c"])
    assert source.id_columns == ["a", "b"]
    assert source.time_columns == ["y", "m"]
    assert source.needed_columns() == ["y", "m", "a", "b", "value", "c"]
    covariate = make_source(role="covariate", columns={"t": "temp"}, join={"origin": "faa"})
    assert covariate.renames == {"t": "temp"}
    assert covariate.join_on == {"origin": "faa"}
    assert make_source(role="covariate", columns=["t"], join=["o"]).join_on == {"o": "o"}
