"""The sums of a hierarchy as series of their own, in a shard of their own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clepsydra.config import HierarchyConfig, SourcesConfig, TaskConfig
from clepsydra.datasets.spool import Spool, copy_pieces
from clepsydra.errors import ConfigError
from clepsydra.pipelines.clean.aggregate_vintages import mean_vintages
from clepsydra.pipelines.clean.levels import find_levels
from clepsydra.pipelines.clean.regular import Regular
from clepsydra.pipelines.clean.series import empty_series, series_table
from clepsydra.series_ids import UNIQUE_ID
from clepsydra.sharding import gather

__all__ = ["aggregate_series", "gather_series"]

_LOGGER = logging.getLogger(__name__)
_OWN = [UNIQUE_ID, "ds", "y", "is_imputed", "is_outlier", "y_observed"]
_MANY_IMPUTED = 0.5


def aggregate_series(
    hierarchy: HierarchyConfig,
    sources: SourcesConfig,
    task: TaskConfig,
    clock: dict[str, str],
    n_shards: int,
    *tables: Path | pd.DataFrame,
) -> tuple[Spool, pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Sum the series of all shards on every level, as one more shard.

    A sum is over the series that have begun: it starts with the first of them. It is imputed where
    more than `max_imputed` of its members are. A covariate of a sum is the mean of its members',
    each counted once; an attribute is theirs if they share it.

    Args:
        hierarchy: the levels.
        sources: what the columns mean.
        task: grid and season.
        clock: where the panel ends.
        n_shards: of the series; the sums are in the shard of this number.
        tables: of every shard the panel's file, then of every shard `future`, `series`, `vintages`.

    Returns:
        panel, future, series, vintages: of the sums, with the columns of a shard's.
        levels: which series are summed to which, see `find_levels`.

    Raises:
        ConfigError: a negative minimum, which sums need not keep to.
        ConfigError, PanelError: see `find_levels`.
    """
    if task.minimum is not None and task.minimum < 0:
        raise ConfigError(
            f"task.minimum is {task.minimum:g}, and with 'hierarchy' sums of series may be below "
            f"it: leave it out, or write 0 or more"
        )
    files = [path for path in tables[:n_shards] if isinstance(path, Path)]
    rest = [table for table in tables[n_shards:] if isinstance(table, pd.DataFrame)]
    futures, described, vintages = (rest[n * n_shards : (n + 1) * n_shards] for n in range(3))
    series = gather(*described)
    levels = find_levels(series, hierarchy)
    upper = levels[levels["unique_id"] != levels["bottom_id"]]
    schema = pq.read_schema(files[0])
    panel = Spool(schema)
    steps = _steps(files)
    described = []
    for _, part in upper.groupby("level", sort=False):
        sums = _Sums(part, steps, files, hierarchy.max_imputed)
        panel.add(sums.panel(schema))
        described.append(
            _describe(sums.regular(task), part, series, sources, task, clock, n_shards)
        )
    table = pd.concat(described, ignore_index=True)
    newest = [*files, *futures]
    return (
        panel,
        _mean_by_step(gather(*futures), upper),
        table[series.columns].sort_values(UNIQUE_ID, ignore_index=True),
        mean_vintages(gather(*vintages), upper, newest),
        levels,
    )


def gather_series(levels: pd.DataFrame, *frames: pd.DataFrame) -> pd.DataFrame:
    """Put the shards' series together, with the `level` of each; none of one without a value."""
    names = levels.drop_duplicates("unique_id").set_index("unique_id")["level"]
    whole = gather(*frames)
    return whole.assign(level=whole["unique_id"].map(names))


def _steps(files: list[Path]) -> pd.DatetimeIndex:
    """The grid: every step that any series has."""
    found = pd.DatetimeIndex([])
    for piece in copy_pieces(files, ["ds"]):
        found = found.union(pd.DatetimeIndex(piece["ds"].to_pandas().unique()))
    return found


class _Sums:
    """One level's sums, `[K, G]` of K groups and G steps.

    Rows are added in the order of the files, so that sums are the same to the last bit.
    """

    def __init__(
        self, members: pd.DataFrame, steps: pd.DatetimeIndex, files: list[Path], limit: float
    ):
        self.ids, self.steps = sorted(members["unique_id"].unique()), steps
        group_of = members.set_index("bottom_id")["unique_id"].map(pd.Index(self.ids).get_loc)
        self._values: dict[str, np.ndarray] = {}
        self._by_step: dict[str, np.ndarray] = {}
        self._counts: dict[str, np.ndarray] = {}
        self.number = self._zeros()
        for piece in copy_pieces(files):
            frame = piece.to_pandas()
            group = group_of.reindex(frame[UNIQUE_ID].astype(object)).to_numpy()
            frame, group = frame[~np.isnan(group)], group[~np.isnan(group)].astype(np.int64)
            place = steps.get_indexer(pd.DatetimeIndex(frame["ds"]))
            self._add(frame.drop(columns=[UNIQUE_ID, "ds"]), group * len(steps) + place, place)
        self.there = self.number > 0
        share = self._values["is_imputed"] / np.maximum(self.number, 1)
        self.is_imputed = share > limit
        self._warn()

    def _zeros(self) -> np.ndarray:
        return np.zeros(len(self.ids) * len(self.steps))

    def _add(self, frame: pd.DataFrame, cell: np.ndarray, place: np.ndarray) -> None:
        np.add.at(self.number, cell, 1.0)
        for name in frame:
            column = frame[name]
            if name not in _OWN and pd.api.types.is_integer_dtype(column):
                # Of the calendar: the same for all series.
                kept = self._by_step.setdefault(name, np.zeros(len(self.steps), column.dtype))
                kept[place] = column.to_numpy()
                continue
            values = column.to_numpy(dtype=float)
            known = ~np.isnan(values)
            np.add.at(self._values.setdefault(name, self._zeros()), cell[known], values[known])
            np.add.at(self._counts.setdefault(name, self._zeros()), cell[known], 1.0)

    def panel(self, schema: pa.Schema) -> pa.Table:
        """The rows of the groups, one after the other."""
        cells = np.flatnonzero(self.there)
        group, place = np.divmod(cells, len(self.steps))
        is_outlier = self._values["is_outlier"][cells] > 0
        columns: dict[str, Any] = {
            UNIQUE_ID: pa.DictionaryArray.from_arrays(
                pa.array(group.astype("int32")), pa.array(self.ids, pa.string())
            ),
            "ds": self.steps.to_numpy("datetime64[ns]")[place],
            "y": self._values["y"][cells],
            "is_imputed": self.is_imputed[cells],
        }
        if "y_observed" in schema.names:
            complete = self._counts["y_observed"][cells] == self.number[cells]
            columns["y_observed"] = np.where(complete, self._values["y_observed"][cells], np.nan)
            # What was observed takes the place of an outlier, and must be there.
            is_outlier &= complete
        columns["is_outlier"] = is_outlier
        for name in schema.names:
            if name in self._by_step:
                columns[name] = self._by_step[name][place]
            elif name not in columns:
                counts = self._counts[name][cells]
                means = self._values[name][cells] / np.maximum(counts, 1.0)
                columns[name] = np.where(counts > 0, means, np.nan)
        return pa.table({name: columns[name] for name in schema.names}).cast(schema)

    def regular(self, task: TaskConfig) -> Regular:
        """The sums as series on the grid: zero is no observation where no row means zero."""
        there = self.there.reshape(len(self.ids), -1)
        first = there.argmax(axis=1)
        lengths = len(self.steps) - first
        y = self._values["y"][self.there]
        made = self.is_imputed[self.there]
        seen = ~made & ((y != 0) | (task.fill != "zero"))
        return Regular(
            self.ids,
            np.concatenate([[0], np.cumsum(lengths)[:-1]]),
            first,
            self.steps,
            y,
            made,
            np.zeros(len(y), dtype=bool),
            np.where(seen, y, np.nan),
        )

    def _warn(self) -> None:
        imputed = (self.is_imputed & self.there).reshape(len(self.ids), -1).sum(axis=1)
        shares = imputed / self.there.reshape(len(self.ids), -1).sum(axis=1)
        worst = int(shares.argmax())
        if shares[worst] > _MANY_IMPUTED:
            _LOGGER.warning(
                "%.0f%% of the steps of '%s' are imputed, as one of its members is: allow more "
                "with 'hierarchy.max_imputed'",
                100 * shares[worst],
                self.ids[worst],
            )


def _describe(
    regular: Regular,
    members: pd.DataFrame,
    series: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    clock: dict[str, str],
    n_shards: int,
) -> pd.DataFrame:
    """The sums' rows of `series`: an attribute is what all members share, or missing."""
    _, source = sources.target
    ids = [name for name in source.id_columns if name in series and name != UNIQUE_ID]
    own = empty_series(source).columns
    attributes = [*ids, *(name for name in series.columns if name not in own)]
    joined = members.merge(
        series[[UNIQUE_ID, *attributes]], left_on="bottom_id", right_on=UNIQUE_ID
    )
    groups = joined.groupby("unique_id_x", sort=True)[attributes]
    shared = groups.first().where(groups.nunique(dropna=False) == 1, None).astype(object)
    shared = shared.reindex(regular.ids).reset_index(drop=True)
    named = pl.DataFrame(
        {UNIQUE_ID: regular.ids, **{name: shared[name].tolist() for name in ids}},
        schema_overrides=dict.fromkeys(ids, pl.String),
    )
    end = pd.Timestamp(clock["panel_end"])
    table = series_table(named, regular, end, task, source, n_shards).to_pandas()
    return pd.concat([table, shared.drop(columns=ids)], axis="columns")


def _mean_by_step(frame: pd.DataFrame, members: pd.DataFrame) -> pd.DataFrame:
    """The columns of a sum on each step: the mean of its members'."""
    joined = members[["unique_id", "bottom_id"]].merge(
        frame.rename(columns={UNIQUE_ID: "bottom_id"}), on="bottom_id"
    )
    columns = [name for name in frame.columns if name not in (UNIQUE_ID, "ds")]
    groups = joined.groupby([UNIQUE_ID, "ds"], sort=True)[columns]
    means = groups.mean() if columns else groups.first()
    return means.reset_index().astype({name: frame[name].dtype for name in columns})[frame.columns]
