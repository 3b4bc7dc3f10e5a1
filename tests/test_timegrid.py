"""The three clocks: round trips over clock changes, and the grid of every frequency."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.timegrid import (
    add_span,
    grid,
    local_day_start,
    snap,
    to_utc,
    to_wall,
    utc_candidates,
)
from helpers import NEW_YORK

PARIS = "Europe/Paris"
ZONES = [NEW_YORK, PARIS]
YEAR = pd.date_range("2013-01-01", "2014-01-01", freq="h", inclusive="left")
REPEATED = {NEW_YORK: "2013-11-03 01:00", PARIS: "2013-10-27 02:00"}
SKIPPED = {NEW_YORK: "2013-03-10 02:00", PARIS: "2013-03-31 02:00"}
FIRST_OCCURRENCE = {NEW_YORK: "2013-11-03 05:00", PARIS: "2013-10-27 00:00"}

HOUR = pd.Timedelta("1h")

zones = st.sampled_from(ZONES)


def times(*texts: str) -> pd.Series:
    return pd.Series(pd.to_datetime(list(texts), format="ISO8601"))


# utc_candidates


def candidates(*naive: str, zone: str) -> pd.DataFrame:
    return utc_candidates(times(*naive).to_numpy("datetime64[ns]"), zone)


ODD_ZONES = [
    *(NEW_YORK, PARIS, "UTC", "Asia/Tokyo", "Australia/Lord_Howe", "Antarctica/Troll"),
    *("America/Sao_Paulo", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Auckland"),
]


QUARTERS = pd.Series(pd.date_range("2013-01-01", "2014-01-01", freq="15min"))


@pytest.mark.parametrize("zone", ODD_ZONES)
def test_every_instant_is_among_the_candidates_of_what_its_clock_shows(zone: str) -> None:
    table = utc_candidates(to_wall(QUARTERS, zone).to_numpy("datetime64[ns]"), zone)
    assert ((table["_earlier"] == QUARTERS) | (table["_later"] == QUARTERS)).all()
    assert (table["_earlier"] <= table["_later"]).all()
    assert (table["_ambiguous"] == (table["_earlier"] < table["_later"])).all()
    assert table["_shifted"].isna().all()
    for column in ("_earlier", "_later"):
        assert (to_wall(table[column], zone) == table["_local"]).all()


@pytest.mark.parametrize("zone", ODD_ZONES)
def test_candidates_are_those_of_the_standard_library(zone: str) -> None:
    table = utc_candidates(QUARTERS.to_numpy("datetime64[ns]"), zone)
    assert (table["_local"] == QUARTERS).all()
    aware = [at.replace(tzinfo=ZoneInfo(zone)) for at in pd.DatetimeIndex(QUARTERS).to_pydatetime()]
    # PEP 495: of a skipped time the first offset is that of the clock that was not moved.
    first = pd.Series(pd.to_timedelta([at.utcoffset() for at in aware]))
    second = pd.Series(pd.to_timedelta([at.replace(fold=1).utcoffset() for at in aware]))
    skipped = (first < second) & (QUARTERS.dt.normalize() != QUARTERS)
    assert table.loc[skipped, ["_earlier", "_later"]].isna().all(axis=None)
    assert (table["_shifted"] == QUARTERS - first)[skipped].all()
    shown = first >= second
    assert (table["_earlier"] == QUARTERS - first)[shown].all()
    assert (table["_later"] == QUARTERS - second)[shown].all()
    assert (table["_ambiguous"] == (first > second)).all()
    assert table["_shifted"].notna().tolist() == skipped.tolist()


@pytest.mark.parametrize("zone", ZONES)
def test_the_hour_that_clocks_repeat_has_two_meanings(zone: str) -> None:
    table = candidates(REPEATED[zone], zone=zone)
    first = pd.Timestamp(FIRST_OCCURRENCE[zone])
    assert table["_ambiguous"].tolist() == [True]
    assert table["_earlier"].tolist() == [first]
    assert table["_later"].tolist() == [first + pd.Timedelta("1h")]


@given(zones, st.integers(0, 59))
def test_the_hour_that_clocks_skip_has_none_and_moves_on_by_an_hour(zone: str, minute: int) -> None:
    skipped = pd.Timestamp(SKIPPED[zone]) + pd.Timedelta(minute, "min")
    table = candidates(str(skipped), zone=zone)
    assert table[["_earlier", "_later"]].isna().all(axis=None)
    assert not table["_ambiguous"][0]
    assert to_wall(table["_shifted"], zone)[0] == skipped + pd.Timedelta("1h")


@pytest.mark.parametrize(
    ("zone", "skipped", "shifted"),
    [
        ("Australia/Lord_Howe", "2013-10-06 02:15", "2013-10-06 02:45"),
        ("Antarctica/Troll", "2013-03-31 01:30", "2013-03-31 03:30"),
        ("Pacific/Apia", "2011-12-30 05:00", "2011-12-31 05:00"),
        ("America/Sao_Paulo", "2013-10-20 00:30", "2013-10-20 01:30"),
    ],
)
def test_a_skipped_time_moves_on_by_as_much_as_the_clocks_skip(
    zone: str, skipped: str, shifted: str
) -> None:
    table = candidates(skipped, zone=zone)
    assert table["_earlier"].isna().all()
    assert to_wall(table["_shifted"], zone)[0] == pd.Timestamp(shifted)


def test_a_midnight_that_is_skipped_is_a_date() -> None:
    table = candidates("2013-10-20", "2013-10-19 23:00", zone="America/Sao_Paulo")
    start = local_day_start(dt.date(2013, 10, 20), "America/Sao_Paulo")
    assert table["_earlier"].tolist() == table["_later"].tolist() == [start, start - 1 * HOUR]
    assert table["_shifted"].isna().all()
    assert not table["_ambiguous"].any()


def test_a_missing_time_stays_missing_and_no_time_gives_no_candidates() -> None:
    table = candidates("2013-07-01", "NaT", zone=PARIS)
    assert table["_earlier"].isna().tolist() == table["_later"].isna().tolist() == [False, True]
    assert table["_ambiguous"].tolist() == [False, False]
    assert table["_shifted"].isna().all()
    nothing = candidates(zone=PARIS)
    assert nothing.empty
    assert nothing.dtypes.to_dict() == table.dtypes.to_dict()


# days, grid, snap, add_span


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_days_begins_at_local_midnight(zone: str) -> None:
    start = local_day_start(dt.date(2013, 1, 1), zone)
    end = local_day_start(dt.date(2014, 1, 1), zone)
    days = grid(start, end, "D", zone)
    assert days.tolist() == [
        local_day_start(day.date(), zone) for day in pd.date_range("2013-01-01", "2013-12-31")
    ]
    hours = np.diff([*days, end]) / np.timedelta64(1, "h")
    assert sorted(set(hours)) == [23, 24, 25]
    assert to_utc(pd.Timestamp("2013-07-01"), zone) == local_day_start(dt.date(2013, 7, 1), zone)


@pytest.mark.parametrize(
    ("freq", "given", "step"),
    [
        ("15min", "2013-07-03 12:44", "2013-07-03 12:30"),
        ("h", "2013-07-03 12:59", "2013-07-03 12:00"),
        ("D", "2013-07-03 23:59", "2013-07-03"),
        ("W-SUN", "2013-07-01 00:00", "2013-07-07"),
        ("W-SUN", "2013-07-07 23:00", "2013-07-07"),
        ("W-MON", "2013-07-02 00:00", "2013-07-08"),
        ("MS", "2013-07-31 23:59", "2013-07-01"),
        ("ME", "2013-07-01 00:00", "2013-07-31"),
        ("QE", "2013-07-01 00:00", "2013-09-30"),
        ("QS", "2013-09-30 12:00", "2013-07-01"),
        ("YE", "2013-01-01 00:00", "2013-12-31"),
        ("YS", "2013-12-31 23:00", "2013-01-01"),
    ],
)
def test_a_local_time_belongs_to_the_step_of_its_own_period(
    freq: str, given: str, step: str
) -> None:
    for zone in ("UTC", *ZONES):
        utc = pd.Series([to_utc(pd.Timestamp(given), zone)])
        assert snap(utc, freq, zone)[0] == to_utc(pd.Timestamp(step), zone)


FREQUENCIES = ["15min", "h", "3h", "D", "W-SUN", "W-WED", "MS", "ME", "QE", "QS", "YE", "YS"]


@given(
    st.sampled_from(["UTC", *ZONES]),
    st.sampled_from(FREQUENCIES),
    st.lists(st.integers(0, 365 * 24 * 60 - 1), min_size=1, max_size=20),
)
def test_every_time_snaps_onto_the_grid_and_snapping_again_changes_nothing(
    zone: str, freq: str, minutes: list[int]
) -> None:
    utc = pd.Series(pd.Timestamp("2013-01-01") + pd.to_timedelta(minutes, unit="min"))
    steps = snap(utc, freq, zone)
    pd.testing.assert_series_equal(snap(steps, freq, zone), steps)
    first, last = steps.min(), steps.max()
    end = add_span(last, 1, freq, zone)
    assert end > last
    on_grid = grid(first, end, freq, zone)
    assert on_grid[0] == first
    assert on_grid[-1] == last
    assert steps.isin(on_grid).all()


@given(
    st.sampled_from(["UTC", *ZONES]),
    st.sampled_from(FREQUENCIES),
    st.integers(0, 364),
    st.integers(1, 40),
)
def test_a_span_of_steps_passes_so_many_grid_steps_and_comes_back(
    zone: str, freq: str, day: int, span: int
) -> None:
    midnight = local_day_start(dt.date(2013, 1, 1) + dt.timedelta(day), zone)
    start = snap(pd.Series([midnight]), freq, zone)[0]
    end = add_span(start, span, freq, zone)
    assert len(grid(start, end, freq, zone)) == span
    assert add_span(end, -span, freq, zone) == start


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_no_time_and_a_missing_one_snap_to_none(freq: str) -> None:
    nothing = snap(times(), freq, PARIS)
    assert nothing.empty
    assert nothing.dtype == "datetime64[ns]"
    assert snap(times("NaT", "2013-07-03"), freq, PARIS).isna().tolist() == [True, False]


@pytest.mark.parametrize("freq", FREQUENCIES)
def test_no_step_lies_between_a_time_and_itself(freq: str) -> None:
    step = snap(times("2013-07-03"), freq, NEW_YORK)[0]
    assert add_span(step, 0, freq, NEW_YORK) == step
    assert len(grid(step, step, freq, NEW_YORK)) == 0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (NEW_YORK, dt.date(2013, 3, 10), 23),
        (NEW_YORK, dt.date(2013, 11, 3), 25),
        (PARIS, dt.date(2013, 3, 31), 23),
        (PARIS, dt.date(2013, 10, 27), 25),
        (PARIS, dt.date(2013, 10, 28), 24),
    ],
)
def test_a_local_day_is_as_long_as_its_clock_says(zone: str, day: dt.date, hours: int) -> None:
    start = local_day_start(day, zone)
    end = add_span(start, "1D", "h", zone)
    assert len(grid(start, end, "h", zone)) == hours
    assert add_span(end, "-1D", "h", zone) == start
    assert add_span(start, hours, "h", zone) == end


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America/Sao_Paulo", dt.date(2013, 10, 20)), ("Asia/Beirut", dt.date(2013, 3, 31))],
)
def test_days_stay_at_midnight_around_a_midnight_that_does_not_exist(
    zone: str, day: dt.date
) -> None:
    week = [day + dt.timedelta(number) for number in range(-3, 4)]
    starts = [local_day_start(one, zone) for one in week]
    assert grid(starts[0], local_day_start(day + dt.timedelta(4), zone), "D", zone).tolist() == (
        starts
    )
    assert snap(pd.Series(starts) + pd.Timedelta("90min"), "D", zone).tolist() == starts
    assert [add_span(starts[0], number, "D", zone) for number in range(7)] == starts
    assert [add_span(starts[3], f"{number}D", "h", zone) for number in range(-3, 4)] == starts
    assert [add_span(starts[6], -number, "D", zone) for number in range(7)] == starts[::-1]
    assert grid(starts[3], starts[5], "D", zone).tolist() == starts[3:5]
