"""Text to times: nothing is guessed, and no text moves the time of another."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.row_columns import INSTANT, LOCAL
from clepsydra.sources.times import TimeReader
from helpers import NEW_YORK, make_source

PARIS = "Europe/Paris"
stamps = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))


def read(*cells: str, **changes: Any) -> list[pd.Timestamp]:
    """The local times of these cells."""
    return columns(*cells, **changes)[0]


def columns(*cells: str, **changes: Any) -> tuple[list[pd.Timestamp], list[pd.Timestamp]]:
    """The local times of these cells, and the instants."""
    frame = TimeReader(make_source(**changes))(pl.DataFrame({"time": cells}))
    assert frame["time"].to_list() == list(cells)
    assert frame.schema[LOCAL] == frame.schema[INSTANT] == pl.Datetime("ns")
    return frame[LOCAL].to_pandas().tolist(), frame[INSTANT].to_pandas().tolist()


# ISO 8601


@given(stamps)
def test_iso_times_are_read_as_they_are_written(stamp: dt.datetime) -> None:
    assert read(stamp.isoformat(), timezone=PARIS) == [pd.Timestamp(stamp)]


def test_several_iso_forms_may_stand_in_one_column() -> None:
    found = read("2013-07-01", "2013-07-01 12:00", "2013-07-01T12:00:30.5", "20130701", "2013-07")
    assert found == [
        pd.Timestamp("2013-07-01"),
        pd.Timestamp("2013-07-01 12:00"),
        pd.Timestamp("2013-07-01 12:00:30.5"),
        pd.Timestamp("2013-07-01"),
        pd.Timestamp("2013-07-01"),
    ]


def test_spaces_around_a_time_do_not_count() -> None:
    assert read(" 2013-07-01 ", "\t2013-07-01 12:00Z\t", timezone=PARIS) == [
        pd.Timestamp("2013-07-01"),
        pd.Timestamp("2013-07-01 14:00"),
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "2013-07-01T12:00Z",
        "2013-07-01T12:00:00+00:00",
        "2013-07-01 12:00:00.000Z",
        "2013-07-01 08:00-0400",
        "2013-07-01 08:00-04",
        "2013-07-01 14:00 +02:00",
        "2013-07-01T12Z",
        "2013-07-01T14+02",
        "2013-07-01 08-04",
        "20130701T120000Z",
        "20130701T1400+0200",
        "20130701 140000+02",
    ],
)
def test_times_with_an_offset_are_instants_and_shown_on_the_sources_clock(cell: str) -> None:
    local, instants = columns(cell, timezone=PARIS)
    assert local == [pd.Timestamp("2013-07-01 14:00")]
    assert instants == [pd.Timestamp("2013-07-01 12:00")]


zones = st.sampled_from(["", "Z", "+02", "-0330", "+05:45", "+00:00", "-00:00", " +0100"])
forms = st.sampled_from(
    [
        *("%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%d %H%M", "%Y-%m-%d %H"),
        *("%Y-%m-%dT%H:%M:%S.%f", "%Y%m%dT%H", "%Y-%m-%d %H%M%S"),
    ]
)


@settings(max_examples=100)
@given(st.lists(st.tuples(stamps, forms, zones), min_size=1, max_size=5))
def test_a_time_is_an_instant_if_and_only_if_it_has_an_offset(
    parts: list[tuple[dt.datetime, str, str]],
) -> None:
    cells = [stamp.strftime(form) + zone for stamp, form, zone in parts]
    local, instants = columns(*cells, timezone=NEW_YORK)
    for cell, (_, _, zone), here, instant in zip(cells, parts, local, instants, strict=True):
        # One text at a time, and pandas says itself whether it has an offset.
        alone = pd.to_datetime(pd.Series([cell]), format="ISO8601", errors="coerce").iloc[0]
        if pd.isna(alone):
            assert pd.isna(here)
            assert pd.isna(instant)
        elif alone.tzinfo is None:
            assert zone == ""
            assert here == alone
            assert pd.isna(instant)
        else:
            assert zone != ""
            assert instant == alone.tz_convert("UTC").tz_localize(None)
            assert here == alone.tz_convert(NEW_YORK).tz_localize(None)


def test_a_time_with_an_offset_does_not_move_its_neighbours_without_one() -> None:
    found = columns("2013-07-01 12:00", "2013-07-01T12:00Z", timezone=PARIS)
    assert found[0] == [pd.Timestamp("2013-07-01 12:00"), pd.Timestamp("2013-07-01 14:00")]
    assert pd.isna(found[1][0])


@pytest.mark.parametrize("garbage", ["Z", "total Z", "n-0000", "x+01:00", "12:00Z", "9" * 40])
def test_a_cell_of_garbage_does_not_move_the_times_around_it(garbage: str) -> None:
    found = read("2013-07-01 12:00", garbage, timezone=PARIS)
    assert found[0] == pd.Timestamp("2013-07-01 12:00")
    assert pd.isna(found[1])


@pytest.mark.parametrize(
    "cell",
    [
        *("", "soon", "2013-13-01", "2013-02-30", "01/07/2013", "2013-07-01 25:00", "NaT", "7"),
        *("now", "today", "Now", "TODAY", "2013-07-01 24:00", "2013-07-01x", "2013-07-01\0"),
        # The ends of what nanoseconds can count, where an offset would go round them.
        *("2262-04-11 23:30", "1677-09-21 00:15", "2262-04-11T00:00Z", "0001-01-01", "9999-12-31"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", NEW_YORK])
def test_text_that_is_no_time_is_missing(cell: str, zone: str) -> None:
    local, instants = columns(cell, "2013-07-01", timezone=zone)
    assert pd.isna(local[0])
    assert pd.isna(instants[0])
    assert local[1] == pd.Timestamp("2013-07-01")


# Formats


def test_a_format_is_followed_and_its_offsets_are_converted() -> None:
    assert read("01/07/2013 12h", time_format="%d/%m/%Y %Hh") == [pd.Timestamp("2013-07-01 12:00")]
    found = read("01.07.2013 12:00 +0000", time_format="%d.%m.%Y %H:%M %z", timezone=PARIS)
    assert found == [pd.Timestamp("2013-07-01 14:00")]
    named = read(
        "01.07.2013 12:00 UTC", "1.7.2013", time_format="%d.%m.%Y %H:%M %Z", timezone=PARIS
    )
    assert named[0] == pd.Timestamp("2013-07-01 14:00")
    assert pd.isna(named[1])


@pytest.mark.parametrize("cell", ["now", "today", "2013-07-01", "31/02/2013 00h", ""])
def test_what_a_format_does_not_fit_is_missing(cell: str) -> None:
    assert pd.isna(read(cell, time_format="%d/%m/%Y %Hh")[0])


@given(st.integers(-2_000_000_000, 7_000_000_000), st.integers(0, 999), st.booleans())
def test_seconds_since_1970_are_instants(seconds: int, part: int, in_ms: bool) -> None:
    cell = f"{seconds}{part:03d}" if in_ms and seconds else f"{seconds}.{part:03d}"
    style = "epoch_ms" if in_ms and seconds else "epoch_s"
    local, instants = columns(cell, time_format=style, timezone=PARIS)
    sign = -1 if seconds < 0 or cell.startswith("-") else 1
    expected = pd.Timestamp(0) + pd.Timedelta(seconds * 1000 + sign * part, "ms")
    assert instants == [expected]
    shown = expected.tz_localize("UTC").tz_convert(PARIS).tz_localize(None)
    assert local == [shown]


@pytest.mark.parametrize("style", ["epoch_s", "epoch_ms"])
@pytest.mark.parametrize(
    "cell", ["", "x", "inf", "nan", "1e300", "9" * 30, "-1e19", "1_000", "0x10", "2013-07-01"]
)
def test_what_is_no_number_of_seconds_is_missing(style: str, cell: str) -> None:
    found = read(cell, "1372636800" + "000" * (style == "epoch_ms"), time_format=style)
    assert pd.isna(found[0])
    assert found[1] == pd.Timestamp("2013-07-01")


# Several columns


def test_times_in_two_columns_are_joined_by_a_space() -> None:
    frame = pl.DataFrame({"day": ["10/03/2004", "10/03/2004"], "at": ["18.00.00", ""]})
    source = make_source(time=["day", "at"], time_format="%d/%m/%Y %H.%M.%S")
    found = TimeReader(source)(frame)
    assert found.columns == ["day", "at", LOCAL, INSTANT]
    assert found[LOCAL].to_list() == [dt.datetime(2004, 3, 10, 18), None]


def test_of_an_interval_the_start_counts() -> None:
    changes = {"interval": " - ", "time_format": "%d.%m.%Y %H:%M"}
    found = read("01.01.2021 00:00 - 01.01.2021 01:00", "01.01.2021 02:00", " - ", **changes)
    assert found[:2] == [pd.Timestamp("2021-01-01"), pd.Timestamp("2021-01-01 02:00")]
    assert pd.isna(found[2])
    found = read("2021-01-01T00:00Z/2021-01-01T01:00Z", interval="/", timezone=PARIS)
    assert found == [pd.Timestamp("2021-01-01 01:00")]


PARTS = {"year": "y", "month": "m", "day": "d", "hour": "h", "minute": "n"}


def read_parts(**cells: str) -> pd.Timestamp:
    time = {part: column for part, column in PARTS.items() if column in cells}
    frame = pl.DataFrame({name: [cell] for name, cell in cells.items()})
    return TimeReader(make_source(time=time))(frame)[LOCAL].to_pandas()[0]


@given(stamps)
def test_parts_are_put_together(stamp: dt.datetime) -> None:
    parts = {column: str(getattr(stamp, part)) for part, column in PARTS.items()}
    assert read_parts(**parts) == pd.Timestamp(stamp).floor("min")


def test_parts_may_come_in_any_order_and_one_column_may_be_two_of_them() -> None:
    time = {"hour": "n", "year": "y", "day": "n", "month": "n"}
    found = TimeReader(make_source(time=time))(pl.DataFrame({"n": ["7"], "y": ["2013.0"]}))
    assert found[LOCAL].to_list() == [dt.datetime(2013, 7, 7, 7)]


def test_parts_that_are_not_given_are_the_first() -> None:
    assert read_parts(y="2013") == pd.Timestamp("2013-01-01")
    assert read_parts(y="2013", m="7") == pd.Timestamp("2013-07-01")


@pytest.mark.parametrize(
    "cells",
    [
        *({"m": "13"}, {"d": "31", "m": "2"}, {"h": "24"}, {"h": "25"}, {"h": "-1"}, {"h": "5.5"}),
        *({"n": "60"}, {"d": ""}, {"y": "soon"}, {"y": "inf"}, {"y": "1" * 400}, {"m": "0"}),
        # Years of two and three digits would be read with a part of the month.
        *({"y": "20", "m": "11", "d": "12"}, {"y": "201", "m": "3", "d": "4"}, {"y": "13"}),
        *({"y": "9999"}, {"y": "1600"}),
    ],
    ids=str,
)
def test_parts_out_of_their_range_are_missing_and_do_not_roll_over(cells: dict[str, str]) -> None:
    assert pd.isna(read_parts(**{"y": "2013", "m": "1", "d": "1", "h": "1", "n": "1", **cells}))


def test_a_cell_does_not_run_over_into_the_next_part() -> None:
    assert pd.isna(read_parts(y="2013\x1f7", m="8"))


# Any text


@given(
    st.lists(st.text(max_size=12) | st.from_regex(r"[0-9TZ:+. -]{0,20}"), max_size=5),
    st.sampled_from([None, "epoch_s", "epoch_ms", "%Y-%m-%d", "%d/%m/%y %H:%M%z", "%Y %Z"]),
    st.sampled_from(["UTC", PARIS, "Pacific/Apia"]),
)
def test_any_text_is_a_time_or_missing_whatever_stands_beside_it(
    cells: list[str], style: str | None, zone: str
) -> None:
    changes = {"time_format": style, "timezone": zone}
    together = columns("x", *cells, **changes)
    for many, one in zip(together, columns(*cells[:1], **changes), strict=True):
        assert many[0] is pd.NaT
        assert many[1:2] == one


def test_no_row_at_all_gives_the_columns() -> None:
    for changes in ({}, {"time_format": "%Y"}, {"time_format": "epoch_s"}, {"interval": " - "}):
        assert columns(**changes) == ([], [])
