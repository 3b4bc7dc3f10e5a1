"""The shapes of raw tables: a row an observation, a column a series, or a row a series."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import polars as pl

from clepsydra.config import SourceConfig, TaskConfig
from clepsydra.errors import SourceError
from clepsydra.row_columns import OWN, ROW
from clepsydra.timegrid import add_span, grid, snap, to_utc

__all__ = [
    "SERIES",
    "STEP",
    "VALUE",
    "check_has_values",
    "long_cells",
    "row_steps",
    "value_columns",
]

# The series, the value and the time of a row, where the table's shape tells them.
SERIES, VALUE, STEP = "_series", "_value", "_step"


def value_columns(source: SourceConfig, raw_columns: Iterable[str]) -> list[str]:
    """The columns that hold values, in order: series of a wide table, steps of one of rows."""
    fixed = set(OWN) | set(source.time_columns) | set(source.id_columns)
    return list(source.renames) or [column for column in raw_columns if column not in fixed]


def long_cells(
    source: SourceConfig,
    raw: pl.DataFrame,
    columns: Iterable[str] | None,
    steps: pd.DatetimeIndex | None,
) -> pl.DataFrame:
    """One row an observation, numbered, the cells of a wide table one below the other."""
    if source.layout == "long":
        return raw.with_row_index(ROW)
    kept = [*source.time_columns, *source.id_columns, *(c for c in raw.columns if c in OWN)]
    if source.layout == "wide":
        names = list(value_columns(source, raw.columns) if columns is None else columns)
        long = raw.unpivot(names, index=kept, variable_name=SERIES, value_name=VALUE)
        renamed = pl.col(SERIES).replace(source.renames)
        return long.with_columns(renamed).with_row_index(ROW)
    assert steps is not None
    names = value_columns(source, raw.columns)
    if source.end is not None:
        # Every series has its last value at the last step, however many it has.
        last = raw.select(_last_filled(names, source.missing)).to_series()
    long = raw.with_columns(
        (pl.lit(len(names) - 1) - last if source.end is not None else pl.lit(0)).alias("_shift")
    ).unpivot(names, index=[*kept, "_shift"], variable_name=SERIES, value_name=VALUE)
    numbers = pl.DataFrame({SERIES: names, "_at": range(len(names))})
    times = pl.DataFrame({"_at": range(len(steps)), STEP: steps.to_numpy("datetime64[ns]")})
    return (
        long.join(numbers, on=SERIES, how="left", maintain_order="left")
        .with_columns((pl.col("_at") + pl.col("_shift")).alias("_at"))
        .join(times, on="_at", how="left", maintain_order="left")
        .drop("_shift", "_at")
        .with_row_index(ROW)
    )


def check_has_values(name: str, source: SourceConfig, raw_columns: Iterable[str]) -> None:
    if not value_columns(source, raw_columns):
        fixed = ", ".join(map(repr, source.time_columns or source.id_columns))
        raise SourceError(
            f"source '{name}': beside {fixed} there is no column, so there are no values; correct "
            f"'separator' or 'layout'"
        )


def _last_filled(names: list[str], missing: list[str]) -> pl.Expr:
    filled = (
        pl.when(~pl.col(name).str.strip_chars().is_in(missing)).then(pl.lit(number)).otherwise(-1)
        for number, name in enumerate(names)
    )
    return pl.max_horizontal(filled)


def row_steps(
    source: SourceConfig, task: TaskConfig, raw_columns: Iterable[str]
) -> pd.DatetimeIndex | None:
    """Of a table with a row a series, the time of each column (naive UTC)."""
    if source.layout != "rows":
        return None
    number = len(value_columns(source, raw_columns))
    freq, zone = task.freq, task.timezone
    stamp = pd.Timestamp(source.start or source.end)
    if stamp.tzinfo is None:
        named = to_utc(stamp, source.timezone)
    else:
        named = stamp.tz_convert("UTC").tz_localize(None)
    first = snap(pd.Series([named]), freq, zone).iloc[0]
    if source.end is not None:
        first = add_span(first, 1 - number, freq, zone)
    return grid(first, add_span(first, number, freq, zone), freq, zone)
