"""What a raw table's columns hold, and how far its times are apart."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.datasets.columns import describe_columns, usual_steps

NO_VALUE = ["", " ", "NA", "N/A", "nan", "NaN", "null", "None", "-", "--"]
MIDNIGHT = dt.datetime(2013, 7, 1)


def kind_of(cells: list[str]) -> str:
    return describe_columns(pl.DataFrame({"a": cells}, {"a": pl.String}))["a"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([], "empty"),
        (NO_VALUE, "empty"),
        (["1", "-2", "+3", " 4 ", "007"], "integer"),
        (["1", "2.5"], "number"),
        (["1,5", ".5", "5.", "-1e-7", "1E+300"], "number"),
        (["2013-07-01", "2013-07-02 12:00", "2013-07-02T12:00:00Z"], "time"),
        (["01/07/2013", "1.7.13 5:00"], "time"),
        (["12:00", "5.30", "23:59:59"], "time"),
        (["true", "FALSE", "False"], "boolean"),
        (["1.2.3.4.5 x", "north"], "text"),
        (["1", "north"], "text"),
        (["1,234,567"], "text"),
        (["0x1F"], "text"),
    ],
)
def test_cells_tell_the_kind_of_their_column(cells: list[str], kind: str) -> None:
    assert kind_of(cells) == kind
    assert kind_of([*cells, *NO_VALUE]) == kind, "cells without a value say nothing"


@pytest.mark.parametrize(
    ("kind", "cell"),
    [("integer", "7"), ("number", "7.5"), ("time", "2013-07-01"), ("boolean", "true")],
)
def test_a_few_odd_cells_do_not_change_the_kind(kind: str, cell: str) -> None:
    assert kind_of([cell] * 95 + ["odd"] * 5) == kind
    assert kind_of([cell] * 94 + ["odd"] * 6) == "text"


def test_numbers_among_whole_ones_make_a_column_of_numbers() -> None:
    assert kind_of(["1"] * 90 + ["1.5"] * 10) == "number"
    assert kind_of(["1"] * 99 + ["1.5"]) == "integer"


@given(st.lists(st.integers(), min_size=1), st.lists(st.sampled_from(NO_VALUE)))
def test_any_whole_numbers_are_integers(numbers: list[int], others: list[str]) -> None:
    assert kind_of([*map(str, numbers), *others]) == "integer"


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_any_floats_are_numbers(numbers: list[float]) -> None:
    assert kind_of([str(number) for number in numbers]) == "number"


@given(st.lists(st.datetimes(), min_size=1), st.sampled_from([" ", "T"]))
def test_any_iso_times_are_times(times: list[dt.datetime], between: str) -> None:
    assert kind_of([time.isoformat(between) for time in times]) == "time"


@given(st.lists(st.text()))
def test_any_text_has_a_kind(cells: list[str]) -> None:
    assert kind_of(cells) in {"integer", "number", "time", "boolean", "text", "empty"}


def test_the_whole_of_a_long_table_is_sampled() -> None:
    cells = ["1"] * 50_000 + ["north"] * 50_000
    assert kind_of(cells) == "text"
    assert kind_of(cells[:50_000]) == "integer"


def test_only_columns_of_the_source_are_described() -> None:
    rows = pl.DataFrame({"b": ["1"], "a": ["x"], "_file": ["a.csv"], "_line": [2]})
    assert describe_columns(rows) == {"b": "integer", "a": "text"}


# Steps


def steps_of(times: list[dt.datetime | None]) -> dict[dt.date | None, float]:
    at = pl.Series("at", times, pl.Datetime("ns"))
    return usual_steps(pl.DataFrame({"at": at}), "at")


@pytest.mark.parametrize("minutes", [1, 15, 30, 60, 360])
def test_equal_steps_are_found_whatever_the_order_of_the_rows(minutes: int) -> None:
    times = [MIDNIGHT + dt.timedelta(minutes=at) for at in range(0, 24 * 60, minutes)]
    found = steps_of([*times[1::2], None, *times[::2], *times])
    assert found == {MIDNIGHT.date(): 60 * minutes}


def test_every_day_has_its_own_step() -> None:
    hours = [MIDNIGHT + dt.timedelta(hours=hour) for hour in range(24)]
    halves = [MIDNIGHT + dt.timedelta(days=1, minutes=30 * number) for number in range(48)]
    single = [MIDNIGHT + dt.timedelta(days=2)]
    found = steps_of([*single, *hours, *halves])
    assert found == {dt.date(2013, 7, 1): 3600, dt.date(2013, 7, 2): 1800}


@pytest.mark.parametrize(("lost", "expected"), [(4, {MIDNIGHT.date(): 300}), (60, {})])
def test_a_few_gaps_do_not_hide_the_step(lost: int, expected: dict[Any, float]) -> None:
    times = [MIDNIGHT + dt.timedelta(minutes=5 * number) for number in range(288)]
    missing = set(times[10 : 10 + 3 * lost : 3])
    assert steps_of([time for time in times if time not in missing]) == expected


def test_times_without_a_usual_step_have_none() -> None:
    assert steps_of([]) == {}
    assert steps_of([None, None]) == {}
    assert steps_of([MIDNIGHT, MIDNIGHT]) == {}
    squares = [MIDNIGHT + dt.timedelta(minutes=number**2) for number in range(30)]
    assert steps_of(squares) == {}
