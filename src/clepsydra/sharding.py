"""Shards, the unit of parallelism: a namespace, a Parquet file and a process each."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Pipeline

__all__ = [
    "ALL",
    "balanced_bounds",
    "gather",
    "gather_parts",
    "hash_range",
    "of_kinds",
    "per_shard",
    "read_series",
    "series_hash",
    "sharded",
    "split_by_shard",
]

ALL = (0, 1 << 32)
# The largest shard over the mean.
_NEAR_ENOUGH = 1.1


def series_hash(unique_id: str) -> int:
    """A number from 0 to 2³² - 1: the same on every machine, process and Python version.

    Examples:
        >>> series_hash("EWR-OO")
        2759275766
    """
    return zlib.crc32(unique_id.encode())


def hash_range(number: int, n_parts: int, within: tuple[int, int] = ALL) -> tuple[int, int]:
    """First hash of part `number`, and the first of the next, when `within` is cut evenly.

    Series are worked on in ranges of hashes, so that files sorted by hash are read in part.

    Examples:
        >>> hash_range(1, 4)
        (1073741824, 2147483648)
        >>> hash_range(0, 2, within=(10, 20))
        (10, 15)
    """
    low, high = within
    width = high - low
    return low + width * number // n_parts, low + width * (number + 1) // n_parts


def balanced_bounds(hashes: np.ndarray, costs: np.ndarray, n_shards: int) -> list[int]:
    """Hashes at which the series are cut into shards that cost about the same.

    All are of the same width where that comes near enough, as with many series: then a new series
    moves no other one. Else they are where the costs are cut evenly.

    Args:
        hashes: of the series, ascending.
        costs: of each, above zero.
        n_shards: how many shards there are.

    Returns:
        `n_shards` + 1 bounds, ascending, from the first of all hashes to the one after the last; a
        shard without series begins where it ends.

    Examples:
        >>> balanced_bounds(np.array([7, 20, 90]), np.array([2.0, 1.0, 1.0]), 2)
        [0, 20, 4294967296]
    """
    before = np.cumsum(costs) - costs
    total = float(np.sum(costs))
    even = [hash_range(number, n_shards)[0] for number in range(n_shards)]
    of_shards = np.bincount(np.searchsorted(even, hashes, side="right") - 1, costs, n_shards)
    if of_shards.max(initial=0) <= _NEAR_ENOUGH * total / n_shards:
        return [*even, ALL[1]]
    bounds = [ALL[0]]
    for number in range(1, n_shards):
        # A series is in the shard that its middle is in.
        place = int(np.searchsorted(before + costs / 2, total * number / n_shards))
        bounds.append(int(hashes[place]) if place < len(hashes) else ALL[1])
    return [*bounds, ALL[1]]


def sharded(dataset: str, n_shards: int) -> list[str]:
    """The dataset's name in every shard.

    Examples:
        >>> sharded("panel", 2)
        ['shard_0.panel', 'shard_1.panel']
    """
    return [f"shard_{number}.{dataset}" for number in range(n_shards)]


def of_kinds(datasets: Sequence[Any], n_shards: int, *kinds: str) -> list[Sequence[Any]]:
    """What a node was given of every shard, by kind.

    Args:
        datasets: the first kind's of every shard, then the second kind's, and so on.
        n_shards: how many shards there are.
        kinds: their names.

    Raises:
        ValueError: there are not as many datasets as that makes.

    Examples:
        >>> of_kinds(["a0", "a1", "b0", "b1"], 2, "a", "b")
        [['a0', 'a1'], ['b0', 'b1']]
    """
    if len(datasets) != n_shards * len(kinds):
        raise ValueError(
            f"{len(datasets)} datasets for {n_shards} shards: a node takes {' and '.join(kinds)} "
            f"of every shard, {n_shards * len(kinds)} in all; correct its inputs"
        )
    return [datasets[n * n_shards : (n + 1) * n_shards] for n in range(len(kinds))]


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


def read_series(files: Iterable[Path], ids: Collection[str]) -> pd.DataFrame:
    """The rows of some series, of a table in files."""
    wanted = [("unique_id", "in", list(ids))]
    parts = [pd.read_parquet(file, filters=wanted) for file in files]
    filled = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(filled, ignore_index=True).astype({"unique_id": object})


def split_by_shard(frame: pd.DataFrame, series: pd.DataFrame, n_shards: int) -> list[pd.DataFrame]:
    """The rows of each shard's series.

    Args:
        frame: `unique_id` and any columns.
        series: `unique_id`, `shard`.
        n_shards: how many there are.

    Examples:
        >>> series = pd.DataFrame({"unique_id": ["a", "b"], "shard": [1, 0]})
        >>> [list(part["unique_id"]) for part in split_by_shard(series[["unique_id"]], series, 2)]
        [['b'], ['a']]
    """
    shard = frame["unique_id"].map(series.set_index("unique_id")["shard"])
    return [frame[shard == number].reset_index(drop=True) for number in range(n_shards)]


def gather_parts(*files: Path) -> list[Path]:
    """The shards' files, which together are one table: nothing is read."""
    return list(files)
