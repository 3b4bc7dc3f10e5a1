"""Drift: what changes from one snapshot to the next is reported, and nothing else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from clepsydra.config import SourcesConfig
from clepsydra.datasets.drift import schema_drift
from clepsydra.datasets.raw_store import Feed, RawStoreDataset
from clepsydra.datasets.spool import Batches
from clepsydra.errors import SourceError
from clepsydra.pipelines.collect.nodes import report_drift
from clepsydra.series_ids import make_hasher
from helpers import make_source

DAY = dt.date(2024, 1, 1)


def day_of(number: int, minutes: int = 60, **columns: Any) -> pl.DataFrame:
    """A day's rows: a value every so many minutes; other columns are the same in every row."""
    start = dt.datetime.combine(DAY, dt.time()) + dt.timedelta(days=number)
    times = [start + dt.timedelta(minutes=step) for step in range(0, 24 * 60, minutes)]
    values = {"value": [str(step) for step in range(len(times))], **columns}
    frame = pl.DataFrame({"id": "a", "_local": times, "_file": "a.csv", "_line": 2})
    cells = {name: pl.Series(c) if isinstance(c, list) else pl.lit(c) for name, c in values.items()}
    return frame.with_columns(**cells).with_columns(pl.col("_local").cast(pl.Datetime("ns")))


def store_of_days(folder: Path, *days: pl.DataFrame) -> RawStoreDataset:
    """A store that collected the days one by one."""
    store = RawStoreDataset(str(folder))
    for number, day in enumerate(days):
        seen = DAY + dt.timedelta(days=number + 1)
        store.save(Feed("load", Batches([day]), seen, make_hasher(make_source()), "id"))
    return store


def changes(store: RawStoreDataset) -> list[tuple[str, str, str, str, str]]:
    drift = schema_drift("load", store.load().manifest)
    columns = ["day", "kind", "column", "before", "after"]
    return [tuple(row) for row in drift[columns].to_numpy().tolist()]


def test_days_of_one_shape_have_no_drift(tmp_path: Path) -> None:
    days = [day_of(0), day_of(1), day_of(2, value="2.5"), day_of(3, value="")]
    assert changes(store_of_days(tmp_path, *days)) == []


def test_rows_whose_time_is_not_readable_are_no_drift(tmp_path: Path) -> None:
    undated = day_of(0, at="soon").with_columns(pl.lit(None, pl.Datetime("ns")).alias("_local"))
    days = [pl.concat([day_of(number, at="2024-01-01"), undated]) for number in range(2)]
    store = store_of_days(tmp_path, *days)
    assert "" in set(store.load().manifest["day"])
    assert changes(store) == []


def test_every_kind_of_drift_is_found_on_its_day(tmp_path: Path) -> None:
    days = [
        day_of(0, unit="MW"),
        day_of(1, unit="MW", zone="FR"),
        day_of(2, zone="FR"),
        day_of(3, zone="FR", value="n. a. yet"),
        day_of(4, zone="FR", minutes=15),
    ]
    assert changes(store_of_days(tmp_path, *days)) == [
        ("2024-01-02", "column added", "zone", "", "text"),
        ("2024-01-03", "column lost", "unit", "text", ""),
        ("2024-01-04", "type changed", "value", "integer", "text"),
        ("2024-01-05", "type changed", "value", "text", "integer"),
        ("2024-01-05", "granularity changed", "", "60 min", "15 min"),
    ]


def test_the_hour_that_clocks_skip_or_repeat_is_no_change_of_step(tmp_path: Path) -> None:
    days = [day_of(0, minutes=15), day_of(1, minutes=15)]
    skipped = days[1].filter(pl.col("_local").dt.hour() != 2)
    repeated = pl.concat([days[1], days[1].filter(pl.col("_local").dt.hour() == 2)])
    for number, odd in enumerate((skipped, repeated)):
        assert changes(store_of_days(tmp_path / str(number), days[0], odd)) == []


def test_a_change_within_what_one_run_collects_is_found(tmp_path: Path) -> None:
    both = pl.concat([day_of(0, minutes=60), day_of(1, minutes=15)])
    assert changes(store_of_days(tmp_path, both)) == [
        ("2024-01-02", "granularity changed", "", "60 min", "15 min")
    ]


@pytest.mark.parametrize("policy", ["warn", "error", "ignore"])
def test_the_policy_decides_about_the_newest_snapshot(
    tmp_path: Path, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = store_of_days(tmp_path, day_of(0), day_of(1, zone="FR"))
    sources = SourcesConfig(root={"load": make_source(on_drift=policy)})
    said = "source 'load', 2024-01-02: column added 'zone', before nothing, now text"
    if policy == "error":
        with pytest.raises(SourceError, match=said):
            report_drift(sources, store.load())
        return
    table = report_drift(sources, store.load())
    assert (said in caplog.text) == (policy == "warn")
    assert isinstance(table, pd.DataFrame)
    assert table["kind"].tolist() == ["column added"]


@pytest.mark.parametrize("is_undated", [False, True])
def test_old_drift_is_listed_but_no_longer_said(
    tmp_path: Path, is_undated: bool, caplog: pytest.LogCaptureFixture
) -> None:
    undated = day_of(3, zone="FR").with_columns(pl.lit(None, pl.Datetime("ns")).alias("_local"))
    days = [day_of(0), day_of(1, zone="FR"), day_of(2, zone="FR")]
    store = store_of_days(tmp_path, *days[: 2 if is_undated else 3], *[undated] * is_undated)
    sources = SourcesConfig(root={"load": make_source(on_drift="error")})
    assert len(report_drift(sources, store.load())) == 1
    assert caplog.text == ""
