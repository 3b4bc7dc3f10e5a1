"""What happened when: gaps, outliers, clock changes."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl

from clepsydra.config import CleaningConfig, SourcesConfig, TaskConfig
from clepsydra.pipelines.clean.regular import Regular
from clepsydra.repair.gaps import find_gaps
from clepsydra.timegrid import add_span, to_wall

__all__ = ["EVENT_SCHEMA", "clock_changes", "series_events"]

# One row an event; `start` and `end` (exclusive) are naive UTC.
_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    "source": pl.String,
    "unique_id": pl.String,
    "kind": pl.String,
    "start": pl.Datetime("ns"),
    "end": pl.Datetime("ns"),
    "steps": pl.Int64,
    "note": pl.String,
}
EVENT_SCHEMA = pl.Schema(_COLUMNS)


def series_events(
    regular: Regular, sources: SourcesConfig, task: TaskConfig, cleaning: CleaningConfig
) -> pl.DataFrame:
    """Every gap and every outlier of some series.

    Returns:
        `source`, `unique_id`, `kind` (`gap`, `outlier`), `start`, `end`, `steps`, `note`.
    """
    name, _ = sources.target
    steps = regular.steps.to_numpy("datetime64[ns]")
    after = np.append(
        steps[1:], add_span(regular.steps[-1], 1, task.freq, task.timezone).to_datetime64()
    ).astype("datetime64[ns]")
    ids, places = np.array(regular.ids, dtype=object), regular.places
    # With zeros for steps without a row, only the steps that nobody could have seen are gaps.
    unseen = regular.is_imputed & np.isnan(regular.observed_y)
    series, first, last = find_gaps(np.where(unseen, np.nan, 0.0), regular.starts)
    gaps = _table(name, ids[series], steps[places[first]], after[places[last]], last - first + 1)
    how = "zero" if task.fill == "zero" else cleaning.gap_method
    at_end = pl.col("end") == pl.lit(after[-1])
    note = pl.when(at_end).then(pl.lit("after the last value; ")).otherwise(pl.lit(""))
    gaps = gaps.with_columns(kind=pl.lit("gap"), note=pl.concat_str(note, pl.lit(f"filled: {how}")))
    at = np.flatnonzero(regular.is_outlier)
    number = regular.series[at]
    fate = "replaced by" if cleaning.replaces_outliers else "kept as"
    outliers = _table(
        name, ids[number], steps[places[at]], after[places[at]], np.ones(len(at), int)
    ).with_columns(
        kind=pl.lit("outlier"),
        note=pl.concat_str(
            pl.Series(regular.observed_y[at]).round(6).cast(pl.String),
            pl.lit(f", {fate} "),
            pl.Series(regular.y[at]).round(6).cast(pl.String),
        ),
    )
    return pl.concat([gaps, outliers]).select(list(EVENT_SCHEMA)).cast(EVENT_SCHEMA)


def _table(
    source: str, ids: np.ndarray, start: np.ndarray, end: np.ndarray, steps: np.ndarray
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": pl.Series([source] * len(ids), dtype=pl.String),
            "unique_id": pl.Series(ids.tolist(), dtype=pl.String),
            "start": start,
            "end": end,
            "steps": steps.astype("int64"),
        }
    )


def clock_changes(
    source: str, timezone: str, first: pd.Timestamp, end: pd.Timestamp, freq: str
) -> pl.DataFrame:
    """Every change of the clocks of a time zone.

    Args:
        source: whose clock it is.
        timezone: IANA name.
        first: from when on (naive UTC).
        end: up to when, not included.
        freq: of the grid; `steps` counts how many of its steps are repeated or skipped.

    Returns:
        As `series_events`, without a `unique_id`: `start` is the instant of the change, `end` is
        when the repeated hour is over; of a skipped hour it is the same instant.

    Examples:
        >>> year = pd.Timestamp("2013-01-01"), pd.Timestamp("2014-01-01")
        >>> clock_changes("flights", "America/New_York", *year, "h").select("start", "note").rows()
        [(datetime.datetime(2013, 3, 10, 7, 0), 'forward by 1:00:00: 2013-03-10 02:00 to 03:00'),
         (datetime.datetime(2013, 11, 3, 6, 0), 'back by 1:00:00: 2013-11-03 02:00 to 01:00')]
    """
    rows = []
    second = pd.Timedelta(1, "s")
    # From the second before, as a change may be at the very beginning.
    probes = pd.Series([*pd.date_range(first - second, end, freq="D"), end])
    moved = (to_wall(probes, timezone) - probes).diff().iloc[1:].ne(pd.Timedelta(0))
    for number in np.flatnonzero(moved):
        seconds = pd.Series(pd.date_range(probes[number], probes[number + 1], freq=second))
        wall = to_wall(seconds, timezone)
        for jump in np.flatnonzero(wall.diff().iloc[1:].ne(second)) + 1:
            if seconds[jump] < end:
                before = wall[jump - 1] + second
                move = wall[jump] - before
                rows.append(_change(source, seconds[jump], before, wall[jump], move, freq))
    return pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")


def _change(
    source: str,
    instant: pd.Timestamp,
    before: pd.Timestamp,
    wall: pd.Timestamp,
    move: pd.Timedelta,
    freq: str,
) -> tuple[str, str, str, dt.datetime, dt.datetime, int, str]:
    width = pd.tseries.frequencies.to_offset(freq)
    is_tick = isinstance(width, pd.tseries.offsets.Tick)
    steps = int(abs(move) / pd.Timedelta(width)) if is_tick else 0
    back = move < pd.Timedelta(0)
    size = str(abs(move).to_pytimedelta())
    note = f"{'back' if back else 'forward'} by {size}: {before:%Y-%m-%d %H:%M} to {wall:%H:%M}"
    over = instant + abs(move) if back else instant
    return (
        source,
        "",
        "clock change",
        instant.to_pydatetime(),
        over.to_pydatetime(),
        steps,
        note,
    )
