"""Immutable raw snapshots of one source, with a manifest.

Kedro's `IncrementalDataset` compares one largest id and reads eagerly, so late or revised days are
lost. Here every snapshot stays as it was written; a day whose content changed gets a new snapshot
beside the old one, and a reader asks for what was known at a day.

Days that arrive together share a file, so that years of history are not thousands of files. Within
a file the rows lie in order of `_hash`, a number that the series' id gives: a reader that works on
a part of the series skips the rest of the file.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from filelock import FileLock, Timeout
from kedro.io import AbstractDataset

from clepsydra.datasets.arrivals import day_of, is_of, key_of_day
from clepsydra.datasets.raw_files import SnapshotWriter, write_atomically
from clepsydra.datasets.spool import Batches
from clepsydra.errors import SourceError
from clepsydra.row_columns import DAY, HASH, VERSION
from clepsydra.sharding import ALL

__all__ = ["Feed", "RawStore", "RawStoreDataset", "next_day"]

_FIRST_DAYS = {HASH: pl.UInt32, DAY: pl.Date}
_MANIFEST, _STATE, _LOCK = "manifest.parquet", "state.json", ".lock"
_PATH = "_path"
_COLUMNS = {
    "day": str,
    "known_from": str,
    "seen_on": str,
    "rows": "int64",
    "content": str,
    "step_s": "float64",
    "path": str,
    "file_rows": "int64",
    "bytes": "int64",
    "sha256": str,
    "columns": str,
    "first_day": str,
    "last_day": str,
    "key": str,
    "times": str,
}


def next_day(day: dt.date) -> dt.date:
    """The day after."""
    return day + dt.timedelta(days=1)


@dataclass(frozen=True)
class Feed:
    """What one run collects from one source.

    Attributes:
        source: its name.
        batches: text rows, bounded in size, with `_local`, the naive local time (null: undated).
        seen_on: the `as_of` that collects them; a revision is not known before.
        hasher: adds `_hash` to rows, from the columns that name their series.
        key: the names of those columns, joined by commas.
        times: how times are read; snapshots are cut by day with it.
        is_whole: what the source has no longer is in no snapshot either, of rows without a day.
        in_advance: the rows of every day are known from the beginning.
        identity: columns that identify a row. Given, the rows are a part of their days: they
            replace rows of the same identity and leave the others. Not given, a day's rows stand
            for the whole day.
        first_run: of a day of the source, the day of the first run that can know a row of it: the
            one after, unless runs take place later than in the morning.
        unfinished: the day of which the run sees a part; a version that a later run has seen stays.
        state: called when all batches are read: what the next run needs to know, JSON.
    """

    source: str
    batches: Batches
    seen_on: dt.date
    hasher: Callable[[pl.DataFrame], pl.DataFrame]
    key: str = ""
    times: str = ""
    is_whole: bool = False
    in_advance: bool = False
    identity: list[str] | None = None
    first_run: Callable[[dt.date], dt.date] = next_day
    unfinished: dt.date | None = None
    state: Callable[[], dict[str, Any]] = field(default=dict)


@dataclass(frozen=True)
class RawStore:
    """Read access to one source's snapshots; opens a file only when its rows are asked for."""

    root: Path
    manifest: pd.DataFrame
    state: dict[str, Any] = field(default_factory=dict)

    def known(self, as_of: dt.date | None = None) -> pd.DataFrame:
        """Of every day the newest version known at `as_of`: rows of the manifest, days in order.

        Args:
            as_of: the day of the run; `None` knows everything.
        """
        known = self._known_versions(as_of)
        return known.drop_duplicates("day", keep="last").sort_values("day", ignore_index=True)

    def versions(self, as_of: dt.date | None = None) -> pd.DataFrame:
        """Every version of every day known at `as_of`, if a day has several: rows of the manifest.

        They are in order of `day`, then `known_from`, no two alike in both. No file is opened; the
        table is empty if every day has one version only. Undated rows are left out.

        Args:
            as_of: the day of the run; `None` knows everything.
        """
        known = self._known_versions(as_of)
        known = known[known["day"] != ""].drop_duplicates(["day", "known_from"], keep="last")
        if not known["day"].duplicated().any():
            return known.iloc[:0]
        return known.sort_values(["day", "known_from"], ignore_index=True)

    def first_known(self, as_of: dt.date | None = None) -> pd.Series:
        """Of every day known at `as_of`, the day of the first run that knew of it, as texts."""
        known = self._known_versions(as_of)
        return known.drop_duplicates("day").set_index("day")["known_from"]

    def _known_versions(self, as_of: dt.date | None) -> pd.DataFrame:
        if as_of is None:
            return self.manifest
        return self.manifest[self.manifest["known_from"] <= as_of.isoformat()]

    def read(
        self,
        as_of: dt.date | None = None,
        hashes: tuple[int, int] = ALL,
        days: Iterable[dt.date | None] | None = None,
        key: str | None = None,
        rehash: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> pl.DataFrame:
        """Rows known at `as_of`, in order of days and, within a series, as they came.

        Args:
            as_of: the day of the run; `None` reads everything.
            hashes: first hash, and the one after the last, of the series to read.
            days: only these (`None` for undated rows); all if not given.
            key: the columns that hashes are made of now. Files that were hashed on others are
                hashed again by `rehash`.

        Returns:
            `[N, columns]` strings, `_line`, `_day` and `_hash`; empty if nothing is known.

        Raises:
            SourceError: a snapshot is missing or not as the manifest says.
        """
        known = self.known(as_of)
        if days is not None:
            known = known[known["day"].isin([key_of_day(day) for day in days])]
        frames: list[pl.LazyFrame] = []
        for entry, rows in self._files_of(known):
            if rehash is not None and entry["key"] != key:
                # At once: a file that is hashed again is in memory as a whole.
                frames.append(_in_part(rehash(rows.collect()).lazy(), hashes).collect().lazy())
            else:
                frames.append(_in_part(rows, hashes))
        return _as_one(frames)

    def first_days(
        self,
        as_of: dt.date | None,
        key: str,
        rehash: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> pl.DataFrame:
        """`_hash` of every series known at `as_of`, and the first `_day` that it has a row of.

        Args:
            as_of: the day of the run; `None` knows everything.
            key: as for `read`.
            rehash: as for `read`.
        """
        frames = [
            (rows if entry["key"] == key else rehash(rows.collect()).lazy())
            .group_by(HASH)
            .agg(pl.col(DAY).min())
            .collect()
            for entry, rows in self._files_of(self.known(as_of))
        ]
        whole = pl.concat(frames) if frames else pl.DataFrame(schema=_FIRST_DAYS)
        return whole.group_by(HASH).agg(pl.col(DAY).min())

    def read_versions(self, versions: pd.DataFrame) -> pl.DataFrame:
        """The rows of some versions.

        Args:
            versions: rows of the manifest, with what each version is called in `version`, a text.

        Returns:
            As `read`, and `_version`, what the row's version is called.

        Raises:
            SourceError: a snapshot is missing or not as the manifest says.
        """
        frames = [
            rows.with_columns(pl.lit(entry["path"]).alias(_PATH))
            for entry, rows in self._files_of(versions)
        ]
        if not frames:
            return pl.DataFrame()
        called = pl.DataFrame(
            {
                _PATH: versions["path"].tolist(),
                DAY: [day_of(day) for day in versions["day"]],
                VERSION: versions["version"].tolist(),
            }
        )
        rows = _as_one(frames).join(called, on=[_PATH, DAY], how="left", maintain_order="left")
        return rows.drop(_PATH)

    def _files_of(self, entries: pd.DataFrame) -> Iterator[tuple[pd.Series, pl.LazyFrame]]:
        """Of every file that holds one of these entries the first of them, and their rows."""
        for path, chosen in entries[entries["path"] != ""].groupby("path", sort=False):
            entry = chosen.iloc[0]
            rows = pl.scan_parquet(self._checked(str(path), int(entry["bytes"])))
            if chosen["rows"].sum() < entry["file_rows"]:
                rows = rows.filter(is_of({day_of(day) for day in chosen["day"]}))
            yield entry, rows

    def days(self) -> list[dt.date]:
        """Days that have a snapshot, in order."""
        return sorted(dt.date.fromisoformat(day) for day in set(self.manifest["day"]) if day)

    def _checked(self, path: str, size: int) -> Path:
        file = self.root / path
        found = file.stat().st_size if file.exists() else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise SourceError(
                f"raw snapshot '{file}' {what}; restore it, or delete the folder '{self.root}' "
                f"and collect again"
            )
        return file


class RawStoreDataset(AbstractDataset[Feed, RawStore]):
    """Saves what is new in a `Feed`, keeps what it has, loads a `RawStore`.

    Every file appears whole or not at all, the manifest last: a run killed in the middle leaves
    what it had, and the next one writes the rest again. Two runs at once do not mix: the second
    is refused.

    Args:
        filepath: folder of the source's snapshots.
        metadata: free form, for plugins.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    @classmethod
    def _save_wrapper(cls, save_func: Callable[..., None]) -> Callable[..., None]:
        # Kedro's own would make a `DatasetError` of what is wrong with a source that is read as
        # it is saved.
        return save_func

    def load(self) -> RawStore:
        return RawStore(self._filepath, self._read_manifest(), self._read_state())

    def save(self, data: Feed) -> None:
        self._filepath.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._filepath / _LOCK, timeout=0):
                self._add(data)
        except Timeout:
            raise SourceError(
                f"source '{data.source}' is being collected by another run into "
                f"'{self._filepath}': wait for it to end"
            ) from None

    def _add(self, feed: Feed) -> None:
        # Not called `_save`: Kedro would take it for `save`.
        store = self.load()
        writer = SnapshotWriter(self._filepath, feed, store)
        added = pd.DataFrame(writer.write(), columns=list(_COLUMNS)).astype(_COLUMNS)
        if len(added) or not (self._filepath / _MANIFEST).exists():
            manifest = pd.concat([store.manifest, added], ignore_index=True)
            write_atomically(
                self._filepath / _MANIFEST, lambda path: manifest.to_parquet(path, index=False)
            )
        state = feed.state()
        if state != store.state:
            text = json.dumps(state, indent=1, sort_keys=True)
            write_atomically(self._filepath / _STATE, lambda path: path.write_text(text))

    def _read_manifest(self) -> pd.DataFrame:
        path = self._filepath / _MANIFEST
        if path.exists():
            return pd.read_parquet(path)
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in _COLUMNS.items()})

    def _read_state(self) -> dict[str, Any]:
        path = self._filepath / _STATE
        return json.loads(path.read_text()) if path.exists() else {}

    def _exists(self) -> bool:
        return (self._filepath / _MANIFEST).exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": os.fspath(self._filepath)}


def _as_one(frames: list[pl.LazyFrame]) -> pl.DataFrame:
    if not frames:
        return pl.DataFrame()
    whole = pl.concat(pl.collect_all(frames), how="diagonal_relaxed")
    return whole.with_columns(pl.col(pl.String, pl.Categorical).fill_null(""))


def _in_part(rows: pl.LazyFrame, hashes: tuple[int, int]) -> pl.LazyFrame:
    if hashes == ALL:
        return rows
    return rows.filter(pl.col(HASH).is_between(*hashes, closed="left"))
