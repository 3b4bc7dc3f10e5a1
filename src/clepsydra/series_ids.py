"""The name of the series that a row belongs to."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from clepsydra.config import SourceConfig
from clepsydra.distinct import ByText
from clepsydra.row_columns import HASH
from clepsydra.sharding import series_hash

__all__ = ["UNIQUE_ID", "id_expression", "key_of", "make_hasher"]

UNIQUE_ID = "unique_id"


def key_of(source: SourceConfig) -> str:
    """What names a row's series: columns, joined by commas, or a name that all rows have."""
    if source.role == "target" and source.name:
        return repr(source.name)
    return ",".join(_columns(source))


def id_expression(source: SourceConfig) -> pl.Expr:
    """One id a row from its parts: `EWR`, `OO` becomes `EWR-OO`; no part, no id.

    Examples:
        >>> flights = SourceConfig(
        ...     role="target", path="x", id=["origin", "carrier"], time="day", aggregate="count"
        ... )
        >>> rows = pl.DataFrame({"origin": ["EWR"], "carrier": ["OO"]})
        >>> rows.select(id_expression(flights)).item()
        'EWR-OO'
    """
    if source.role == "target" and source.name:
        return pl.lit(source.name).alias(UNIQUE_ID)
    columns = _columns(source)
    if not columns:
        return pl.lit("").alias(UNIQUE_ID)
    if len(columns) == 1:
        return pl.col(columns[0]).alias(UNIQUE_ID)
    return pl.concat_str([pl.col(column) for column in columns], separator="-").alias(UNIQUE_ID)


def _columns(source: SourceConfig) -> list[str]:
    return source.id_columns if source.role == "target" else list(source.join_on.values())


def make_hasher(source: SourceConfig) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A function that adds `_hash`, the series' hash, to rows. Each id is hashed once."""
    hashes = ByText(
        lambda ids: pl.DataFrame({HASH: pl.Series(map(series_hash, ids), dtype=pl.UInt32)})
    )

    def add_hash(rows: pl.DataFrame) -> pl.DataFrame:
        ids = rows.select(id_expression(source)).to_series()
        if len(ids) != rows.height:
            ids = ids.new_from_index(0, rows.height)
        return rows.with_columns(hashes(ids))

    return add_hash
