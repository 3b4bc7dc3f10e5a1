"""Parsing: every raw row is kept, set aside or quarantined, for a reason."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from tables import IDS, JUNK, NOON, NUMBERS, TIMES, account_of, always_noon, check_account, rows_of

from clepsydra.pipelines.clean.parsing import join_ids, parse_covariate, parse_target
from clepsydra.pipelines.clean.regular import to_grid
from helpers import NEW_YORK, make_source, make_task, text_rows


@given(rows_of(id=IDS, time=TIMES, value=NUMBERS + JUNK))
def test_any_long_table_is_accounted_for(rows: list[dict[str, str]]) -> None:
    source = make_source(timezone=NEW_YORK)
    found, account, quarantine = parse_target("load", source, text_rows(rows), always_noon)
    check_account(len(rows), account, quarantine)
    assert np.isfinite(found["y"].dropna()).all()
    assert not found.duplicated(["unique_id", "ds"]).any()
    assert found["ds"].notna().all()
    assert (found["ds"] < NOON).all()
    assert set(found["unique_id"]) <= {"a", "b", "ü"}


@given(rows_of(unique_id=IDS, ds=TIMES, y=NUMBERS + JUNK))
def test_a_table_with_the_panels_own_column_names_is_accounted_for(
    rows: list[dict[str, str]],
) -> None:
    source = make_source(id="unique_id", time="ds", value="y", timezone=NEW_YORK)
    raw = text_rows(rows)
    _, account, quarantine = parse_target("load", source, raw, always_noon)
    check_account(len(rows), account, quarantine)
    for line, row in zip(quarantine["line"], quarantine["row"], strict=True):
        expected = raw.loc[raw["_line"] == line, ["unique_id", "ds", "y"]].iloc[0].to_dict()
        assert json.loads(row) == expected, "the quarantine shows the row as it came"


@given(rows_of(id=IDS, time=TIMES, done=["yes", "NA", ""]))
def test_any_table_of_events_is_accounted_for(rows: list[dict[str, str]]) -> None:
    source = make_source(
        value=None, aggregate="count", require={"done": "cancelled"}, timezone=NEW_YORK
    )
    found, account, quarantine = parse_target("load", source, text_rows(rows), always_noon)
    check_account(len(rows), account, quarantine)
    assert set(found["y"]) <= {0.0, 1.0}
    assert found["y"].sum() == account_of(account).get("rows kept", 0)


@given(rows_of(time=TIMES, a=NUMBERS + JUNK, b=NUMBERS + JUNK))
def test_any_wide_table_is_accounted_for_cell_by_cell(rows: list[dict[str, str]]) -> None:
    source = make_source(layout="wide", id=None, value=None, timezone=NEW_YORK)
    found, account, quarantine = parse_target("load", source, text_rows(rows), always_noon)
    check_account(2 * len(rows), account, quarantine)
    assert set(found["unique_id"]) <= {"a", "b"}
    assert np.isfinite(found["y"].dropna()).all()


@given(rows_of(key=IDS, time=TIMES, temp=NUMBERS + JUNK, wind=NUMBERS + JUNK))
def test_any_covariate_table_is_accounted_for(rows: list[dict[str, str]]) -> None:
    source = make_source(
        role="covariate",
        id=None,
        value=None,
        join={"site": "key"},
        columns={"temp": "temperature", "wind": "wind"},
        timezone=NEW_YORK,
    )
    found, account, quarantine = parse_covariate("weather", source, text_rows(rows))
    check_account(len(rows), account, quarantine)
    assert not np.isinf(found[["temperature", "wind"]]).any(axis=None)
    assert not found.duplicated(["join_key", "ds"]).any()


# Reasons


def parse(rows: list[dict[str, str]], **changes: Any) -> tuple[pd.DataFrame, ...]:
    return parse_target("load", make_source(**changes), text_rows(rows), lambda ds: NOON)


def test_every_fault_has_its_reason_file_and_line() -> None:
    rows = [
        {"id": "a", "time": "2013-03-10 00:00", "value": "1"},
        {"id": "", "time": "2013-03-10 00:00", "value": "1"},
        {"id": "a", "time": "soon", "value": "1"},
        {"id": "a", "time": "2013-03-10 02:30", "value": "1"},
        {"id": "a", "time": "2013-03-10 01:00", "value": "x"},
        {"id": "a", "time": "2013-03-10 00:00", "value": "2"},
        {"id": "a", "time": "2013-03-10 03:00", "value": "NA"},
        {"id": "a", "time": "2013-11-03 11:00", "value": "1"},
        {"id": "a", "time": "2013-11-03 01:00", "value": "7"},
    ]
    found, account, quarantine = parse(rows, timezone=NEW_YORK)
    assert quarantine.set_index("line")["reason"].to_dict() == {
        3: "no series id",
        4: "time not readable",
        5: "time skipped by the clock change",
        6: "not a number",
        7: "duplicate of an earlier row",
    }
    assert set(quarantine["file"]) == {"a.csv"}
    assert set(quarantine["source"]) == {"load"}
    assert json.loads(quarantine["row"][0]) == {**rows[1], "unique_id": ""} or (
        json.loads(quarantine["row"][0]) == rows[1]
    )
    assert account_of(account) == {
        "rows in": 9,
        "rows kept": 2,
        "excluded: no value": 1,
        "excluded: period not complete at as_of": 1,
        "clock change: repeated hour": 1,
        **{f"quarantined: {reason}": 1 for reason in quarantine["reason"]},
    }
    assert found["y"].tolist()[0] == 1.0
    assert found["y"].tolist()[-1] == 7.0


def test_events_that_do_not_count_leave_a_zero_and_duplicates_are_counted_once() -> None:
    rows = [
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1", "dep": "x"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "2", "dep": "NA"},
        {"id": "a", "time": "2013-07-01 10:00", "flight": "1", "dep": "x"},
    ]
    found, account, quarantine = parse(
        rows,
        value=None,
        aggregate="count",
        unique=["time", "flight"],
        require={"dep": "cancelled"},
    )
    assert found["y"].tolist() == [1.0, 0.0]
    assert account_of(account)["excluded: cancelled"] == 1
    assert quarantine["reason"].tolist() == ["duplicate of an earlier row"]
    assert quarantine["line"].tolist() == [4]


@pytest.mark.parametrize(("how", "total"), [("sum", 6.0), ("last", 3.0), ("count", 3.0)])
def test_rows_that_share_a_time_are_data_where_rows_are_added_up(how: str, total: float) -> None:
    rows = [{"id": "a", "time": "2013-07-01 10:00", "value": str(n)} for n in (1, 2, 3)]
    changes = {"value": None} if how == "count" else {}
    found, account, quarantine = parse(rows, aggregate=how, **changes)
    assert quarantine.empty
    assert account_of(account)["rows kept"] == 3
    on_grid = to_grid(found, make_source(aggregate=how, **changes), make_task())
    assert on_grid["y"].tolist() == [total]


def test_a_wide_table_gives_a_series_for_every_column_or_for_those_asked_for() -> None:
    rows = [{"time": "2013-07-01", "a": "1", "b": "2"}, {"time": "2013-07-02", "a": "", "b": "4"}]
    wide = {"layout": "wide", "id": None, "value": None}
    found, account, _ = parse(rows, **wide)
    assert found.groupby("unique_id")["y"].apply(list).to_dict() == {
        "a": [1.0, pytest.approx(np.nan, nan_ok=True)],
        "b": [2.0, 4.0],
    }
    assert account_of(account)["excluded: no value"] == 1
    chosen, *_ = parse(rows, **wide, columns={"b": "site b"})
    assert chosen["unique_id"].tolist() == ["site b", "site b"]


def test_ids_are_joined_by_a_hyphen_and_rows_without_one_part_have_none() -> None:
    frame = pd.DataFrame({"x": ["a", "b"], "y": ["1", "2"]})
    assert join_ids(frame).tolist() == ["a-1", "b-2"]
    assert join_ids(frame[[]]).tolist() == ["", ""]
    rows = [{"x": "a", "y": "", "time": "2013-07-01", "value": "1"}]
    _, _, quarantine = parse(rows, id=["x", "y"])
    assert quarantine["reason"].tolist() == ["no series id"]


def test_a_covariate_called_file_does_not_hide_where_a_row_came_from() -> None:
    source = make_source(role="covariate", id=None, value=None, columns={"t": "file"})
    rows = [{"time": "2013-07-01", "t": "1"}, {"time": "2013-07-01", "t": "2"}]
    found, _, quarantine = parse_covariate("w", source, text_rows(rows))
    assert found["file"].tolist() == [1.0]
    assert quarantine["file"].tolist() == ["a.csv"]
