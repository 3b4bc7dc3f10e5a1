"""What happened when: gaps, outliers and clock changes as slow, independent code finds them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import Row, clean_up, sources_of, store_rows

from clepsydra.config import CleaningConfig, SourcesConfig, TaskConfig
from clepsydra.pipelines.clean.events import EVENT_SCHEMA, clock_changes, series_events
from clepsydra.pipelines.clean.regular import regularize
from clepsydra.timegrid import add_span, grid, snap
from helpers import NEW_YORK, make_source, make_task

PARIS = "Europe/Paris"
SOURCES = sources_of()


# Gaps


def events_of(observed: pl.DataFrame, end: pd.Timestamp, task: TaskConfig, **how: Any) -> Any:
    cleaning = CleaningConfig.model_validate(how)
    regular = regularize(observed, end, task, cleaning)
    events = series_events(regular, SOURCES, task, cleaning)
    assert events.schema == EVENT_SCHEMA
    return events.to_pandas()


frequencies = st.sampled_from(["15min", "h", "D", "W-SUN", "MS", "ME"])
places = st.sets(st.integers(0, 39), min_size=1, max_size=40)


@settings(max_examples=80)
@given(st.lists(places, min_size=1, max_size=4), frequencies, st.sampled_from(["UTC", PARIS]))
def test_gaps_are_those_that_pandas_finds(series: list[set[int]], freq: str, zone: str) -> None:
    task = make_task(freq=freq, timezone=zone, season_lengths=[2], horizon=1)
    first = snap(pd.Series([pd.Timestamp("2013-03-28")]), freq, zone).iloc[0]
    end = add_span(first, 40, freq, zone)
    steps = grid(first, end, freq, zone)
    parts, expected = [], []
    for number, chosen in enumerate(series):
        ds = steps[sorted(chosen)]
        parts.append(pl.DataFrame({"unique_id": f"s{number}", "ds": ds, "y": 1.0}))
        # Every step from the first value on, and the runs of those without one.
        own = pd.Series(1.0, index=ds).reindex(steps[min(chosen) :])
        missing = own.isna()
        runs = (missing != missing.shift()).cumsum()[missing]
        for _, run in runs.groupby(runs):
            until = steps[steps > run.index[-1]]
            after = until[0] if len(until) else end
            expected.append((f"s{number}", run.index[0], after, len(run)))
    found = events_of(pl.concat(parts), end, task)
    assert set(found["kind"]) <= {"gap"}
    keys = ["unique_id", "start", "end", "steps"]
    assert list(found[keys].itertuples(index=False, name=None)) == expected
    at_end = found["note"].str.startswith("after the last value; ")
    assert (at_end == (found["end"] == end)).all()
    assert found["note"].str.endswith("filled: linear").all()


def table(values: dict[int, str], name: str = "a") -> list[Row]:
    hours = pd.date_range("2013-07-01", periods=100, freq="h")
    return [{"id": name, "time": str(hours[at]), "value": value} for at, value in values.items()]


def test_with_zeros_for_steps_without_a_row_only_those_nobody_saw_are_gaps(tmp_path: Path) -> None:
    raw = store_rows(tmp_path, SOURCES, load=table({0: "1", 5: "1", 30: "1"}))
    found = clean_up(raw, SOURCES, make_task(fill="zero"), "2013-07-04")
    gap = found["events"].iloc[0]
    assert len(found["events"]) == 1
    assert (gap["start"], gap["end"]) == (pd.Timestamp("2013-07-03"), pd.Timestamp("2013-07-04"))
    assert gap["steps"] == 24
    assert gap["note"] == "after the last value; filled: zero"
    after = found["panel"]["ds"] >= gap["start"]
    assert (found["panel"].loc[after, "y"] == 0).all()
    assert found["panel"]["is_imputed"].tolist() == after.tolist()


# Outliers


@pytest.mark.parametrize("replace", [False, True])
def test_every_outlier_says_what_it_was_and_what_became_of_it(
    tmp_path: Path, replace: bool
) -> None:
    values = {at: str(at % 3) for at in range(100)} | {40: "900.25", 41: "", 70: "-77"}
    raw = store_rows(tmp_path, SOURCES, load=table(values))
    cleaning = CleaningConfig.model_validate({"outliers": {"method": "iqr", "replace": replace}})
    found = clean_up(raw, SOURCES, make_task(), cleaning=cleaning)
    events, panel = found["events"], found["panel"].set_index("ds")
    assert events["kind"].tolist() == ["outlier", "gap", "outlier"]
    flagged = panel.index[panel["is_outlier"]].tolist()
    outliers = events[events["kind"] == "outlier"]
    assert outliers["start"].tolist() == flagged
    assert (outliers["end"] - outliers["start"] == pd.Timedelta("1h")).all()
    assert outliers["steps"].tolist() == [1, 1]
    if replace:
        replaced = panel.loc[flagged, "y"].round(6)
        assert outliers["note"].tolist() == [
            f"900.25, replaced by {replaced.iloc[0]}",
            f"-77.0, replaced by {replaced.iloc[1]}",
        ]
        assert replaced.between(0, 2).all()
    else:
        assert outliers["note"].tolist() == ["900.25, kept as 900.25", "-77.0, kept as -77.0"]


# Clock changes


def changes_of(zone: str, first: str, end: str, freq: str = "h") -> list[tuple[Any, ...]]:
    found = clock_changes("load", zone, pd.Timestamp(first), pd.Timestamp(end), freq)
    assert found.schema == EVENT_SCHEMA
    assert set(found["kind"]) <= {"clock change"}
    return found.select("start", "end", "steps", "note").rows()


def slow_changes(zone: str, first: str, end: str) -> list[tuple[dt.datetime, dt.timedelta]]:
    """Every quarter-hour at which the distance from UTC is another, by the standard library."""
    found = []
    tz, quarter = ZoneInfo(zone), pd.Timedelta("15min")
    times = pd.date_range(pd.Timestamp(first) - quarter, end, freq=quarter, tz="UTC")
    offsets = [time.astimezone(tz).utcoffset() for time in times.to_pydatetime()]
    for before, after, time in zip(offsets, offsets[1:], times[1:], strict=False):
        if after != before and time < pd.Timestamp(end, tz="UTC"):
            found.append((time.tz_localize(None).to_pydatetime(), after - before))
    return found


@pytest.mark.parametrize(
    ("zone", "first", "end", "count"),
    [
        (PARIS, "2013-01-01", "2013-12-01", 2),
        (NEW_YORK, "2013-03-01", "2013-11-10", 2),
        ("Australia/Lord_Howe", "2013-04-01", "2013-10-10", 2),
        ("Antarctica/Troll", "2013-03-01", "2013-11-01", 2),
        ("Africa/Casablanca", "2013-04-01", "2013-11-01", 4),
        ("Pacific/Auckland", "2013-09-01", "2013-09-28 14:01", 1),
        ("Pacific/Auckland", "2013-09-01", "2013-09-28 14:00", 0),
        ("Pacific/Auckland", "2013-09-28 14:00", "2013-09-28 15:00", 1),
        ("Pacific/Apia", "2011-12-01", "2012-01-10", 1),
        ("Asia/Tokyo", "2013-01-01", "2013-12-31", 0),
        ("UTC", "2013-01-01", "2013-12-31", 0),
    ],
)
def test_clock_changes_are_those_of_the_standard_library(
    zone: str, first: str, end: str, count: int
) -> None:
    found = changes_of(zone, first, end)
    expected = slow_changes(zone, first, end)
    assert [start for start, *_ in found] == [start for start, _ in expected]
    assert len(found) == count
    for (start, over, steps, note), (_, move) in zip(found, expected, strict=True):
        back = move < dt.timedelta(0)
        assert over - start == (abs(move) if back else dt.timedelta(0))
        assert steps == abs(move) // dt.timedelta(hours=1)
        assert note.startswith(f"{'back' if back else 'forward'} by {abs(move)}: ")


IN_PARIS = [
    ("2013-03-31 01:00", "2013-03-31 01:00", "forward by 1:00:00: 2013-03-31 02:00 to 03:00"),
    ("2013-10-27 01:00", "2013-10-27 02:00", "back by 1:00:00: 2013-10-27 03:00 to 02:00"),
]
ON_LORD_HOWE = [
    ("2013-04-06 15:00", "2013-04-06 15:30", "back by 0:30:00: 2013-04-07 02:00 to 01:30"),
    ("2013-10-05 15:30", "2013-10-05 15:30", "forward by 0:30:00: 2013-10-06 02:00 to 02:30"),
]


@pytest.mark.parametrize(
    ("zone", "freq", "steps", "expected"),
    [
        (PARIS, "15min", 4, IN_PARIS),
        (PARIS, "h", 1, IN_PARIS),
        (PARIS, "D", 0, IN_PARIS),
        (PARIS, "MS", 0, IN_PARIS),
        ("Australia/Lord_Howe", "15min", 2, ON_LORD_HOWE),
        ("Australia/Lord_Howe", "h", 0, ON_LORD_HOWE),
    ],
)
def test_a_clock_change_says_what_the_clocks_do_and_how_many_steps_it_moves(
    zone: str, freq: str, steps: int, expected: list[tuple[str, str, str]]
) -> None:
    assert changes_of(zone, "2013-01-01", "2014-01-01", freq) == [
        (dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end), steps, note)
        for start, end, note in expected
    ]


def test_clock_changes_of_the_source_and_of_the_task_are_among_the_events(tmp_path: Path) -> None:
    sources = SourcesConfig(root={"load": make_source(timezone="Australia/Lord_Howe")})
    days = pd.date_range("2013-03-01", "2013-11-30")
    rows = [
        {"id": name, "time": str(day.date()), "value": str(value)}
        for name in ("a", "b")
        for value, day in enumerate(days)
    ]
    task = make_task(freq="h", timezone=PARIS, season_lengths=[2])
    raw = store_rows(tmp_path, sources, load=rows)
    events = clean_up(raw, sources, task, n_shards=2)["events"]
    changes = events[events["kind"] == "clock change"]
    assert (changes["unique_id"] == "").all()
    assert changes["note"].str.split().str[:2].map(tuple).value_counts().to_dict() == {
        ("Australia/Lord_Howe", "back"): 1,
        ("Australia/Lord_Howe", "forward"): 1,
        (PARIS, "back"): 1,
        (PARIS, "forward"): 1,
    }
    gaps = events[events["kind"] == "gap"]
    assert len(gaps) == 2 * (len(days) - 1)
    assert set(gaps["steps"]) <= {22, 23, 24}
    assert np.isin(gaps["source"], ["load"]).all()


def test_of_one_zone_every_change_is_told_once(tmp_path: Path) -> None:
    sources = SourcesConfig(root={"load": make_source(timezone=PARIS)})
    rows = [{"id": "a", "time": f"2013-{m:02d}-01", "value": "1"} for m in range(1, 13)]
    raw = store_rows(tmp_path, sources, load=rows)
    task = make_task(freq="MS", timezone=PARIS, season_lengths=[2], horizon=1)
    events = clean_up(raw, sources, task)["events"]
    assert events["note"].tolist() == [
        "Europe/Paris forward by 1:00:00: 2013-03-31 02:00 to 03:00",
        "Europe/Paris back by 1:00:00: 2013-10-27 03:00 to 02:00",
    ]
