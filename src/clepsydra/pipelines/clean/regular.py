"""Irregular observations to regular series: one value a grid step, every step explained."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import polars as pl

from clepsydra.config import CleaningConfig, SourceConfig, TaskConfig
from clepsydra.repair.gaps import fill_gaps, series_ends, start_after_long_gaps
from clepsydra.repair.outliers import flag_outliers
from clepsydra.row_columns import DAY
from clepsydra.series_ids import UNIQUE_ID
from clepsydra.timegrid import grid, shorter_than_a_day, snap, to_wall

__all__ = ["Regular", "all_day", "fill_covariate", "regularize", "steps_of", "to_grid"]

_LONGEST_COVARIATE_GAP = 6


def to_grid(
    rows: pl.DataFrame, keys: list[str], values: list[str], source: SourceConfig, task: TaskConfig
) -> pl.DataFrame:
    """Aggregate rows that share their keys and a grid step.

    Args:
        rows: the keys, `ds` (naive UTC, at any times) and the values, sorted by keys and `ds`.
        keys: columns that name a series.
        values: columns to aggregate; null is no value.
        source: says how values that share a step become one.
        task: says what the grid is.

    Returns:
        The same columns, sorted, one row a series and step; null where it had no value.
    """
    stepped = rows.with_columns(steps_of(rows["ds"], task))
    key = [*keys, "ds"]
    shares = pl.all_horizontal(pl.col(column) == pl.col(column).shift() for column in key)
    if not stepped.select(shares.any()).item():
        return stepped
    aggregates = {
        "mean": lambda c: c.mean(),
        "last": lambda c: c.drop_nulls().last(),
        "sum": lambda c: pl.when(c.count() > 0).then(c.sum()),
        "count": lambda c: pl.when(c.count() > 0).then(c.sum()),
    }
    how = aggregates[source.aggregate]
    return stepped.group_by(key).agg(how(pl.col(value)).alias(value) for value in values).sort(key)


def steps_of(ds: pl.Series, task: TaskConfig) -> pl.Series:
    """The grid step, as `ds`, that each naive UTC time belongs to."""
    if shorter_than_a_day(task.freq):
        return pl.Series("ds", snap(pd.Series(ds.to_numpy()), task.freq, task.timezone).to_numpy())
    unique = ds.unique().sort()
    steps = snap(pd.Series(unique.to_numpy()), task.freq, task.timezone)
    return ds.replace_strict(
        unique, pl.Series(steps.to_numpy("datetime64[ns]")), return_dtype=pl.Datetime("ns")
    ).alias("ds")


def all_day(rows: pl.DataFrame, source: SourceConfig, task: TaskConfig) -> pl.DataFrame:
    """Every row once for each grid step of its local day, which has 23 to 25 hours."""
    if rows.is_empty():
        return rows
    day = dt.timedelta(days=1)
    first, last = pd.Timestamp(rows["ds"].min()) - day, pd.Timestamp(rows["ds"].max()) + 2 * day
    steps = grid(
        snap(pd.Series([first]), task.freq, task.timezone)[0], last, task.freq, task.timezone
    )
    walls = to_wall(pd.Series(steps), source.timezone)
    table = pl.DataFrame(
        {
            DAY: pl.Series(walls.to_numpy("datetime64[ns]")).dt.date(),
            "_step": steps.to_numpy("datetime64[ns]"),
        }
    )
    local = pl.col("ds").dt.replace_time_zone("UTC").dt.convert_time_zone(source.timezone)
    dated = rows.with_columns(local.dt.date().alias(DAY))
    whole = dated.join(table, on=DAY, how="inner").drop("ds", DAY).rename({"_step": "ds"})
    return whole.select(rows.columns).sort("join_key", "ds", maintain_order=True)


@dataclass(frozen=True)
class Regular:
    """Series on the grid, one after the other in flat arrays.

    Attributes:
        ids: `[S]` names.
        starts: `[S]` positions of the first steps in the flat arrays.
        first: `[S]` positions of the first steps in `steps`.
        steps: `[G]` the grid (naive UTC).
        y: `[T]` values, none missing.
        is_imputed: `[T]` whether the value was made here.
        is_outlier: `[T]` whether an observed value stands out.
        observed_y: `[T]` the values before any was replaced, NaN where there was none.
    """

    ids: list[str]
    starts: np.ndarray
    first: np.ndarray
    steps: pd.DatetimeIndex
    y: np.ndarray
    is_imputed: np.ndarray
    is_outlier: np.ndarray
    observed_y: np.ndarray

    @cached_property
    def ends(self) -> np.ndarray:
        """`[S]` positions after the last steps."""
        return series_ends(self.y, self.starts)

    @cached_property
    def series(self) -> np.ndarray:
        """`[T]` number of the series of each step."""
        return np.repeat(np.arange(len(self.ids)), self.ends - self.starts)

    @cached_property
    def places(self) -> np.ndarray:
        """`[T]` position in `steps` of each step."""
        shift = self.first - self.starts
        return np.arange(len(self.y)) + np.repeat(shift, self.ends - self.starts)


def regularize(
    observed: pl.DataFrame,
    end: pd.Timestamp,
    task: TaskConfig,
    cleaning: CleaningConfig,
    known_until: pd.Timestamp | None = None,
) -> Regular:
    """Give every series a value for each grid step from its first observation up to `end`.

    Args:
        observed: `unique_id`, `ds`, `y` on the grid, sorted, no value missing.
        end: first step after the panel (naive UTC).
        task: `fill` says what a step without an observation means: `zero` for counts, or
            `interpolate`, as `cleaning` says how.
        cleaning: what becomes of outliers and long gaps.
        known_until: when the source's last day with any row ended. Later steps were not observed:
            they are imputed even where no row would mean zero. `end` if not given.
    """
    steps = grid(observed["ds"].min(), end, task.freq, task.timezone)
    codes = observed[UNIQUE_ID].rle_id().to_numpy()
    ids = observed[UNIQUE_ID].cast(pl.String).unique(maintain_order=True).to_list()
    places = _places(observed["ds"].to_numpy(), steps, task.freq)
    first = places[np.flatnonzero(np.diff(codes, prepend=-1))]
    lengths = len(steps) - first
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    y = np.full(int(lengths.sum()), np.nan)
    y[(starts - first)[codes] + places] = observed["y"].to_numpy()
    if cleaning.gap_limit is not None and cleaning.long_gaps == "cut":
        y, starts, first = _without_beginnings(y, starts, first, cleaning.gap_limit)
    outlier = np.zeros(len(y), dtype=bool)
    observed_y = y
    if cleaning.outliers is not None:
        outlier = flag_outliers(y, starts, cleaning.outliers, task.season_length)
    if cleaning.replaces_outliers:
        y = np.where(outlier, np.nan, y)
    made = np.isnan(y)
    if task.fill == "zero":
        after = steps >= (known_until if known_until is not None else end)
        places_of_all = Regular(ids, starts, first, steps, y, made, outlier, observed_y).places
        unseen = np.isnan(observed_y)
        y = np.where(unseen, 0.0, y)
        made = made & (~unseen | after[places_of_all])
    y = fill_gaps(y, starts, cleaning.gap_method, task.season_length)
    return Regular(ids, starts, first, steps, y, made, outlier, observed_y)


def _places(ds: np.ndarray, steps: pd.DatetimeIndex, freq: str) -> np.ndarray:
    if shorter_than_a_day(freq):
        width = pd.tseries.frequencies.to_offset(freq).nanos
        first = steps[0].to_datetime64().astype("datetime64[ns]")
        return (ds - first).astype("int64") // width
    return np.searchsorted(steps.to_numpy("datetime64[ns]"), ds)


def _without_beginnings(
    y: np.ndarray, starts: np.ndarray, first: np.ndarray, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The series from after their last long gap on."""
    begin = start_after_long_gaps(y, starts, limit)
    ends = series_ends(y, starts)
    keep = np.arange(len(y)) >= np.repeat(begin, ends - starts)
    lengths = ends - begin
    return y[keep], np.concatenate([[0], np.cumsum(lengths)[:-1]]), first + (begin - starts)


def fill_covariate(
    rows: pl.DataFrame, steps: pd.DatetimeIndex, columns: list[str], in_advance: bool
) -> np.ndarray:
    """One key's covariate columns on the grid; up to 6 steps of a gap are filled, the others stay
    missing.

    Args:
        rows: `ds` and the columns, one row a step.
        steps: `[G]` the grid.
        columns: `[C]` names.
        in_advance: whether both ends of a gap are known in it, so that it is interpolated;
            otherwise it is filled with the last value before it.

    Returns:
        `[G, C]` float32.
    """
    on_grid = rows.to_pandas().set_index("ds")[columns].astype("float64").reindex(steps)
    if in_advance:
        on_grid = on_grid.interpolate(limit=_LONGEST_COVARIATE_GAP, limit_area="inside")
    else:
        on_grid = on_grid.ffill(limit=_LONGEST_COVARIATE_GAP, limit_area="inside")
    return on_grid.to_numpy("float32")
