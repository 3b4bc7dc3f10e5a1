"""Feeds of a few rows, and what a folder holds, for the tests of the raw store."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.datasets.raw_store import Feed, RawStore
from clepsydra.row_columns import LOCAL
from clepsydra.series_ids import key_of, make_hasher
from helpers import make_source

JULY = [dt.date(2013, 7, number) for number in range(1, 32)]
# Id, day (None: undated) and value of a row.
Row = tuple[str, dt.date | None, str]


def batch_of(rows: Iterable[Row], file: str = "a.csv") -> pl.DataFrame:
    """Text rows `id`, `time`, `value` as a reader gives them, with the time of each."""
    rows = list(rows)
    cells = {
        "id": [row[0] for row in rows],
        "time": [str(row[1] or "soon") for row in rows],
        "value": [row[2] for row in rows],
        "_file": [file] * len(rows),
        "_line": range(2, len(rows) + 2),
        LOCAL: [row[1] for row in rows],
    }
    types = dict.fromkeys(["id", "time", "value", "_file"], pl.String)
    return pl.DataFrame(cells, types | {"_line": pl.Int64, LOCAL: pl.Datetime("ns")})


def feed_of(
    *batches: Iterable[Row] | pl.DataFrame,
    seen_on: dt.date = JULY[9],
    source: SourceConfig | None = None,
    **changes: Any,
) -> Feed:
    """What a run collects of a source that is hashed on `id`."""
    source = source or make_source()
    frames = [rows if isinstance(rows, pl.DataFrame) else batch_of(rows) for rows in batches]
    how = {"hasher": make_hasher(source), "key": key_of(source), **changes}
    return Feed("load", frames, seen_on, **how)


def rows_in(frame: pl.DataFrame) -> list[Row]:
    """Id, day and value of what was read, in its order."""
    if frame.is_empty():
        return []
    return list(frame.select("id", "_day", "value").iter_rows())


def values(store: RawStore, as_of: dt.date | None = None) -> list[str]:
    """The values known at `as_of`, in order of days."""
    rows = sorted(rows_in(store.read(as_of)), key=lambda row: row[1] or dt.date.min)
    return [value for _, _, value in rows]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under the folder, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def snapshots(folder: Path) -> list[str]:
    """Names of the snapshot files."""
    return sorted(path.name for path in folder.glob("*.parquet") if path.stem != "manifest")
