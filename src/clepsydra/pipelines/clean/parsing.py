"""Text rows to typed rows, each raw row either kept, set aside for a reason, or quarantined."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.errors import SourceError
from clepsydra.layouts import SERIES, STEP, VALUE, check_has_values, long_cells
from clepsydra.pipelines.clean.ledger import Ledger
from clepsydra.pipelines.clean.numbers import number_faults, with_number
from clepsydra.row_columns import INSTANT, LOCAL, OWN, PROBLEM, ROW
from clepsydra.series_ids import UNIQUE_ID, id_expression
from clepsydra.sources.pieces import IGNORED
from clepsydra.sources.times import TimeReader
from clepsydra.timegrid import utc_candidates

__all__ = [
    "Parsed",
    "parse_attributes",
    "parse_covariate",
    "parse_target",
    "time_reader",
]

_IS_BLANK, _HAS_NO_ID, _UNIQUE = "_is_blank", "_has_no_id", "_unique"
_BLANK = "blank line"
_SECOND = 1_000_000_000
_INT64 = 1 << 63
_DUPLICATE = {"first": "duplicate of an earlier row", "last": "replaced by a later row"}


@dataclass(frozen=True)
class Parsed:
    """What became of a source's rows.

    Attributes:
        rows: the typed rows.
        account: `source`, `unique_id`, `measure`, `value`.
        quarantine: `source`, `file`, `line`, `unique_id`, `reason`, `row` (JSON).
        ids: of a target: every series that a row names, usable or not, with the id columns.
    """

    rows: pl.DataFrame
    account: pl.DataFrame
    quarantine: pl.DataFrame
    ids: pl.DataFrame


def parse_target(
    name: str,
    source: SourceConfig,
    raw: pl.DataFrame,
    end: pd.Timestamp | None = None,
    columns: Iterable[str] | None = None,
    steps: pd.DatetimeIndex | None = None,
    times: TimeReader | None = None,
) -> Parsed:
    """Typed observations of the target source.

    Args:
        name: the source's name.
        source: its description.
        raw: `[N, columns]` text rows from the raw store, in the order in which they came.
        end: the first time whose grid step is not complete at `as_of` (naive UTC); none if not
            given.
        columns: of a wide table, the series to take; all if not given.
        steps: of a table with a row a series, the time of each column.
        times: what `time_reader` gives, for many batches to share; made anew if not given.

    Returns:
        `rows` with `unique_id`, `ds` (naive UTC, not yet on the grid) and `y` (missing where the
        row exists but does not count, as a cancelled flight), sorted.
    """
    if source.layout != "long":
        check_has_values(name, source, raw.columns)
    cells = long_cells(source, raw, columns, steps)
    ledger = Ledger(name, cells)
    rows = _start(source, cells, times, **_target_columns(source))
    rows = _coded(rows)
    ledger.open(rows)
    rows = _without_broken(ledger, rows)
    ids = _series_table(name, source, rows, cells)
    rows = ledger.split(rows, {"no series id": pl.col(_HAS_NO_ID)}, excluded=False)
    rows = rows.drop(_HAS_NO_ID)
    # Rows to be counted or summed may share a time: none of them is the repeat of another's hour.
    shares = source.aggregate in ("count", "sum", "last")
    if source.time_columns:
        rows = _with_readable_time(ledger, rows)
    if source.unique:
        again = ~pl.struct(UNIQUE_ID, _UNIQUE).is_first_distinct()
        rows = ledger.split(rows, {_DUPLICATE["first"]: again}, excluded=False)
    if source.time_columns:
        rows = _in_utc(ledger, source, rows, [] if shares else [UNIQUE_ID])
    rows = _before(ledger, rows, end)
    if source.aggregate == "count":
        kept = rows
        for number, reason in enumerate(source.require.values()):
            kept = ledger.split(kept, {reason: pl.col(f"_lacks_{number}")}, excluded=True)
        counted = kept.select(ROW, pl.lit(1.0).alias("y"))
        rows = rows.join(counted, on=ROW, how="left", maintain_order="left")
        rows = rows.select(UNIQUE_ID, "ds", pl.col("y").fill_null(0.0))
    else:
        rows = _valued(ledger, source, rows)
        if not shares:
            rows = _without_duplicates(ledger, source, rows)
        kept = ledger.split(rows, {"no value": pl.col("y").is_null()}, excluded=True)
        rows = rows.select(UNIQUE_ID, "ds", "y")
    if shares:
        rows = _in_order(rows)
    account, quarantine = ledger.close(kept)
    return Parsed(rows, account, quarantine, ids)


def parse_covariate(
    name: str, source: SourceConfig, raw: pl.DataFrame, end: pd.Timestamp | None = None
) -> Parsed:
    """Typed rows of a covariate source.

    Args:
        name: the source's name.
        source: its description.
        raw: as of `parse_target`.
        end: as of `parse_target`.

    Returns:
        `rows` with `join_key` (the joined id parts), `ds` (naive UTC) and the columns; in the
        account and the quarantine `unique_id` holds the join key.
    """
    cells = raw.with_row_index(ROW)
    ledger = Ledger(name, cells)
    columns = dict(enumerate(source.renames))
    rows = _start(
        source,
        cells,
        None,
        **{f"_cell_{number}": pl.col(name).cast(pl.String) for number, name in columns.items()},
    )
    rows = _coded(rows)
    ledger.open(rows)
    rows = _without_broken(ledger, rows)
    rows = _in_utc(ledger, source, _with_readable_time(ledger, rows), [UNIQUE_ID])
    rows = _before(ledger, rows, end)
    faults: dict[str, pl.Expr] = {}
    for number, column in columns.items():
        cell, absent = f"_cell_{number}", f"_absent_{number}"
        rows = with_number(source, rows, cell, absent, pl.Float32, booleans=True)
        ledger.count(rows.filter(absent), f"missing cells: {column}")
        faults |= {
            f"{what}: {column}": is_so for what, is_so in number_faults(source, cell, absent)
        }
    rows = ledger.split(rows, faults, excluded=False)
    rows = _without_duplicates(ledger, source, rows)
    account, quarantine = ledger.close(rows)
    typed = rows.select(
        pl.col(UNIQUE_ID).cast(pl.String).alias("join_key"),
        "ds",
        *(
            pl.col(f"_cell_{number}").alias(new)
            for number, new in enumerate(source.renames.values())
        ),
    )
    return Parsed(typed, account, quarantine, pl.DataFrame())


def parse_attributes(name: str, source: SourceConfig, raw: pl.DataFrame) -> Parsed:
    """Rows of static attributes: `join_key` and the columns, as text, one row a key."""
    cells = raw.with_row_index(ROW)
    ledger = Ledger(name, cells)
    keys = [pl.col(key) for key in source.join_on.values()]
    rows = _start(source, cells, None, _has_no_key=pl.any_horizontal(key == "" for key in keys))
    ledger.open(rows)
    rows = _without_broken(ledger, rows)
    rows = ledger.split(rows, {"no key": pl.col("_has_no_key")}, excluded=False)
    key = pl.col(UNIQUE_ID)
    again = ~(key.is_first_distinct() if source.duplicates == "first" else key.is_last_distinct())
    rows = ledger.split(rows, {_DUPLICATE[source.duplicates]: again}, excluded=False)
    account, quarantine = ledger.close(rows)
    columns = {new: pl.col(column) for column, new in source.renames.items()}
    table = cells[rows[ROW]].select(rows[UNIQUE_ID].alias("join_key"), **columns)
    return Parsed(table, account, quarantine, pl.DataFrame())


def _series_id(source: SourceConfig) -> pl.Expr:
    return pl.col(SERIES).alias(UNIQUE_ID) if source.layout == "wide" else id_expression(source)


def _id_parts(source: SourceConfig) -> list[str]:
    return [SERIES] if source.layout == "wide" else source.id_columns


def _target_columns(source: SourceConfig) -> dict[str, pl.Expr]:
    """What is needed of a target's row besides its series and its time."""
    column = source.value if source.layout == "long" else VALUE
    missing = [pl.col(part).is_in(source.missing) for part in _id_parts(source)]
    columns = {_HAS_NO_ID: pl.any_horizontal(missing) if missing else pl.lit(False)}
    if column is not None:
        columns[VALUE] = pl.col(column).cast(pl.String)
    if source.layout == "rows":
        columns["ds"] = pl.col(STEP)
    if source.unique:
        columns[_UNIQUE] = pl.struct(source.unique)
    for number, required in enumerate(source.require):
        columns[f"_lacks_{number}"] = pl.col(required).is_in(source.missing)
    return columns


def _start(
    source: SourceConfig, cells: pl.DataFrame, times: TimeReader | None, **columns: pl.Expr
) -> pl.DataFrame:
    """Of each row its number, series and time, what is wrong with it as a whole, and the columns.

    The others stay behind, so that no name of theirs is taken for one that is given here.
    """
    texts = [
        name
        for name, kind in cells.schema.items()
        if kind in (pl.String, pl.Categorical) and name not in OWN
    ]
    is_blank = pl.all_horizontal(pl.col(name) == "" for name in texts if name != SERIES)
    rows = cells.select(
        ROW,
        _series_id(source),
        is_blank.alias(_IS_BLANK),
        (pl.col(PROBLEM) if PROBLEM in cells.columns else pl.lit("")).alias(PROBLEM),
        **columns,
    )
    if not source.time_columns:
        return rows
    timed = (times or time_reader(source))(cells.select(source.time_columns))
    return rows.with_columns(timed.drop(source.time_columns))


_MEANINGS = ("_earlier", "_later", "_shifted", "_ambiguous")


def time_reader(source: SourceConfig) -> TimeReader:
    """Reads the times of rows, and what they can mean in UTC."""
    return TimeReader(source, partial(_meanings, source))


def _meanings(source: SourceConfig, times: pl.DataFrame) -> pl.DataFrame:
    """Different times with what they can mean in UTC."""
    locals_ = times[LOCAL].drop_nulls().unique().sort()
    table = pl.DataFrame(utc_candidates(locals_.to_numpy(), source.timezone))
    return times.join(table, on=LOCAL, how="left", maintain_order="left")


def _coded(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with ids that sort and compare as numbers do, in the order of their text."""
    ids = rows[UNIQUE_ID].unique().cast(pl.String).sort()
    return rows.with_columns(pl.col(UNIQUE_ID).cast(pl.Enum(ids)))


def _series_table(
    name: str, source: SourceConfig, rows: pl.DataFrame, cells: pl.DataFrame
) -> pl.DataFrame:
    """Every series that a row names: `unique_id` and the id columns, sorted.

    Raises:
        SourceError: two different sets of id parts make the same `unique_id`.
    """
    kept = [c for c in source.id_columns if c != UNIQUE_ID] if source.layout != "wide" else []
    named = rows.select(pl.col(ROW, UNIQUE_ID).filter(~pl.col(_HAS_NO_ID)))
    if len(source.id_columns) <= 1 or source.layout == "wide":
        ids = named[UNIQUE_ID].unique().cast(pl.String).sort()
        return pl.DataFrame([ids, *(ids.alias(column) for column in kept)])
    table = cells[named[ROW]].select(_series_id(source), *kept).unique().sort(UNIQUE_ID)
    same = table.filter(pl.col(UNIQUE_ID).is_duplicated())
    if same.height:
        raise SourceError(
            f"source '{name}': several id parts make the same series id, e.g. "
            f"'{same[UNIQUE_ID][0]}'; name other columns in 'id', or fewer"
        )
    return table


def _without_broken(ledger: Ledger, rows: pl.DataFrame) -> pl.DataFrame:
    """Set aside comments and blank lines, and reject records that could not be split."""
    problem = pl.col(PROBLEM)
    blank = pl.col(_IS_BLANK) & (problem == "")
    rows = ledger.split(rows, {IGNORED: problem == IGNORED, _BLANK: blank}, excluded=True)
    reasons = [reason for reason in rows[PROBLEM].unique().sort() if reason]
    broken = {reason: problem == reason for reason in reasons}
    return ledger.split(rows, broken, excluded=False).drop(PROBLEM, _IS_BLANK)


def _with_readable_time(ledger: Ledger, rows: pl.DataFrame) -> pl.DataFrame:
    return ledger.split(rows, {"time not readable": pl.col(LOCAL).is_null()}, excluded=False)


def _in_utc(
    ledger: Ledger, source: SourceConfig, rows: pl.DataFrame, feed: list[str]
) -> pl.DataFrame:
    """The rows whose local time has a meaning, with `ds` (naive UTC).

    Args:
        feed: columns within which the order of rows tells the two copies of a repeated hour
            apart; none: no row is the repeat of another.
    """
    if rows.is_empty():
        return rows.with_columns(pl.lit(None, pl.Datetime("ns")).alias("ds"))
    # A time with an offset is an instant: no clock change makes it ambiguous.
    ambiguous = pl.col("_ambiguous") & pl.col(INSTANT).is_null()
    ds = pl.coalesce(INSTANT, "_later")
    if rows.select(ambiguous.any()).item():
        ledger.count(rows.filter(ambiguous), "clock change: repeated hour")
        if source.ambiguous == "quarantine":
            rows = ledger.split(
                rows, {"time repeated by the clock change": ambiguous}, excluded=False
            )
        is_first = pl.lit(source.ambiguous == "earlier")
        if source.ambiguous == "order" and feed:
            copies = [*feed, LOCAL]
            number, total = pl.int_range(pl.len()).over(copies), pl.len().over(copies)
            is_first = (number == pl.when("_is_backwards").then(total - 1).otherwise(0)) & (
                total > 1
            )
        odd = _with_direction(rows, ambiguous, feed).filter(ambiguous)
        odd = odd.with_columns(is_first.alias("_is_first"))
        rows = rows.join(odd.select(ROW, "_is_first"), on=ROW, how="left", maintain_order="left")
        ds = pl.coalesce(INSTANT, pl.when(pl.col("_is_first")).then("_earlier"), "_later")
    rows = rows.with_columns(ds.alias("ds"))
    skipped = pl.col("ds").is_null()
    if source.nonexistent == "shift_forward":
        shifted = rows.filter(skipped)
        ledger.count(shifted, "clock change: skipped time moved forward")
        rows = rows.with_columns(pl.coalesce("ds", "_shifted").alias("ds"))
    rows = rows.drop(LOCAL, INSTANT, *_MEANINGS, "_is_first", strict=False)
    return ledger.split(rows, {"time skipped by the clock change": skipped}, excluded=False)


def _with_direction(rows: pl.DataFrame, ambiguous: pl.Expr, feed: list[str]) -> pl.DataFrame:
    """The rows of days with a repeated hour, and whether its series has the newest row first."""
    day = pl.col(LOCAL).dt.date()
    days = rows.filter(ambiguous).select(day).to_series().unique()
    step = pl.col(LOCAL).diff()
    falls = (step < pl.duration()).sum() > (step > pl.duration()).sum()
    near = rows.filter(day.is_in(days.implode()))
    return near.with_columns(falls.over([*feed, day]).alias("_is_backwards"))


def _before(ledger: Ledger, rows: pl.DataFrame, end: pd.Timestamp | None) -> pl.DataFrame:
    if end is None:
        return rows
    late = {"period not complete at as_of": pl.col("ds") >= end}
    return ledger.split(rows, late, excluded=True)


def _valued(ledger: Ledger, source: SourceConfig, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that hold a possible number or none, with `y`."""
    rows = with_number(source, rows.with_columns(pl.col(VALUE).alias("y")), "y", "_absent")
    rows = ledger.split(rows, dict(number_faults(source, "y", "_absent")), excluded=False)
    return rows.select(ROW, UNIQUE_ID, "ds", "y")


def _without_duplicates(ledger: Ledger, source: SourceConfig, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in order of series and time, one of each."""
    out_of_order = (pl.col(UNIQUE_ID) == pl.col(UNIQUE_ID).shift()) & (
        pl.col("ds") < pl.col("ds").shift()
    )
    ledger.count(rows.filter(out_of_order), "rows out of order")
    rows = _in_order(rows)
    neighbour = 1 if source.duplicates == "first" else -1
    same = pl.all_horizontal(
        (pl.col(c) == pl.col(c).shift(neighbour)).fill_null(False) for c in (UNIQUE_ID, "ds")
    )
    return ledger.split(rows, {_DUPLICATE[source.duplicates]: same}, excluded=False)


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in order of series and time; those that share both stay in the order they had."""
    if rows.is_empty() or rows["ds"].null_count():
        return rows.sort(UNIQUE_ID, "ds", maintain_order=True)
    ds = rows["ds"].to_physical().to_numpy()
    codes = rows[UNIQUE_ID].to_physical().to_numpy().astype(np.int64)
    unit = _SECOND if (ds % _SECOND == 0).all() else 1
    first, last = int(ds.min()), int(ds.max())
    span = (last - first) // unit + 1
    if last - first >= _INT64 or span * (int(codes.max()) + 1) >= _INT64:
        return rows.sort(UNIQUE_ID, "ds", maintain_order=True)
    # One number sorts twice as fast as two columns.
    return rows.sort(pl.Series(codes * span + (ds - first) // unit), maintain_order=True)
