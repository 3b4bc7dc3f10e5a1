"""One row a series: its grid, its flags, its part of the account."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from clepsydra.config import CleaningConfig, SourceConfig, SourcesConfig, TaskConfig
from clepsydra.pipelines.clean.ledger import ACCOUNT_SCHEMA
from clepsydra.pipelines.clean.parsing import Parsed
from clepsydra.pipelines.clean.regular import Regular
from clepsydra.repair.gaps import find_gaps
from clepsydra.series_ids import UNIQUE_ID
from clepsydra.timegrid import add_span, period_start

__all__ = ["account_of_panel", "empty_series", "series_table"]

_KEPT = "rows kept"


def empty_series(source: SourceConfig) -> pl.DataFrame:
    """The columns of `series_table`, without a row."""
    ids = [column for column in source.id_columns if column != UNIQUE_ID]
    kept = ids if source.layout != "wide" else []
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        UNIQUE_ID: pl.String,
        "shard": pl.Int64,
        "freq": pl.String,
        "season_lengths": pl.List(pl.Int64),
        "first_ds": pl.Datetime("ns"),
        "last_ds": pl.Datetime("ns"),
        "n_observations": pl.Int64,
        "flags": pl.String,
        **({"unit": pl.String} if source.unit else {}),
        **dict.fromkeys(kept, pl.String),
    }
    return pl.DataFrame(schema=pl.Schema(schema))


def series_table(
    ids: pl.DataFrame,
    regular: Regular | None,
    end: pd.Timestamp,
    task: TaskConfig,
    source: SourceConfig,
    shard: int,
) -> pl.DataFrame:
    """One row for every series that a raw row names, usable or not.

    Returns:
        `unique_id`, `shard`, `freq`, `season_lengths`, `first_ds`, `last_ds`, `n_observations`,
        `flags` (any of `empty`, `single point`, `constant`, `short`: less than two seasons,
        `ended`: silent for more than four seasons), then the unit and the id columns.
    """
    nothing = empty_series(source)
    if ids.is_empty():
        return nothing
    found = _observed(regular, task) if regular else pl.DataFrame({UNIQUE_ID: []})
    table = ids.join(
        found.cast({UNIQUE_ID: pl.String}), on=UNIQUE_ID, how="left", maintain_order="left"
    )
    if not regular:
        table = table.with_columns(
            n_observations=0, first_ds=None, last_ds=None, length=0, is_constant=False
        )
    season = task.season_length
    silent_since = add_span(end, -4 * season, task.freq, task.timezone)
    number = pl.col("n_observations").fill_null(0)
    flags = {
        "empty": number == 0,
        "single point": number == 1,
        "constant": (number > 1) & pl.col("is_constant"),
        "short": pl.col("length").fill_null(0) < 2 * season,
        "ended": pl.col("last_ds") < pl.lit(silent_since.to_datetime64()),
    }
    marks = [pl.when(is_set).then(pl.lit(flag)) for flag, is_set in flags.items()]
    columns: dict[str, Any] = {
        "shard": pl.lit(shard, pl.Int64),
        "freq": pl.lit(task.freq),
        "season_lengths": pl.lit(task.season_lengths),
        "n_observations": number,
        "flags": pl.concat_list(marks).list.drop_nulls().list.join(", "),
        **({"unit": pl.lit(source.unit)} if source.unit else {}),
    }
    described = table.with_columns(**columns)
    return described.select(nothing.columns).cast(nothing.schema)


def _observed(regular: Regular, task: TaskConfig) -> pl.DataFrame:
    """Of every series its first and last time, and how its observations are."""
    y, starts = regular.observed_y, regular.starts
    is_seen = ~np.isnan(y)
    lengths = regular.ends - starts
    number = np.add.reduceat(is_seen, starts, dtype=np.int64)
    has_zeros = (number < lengths) & (task.fill == "zero")
    # Where steps without a row are zeros, a series is silent since its last other value.
    is_loud = is_seen & (y != 0) if task.fill == "zero" else is_seen
    first = np.minimum.reduceat(np.where(is_seen, regular.places, len(regular.steps)), starts)
    last = np.maximum.reduceat(np.where(is_loud, regular.places, -1), starts)
    ds = regular.steps.to_numpy("datetime64[ns]")
    return pl.DataFrame(
        {
            UNIQUE_ID: regular.ids,
            "n_observations": number,
            "first_ds": ds[first],
            "last_ds": ds[np.where(last < 0, first, last)],
            "length": lengths,
            "is_constant": (np.fmin.reduceat(y, starts) == np.fmax.reduceat(y, starts))
            & ~has_zeros,
        }
    )


def account_of_panel(
    regular: Regular,
    parsed: Parsed,
    sources: SourcesConfig,
    task: TaskConfig,
    cleaning: CleaningConfig,
) -> pl.DataFrame:
    """What the grid made of each series: steps, gaps, outliers, and rows before a cut.

    Returns:
        `source` (`panel`; the target's name for the rows before a cut), `unique_id`, `measure`,
        `value`.
    """
    series = regular.series
    count = len(regular.ids)
    made = regular.is_imputed
    unseen = made & np.isnan(regular.observed_y)
    lengths = regular.ends - regular.starts
    imputed = np.bincount(series[made], minlength=count)
    gap_series, _, _ = find_gaps(np.where(unseen, np.nan, 0.0), regular.starts)
    end = len(regular.steps)
    last_seen = np.full(count, -1)
    there = np.flatnonzero(~np.isnan(regular.observed_y))
    np.maximum.at(last_seen, series[there], regular.places[there])
    measures = {
        "grid steps": lengths,
        "steps imputed": imputed,
        "share imputed": imputed / lengths,
        "gaps filled": np.bincount(gap_series, minlength=count),
        "outliers": np.bincount(series[regular.is_outlier], minlength=count),
        "steps since the last value": end - 1 - last_seen,
    }
    account = pl.concat(
        pl.DataFrame({UNIQUE_ID: regular.ids, "value": values.astype(float)}).with_columns(
            source=pl.lit("panel"), measure=pl.lit(measure)
        )
        for measure, values in measures.items()
    )
    account = account.select(list(ACCOUNT_SCHEMA)).cast(ACCOUNT_SCHEMA)
    if cleaning.long_gaps == "fill":
        return account
    return pl.concat([account, _cut_rows(regular, parsed, sources, task, cleaning)])


def _cut_rows(
    regular: Regular,
    parsed: Parsed,
    sources: SourcesConfig,
    task: TaskConfig,
    cleaning: CleaningConfig,
) -> pl.DataFrame:
    """Rows before a long gap: no longer kept, but excluded."""
    name, source = sources.target
    cuts = {
        place: period_start(regular.steps[place], task.freq, task.timezone).to_datetime64()
        for place in np.unique(regular.first).tolist()
    }
    begins = pl.DataFrame(
        {
            UNIQUE_ID: pl.Series(regular.ids, dtype=pl.String),
            "begin": np.array([cuts[place] for place in regular.first], dtype="datetime64[ns]"),
        }
    )
    counted = pl.col("y") > 0 if source.aggregate == "count" else pl.col("y").is_not_null()
    rows = parsed.rows.with_columns(pl.col(UNIQUE_ID).cast(pl.String)).join(begins, on=UNIQUE_ID)
    before = rows.filter(counted & (pl.col("ds") < pl.col("begin")))
    number = before.group_by(UNIQUE_ID).agg(value=pl.len().cast(pl.Float64)).sort(UNIQUE_ID)
    reason = f"excluded: before a gap of more than {cleaning.gap_limit} steps"
    return pl.concat(
        number.select(
            source=pl.lit(name), unique_id=UNIQUE_ID, measure=pl.lit(measure), value=sign * value
        )
        for measure, sign, value in (
            (_KEPT, -1.0, pl.col("value")),
            (reason, 1.0, pl.col("value")),
        )
    ).cast(ACCOUNT_SCHEMA)
