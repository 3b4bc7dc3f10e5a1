"""Vintages: a backtest knows a weather forecast as a run of that day knew it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tables import account_of, clean_up, stored

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig
from clepsydra.datasets.raw_store import Feed, RawStore, RawStoreDataset
from clepsydra.models.vintages import as_known
from clepsydra.origins import panel_end
from clepsydra.pipelines.clean import vintages as module
from clepsydra.pipelines.clean.vintages import source_vintages
from clepsydra.row_columns import INSTANT
from clepsydra.series_ids import key_of, make_hasher
from clepsydra.sources.times import TimeReader
from helpers import NEW_YORK, make_source, make_task, text_rows

FIRST = dt.date(2013, 7, 1)
DAY = dt.timedelta(days=1)
HOUR = pd.Timedelta("1h")
# Site, local time, temperature.
Row = tuple[str, str, str]


def weather(**changes: Any) -> SourceConfig:
    values = {"role": "covariate", "id": None, "value": None, "known": "in_advance"}
    return make_source(**{**values, "columns": {"t": "celsius"}, **changes})


class Weather:
    """A store of forecasts, collected on one day after the other."""

    def __init__(self, folder: Path, source: SourceConfig):
        self.source = source
        self._store = RawStoreDataset(str(folder))

    def collect(self, day: dt.date, rows: list[Row]) -> None:
        """What a run on that day collects: whole days."""
        texts = text_rows([{"at": site, "time": time, "t": value} for site, time, value in rows])
        timed = TimeReader(self.source)(texts).drop(INSTANT)
        how = {"key": key_of(self.source), "in_advance": True}
        self._store.save(Feed("weather", [timed], day, make_hasher(self.source), **how))

    def load(self) -> RawStore:
        return self._store.load()


def hours_of(day: dt.date, values: Iterator[float] | list[Any], site: str = "") -> list[Row]:
    """A forecast for the hours of a day; None is an hour that it leaves out."""
    return [
        (site, f"{day} {hour:02d}:00", str(value))
        for hour, value in enumerate(values)
        if value is not None
    ]


def load_of(folder: Path, days: int, zone: str = "UTC", ids: tuple[str, ...] = ("a",)) -> RawStore:
    rows = [
        {"id": name, "time": f"{FIRST + number * DAY} {hour:02d}:00", "value": "1"}
        for name in ids
        for number in range(days)
        for hour in range(24)
    ]
    return stored(folder, make_source(timezone=zone), text_rows(rows))


def check_as_of(
    raw: dict[str, RawStore],
    sources: SourcesConfig,
    task: TaskConfig,
    days: list[dt.date],
    n_shards: int = 1,
) -> dict[str, Any]:
    """What is known at each day by vintages is what a run as of that day has, column by column.

    Of steps of which any version was there. Returns the tables of the last run.
    """
    newest = clean_up(raw, sources, task, days[-1].isoformat(), n_shards)
    both = pd.concat([newest["panel"], newest["future"]])
    columns = [
        column
        for source in sources.of_role("covariate").values()
        for column in source.renames.values()
    ]
    for day in days:
        found = clean_up(raw, sources, task, day.isoformat(), n_shards)
        at = panel_end(day, task, sources.target[1].timezone)
        then = pd.concat([found["panel"], found["future"]]).set_index(["unique_id", "ds"])
        known = as_known(both, newest["vintages"], at).set_index(["unique_id", "ds"])
        for name, source in sources.of_role("covariate").items():
            first = raw[name].first_known()
            local = then.index.get_level_values("ds").tz_localize("UTC")
            dates = local.tz_convert(source.timezone).strftime("%Y-%m-%d")
            there = then[np.array([first.get(date, "9") <= day.isoformat() for date in dates])]
            own = list(source.renames.values())
            pd.testing.assert_frame_equal(known.loc[there.index, own], there[own])
    assert list(newest["vintages"].columns) == [
        *("unique_id", "ds", "known_from", "known_until"),
        *columns,
    ]
    return newest


GATE = {"gate": "09:00", "horizon": "1D"}
NO_GATE = {"gap": "1D", "horizon": "1D"}


@pytest.mark.parametrize("how", [NO_GATE, GATE])
@pytest.mark.parametrize("zone", ["UTC", NEW_YORK])
def test_a_backtest_knows_the_forecast_that_a_run_of_that_day_knew(
    tmp_path: Path, how: dict[str, Any], zone: str
) -> None:
    """Every run has the forecasts of three days, each warmer by a degree than a day before."""
    source = weather(timezone=zone)
    store = Weather(tmp_path / "weather", source)
    runs = [FIRST + number * DAY for number in range(1, 9)]
    for number, day in enumerate(runs):
        # The first run collects the past as well.
        ahead = range(-1 if number == 0 else 0, 3)
        rows = [
            row
            for lead in ahead
            for row in hours_of(day + lead * DAY, [hour + 100 * number for hour in range(24)])
        ]
        store.collect(day, rows)
    sources = SourcesConfig(root={"load": make_source(timezone=zone), "weather": source})
    raw = {"load": load_of(tmp_path / "load", 9, zone), "weather": store.load()}
    task = make_task(timezone=zone, season_lengths=[4], **how)
    newest = check_as_of(raw, sources, task, runs)
    vintages = newest["vintages"]
    # Days 4 to 9 had three versions each, days 3 and 10 two: all but the last are here.
    versions = vintages.assign(day=vintages["ds"].dt.tz_localize("UTC").dt.tz_convert(zone).dt.day)
    assert versions.groupby("day").size().to_dict() == {
        **dict.fromkeys(range(4, 10), 48),
        3: 24,
        10: 24,
    }
    assert newest["panel"]["celsius"].notna().all()
    assert newest["future"]["celsius"].notna().all()


def test_the_vintages_of_a_step_follow_each_other_up_to_the_newest(tmp_path: Path) -> None:
    source = weather()
    store = Weather(tmp_path, source)
    for number in range(3):
        store.collect(FIRST + number * DAY, hours_of(FIRST + 3 * DAY, [20 + number]))
    found = source_vintages("weather", source, store.load(), make_task(), "UTC", None)
    table = found.to_pandas()
    assert table["ds"].tolist() == [pd.Timestamp("2013-07-04")] * 2
    assert table["celsius"].tolist() == [20.0, 21.0]
    ends = [pd.Timestamp("2013-07-02"), pd.Timestamp("2013-07-03")]
    assert table["known_from"].tolist() == [pd.Timestamp.min, ends[0]]
    assert table["known_until"].tolist() == ends
    before = source_vintages("weather", source, store.load(), make_task(), "UTC", FIRST + DAY)
    assert before.rows() == found.rows()[:1]


def test_a_gap_is_filled_from_what_was_known_then(tmp_path: Path) -> None:
    """First the second day is not there, then it is, then it is colder; five hours are missing."""
    source = weather()
    store = Weather(tmp_path / "weather", source)
    evening = [10] * 20 + [None] * 4
    store.collect(FIRST + DAY, hours_of(FIRST + DAY, [*evening[:19], 9, *evening[20:]]))
    store.collect(FIRST + 2 * DAY, hours_of(FIRST + DAY, evening))
    store.collect(FIRST + 3 * DAY, hours_of(FIRST + 2 * DAY, [None, 20, *[20] * 22]))
    store.collect(FIRST + 4 * DAY, hours_of(FIRST + 2 * DAY, [None, 4, *[4] * 22]))
    sources = SourcesConfig(root={"load": make_source(), "weather": source})
    raw = {"load": load_of(tmp_path / "load", 5), "weather": store.load()}
    runs = [FIRST + number * DAY for number in range(1, 6)]
    task = make_task(season_lengths=[4], **NO_GATE)
    newest = check_as_of(raw, sources, task, runs)
    gap = pd.date_range("2013-07-02 20:00", periods=4, freq="h")
    both = pd.concat([newest["panel"], newest["future"]])
    seen = [
        as_known(both, newest["vintages"], pd.Timestamp(day)).set_index("ds").loc[gap, "celsius"]
        for day in ("2013-07-03", "2013-07-04", "2013-07-05")
    ]
    assert seen[0].isna().all()
    assert seen[1].tolist() == pytest.approx([10 + 10 * n / 6 for n in range(1, 5)])
    assert seen[2].tolist() == pytest.approx([10 - n for n in range(1, 5)])


def test_a_row_that_a_later_version_has_no_more_was_known_before(tmp_path: Path) -> None:
    source = weather()
    store = Weather(tmp_path / "weather", source)
    store.collect(FIRST + DAY, hours_of(FIRST + DAY, [1.0] * 24))
    store.collect(FIRST + 2 * DAY, hours_of(FIRST + DAY, [1.0] * 6))
    sources = SourcesConfig(root={"load": make_source(), "weather": source})
    raw = {"load": load_of(tmp_path / "load", 4), "weather": store.load()}
    task = make_task(season_lengths=[4], **NO_GATE)
    newest = check_as_of(raw, sources, task, [FIRST + n * DAY for n in range(1, 4)])
    assert newest["vintages"]["celsius"].tolist() == [1.0] * 18
    assert newest["panel"]["celsius"].notna().sum() == 6


def test_with_one_version_a_day_there_are_none_and_no_file_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = weather()
    store = Weather(tmp_path / "weather", source)
    for number in range(1, 4):
        store.collect(FIRST + number * DAY, hours_of(FIRST + number * DAY, [number] * 24))
    sources = SourcesConfig(root={"load": make_source(), "weather": source})
    raw = {"load": load_of(tmp_path / "load", 4), "weather": store.load()}

    def refuse(*_: Any) -> None:
        raise AssertionError("a version was read")

    monkeypatch.setattr(RawStore, "read_versions", refuse)
    found = clean_up(raw, sources, make_task(season_lengths=[4], **NO_GATE))["vintages"]
    assert found.empty
    assert found.dtypes.astype(str).to_dict() == {
        "unique_id": "object",
        **dict.fromkeys(["ds", "known_from", "known_until"], "datetime64[ns]"),
        "celsius": "float32",
    }


def test_past_only_columns_have_no_vintages(tmp_path: Path) -> None:
    source = weather(known="past_only")
    store = Weather(tmp_path / "weather", source)
    for number in range(2, 4):
        store.collect(FIRST + number * DAY, hours_of(FIRST, [number] * 24))
    sources = SourcesConfig(root={"load": make_source(), "weather": source})
    raw = {"load": load_of(tmp_path / "load", 4), "weather": store.load()}
    assert not raw["weather"].versions().empty
    found = clean_up(raw, sources, make_task(season_lengths=[4], **NO_GATE))["vintages"]
    assert list(found.columns) == ["unique_id", "ds", "known_from", "known_until"]
    assert found.empty


def test_steps_that_were_collected_after_they_had_begun_are_counted(tmp_path: Path) -> None:
    """The 3rd is collected on the 3rd at 9:00, when ten of its hours have not begun."""
    source = weather()
    store = Weather(tmp_path / "weather", source)
    store.collect(FIRST + DAY, hours_of(FIRST, [1] * 24))
    store.collect(FIRST + 2 * DAY, hours_of(FIRST + 2 * DAY, [1] * 24))
    store.collect(FIRST + 3 * DAY, hours_of(FIRST + 4 * DAY, [1] * 24))
    sources = SourcesConfig(root={"load": make_source(), "weather": source})
    raw = {"load": load_of(tmp_path / "load", 5), "weather": store.load()}
    for how, expected in ((NO_GATE, None), (GATE, 9)):
        found = clean_up(raw, sources, make_task(season_lengths=[4], **how))
        measure = "grid steps first known after they began"
        assert account_of(found["report"]).get(measure) == expected


@pytest.mark.parametrize("n_shards", [1, 3])
def test_two_sources_of_several_sites_are_put_together(tmp_path: Path, n_shards: int) -> None:
    """Sites have temperatures of their own, and all one wind; they are revised on other days."""
    one = weather(join={"unique_id": "at"})
    two = weather(columns={"t": "wind"})
    temperature, wind = Weather(tmp_path / "one", one), Weather(tmp_path / "two", two)
    runs = [FIRST + number * DAY for number in range(1, 6)]
    for number, day in enumerate(runs):
        ahead = [day + lead * DAY for lead in range(-1, 3)]
        rows = [
            row
            for date in ahead
            for site, base in (("a", 100), ("b", 200))
            for row in hours_of(date, [base + (number if site == "a" else number // 2)] * 24, site)
        ]
        temperature.collect(day, rows)
        if number != 1:
            wind.collect(day, [row for date in ahead for row in hours_of(date, [number] * 24)])
    sources = SourcesConfig(root={"load": make_source(), "temperature": one, "wind": two})
    raw = {
        "load": load_of(tmp_path / "load", 6, ids=("a", "b", "c")),
        "temperature": temperature.load(),
        "wind": wind.load(),
    }
    newest = check_as_of(
        raw, sources, make_task(season_lengths=[4], **NO_GATE), runs, n_shards=n_shards
    )
    assert set(newest["vintages"]["unique_id"]) == {"a", "b", "c"}
    assert newest["vintages"].set_index("unique_id").loc["c", "celsius"].isna().all()
    for _, step in newest["vintages"].groupby(["unique_id", "ds"]):
        assert step["known_from"].tolist()[1:] == step["known_until"].tolist()[:-1]
        assert (step["known_from"] < step["known_until"]).all()


versions = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.lists(
            st.tuples(st.integers(0, 6), st.lists(st.sampled_from([None, 1, 2, "x"]), max_size=24)),
            max_size=4,
            unique_by=lambda day: day[0],
        ),
    ),
    min_size=2,
    max_size=6,
)


@settings(max_examples=12)
@given(
    versions,
    st.sampled_from([NO_GATE, GATE]),
    st.sampled_from(["h", "3h"]),
    st.sampled_from(["UTC", NEW_YORK]),
    st.sampled_from([None, "1D"]),
    st.sampled_from([1, 8_000_000]),
)
def test_whatever_was_revised_a_backtest_knows_what_was_known(
    tmp_path_factory: pytest.TempPathFactory,
    collected: list[tuple[int, list[tuple[int, list[Any]]]]],
    how: dict[str, Any],
    freq: str,
    zone: str,
    lasts: str | None,
    cells: int,
) -> None:
    folder = tmp_path_factory.mktemp("weather")
    source = weather(timezone=zone, lasts=lasts, join={"unique_id": "at"})
    store = Weather(folder / "weather", source)
    for number, days in sorted(collected, key=lambda run: run[0]):
        rows = [
            row
            for day, values in days
            for site in ("a", "b")
            for row in hours_of(FIRST + day * DAY, values if site == "a" else values[::-1], site)
        ]
        if rows:
            store.collect(FIRST + (number + 1) * DAY, rows)
    sources = SourcesConfig(root={"load": make_source(timezone=zone), "weather": source})
    raw = {"load": load_of(folder / "load", 7, zone, ("a", "b")), "weather": store.load()}
    assume(not raw["weather"].versions().empty)
    task = make_task(timezone=zone, season_lengths=[4], freq=freq, **how)
    before, module._CELLS = module._CELLS, cells
    try:
        check_as_of(raw, sources, task, [FIRST + n * DAY for n in (2, 3, 5, 6)])
    finally:
        module._CELLS = before


@pytest.mark.parametrize("freq", ["D", "W-SUN", "MS"])
def test_of_long_steps_a_day_is_known_when_it_begins(tmp_path: Path, freq: str) -> None:
    source = weather(aggregate="sum")
    store = Weather(tmp_path / "weather", source)
    days = pd.date_range("2013-07-01", "2013-08-31")
    for number, day in enumerate(("2013-07-08", "2013-07-15", "2013-08-01")):
        rows = [("", str(date.date()), str(number)) for date in days]
        store.collect(dt.date.fromisoformat(day), rows)
    task = make_task(freq=freq, season_lengths=[1], horizon=1)
    found = source_vintages("weather", source, store.load(), task, "UTC", None)
    assert found["known_until"].unique().sort().to_list() == [
        dt.datetime(2013, 7, 15),
        dt.datetime(2013, 8, 1),
    ]
    both = pl.DataFrame({"ds": found["ds"].unique()})
    assert found.height == 2 * both.height
