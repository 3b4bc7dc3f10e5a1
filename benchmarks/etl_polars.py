"""Raw meter readings to a clean panel with polars: `python etl_polars.py FEED OUT AS_OF`.

The shortest honest script for this one feed: what it leaves out (times between the hours, rows
from `as_of` on, spaces around a cell) the feed does not have. It writes `panel.parquet`,
`quarantine.parquet` and `counts.json`.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path

import polars as pl

TIMEZONE = "America/New_York"
MISSING = ["", "NA"]


def clean(feed: Path, out: Path, as_of: str) -> None:
    """Read the feed's CSV files, and write what became of every row."""
    rows = pl.concat([read(file) for file in sorted(feed.glob("*.csv"))]).collect()
    meters = pl.Enum(rows["unique_id"].unique().sort())
    rows = with_utc(rows.with_columns(pl.col("unique_id").cast(meters)))
    key = pl.struct("unique_id", "ds")
    rows = (
        rows.lazy()
        .with_columns(
            reason=pl.when(~pl.col("named"))
            .then(pl.lit("no series id"))
            .when(pl.col("local").is_null())
            .then(pl.lit("time not readable"))
            .when(pl.col("ds").is_null())
            .then(pl.lit("time skipped by the clock change"))
            .when(~pl.col("no_value") & ~pl.col("y").is_finite().fill_null(False))
            .then(pl.lit("not a number"))
        )
        .sort("unique_id", "ds", pl.col("reason").is_not_null(), maintain_order=True)
        .with_columns(
            reason=pl.when(pl.col("reason").is_null() & (key == key.shift()))
            .then(pl.lit("duplicate of an earlier row"))
            .otherwise("reason")
        )
        .collect()
    )
    accepted = rows.filter(pl.col("reason").is_null())
    kept = accepted.filter(~pl.col("no_value"))
    rejected = rows.filter(pl.col("reason").is_not_null())
    counts = {
        "rows in": len(rows),
        "rows kept": len(kept),
        "excluded: no value": len(accepted) - len(kept),
        **{f"quarantined: {reason}": n for reason, n in rejected["reason"].value_counts().rows()},
    }
    (out / "counts.json").write_text(json.dumps(counts))
    rejected.select("file", "line", "reason", "unique_id").write_parquet(out / "quarantine.parquet")
    to_panel(kept.select("unique_id", "ds", "y"), as_of).write_parquet(out / "panel.parquet")


def read(file: Path) -> pl.LazyFrame:
    """One file's rows, each with the line it stood on."""
    text = pl.scan_csv(
        file,
        infer_schema=False,
        empty_string_is_null=False,
        row_index_name="line",
        row_index_offset=2,
    )
    named = ~pl.col("meter").is_in(MISSING)
    time = pl.col("time").str.to_datetime("%Y-%m-%d %H:%M", strict=False)
    return text.select(
        "line",
        named=named,
        unique_id="meter",
        local=pl.when(named).then(time),
        y=pl.col("kwh").cast(pl.Float64, strict=False),
        no_value=pl.col("kwh").is_in(MISSING),
        file=pl.lit(file.name),
    )


def with_utc(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `ds`, naive UTC. Of a meter's two rows for the repeated hour the first is summer time."""
    local = rows.select(pl.col("local").drop_nulls().unique())
    local = local.with_columns(summer=utc("earliest"), ds=utc("latest"))
    rows = rows.join(local, on="local", how="left", maintain_order="left")
    is_repeated = (pl.col("summer") != pl.col("ds")).fill_null(False)
    hour = ["unique_id", "local"]
    is_first = (pl.int_range(pl.len()).over(hour) == 0) & (pl.len().over(hour) > 1)
    told = pl.when(is_first).then("summer").otherwise("ds")
    return pl.concat([rows.filter(~is_repeated), rows.filter(is_repeated).with_columns(ds=told)])


def utc(ambiguous: str) -> pl.Expr:
    """`local` in naive UTC; null for times that the clocks skip."""
    aware = pl.col("local").dt.replace_time_zone(TIMEZONE, ambiguous=ambiguous, non_existent="null")
    return aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def to_panel(kept: pl.DataFrame, as_of: str) -> pl.DataFrame:
    """Every hour of every meter from its first value to `as_of`, interpolated."""
    midnight = pl.lit(datetime.fromisoformat(as_of)).dt.replace_time_zone(TIMEZONE)
    end = midnight.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    ends = kept.select(pl.col("unique_id").unique()).with_columns(ds=end)
    steps = pl.concat([kept, ends], how="diagonal").sort("unique_id", "ds")
    steps = steps.upsample("ds", every="1h", group_by="unique_id", maintain_order=True)
    return steps.filter(pl.col("ds") < end).with_columns(
        pl.col("y").interpolate().forward_fill().over("unique_id"),
        is_imputed=pl.col("y").is_null(),
    )


if __name__ == "__main__":
    clean(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
