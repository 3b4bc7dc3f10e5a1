"""When forecasts are made and what they may know: hand-written clocks, and that both ways agree."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.config import TaskConfig, WindowsConfig
from clepsydra.origins import (
    allowed_cutoff,
    first_known,
    first_run_after,
    first_unknown,
    known_from,
    last_target_end,
    move_target,
    panel_end,
    run_time,
    target_start,
)
from helpers import NEW_YORK, make_task

PARIS, LORD_HOWE = "Europe/Paris", "Australia/Lord_Howe"
SAO_PAULO, KATHMANDU = "America/Sao_Paulo", "Asia/Kathmandu"


def gate_task(gate: str, timezone: str = "UTC", **changes: object) -> TaskConfig:
    return make_task(**{"gate": gate, "timezone": timezone, "horizon": "1D", **changes})


# The hour of a run


@pytest.mark.parametrize(
    ("timezone", "gate", "day", "utc"),
    [
        ("UTC", "09:00", "2013-07-01", "2013-07-01 09:00"),
        (PARIS, "09:00", "2013-07-01", "2013-07-01 07:00"),
        (PARIS, "09:00", "2013-01-01", "2013-01-01 08:00"),
        # Skipped: the first instant after, by however much the clocks move.
        (NEW_YORK, "02:30", "2013-03-10", "2013-03-10 07:00"),
        (NEW_YORK, "02:00", "2013-03-10", "2013-03-10 07:00"),
        (PARIS, "02:59", "2013-03-31", "2013-03-31 01:00"),
        (LORD_HOWE, "02:15", "2013-10-06", "2013-10-05 15:30"),
        ("Antarctica/Troll", "01:30", "2013-03-31", "2013-03-31 01:00"),
        (SAO_PAULO, "00:30", "2013-10-20", "2013-10-20 03:00"),
        ("Pacific/Apia", "09:00", "2011-12-30", "2011-12-30 10:00"),
        # Repeated: the first of the two.
        (NEW_YORK, "01:30", "2013-11-03", "2013-11-03 05:30"),
        (PARIS, "02:30", "2013-10-27", "2013-10-27 00:30"),
        (LORD_HOWE, "01:45", "2013-04-07", "2013-04-06 14:45"),
        (KATHMANDU, "09:00", "2013-07-01", "2013-07-01 03:15"),
    ],
)
def test_the_gate_is_an_hour_of_the_local_clock(
    timezone: str, gate: str, day: str, utc: str
) -> None:
    task = gate_task(gate, timezone, freq="15min")
    assert run_time(dt.date.fromisoformat(day), task) == pd.Timestamp(utc)


@given(
    st.sampled_from([NEW_YORK, PARIS, LORD_HOWE, "Antarctica/Troll", SAO_PAULO, KATHMANDU]),
    st.integers(0, 364),
    st.integers(0, 24 * 60 - 1),
)
def test_the_gate_is_the_first_instant_whose_clock_shows_it_or_more(
    zone: str, day: int, minute: int
) -> None:
    date = dt.date(2013, 1, 1) + dt.timedelta(day)
    time = dt.time(minute // 60, minute % 60)
    found = run_time(date, gate_task(time.isoformat("minutes"), zone))
    asked = dt.datetime.combine(date, time)
    at = found.to_pydatetime().replace(tzinfo=dt.UTC)
    shown, before = (
        moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        for moment in (at, at - dt.timedelta(minutes=1))
    )
    assert shown >= asked > before
    assert shown - asked <= dt.timedelta(hours=2)


def test_without_a_gate_a_run_takes_place_when_its_day_begins() -> None:
    assert run_time(dt.date(2013, 7, 1), make_task(timezone=PARIS)) == pd.Timestamp(
        "2013-06-30 22:00"
    )


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2013-07-01 06:59", "2013-07-01"),
        ("2013-07-01 07:00", "2013-07-02"),
        ("2013-06-30 22:00", "2013-07-01"),
    ],
)
def test_the_first_run_after_an_instant_is_strictly_after_it(instant: str, day: str) -> None:
    found = first_run_after(pd.Timestamp(instant), gate_task("09:00", PARIS))
    assert found == dt.date.fromisoformat(day)


# What a run knows


@pytest.mark.parametrize(
    ("changes", "source", "day", "end"),
    [
        # An hour stamped 08:00 is over at 09:00, and half an hour stamped 08:30.
        ({"gate": "09:00"}, "UTC", "2013-07-01", "2013-07-01 09:00"),
        ({"gate": "09:30"}, "UTC", "2013-07-01", "2013-07-01 09:00"),
        ({"gate": "09:30", "freq": "30min"}, "UTC", "2013-07-01", "2013-07-01 09:30"),
        ({"gate": "08:59"}, "UTC", "2013-07-01", "2013-07-01 08:00"),
        ({"gate": "09:00", "timezone": NEW_YORK}, "UTC", "2013-07-01", "2013-07-01 13:00"),
        ({"gate": "09:00", "timezone": KATHMANDU}, "UTC", "2013-07-01", "2013-07-01 03:00"),
        # Without a gate the days of both must be over.
        ({"timezone": NEW_YORK, "horizon": 24}, NEW_YORK, "2013-07-01", "2013-07-01 04:00"),
        ({"timezone": NEW_YORK, "horizon": 24}, "UTC", "2013-07-01", "2013-07-01 00:00"),
        ({"freq": "D", "horizon": 7, "timezone": PARIS}, PARIS, "2013-07-01", "2013-06-30 22:00"),
        ({"freq": "MS", "horizon": 1}, "UTC", "2013-07-15", "2013-07-01"),
    ],
)
def test_the_panel_ends_with_the_last_step_that_is_over(
    changes: dict[str, object], source: str, day: str, end: str
) -> None:
    task = make_task(**{"horizon": "1D", **changes})
    assert panel_end(dt.date.fromisoformat(day), task, source) == pd.Timestamp(end)


@pytest.mark.parametrize(
    ("changes", "day", "since"),
    [
        ({"gate": "09:30", "horizon": "1D"}, "2013-07-01", "2013-07-01 09:00"),
        ({"timezone": NEW_YORK}, "2013-07-01", "2013-07-01 04:00"),
        ({"freq": "D", "timezone": PARIS}, "2013-07-01", "2013-06-30 22:00"),
        # A month ends as of its first day, and knows nothing that was collected later in it.
        ({"freq": "MS"}, "2013-07-15", "2013-07-15 00:00"),
        ({}, "0001-01-01", str(pd.Timestamp.min)),
    ],
)
def test_what_a_run_collects_is_known_to_the_forecasts_it_makes(
    changes: dict[str, object], day: str, since: str
) -> None:
    task = make_task(**changes)
    found = known_from(dt.date.fromisoformat(day), task, task.timezone)
    assert found == pd.Timestamp(since)


# Cutoff and target: expectations written by hand, in local time where a zone is named


def at(local: str, zone: str) -> pd.Timestamp:
    """A local time that is shown once, in naive UTC."""
    return pd.Timestamp(local).tz_localize(zone).tz_convert("UTC").tz_localize(None)


CASES = [
    # task, start of the target, last step that may be known
    ({"gap": 0}, "2013-07-02 00:00", "2013-07-01 23:00"),
    ({"gap": 5}, "2013-07-02 00:00", "2013-07-01 18:00"),
    ({"gap": "1D"}, "2013-07-02 00:00", "2013-06-30 23:00"),
    ({"gap": 24, "freq": "30min"}, "2013-07-02 00:00", "2013-07-01 11:30"),
    ({"gap": "2D", "freq": "30min"}, "2013-07-03 00:00", "2013-06-30 23:30"),
    ({"gap": 0, "freq": "D"}, "2013-07-02", "2013-07-01"),
    ({"gap": 3, "freq": "D"}, "2013-07-05", "2013-07-01"),
    ({"gap": "3D", "freq": "D"}, "2013-07-05", "2013-07-01"),
    ({"gap": 1, "freq": "MS"}, "2013-07-01", "2013-05-01"),
    ({"gap": 1, "freq": "QE"}, "2013-09-30", "2013-03-31"),
    ({"gate": "09:00"}, "2013-07-02 00:00", "2013-07-01 08:00"),
    ({"gate": "09:00", "freq": "30min"}, "2013-07-02 00:00", "2013-07-01 08:30"),
    ({"gate": "09:20", "freq": "30min"}, "2013-07-02 00:00", "2013-07-01 08:30"),
    ({"gate": "00:00"}, "2013-07-02 00:00", "2013-06-30 23:00"),
    ({"gate": "23:59"}, "2013-07-02 00:00", "2013-07-01 22:00"),
    # Any step of a day is forecast at the gate of the day before.
    ({"gate": "09:00"}, "2013-07-02 17:00", "2013-07-01 08:00"),
    ({"gap": "1D", "timezone": NEW_YORK}, "2013-03-11 00:00", "2013-03-09 23:00"),
    ({"gap": 24, "timezone": NEW_YORK}, "2013-03-11 00:00", "2013-03-09 22:00"),
    ({"gap": "1D", "timezone": NEW_YORK}, "2013-11-04 00:00", "2013-11-02 23:00"),
    ({"gap": 24, "timezone": NEW_YORK}, "2013-11-04 00:00", "2013-11-03 00:00"),
    ({"gap": "1D", "timezone": PARIS}, "2013-04-01 00:00", "2013-03-30 23:00"),
    ({"gap": "1D", "timezone": LORD_HOWE, "freq": "30min"}, "2013-10-07 00:00", "2013-10-05 23:30"),
    ({"gap": "1D", "timezone": SAO_PAULO}, "2013-10-21 00:00", "2013-10-19 23:00"),
    ({"gap": "1D", "timezone": SAO_PAULO}, "2013-10-20 01:00", "2013-10-18 23:00"),
    ({"gate": "09:00", "timezone": NEW_YORK}, "2013-03-11 00:00", "2013-03-10 08:00"),
    ({"gate": "09:00", "timezone": NEW_YORK}, "2013-11-04 00:00", "2013-11-03 08:00"),
    ({"gate": "09:00", "timezone": PARIS}, "2013-10-28 00:00", "2013-10-27 08:00"),
    # The gate falls in what the clocks skip: 2:30 is 3:00, when the hour from 1:00 is just over.
    ({"gate": "02:30", "timezone": NEW_YORK}, "2013-03-11 00:00", "2013-03-10 01:00"),
    ({"gate": "02:30", "timezone": PARIS}, "2013-04-01 00:00", "2013-03-31 01:00"),
    (
        {"gate": "02:15", "timezone": LORD_HOWE, "freq": "30min"},
        *("2013-10-07 00:00", "2013-10-06 01:30"),
    ),
    (
        {"gate": "09:00", "timezone": LORD_HOWE, "freq": "30min"},
        *("2013-04-08 00:00", "2013-04-07 08:30"),
    ),
    ({"gate": "09:00", "timezone": SAO_PAULO}, "2013-10-20 01:00", "2013-10-19 08:00"),
    ({"gate": "09:00", "timezone": KATHMANDU, "freq": "15min"}, "2013-07-02", "2013-07-01 08:45"),
]


def task_of(changes: dict[str, object]) -> TaskConfig:
    horizon = "1D" if changes.get("freq", "h") in ("h", "30min", "15min") else 1
    return make_task(**{"horizon": horizon, **changes})


@pytest.mark.parametrize(("changes", "start", "cutoff"), CASES)
def test_what_a_forecast_may_know_whose_target_starts_there(
    changes: dict[str, object], start: str, cutoff: str
) -> None:
    task = task_of(changes)
    found = allowed_cutoff(at(start, task.timezone), task)
    assert found == at(cutoff, task.timezone)
    assert first_unknown(found, task) > found


def test_a_gate_in_the_hour_that_clocks_repeat_is_the_first_of_the_two() -> None:
    """At 1:30 for the first time 1:00 is not over; the cutoff is 0:00 summer time."""
    found = allowed_cutoff(at("2013-11-04", NEW_YORK), gate_task("01:30", NEW_YORK))
    assert found == pd.Timestamp("2013-11-03 04:00")
    halves = gate_task("01:30", NEW_YORK, freq="30min")
    assert allowed_cutoff(at("2013-11-04", NEW_YORK), halves) == pd.Timestamp("2013-11-03 05:00")


def test_of_hours_that_do_not_begin_with_the_day_the_one_with_midnight_starts_the_target() -> None:
    """In Kathmandu, 5:45 ahead of UTC, hours on the grid begin at a quarter to."""
    task = gate_task("09:00", KATHMANDU)
    start = target_start(pd.Timestamp("2013-07-01 03:00"), task)
    assert start == pd.Timestamp("2013-07-01 18:00")
    assert allowed_cutoff(start, task) == pd.Timestamp("2013-07-01 02:00")
    assert last_target_end(start, task) == start
    assert move_target(start, "1D", task) == start + pd.Timedelta("1D")


@pytest.mark.parametrize(
    ("end", "start"),
    [
        ("2013-07-01 09:00", "2013-07-02"),
        # The data do not reach as far as the gate: it is the same forecast.
        ("2013-07-01 04:00", "2013-07-02"),
        ("2013-07-01 00:00", "2013-07-02"),
        ("2013-06-30 10:00", "2013-07-02"),
        ("2013-06-30 09:00", "2013-07-01"),
        ("2013-07-01 10:00", "2013-07-03"),
    ],
)
def test_the_target_is_the_day_after_the_first_gate_that_the_panel_may_reach(
    end: str, start: str
) -> None:
    for timezone in ("UTC", NEW_YORK, PARIS):
        task = gate_task("09:00", timezone)
        assert target_start(at(end, timezone), task) == at(start, timezone)


ZONES = ["UTC", NEW_YORK, PARIS, LORD_HOWE, SAO_PAULO, KATHMANDU]


@given(
    st.sampled_from(ZONES),
    st.sampled_from(["15min", "30min", "h"]),
    st.integers(0, 364),
    st.integers(0, 24 * 60 - 1),
    st.integers(1, 3),
)
def test_a_gated_run_forecasts_the_day_whose_forecast_may_know_as_much(
    zone: str, freq: str, number: int, minute: int, days: int
) -> None:
    task = gate_task(f"{minute // 60:02d}:{minute % 60:02d}", zone, freq=freq)
    day = dt.date(2013, 1, 1) + dt.timedelta(number)
    end = panel_end(day, task, "UTC")
    gate = run_time(day, task)
    assert end <= gate < first_unknown(end, task)
    start = target_start(end, task)
    assert first_unknown(allowed_cutoff(start, task), task) == end
    assert move_target(start, f"-{days}D", task) == target_start(
        panel_end(day - dt.timedelta(days), task, "UTC"), task
    )
    assert last_target_end(start, task) == start
    assert last_target_end(first_unknown(start, task), task) == start


@given(
    st.sampled_from(["UTC", NEW_YORK, PARIS, SAO_PAULO]),
    st.sampled_from(["30min", "h", "D"]),
    st.sampled_from([0, 1, 5, 48, "1D", "2D"]),
    st.integers(0, 364),
)
def test_a_forecast_after_a_gap_may_know_all_that_its_run_knew(
    zone: str, freq: str, gap: int | str, number: int
) -> None:
    task = make_task(timezone=zone, freq=freq, gap=gap)
    end = panel_end(dt.date(2013, 1, 1) + dt.timedelta(number), task, zone)
    assert first_unknown(allowed_cutoff(target_start(end, task), task), task) == end


# Sliding windows


@pytest.mark.parametrize(
    ("history", "changes", "cutoff", "first"),
    [
        (1, {}, "2013-07-01 23:00", "2013-07-01 23:00"),
        (24, {}, "2013-07-01 23:00", "2013-07-01 00:00"),
        ("1D", {}, "2013-07-01 23:00", "2013-07-01 00:00"),
        ("7D", {"timezone": NEW_YORK}, "2013-03-11 23:00", "2013-03-05 00:00"),
        (168, {"timezone": NEW_YORK}, "2013-03-11 23:00", "2013-03-04 23:00"),
        ("7D", {"freq": "D", "timezone": PARIS}, "2013-04-02", "2013-03-27"),
        (3, {"freq": "MS"}, "2013-07-01", "2013-05-01"),
        ("56D", {"gate": "09:00", "horizon": "1D"}, "2013-07-01 08:00", "2013-05-06 09:00"),
    ],
)
def test_models_learn_from_that_much_before_the_cutoff_which_counts(
    history: int | str, changes: dict[str, object], cutoff: str, first: str
) -> None:
    task = make_task(**changes)
    windows = WindowsConfig(calibrate=0, select=1, report=1, history=history)
    found = first_known(at(cutoff, task.timezone), task, windows)
    assert found == at(first, task.timezone)


def test_without_a_history_all_of_the_past_is_learnt_from() -> None:
    windows = WindowsConfig(calibrate=0, select=1, report=1)
    assert first_known(pd.Timestamp("2013-07-01"), make_task(), windows) is None
