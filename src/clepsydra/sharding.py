"""Shards, the unit of parallelism: a namespace, a Parquet file and a process each."""

from __future__ import annotations

import zlib

import pandas as pd
from kedro.pipeline import Pipeline

__all__ = ["gather", "per_shard", "shard_of", "sharded"]


def shard_of(unique_id: str, n_shards: int) -> int:
    """A stable shard number: the same on every machine, process and Python version.

    Examples:
        >>> shard_of("EWR-OO", 4)
        2
    """
    return zlib.crc32(unique_id.encode()) % n_shards


def sharded(dataset: str, n_shards: int) -> list[str]:
    """The dataset's name in every shard.

    Examples:
        >>> sharded("panel", 2)
        ['shard_0.panel', 'shard_1.panel']
    """
    return [f"shard_{number}.{dataset}" for number in range(n_shards)]


def per_shard(template: Pipeline, n_shards: int, shared: set[str]) -> Pipeline:
    """One copy of the template per shard, in the namespaces `shard_0`, `shard_1`, ….

    Args:
        template: nodes over one shard's datasets, under their plain names.
        n_shards: how many copies.
        shared: datasets that are the same for all shards and keep their names, as parameters do.
    """
    parameters = {name for name in template.inputs() if name.startswith("params:")}
    return sum(
        (
            Pipeline(
                template,
                namespace=f"shard_{number}",
                inputs=shared & template.inputs(),
                parameters=parameters,
            )
            for number in range(n_shards)
        ),
        Pipeline([]),
    )


def gather(*frames: pd.DataFrame) -> pd.DataFrame:
    """Put the shards' tables together, in order of series and time."""
    filled = [frame for frame in frames if len(frame)]
    whole = pd.concat(filled or frames[:1], ignore_index=True)
    keys = [key for key in ("unique_id", "cutoff", "ds", "model") if key in whole.columns]
    return whole.sort_values(keys, kind="stable", ignore_index=True) if keys else whole
