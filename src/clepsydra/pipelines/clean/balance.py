"""Which series are in which shard: as much work in each."""

from __future__ import annotations

import pandas as pd
import polars as pl

from clepsydra.config import SourcesConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.layouts import value_columns
from clepsydra.row_columns import DAY, HASH
from clepsydra.series_ids import key_of, make_hasher
from clepsydra.sharding import balanced_bounds, series_hash

__all__ = ["cut_shards"]


def cut_shards(
    raw: RawStore, clock: dict[str, str], sources: SourcesConfig, as_of: str, n_shards: int
) -> list[int]:
    """Bounds of the shards, so that the histories in each are about as long together.

    Series lie in order of their hash, and a shard takes those between two bounds. What models take
    grows with the length of a history: the days from a series' first row to the end of the panel.
    A value that is revised moves no bound; see `balanced_bounds` for a series that is new.

    Args:
        raw: the target's snapshots.
        clock: where the panel ends.
        sources: what the rows mean.
        as_of: what is known.
        n_shards: how many shards there are.

    Returns:
        `n_shards` + 1 hashes: shard k has the series from bound k on and before bound k + 1.

    Examples:
        >>> import datetime as dt, tempfile
        >>> from clepsydra.datasets.raw_store import Feed, RawStoreDataset
        >>> shop = {"role": "target", "path": "a.csv", "id": "shop", "time": "day", "value": "sold"}
        >>> sources = SourcesConfig.model_validate({"sales": shop})
        >>> _, source = sources.target
        >>> rows = {"shop": ["a", "b"], "day": "2024-01-01", "sold": "1"}
        >>> table = pl.DataFrame({**rows, "_local": dt.datetime(2024, 1, 1)})
        >>> seen_on = dt.date(2024, 1, 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = RawStoreDataset(folder)
        ...     feed = Feed("sales", [table], seen_on, make_hasher(source), key_of(source))
        ...     store.save(feed)
        ...     cut_shards(store.load(), {"panel_end": "2024-01-02"}, sources, "latest", 2)
        [0, 2147483648, 4294967296]
    """
    _, source = sources.target
    known = parse_as_of(as_of)
    if source.layout == "wide":
        names = value_columns(source, raw.read(known, hashes=(0, 0)).columns)
        hashes = [series_hash(source.renames.get(name, name)) for name in names]
        begins = pl.DataFrame({HASH: hashes, DAY: None}, schema={HASH: pl.UInt32, DAY: pl.Date})
    else:
        begins = raw.first_days(known, key_of(source), make_hasher(source))
    end = pd.Timestamp(clock["panel_end"])
    lengths = (pl.lit(end).dt.date() - pl.col(DAY)).dt.total_days().fill_null(1).clip(lower_bound=1)
    series = begins.select(HASH, length=lengths).group_by(HASH).agg(pl.col("length").sum())
    series = series.sort(HASH)
    return balanced_bounds(series[HASH].to_numpy(), series["length"].to_numpy(), n_shards)
