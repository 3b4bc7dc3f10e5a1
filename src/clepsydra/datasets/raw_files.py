"""The files of the raw store: rows cut by day, sorted by series, written whole or not at all."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from clepsydra.datasets.arrivals import DAY, Arrivals, Waiting
from clepsydra.datasets.columns import describe_columns, usual_steps
from clepsydra.fingerprint import fingerprint_texts

if TYPE_CHECKING:
    from clepsydra.datasets.raw_store import Feed, RawStore

__all__ = ["DAY", "HASH", "TIME", "SnapshotWriter", "write_atomically"]

# Beside the source's own columns: the local time of a row (null: undated), its day, and the hash
# of its series.
TIME, HASH = "_local", "_hash"
# Where a row stood is kept, but a row that only moved is not a revision.
_NOT_CONTENT = ["_file", "_line", TIME, DAY, HASH]
_PLACE = "_place"

# One number sorts several times as fast as two columns.
_BY_SERIES_AND_DAY = (pl.col(HASH).cast(pl.Int64) * (1 << 22)) + (
    pl.col(DAY).cast(pl.Int32).fill_null(0).cast(pl.Int64) + (1 << 20)
)

_GROUP_ROWS = 16_384
_WORKSPACE = ".partial"


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
        newest = store.manifest.drop_duplicates("day", keep="last")
        self._contents = dict(zip(newest["day"], newest["content"], strict=True))

    def write(self) -> list[dict[str, Any]]:
        """Write the files, and return the manifest's new rows."""
        entries: list[dict[str, Any]] = []
        with _workspace(self._root) as folder:
            arrivals = Arrivals(folder, (self._prepared(batch) for batch in self._feed.batches))
            with ThreadPoolExecutor(1) as pool:
                writing: Future[list[dict[str, Any]]] | None = None
                for rows in arrivals:
                    if writing:
                        entries += writing.result()
                    writing = pool.submit(self._write_group, rows, folder)
                entries += writing.result() if writing else []
            entries = self._with_late_rows(entries, arrivals.late, folder)
            # Together at the end: what a killed run leaves is in its workspace.
            for path in dict.fromkeys(entry["path"] for entry in entries):
                (folder / path).replace(self._root / path)
        return entries

    def _write_group(self, rows: pl.DataFrame, folder: Path) -> list[dict[str, Any]]:
        rows = self._merged(rows)
        return self._write_changed(rows, self._steps(rows), folder)

    def _with_late_rows(
        self, entries: list[dict[str, Any]], late: Waiting, folder: Path
    ) -> list[dict[str, Any]]:
        """Write the days again that more rows have come of, after the rows that they had."""
        for day in sorted(day for day in late.rows if day):
            key = day.isoformat()
            entry = next((entry for entry in entries if entry["day"] == key), None)
            if entry:
                before = pl.read_parquet(folder / entry["path"]).filter(pl.col(DAY) == day)
                step = entry["step_s"]
            else:
                before = self._store.read(days=[day])
                known = self._store.known()
                step = known.loc[known["day"] == key, "step_s"].iloc[0]
            never = pl.lit(None, pl.Datetime("ns")).alias(TIME)
            after = late.take([day])
            rows = pl.concat([before.with_columns(never), after], how="diagonal_relaxed")
            rows = rows.with_columns(pl.col(pl.String, pl.Categorical).fill_null(""))
            others = [one for one in entries if one["day"] != key]
            entries = others + self._write_changed(rows, {day: step}, folder)
        return entries

    def _prepared(self, batch: pl.DataFrame) -> pl.DataFrame:
        dated = batch.with_columns(pl.col(TIME).dt.date().alias(DAY))
        hashed = self._feed.hasher(dated)
        return hashed if hashed[DAY].is_sorted() else hashed.sort(DAY, maintain_order=True)

    def _merged(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with those of the store that they do not replace, all in their old order."""
        identity = self._feed.identity
        if identity is None:
            return rows
        old = self._store.read(days=rows[DAY].unique().to_list())
        if old.is_empty():
            return rows
        old = self._feed.hasher(old.with_columns(pl.lit(None, pl.Datetime("ns")).alias(TIME)))
        old = old.with_row_index(_PLACE)
        places = old.group_by(identity).agg(pl.col(_PLACE).min())
        rows = rows.join(places, on=identity, how="left", nulls_equal=True, maintain_order="left")
        kept = old.join(rows, on=identity, how="anti", nulls_equal=True)
        whole = pl.concat([kept, rows], how="diagonal_relaxed")
        whole = whole.sort(DAY, _PLACE, nulls_last=True, maintain_order=True).drop(_PLACE)
        return whole.with_columns(pl.col(pl.String, pl.Categorical).fill_null(""))

    def _write_changed(
        self, rows: pl.DataFrame, steps: dict[dt.date | None, float | None], folder: Path
    ) -> list[dict[str, Any]]:
        changed: list[dict[str, Any]] = []
        rows = rows.sort(_BY_SERIES_AND_DAY, maintain_order=True)
        parts = {part[DAY][0]: part for part in rows.partition_by(DAY)}
        filled = _filled_columns(rows)
        for day, part in sorted(parts.items(), key=lambda item: item[0] or dt.date.min):
            key = day.isoformat() if day else ""
            content = fingerprint_texts(part.select(filled[day]))
            if self._contents.get(key) == content:
                continue
            changed.append(
                {
                    "day": key,
                    "known_from": self._known_from(day, revised=key in self._contents),
                    "seen_on": self._feed.seen_on.isoformat(),
                    "rows": part.height,
                    "content": content,
                    "step_s": steps.get(day),
                }
            )
        if not changed:
            return []
        if len(changed) < len(parts):
            days = [dt.date.fromisoformat(entry["day"]) for entry in changed]
            rows = rows.filter(pl.col(DAY).is_in(days))
        file = self._write_file(rows.drop(TIME), changed, folder)
        return [{**entry, **file} for entry in changed]

    def _steps(self, rows: pl.DataFrame) -> dict[dt.date | None, float | None]:
        if self._feed.identity is not None:
            # Rows that a part of their day has left in the store have no time here.
            rows = rows.filter(pl.col(TIME).is_not_null().all().over(DAY))
        return dict(usual_steps(rows, TIME))

    def _known_from(self, day: dt.date | None, revised: bool) -> str:
        first = dt.date.min
        if day is not None and not self._feed.in_advance:
            first = day + dt.timedelta(days=1)
        return (max(first, self._feed.seen_on) if revised else first).isoformat()

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
            "columns": json.dumps(describe_columns(rows)),
            "first_day": first,
            "last_day": last,
            "key": self._feed.key,
        }


def _filled_columns(rows: pl.DataFrame) -> dict[dt.date | None, list[str]]:
    """Of every day the columns whose cells are its content: an empty column is none."""
    names = sorted(name for name in rows.columns if name not in _NOT_CONTENT)
    there = rows.group_by(DAY).agg((pl.col(name) != "").any() for name in names)
    return {row[DAY]: [name for name in names if row[name]] for row in there.iter_rows(named=True)}


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
