"""Older versions of what is known in advance: what a forecast made earlier would have known.

A weather forecast is revised every day. The panel holds its last version, and a backtest that reads
it knows the weather better than a run of that day did. A vintage is a value that was replaced, with
the times between which it held. Only what was replaced is kept, value by value: the versions of all
days, put together for every day, would grow with the square of the days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pandas as pd
import polars as pl

from clepsydra.config import SourceConfig, TaskConfig
from clepsydra.datasets.raw_store import RawStore
from clepsydra.origins import known_from
from clepsydra.pipelines.clean.parsing import parse_covariate
from clepsydra.pipelines.clean.regular import all_day, fill_covariate, steps_of, to_grid
from clepsydra.row_columns import VERSION
from clepsydra.timegrid import add_span, grid, local_day_start, shorter_than_a_day, snap

__all__ = ["source_vintages", "vintages_of_series"]

_KEYS = ["join_key", "ds", "known_until"]
_AT, _FROM, _TO, _STEP = "_at", "_from", "_to", "_step"
# Cells of the grid that are worked on at a time.
_CELLS = 8_000_000


def source_vintages(
    name: str,
    source: SourceConfig,
    raw: RawStore,
    task: TaskConfig,
    timezone: str,
    as_of: dt.date | None,
) -> pl.DataFrame:
    """The values of a covariate known in advance that later versions of its days replaced.

    Every version goes the way of the newest: gaps are filled from what was known with it.

    Args:
        name: the source's name.
        source: its description; its columns are revised together.
        raw: its snapshots. If no day has several versions, no file is opened.
        task: what the grid is.
        timezone: of the target, see `origins.known_from`.
        as_of: what is known.

    Returns:
        `join_key`, `ds`, `known_from`, `known_until` (naive UTC, see `origins.known_from`) and the
        columns, sorted. The rows of a step follow each other without a break, up to the value that
        is in the panel. None is of a time at which no version of the step's day was there.
    """
    columns = list(source.renames.values())
    times = ((time, pl.Datetime("ns")) for time in ("ds", "known_from", "known_until"))
    values = ((column, pl.Float32()) for column in columns)
    schema = pl.Schema([("join_key", pl.String()), *times, *values])
    versions = raw.versions(as_of)
    if source.known != "in_advance" or versions.empty:
        return pl.DataFrame(schema=schema)
    moments = sorted(set(versions["known_from"]))
    number = {moment: place for place, moment in enumerate(moments)}
    begins = versions["known_from"].map(number)
    ends = begins.groupby(versions["day"]).shift(-1).fillna(len(moments)).astype(int)
    rows = _rows_of(name, source, raw, task, versions.assign(begins=begins, ends=ends))
    if rows.is_empty():
        return pl.DataFrame(schema=schema)
    steps = grid(
        pd.Timestamp(rows[_STEP].min()),
        add_span(pd.Timestamp(rows[_STEP].max()), 1, task.freq, task.timezone),
        task.freq,
        task.timezone,
    )
    first = _first_moments(begins.groupby(versions["day"]).min(), steps, source, task)
    cells = _cells(rows, columns, source, task, len(moments))
    table = pl.concat(_replaced(cells, steps, first, columns))
    at = [known_from(dt.date.fromisoformat(moment), task, timezone) for moment in moments]
    known = pl.Series(pd.DatetimeIndex([time.as_unit("ns") for time in at]).to_numpy())
    table = table.with_columns(
        known.gather(table[column]).alias(column) for column in ("known_from", "known_until")
    )
    return table.cast(schema).select(list(schema)).sort(_KEYS)


def _rows_of(
    name: str, source: SourceConfig, raw: RawStore, task: TaskConfig, versions: pd.DataFrame
) -> pl.DataFrame:
    """Typed rows of every version, with the moments from and up to which it was the newest."""
    called = versions["begins"].astype(str) + "_" + versions["ends"].astype(str)
    rows = raw.read_versions(versions.assign(version=called))
    if rows.is_empty():
        return rows
    # A version is a part of the key, so that rows of different versions are never duplicates.
    join = {**source.join_on, VERSION: VERSION}
    typed = parse_covariate(name, source.model_copy(update={"join": join}), rows).rows
    if source.lasts and shorter_than_a_day(task.freq):
        typed = all_day(typed, source, task)
    key = pl.col("join_key").str.extract_groups(r"(?s)^(?:(.*)-)?(\d+)_(\d+)$")
    return typed.with_columns(
        key.struct.field("1").fill_null("").alias("join_key"),
        key.struct.field("2").cast(pl.Int64).alias(_FROM),
        key.struct.field("3").cast(pl.Int64).alias(_TO),
        steps_of(typed["ds"], task).alias(_STEP),
    )


def _first_moments(
    days: pd.Series, steps: pd.DatetimeIndex, source: SourceConfig, task: TaskConfig
) -> np.ndarray:
    """`[G]` the moment at which a version of the step's day was there first."""
    first = np.full(len(steps), np.iinfo(np.int64).max)
    dates = [dt.date.fromisoformat(str(day)) for day in days.index]
    nights = [dt.timedelta(0), dt.timedelta(days=1)]
    starts, ends = (
        pd.Series([local_day_start(date + night, source.timezone) for date in dates])
        for night in nights
    )
    own = zip(
        steps.searchsorted(snap(starts, task.freq, task.timezone)),
        steps.searchsorted(snap(ends - pd.Timedelta(1, "ns"), task.freq, task.timezone), "right"),
        days,
        strict=True,
    )
    for start, end, moment in own:
        first[start:end] = np.minimum(first[start:end], moment)
    return first


def _cells(
    rows: pl.DataFrame, columns: list[str], source: SourceConfig, task: TaskConfig, last: int
) -> pl.DataFrame:
    """`join_key`, `ds`, `_at` and the columns: every cell of the grid when its rows change."""
    place = ["join_key", _STEP]
    changes = pl.concat(
        rows.select(*place, pl.col(moment).alias(_AT)) for moment in (_FROM, _TO)
    ).filter(pl.col(_AT) < last)
    changes = changes.unique()
    there = changes.join(rows, on=place).filter(pl.col(_AT).is_between(_FROM, _TO, closed="left"))
    there = there.select("join_key", _AT, "ds", *columns).sort("join_key", _AT, "ds")
    values = to_grid(there, ["join_key", _AT], columns, source, task)
    return changes.rename({_STEP: "ds"}).join(values, on=["join_key", "ds", _AT], how="left")


def _replaced(
    cells: pl.DataFrame, steps: pd.DatetimeIndex, first: np.ndarray, columns: list[str]
) -> Iterator[pl.DataFrame]:
    """The filled values that did not last, with the numbers of the moments between which they did.

    Some keys at a time.
    """
    keys = cells["join_key"].unique().sort()
    size = max(1, _CELLS // (len(steps) * len(columns)))
    for start in range(0, len(keys), size):
        chosen = keys[start : start + size]
        table = _Filled(steps, len(chosen), len(columns), first)
        own = cells.join(pl.DataFrame({"join_key": chosen}).with_row_index("_k"), on="join_key")
        for (at,), part in own.sort(_AT).group_by(_AT, maintain_order=True):
            places = steps.get_indexer(pd.DatetimeIndex(part["ds"].to_numpy()))
            table.update(
                int(str(at)),
                places,
                part["_k"].to_numpy(),
                part.select(pl.col(columns).cast(pl.Float32)).to_numpy(),
            )
        yield table.replaced(chosen, columns)


class _Filled:
    """Cells of some keys on the grid, which change moment after moment.

    Args:
        steps: `[G]` the grid.
        keys: how many.
        columns: how many each key has; they are revised together.
        first: `[G]` the moment from which each step is known.
    """

    def __init__(self, steps: pd.DatetimeIndex, keys: int, columns: int, first: np.ndarray):
        self._steps = steps
        self._keys, self._columns = keys, columns
        self._first = first
        self._since = np.repeat(first[:, None], keys, axis=1)
        # A column of each key after the other, as given, and with gaps filled.
        self._given = np.full((len(steps), keys * columns), np.nan, "float32")
        self._filled = self._given.copy()
        self._replaced: list[tuple[np.ndarray, ...]] = []

    def update(self, at: int, places: np.ndarray, keys: np.ndarray, values: np.ndarray) -> None:
        """Change `[N]` places of keys, fill the gaps around them, and note what that replaces."""
        own = keys[:, None] * self._columns + np.arange(self._columns)
        self._given[places[:, None], own] = values
        low, high, flat = int(places.min()), int(places.max()), np.unique(own)
        gappy = flat[self._has_gap(low, high, flat)]
        whole = np.setdiff1d(flat, gappy)
        changes = [self._differing(low, self._given[low : high + 1, whole], whole)]
        changes += [self._differing(*self._refilled(low, high, one), one[None]) for one in gappy]
        rows, cols, new = (np.concatenate(parts) for parts in zip(*changes, strict=True))
        step, key = np.divmod(np.unique(rows * self._keys + cols // self._columns), self._keys)
        is_known = self._first[step] < at
        step, key = step[is_known], key[is_known]
        old = self._filled[step[:, None], key[:, None] * self._columns + np.arange(self._columns)]
        self._replaced.append((step, key, self._since[step, key], np.full(len(key), at), old))
        self._since[step, key] = at
        self._filled[rows, cols] = new

    def _has_gap(self, low: int, high: int, flat: np.ndarray) -> np.ndarray:
        """`[F]` whether any of these cells, or of those beside them, might be filled."""
        given = self._given
        has_gap = np.isnan(given[max(low - 1, 0) : high + 1, flat]).any(axis=0)
        if high + 1 < len(given):
            open_end = np.flatnonzero(np.isnan(given[high + 1, flat]))
            has_gap[open_end] |= ~np.isnan(given[high + 1 :, flat[open_end]]).all(axis=0)
        return has_gap

    def _refilled(self, low: int, high: int, one: np.ndarray) -> tuple[int, np.ndarray]:
        """A column's cells from the last value before `low` to the first after `high`, filled."""
        given = self._given[:, one]
        before = np.flatnonzero(~np.isnan(given[:low]))
        after = np.flatnonzero(~np.isnan(given[high + 1 :]))
        start = int(before[-1]) if len(before) else 0
        end = high + 1 + int(after[0]) if len(after) else len(given) - 1
        steps = self._steps[start : end + 1]
        rows = pl.DataFrame({"ds": steps.to_numpy(), "value": given[start : end + 1]})
        return start, fill_covariate(rows, steps, ["value"], in_advance=True)

    def _differing(
        self, low: int, new: np.ndarray, flat: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row, column and new value of each cell that is filled otherwise than before."""
        old = self._filled[low : low + len(new), flat]
        rows, cols = np.nonzero((new != old) & ~(np.isnan(new) & np.isnan(old)))
        return rows + low, flat[cols], new[rows, cols]

    def replaced(self, keys: pl.Series, columns: list[str]) -> pl.DataFrame:
        """Everything that was replaced so far."""
        step, key, since, until, old = (
            np.concatenate(parts) for parts in zip(*self._replaced, strict=True)
        )
        return pl.DataFrame(
            {
                "join_key": keys.gather(key),
                "ds": self._steps.to_numpy("datetime64[ns]")[step],
                "known_from": since,
                "known_until": until,
                **dict(zip(columns, old.T, strict=True)),
            }
        )


def vintages_of_series(
    ids: list[str],
    keys: dict[str, list[str]],
    tables: dict[str, pl.DataFrame],
    first: list[pd.Timestamp],
    end: pd.Timestamp,
) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """When a column of each series was replaced, by which source, put together.

    Args:
        ids: `[S]` the series.
        keys: source to `[S]` what each series is joined on.
        tables: source to what `source_vintages` gives.
        first: `[S]` the first step of each series.
        end: the step after the last of all.

    Returns:
        moments: `series` (its number), `ds`, `known_from`, `known_until`, sorted: a row for each
            time at which any source of the step was replaced.
        places: source to `[N]` the row of its table that held then; null if the newest did.
    """
    own = pl.DataFrame({"series": np.arange(len(ids)), "_first": first}).cast(
        {"_first": pl.Datetime("ns")}
    )
    place = ["series", "ds", "known_until"]
    joined = {}
    for name, table in tables.items():
        rows = table.select("join_key", "ds", "known_from", "known_until").with_row_index("_place")
        keyed = own.with_columns(pl.Series("join_key", keys[name], pl.String))
        rows = rows.join(keyed, on="join_key")
        joined[name] = rows.filter(pl.col("ds") >= pl.col("_first"), pl.col("ds") < end)
    moments = pl.concat(rows.select(place) for rows in joined.values()).unique().sort(place)
    step = ["series", "ds"]
    places: dict[str, pl.Series] = {}
    begins = []
    for name, rows in joined.items():
        held = moments.join(
            rows.select(*place, "known_from", "_place"), on=place, how="left", maintain_order="left"
        ).with_columns(pl.col("known_from", "_place").backward_fill().over(step))
        places[name] = held["_place"]
        begins.append(held["known_from"].alias(name))
    earliest = pl.DataFrame(begins).select(pl.min_horizontal(pl.all())).to_series()
    before = pl.col("known_until").shift().over(step)
    return moments.with_columns(pl.coalesce(before, earliest).alias("known_from")), places
