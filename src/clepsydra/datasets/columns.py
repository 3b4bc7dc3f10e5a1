"""What the columns of a raw table hold, and how far its times are apart."""

from __future__ import annotations

import datetime as dt

import polars as pl

from clepsydra.row_columns import DAY

__all__ = ["KINDS", "describe_columns", "usual_steps"]

_SAMPLE_ROWS = 1000
_MOST = 0.95
_NO_VALUE = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "None", "-", "--"]
KINDS = {
    "integer": r"^[+-]?\d+$",
    "number": r"^[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?$",
    "time": r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|^\d{1,2}[:.]\d{2}([:.]\d{2})?$",
    "boolean": r"^(?i:true|false)$",
}


def describe_columns(rows: pl.DataFrame) -> dict[str, str]:
    """The kind of each column of text: integer, number, time, boolean, text or empty.

    A sample of the rows decides; a few odd cells do not change the kind of a column.

    Examples:
        >>> describe_columns(pl.DataFrame({"a": ["1", "2"], "b": ["1,5", "NA"], "c": ["x", ""]}))
        {'a': 'integer', 'b': 'number', 'c': 'text'}
    """
    sample = rows.gather_every(max(1, rows.height // _SAMPLE_ROWS))
    return {
        name: _kind(sample[name])
        for name, dtype in sample.schema.items()
        if dtype in (pl.String, pl.Categorical) and not name.startswith("_")
    }


def _kind(cells: pl.Series) -> str:
    cells = cells.cast(pl.String).str.strip_chars()
    cells = cells.filter(~cells.is_in(_NO_VALUE))
    if cells.is_empty():
        return "empty"
    for kind, pattern in KINDS.items():
        if cells.str.contains(pattern).sum() >= _MOST * len(cells):
            return kind
    return "text"


def usual_steps(rows: pl.DataFrame, time: str) -> dict[dt.date | None, float]:
    """Seconds between two times of a day, of the days whose times are nearly all equally far apart.

    Args:
        rows: `[N, columns]`.
        time: name of the column of times.

    Examples:
        >>> hours = [dt.datetime(2024, 1, 1, hour) for hour in range(24)]
        >>> usual_steps(pl.DataFrame({"at": hours}), "at")
        {datetime.date(2024, 1, 1): 3600.0}
    """
    gaps = (
        rows.select(pl.col(time).drop_nulls().unique().sort())
        .with_columns(pl.col(time).dt.date().alias(DAY))
        .with_columns(pl.col(time).diff().over(DAY).alias("_gap"))
        .drop_nulls("_gap")
    )
    usual = pl.col("_gap").mode().min()
    of_days = gaps.group_by(DAY).agg(
        usual.alias("step"), (pl.col("_gap") == usual).mean().alias("share")
    )
    regular = of_days.filter(pl.col("share") >= _MOST)
    return {at: step.total_seconds() for at, step, _ in regular.iter_rows()}
