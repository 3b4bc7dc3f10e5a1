"""Rows that arrive in batches, given out again by days, without all of them in memory.

Most feeds come in order of time, so days are complete one after the other and are given out while
the rest is read. Other feeds, such as a file with series after series, wait on the disk.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from clepsydra.row_columns import DAY, FILE

__all__ = ["Arrivals", "Waiting", "day_of", "is_of", "key_of_day"]

Day = dt.date | None

_FILE_ROWS = 250_000
_HELD_ROWS = 1_000_000


class Arrivals:
    """Groups of whole days, each enough for a file.

    A day is given out once a batch has only later ones. Rows of a day that was given out already
    are `late`.

    Args:
        folder: for what waits.
        batches: rows with `_day`, in order of it within a batch; null is undated.
        early: give out days before all batches are read.

    Attributes:
        late: rows of days that had been given out.
        days: all days that have come.
    """

    def __init__(self, folder: Path, batches: Iterable[pl.DataFrame], early: bool = True):
        self._waiting = Waiting(folder, "waiting")
        self._batches = batches
        self._early = early
        self.late = Waiting(folder, "late")
        self.days: set[Day] = set()

    def __iter__(self) -> Iterator[pl.DataFrame]:
        given: set[Day] = set()
        for batch in self._batches:
            days = set(batch[DAY].unique())
            self.days |= days
            if days & given:
                # The feed goes back in time: what is to come waits for the end.
                self._early = False
                is_late = is_of(days & given)
                self.late.add(batch.filter(is_late))
                batch = batch.filter(~is_late)
            self._waiting.add(batch)
            if not self._early:
                continue
            first = min((day for day in days if day), default=None)
            over = [day for day in self._waiting.rows if day and first and day < first]
            for group in self._groups(over, only_full=True):
                given |= set(group)
                yield self._waiting.take(group)
        for group in self._groups(list(self._waiting.rows), only_full=False):
            yield self._waiting.take(group)

    def _groups(self, days: Sequence[Day], only_full: bool) -> Iterator[list[Day]]:
        """Days in order, put together until they fill a file; undated rows by themselves."""
        if None in days:
            yield [None]
        group: list[Day] = []
        size = 0
        for day in sorted(day for day in days if day):
            group.append(day)
            size += self._waiting.rows[day]
            if size >= _FILE_ROWS:
                yield group
                group, size = [], 0
        if group and not only_full:
            yield group


class Waiting:
    """Rows by day, in memory while they are few, on the disk when they are many.

    Attributes:
        rows: how many there are of each day.
    """

    def __init__(self, folder: Path, name: str):
        self.rows: dict[Day, int] = {}
        self._folder = folder
        self._name = name
        self._held: list[tuple[pl.DataFrame, set[Day]]] = []
        self._files: list[tuple[Path, dict[Day, int], str | None]] = []
        self._written = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Let these rows wait."""
        if rows.is_empty():
            return
        counts = dict(rows.group_by(DAY).len().iter_rows())
        for day, number in counts.items():
            self.rows[day] = self.rows.get(day, 0) + number
        if None in counts:
            # Undated rows wait longest, and a few of them would keep the memory of all the others.
            self._put_down(rows.filter(pl.col(DAY).is_null()))
            rows = rows.filter(pl.col(DAY).is_not_null())
            del counts[None]
        if counts:
            self._held.append((rows, set(counts)))
        if sum(held.height for held, _ in self._held) > _HELD_ROWS:
            for held, _ in self._held:
                self._put_down(held)
            self._held = []

    def take(self, days: Iterable[Day]) -> pl.DataFrame:
        """All rows of these days, in the order in which they came; they no longer wait."""
        wanted = set(days)
        frames = [self._take_up(*file, wanted) for file in self._files if wanted & set(file[1])]
        still: list[tuple[pl.DataFrame, set[Day]]] = []
        for held, own in self._held:
            if own <= wanted:
                frames.append(held)
            elif own & wanted:
                frames.append(held.filter(is_of(wanted)))
                still.append((held.filter(~is_of(wanted)), own - wanted))
            else:
                still.append((held, own))
        self._held = still
        for day in wanted:
            self.rows.pop(day, None)
        # Null stands for the cells of a column that a batch did not have.
        return pl.concat(frames, how="diagonal_relaxed")

    def _put_down(self, rows: pl.DataFrame) -> None:
        path = self._folder / f"{self._name}-{self._written:06d}.arrow"
        self._written += 1
        rows = rows if rows[DAY].is_sorted() else rows.sort(DAY, maintain_order=True)
        file = str(rows[FILE][0]) if rows[FILE].n_unique() == 1 else None
        table = rows.drop([FILE] if file else []).to_arrow(compat_level=pl.CompatLevel.oldest())
        index: dict[Day, int] = {}
        start = 0
        with pa.ipc.new_file(path, table.schema) as writer:
            counts = rows.group_by(DAY, maintain_order=True).len()
            for number, (day, length) in enumerate(counts.iter_rows()):
                index[day] = number
                writer.write_batch(table.slice(start, length).combine_chunks().to_batches()[0])
                start += length
        self._files.append((path, index, file))

    def _take_up(
        self, path: Path, index: dict[Day, int], file: str | None, wanted: set[Day]
    ) -> pl.DataFrame:
        with pa.OSFile(str(path)) as source:
            reader = pa.ipc.open_file(source)
            numbers = sorted(number for day, number in index.items() if day in wanted)
            batches = [reader.get_batch(number) for number in numbers]
            rows = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))
        for day in wanted:
            index.pop(day, None)
        return rows.with_columns(pl.lit(file).alias(FILE)) if file else rows


def is_of(days: set[Day]) -> pl.Expr:
    """Whether a row is of one of these days; None stands for undated rows."""
    dated = pl.col(DAY).is_in([day for day in days if day]).fill_null(False)
    return dated | pl.col(DAY).is_null() if None in days else dated


def key_of_day(day: Day) -> str:
    """The day as text; nothing for undated rows."""
    return day.isoformat() if day else ""


def day_of(key: str) -> Day:
    """What `key_of_day` made a text of."""
    return dt.date.fromisoformat(key) if key else None
