"""What was known in advance of the sums of a hierarchy, before it was revised."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import polars as pl

__all__ = ["mean_vintages"]

_KEYS = ["unique_id", "ds", "known_from", "known_until"]


def mean_vintages(
    vintages: pd.DataFrame, members: pd.DataFrame, newest: list[Path | pd.DataFrame]
) -> pd.DataFrame:
    """The means over the members of what was known of each, between any two revisions.

    Args:
        vintages: of all series: `unique_id`, `ds`, `known_from`, `known_until` and columns, see
            `models.vintages.as_known`.
        members: `unique_id` of a sum and `bottom_id`, a series.
        newest: files or tables with `unique_id`, `ds` and the columns as they are known now.

    Returns:
        The same columns, of the sums. Rows of a step follow each other without a break, up to what
        the panel holds; of a member of which no version was there yet it is the earliest one.
    """
    columns = [name for name in vintages.columns if name not in _KEYS]
    if vintages.empty or not columns:
        return vintages.iloc[:0]
    older = pl.from_pandas(vintages.astype({"unique_id": object}))
    pairs = pl.from_pandas(members[["unique_id", "bottom_id"]].astype(object))
    own = pairs.join(older, left_on="bottom_id", right_on="unique_id")
    moments = (
        pl.concat(own.select("unique_id", "ds", at=name) for name in ("known_from", "known_until"))
        .unique()
        .sort("unique_id", "ds", "at")
        .with_columns(until=pl.col("at").shift(-1).over("unique_id", "ds"))
        .drop_nulls("until")
    )
    # Every member at every moment: the version that was replaced next, or what it is now.
    versions = older.select(
        "ds", *columns, bottom_id="unique_id", at="known_until", _found=pl.lit(True)
    )
    held = (
        moments.join(pairs, on="unique_id")
        .sort("at")
        .join_asof(
            versions.sort("at"),
            on="at",
            by=["bottom_id", "ds"],
            strategy="forward",
            allow_exact_matches=False,
        )
    )
    steps = pairs.select("bottom_id").unique().join(older.select("ds").unique(), how="cross")
    now = pl.concat(_newest(table, columns).join(steps, on=["bottom_id", "ds"]) for table in newest)
    # Of a member that has not begun there is nothing now.
    both = held.join(now, on=["bottom_id", "ds"], how="inner", suffix="_now")
    known = [
        pl.when(pl.col("_found")).then(pl.col(name)).otherwise(pl.col(f"{name}_now")).alias(name)
        for name in columns
    ]
    means = (
        both.sort("unique_id", "ds", "at", "bottom_id")
        .group_by("unique_id", "ds", known_from="at", known_until="until", maintain_order=True)
        .agg(expression.mean() for expression in known)
    )
    return means.select(vintages.columns).to_pandas().astype(vintages.dtypes[columns].to_dict())


def _newest(table: Path | pd.DataFrame, columns: list[str]) -> pl.DataFrame:
    names = ["unique_id", "ds", *columns]
    if isinstance(table, Path):
        frame = pl.read_parquet(table, columns=names)
    else:
        frame = pl.from_pandas(table[names].astype({"unique_id": object}))
    return frame.select(
        pl.col("ds").cast(pl.Datetime("ns")),
        *columns,
        bottom_id=pl.col("unique_id").cast(pl.String),
    )
