"""The files of the raw store: rows cut by day, sorted by series, written whole or not at all."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from clepsydra.datasets.arrivals import Arrivals, Waiting, day_of, is_of, key_of_day
from clepsydra.datasets.columns import describe_columns, usual_steps
from clepsydra.fingerprint import fingerprint_texts
from clepsydra.row_columns import DAY, FILE, HASH, LINE, LOCAL

if TYPE_CHECKING:
    from clepsydra.datasets.raw_store import Feed, RawStore

__all__ = ["SnapshotWriter", "write_atomically"]

# Where a row stood is kept, but a row that only moved is not a revision.
_NOT_CONTENT = [FILE, LINE, LOCAL, DAY, HASH]
_PLACE = "_place"

# One number sorts several times as fast as two columns.
_BY_SERIES_AND_DAY = (pl.col(HASH).cast(pl.Int64) * (1 << 22)) + (
    pl.col(DAY).cast(pl.Int32).fill_null(0).cast(pl.Int64) + (1 << 20)
)

_GROUP_ROWS = 16_384
_WRITERS = 2
_WORKSPACE = ".partial"
# The content of a day that has no rows any more.
_EMPTY = "empty"
_LOGGER = logging.getLogger(__name__)


class SnapshotWriter:
    """Writes the days of one feed that are new or changed.

    Args:
        root: folder of the store.
        feed: what was collected.
        store: what the store has.
    """

    def __init__(self, root: Path, feed: Feed, store: RawStore):
        self._root = root
        self._feed = feed
        self._store = store
        newest = store.manifest.drop_duplicates("day", keep="last").set_index("day")
        self._before: dict[str, dict[str, Any]] = newest.to_dict("index")
        self._last_run: str = store.manifest["seen_on"].max() if len(store.manifest) else ""
        self._keys: list[pl.DataFrame] = []

    def write(self) -> list[dict[str, Any]]:
        """Write the files, and return the manifest's new rows."""
        entries: list[dict[str, Any]] = []
        with _workspace(self._root) as folder:
            batches = (self._prepared(batch) for batch in self._feed.batches)
            # Of a part of a day, all rows must be there to say which they replace.
            arrivals = Arrivals(folder, batches, early=self._feed.identity is None)
            # What the rows of a part are merged with, and the hasher, are common to all groups.
            writers = _WRITERS if self._feed.identity is None else 1
            with ThreadPoolExecutor(writers) as pool:
                writing: deque[Future[list[dict[str, Any]]]] = deque()
                for rows in arrivals:
                    if len(writing) == writers:
                        entries += writing.popleft().result()
                    writing.append(pool.submit(self._write_group, rows, folder))
                for written in writing:
                    entries += written.result()
            entries = self._with_late_rows(entries, arrivals.late, folder)
            entries += self._moved(arrivals.days, folder)
            if self._feed.is_whole and "" in self._before and None not in arrivals.days:
                entries += self._emptied([None])
            # Together at the end: what a killed run leaves is in its workspace.
            for path in dict.fromkeys(entry["path"] for entry in entries if entry["path"]):
                (folder / path).replace(self._root / path)
        return entries

    def _write_group(self, rows: pl.DataFrame, folder: Path) -> list[dict[str, Any]]:
        rows = self._merged(rows)
        return self._write_changed(rows, self._steps(rows), folder)

    def _with_late_rows(
        self, entries: list[dict[str, Any]], late: Waiting, folder: Path
    ) -> list[dict[str, Any]]:
        """Write the files again whose days more rows have come of, after the rows they had."""
        days = [day for day in late.rows if day]
        files: dict[str, list[dt.date]] = {}
        of_day = {entry["day"]: entry for entry in entries}
        for day in sorted(days):
            entry = of_day.get(day.isoformat())
            files.setdefault(entry["path"] if entry else "", []).append(day)
        steps: dict[dt.date | None, float | None]
        for path, own in files.items():
            if path:
                before = pl.read_parquet(folder / path)
                steps = {
                    day_of(entry["day"]): entry["step_s"]
                    for entry in entries
                    if entry["path"] == path
                }
            else:
                before = self._feed.hasher(self._store.read(days=list(own)))
                steps = {day: self._before[day.isoformat()]["step_s"] for day in own}
            never = pl.lit(None, pl.Datetime("ns")).alias(LOCAL)
            after = late.take(own)
            rows = pl.concat([before.with_columns(never), after], how="diagonal_relaxed")
            entries = [entry for entry in entries if not path or entry["path"] != path]
            entries += self._write_changed(rows, steps, folder)
        return entries

    def _moved(self, days: set[dt.date | None], folder: Path) -> list[dict[str, Any]]:
        """Of a part of a source: the days that lose rows which now belong to other days."""
        identity = self._feed.identity
        if identity is None or not self._keys:
            return []
        keys = self._all_keys()
        entries: list[dict[str, Any]] = []
        for _, known in self._store.known().groupby("path"):
            own = [day_of(day) for day in known["day"]]
            others = [day for day in own if day not in days]
            rows = self._store.read(days=others) if others else pl.DataFrame()
            if rows.is_empty():
                continue
            moved = rows.join(keys, on=identity, how="semi", nulls_equal=True)
            touched = set(moved[DAY].unique())
            if not touched:
                continue
            kept = rows.filter(is_of(touched)).join(keys, on=identity, how="anti", nulls_equal=True)
            never = pl.lit(None, pl.Datetime("ns")).alias(LOCAL)
            steps = {day: self._before[key_of_day(day)]["step_s"] for day in touched}
            entries += self._emptied(sorted(touched - set(kept[DAY].unique()), key=key_of_day))
            if kept.height:
                again = self._feed.hasher(kept).with_columns(never)
                entries += self._write_changed(again, steps, folder)
        return entries

    def _all_keys(self) -> pl.DataFrame:
        self._keys = [pl.concat(self._keys, how="diagonal_relaxed").unique()]
        return self._keys[0]

    def _emptied(self, days: list[dt.date | None]) -> list[dict[str, Any]]:
        """Manifest rows of days that have no rows any more; no file stands behind them."""
        nothing = {"path": "", "file_rows": 0, "bytes": 0, "sha256": "", "columns": "{}"}
        return [
            {
                "day": key_of_day(day),
                "known_from": self._known_from(day),
                "seen_on": self._feed.seen_on.isoformat(),
                "rows": 0,
                "content": _EMPTY,
                "step_s": None,
                **nothing,
                "first_day": key_of_day(day),
                "last_day": key_of_day(day),
                "key": self._feed.key,
                "times": self._feed.times,
            }
            for day in days
            if self._before[key_of_day(day)]["content"] != _EMPTY
        ]

    def _prepared(self, batch: pl.DataFrame) -> pl.DataFrame:
        dated = batch.with_columns(pl.col(LOCAL).dt.date().alias(DAY))
        hashed = self._feed.hasher(dated)
        if self._feed.identity is not None:
            self._keys.append(hashed.select(self._feed.identity).unique())
        return hashed if hashed[DAY].is_sorted() else hashed.sort(DAY, maintain_order=True)

    def _merged(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with those of the store that they do not replace, all in their old order."""
        identity = self._feed.identity
        if identity is None:
            return rows
        old = self._store.read(days=rows[DAY].unique().to_list())
        if old.is_empty():
            return rows
        old = self._feed.hasher(old.with_columns(pl.lit(None, pl.Datetime("ns")).alias(LOCAL)))
        old = old.with_row_index(_PLACE)
        places = old.group_by(identity).agg(pl.col(_PLACE).min())
        rows = rows.join(places, on=identity, how="left", nulls_equal=True, maintain_order="left")
        # Not of these rows alone: some may have moved to days of another group.
        kept = old.join(self._all_keys(), on=identity, how="anti", nulls_equal=True)
        whole = pl.concat([kept, rows], how="diagonal_relaxed")
        return whole.sort(DAY, _PLACE, nulls_last=True, maintain_order=True).drop(_PLACE)

    def _write_changed(
        self, rows: pl.DataFrame, steps: dict[dt.date | None, float | None], folder: Path
    ) -> list[dict[str, Any]]:
        changed: list[dict[str, Any]] = []
        rows = rows.sort(_BY_SERIES_AND_DAY, maintain_order=True)
        parts = {part[DAY][0]: part for part in rows.partition_by(DAY)}
        filled = _columns_of_days(rows, pl.all() != "")
        there = _columns_of_days(rows, pl.all().is_not_null())
        kinds = describe_columns(rows)
        for day, part in sorted(parts.items(), key=lambda item: item[0] or dt.date.min):
            key = key_of_day(day)
            content = fingerprint_texts(part.select(filled[day]))
            before = self._before.get(key)
            if before and before["content"] == content:
                continue
            is_part = day is not None and day == self._feed.unfinished
            if before and is_part and before["seen_on"] > self._feed.seen_on.isoformat():
                continue
            if before and part.height < before["rows"] and self._feed.identity is None:
                _LOGGER.warning(
                    "Source '%s', %s: %d rows where %d were collected before",
                    *(self._feed.source, key or "undated", part.height, before["rows"]),
                )
            changed.append(
                {
                    "day": key,
                    "known_from": self._known_from(day),
                    "seen_on": self._feed.seen_on.isoformat(),
                    "rows": part.height,
                    "content": content,
                    "step_s": steps.get(day),
                    "columns": json.dumps(
                        {name: kind for name, kind in kinds.items() if name in there[day]}
                    ),
                }
            )
        if not changed:
            return []
        if len(changed) < len(parts):
            rows = rows.filter(is_of({day_of(entry["day"]) for entry in changed}))
        file = self._write_file(rows.drop(LOCAL), changed, folder)
        return [{**entry, **file} for entry in changed]

    def _steps(self, rows: pl.DataFrame) -> dict[dt.date | None, float | None]:
        if self._feed.identity is not None:
            # Rows that a part of their day has left in the store have no time here.
            rows = rows.filter(pl.col(LOCAL).is_not_null().all().over(DAY))
        return dict(usual_steps(rows, LOCAL))

    def _known_from(self, day: dt.date | None) -> str:
        """A day is known to the first run that can know it, a late one or a revision when seen.

        A revision is never known before the version that it replaces. A day is late if an earlier
        run could have seen it and did not.
        """
        before = self._before.get(key_of_day(day))
        if before:
            return max(before["known_from"], self._feed.seen_on.isoformat())
        if day is None or self._feed.in_advance:
            return self._feed.seen_on.isoformat() if self._last_run else dt.date.min.isoformat()
        first = self._feed.first_run(day).isoformat()
        is_late = first <= self._last_run
        return max(first, self._feed.seen_on.isoformat()) if is_late else first

    def _write_file(
        self, rows: pl.DataFrame, changed: list[dict[str, Any]], folder: Path
    ) -> dict[str, Any]:
        # A day that becomes again what it was gets a file of its own.
        parts = [str(len(self._store.manifest)), *(entry["content"] for entry in changed)]
        digest = hashlib.sha256("".join(parts).encode())
        first, last = changed[0]["day"], changed[-1]["day"]
        span = first if first == last else f"{first or 'undated'}_{last}"
        path = f"{span or 'undated'}-{digest.hexdigest()[:12]}.parquet"

        rows.write_parquet(
            folder / path, compression="zstd", compression_level=1, row_group_size=_GROUP_ROWS
        )
        with (folder / path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return {
            "path": path,
            "file_rows": rows.height,
            "bytes": (folder / path).stat().st_size,
            "sha256": sha256,
            "first_day": first,
            "last_day": last,
            "key": self._feed.key,
            "times": self._feed.times,
        }


def _columns_of_days(rows: pl.DataFrame, condition: pl.Expr) -> dict[dt.date | None, list[str]]:
    """Of every day the columns in which the condition is true of any cell."""
    names = sorted(name for name in rows.columns if name not in _NOT_CONTENT)
    marks = rows.select(DAY, *names).group_by(DAY).agg(condition.any())
    return {row[DAY]: [name for name in names if row[name]] for row in marks.iter_rows(named=True)}


@contextmanager
def _workspace(root: Path) -> Iterator[Path]:
    """An empty folder for what is not finished; what a killed run left is removed first."""
    folder = root / _WORKSPACE
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, save: Callable[[Path], Any]) -> None:
    """Let `save` write beside the file, then put the result in its place."""
    partial = path.with_name(f".{path.name}.partial")
    save(partial)
    partial.replace(path)
