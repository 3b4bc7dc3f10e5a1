"""One shard of the target: raw snapshots to regular series, some series at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from clepsydra.calendars import calendar_columns
from clepsydra.config import (
    CalendarConfig,
    CleaningConfig,
    SourceConfig,
    SourcesConfig,
    TaskConfig,
    parse_as_of,
)
from clepsydra.datasets.raw_store import RawStore
from clepsydra.datasets.spool import Spool
from clepsydra.errors import ConfigError, SourceError
from clepsydra.layouts import row_steps, value_columns
from clepsydra.origins import move_target, target_start
from clepsydra.pipelines.clean.events import EVENT_SCHEMA, series_events
from clepsydra.pipelines.clean.ledger import ACCOUNT_SCHEMA, QUARANTINE_SCHEMA
from clepsydra.pipelines.clean.parsing import Parsed, parse_target, time_reader
from clepsydra.pipelines.clean.regular import Regular, fill_covariate, regularize, to_grid
from clepsydra.pipelines.clean.series import account_of_panel, empty_series, series_table
from clepsydra.pipelines.clean.vintages import vintages_of_series
from clepsydra.series_ids import UNIQUE_ID, key_of, make_hasher
from clepsydra.sharding import hash_range, series_hash
from clepsydra.timegrid import add_span, grid, period_start

__all__ = ["clean_shard"]

# Raw rows of a shard that are worked on at a time: what bounds the memory of cleaning.
_BATCH_ROWS = 700_000


def clean_shard(
    raw: RawStore,
    clock: dict[str, str],
    sources: SourcesConfig,
    task: TaskConfig,
    cleaning: CleaningConfig,
    calendar: CalendarConfig,
    as_of: str,
    shards: list[int],
    *tables: pd.DataFrame,
    number: int,
) -> tuple[Spool, pd.DataFrame, pd.DataFrame, pd.DataFrame, Spool, Spool, Spool]:
    """Type the target's rows, put them on the grid, and add every exogenous column.

    Args:
        raw: the target's snapshots.
        clock: where the panel ends.
        sources: what the rows mean.
        task: what the grid is.
        cleaning: what becomes of outliers and gaps.
        calendar: columns computed from the clock.
        as_of: what is known.
        shards: bounds of their hashes, from `cut_shards`.
        tables: of every covariate source, then of every attributes source, its clean rows; then of
            every covariate source what newer rows have replaced.
        number: which shard this is.

    Returns:
        panel: `unique_id`, `ds` (naive UTC), `y`, `is_imputed`, `is_outlier`, if outliers are
            replaced `y_observed` (NaN where there was no row), then exogenous columns; batch after
            batch, within each in order of series and time.
        future: `unique_id`, `ds` of the steps after the panel up to the end of the horizon, and
            the columns known in advance only.
        series: one row a series, see `series_table`.
        account: `source`, `unique_id`, `measure`, `value`.
        quarantine: `source`, `file`, `line`, `unique_id`, `reason`, `row` (JSON).
        events: gaps and outliers, see `series_events`.
        vintages: `unique_id`, `ds`, `known_from`, `known_until` (naive UTC) and the columns of the
            sources known in advance, as they were for a forecast whose first unknown step is from
            `known_from` on and before `known_until`; in order of series, step and time. Those of a
            step follow each other up to what `panel` or `future` hold; empty if nothing was
            revised. See `models.vintages.as_known`.

    Raises:
        ConfigError: policies that exclude each other.
    """
    if cleaning.long_gaps == "cut" and task.fill == "zero":
        raise ConfigError(
            "cleaning.long_gaps is 'cut', but with task.fill 'zero' there are no gaps: a step "
            "without a row is a zero; leave one of the two out"
        )
    _, source = sources.target
    covariates = sources.of_role("covariate")
    for name, its in covariates.items():
        if twice := sorted(set(calendar.names) & set(its.renames.values())):
            raise ConfigError(
                f"{twice[0]!r} is a column of 'calendar' and one of source '{name}': rename the "
                f"latter, columns: {{column: new name}}"
            )
    attributes = sources.of_role("attributes")
    context = _Context(
        sources,
        task,
        cleaning,
        calendar,
        pd.Timestamp(clock["panel_end"]),
        pd.Timestamp(clock["known_until"]),
        _by_name(covariates, tables[: len(covariates)]),
        _by_name(covariates, tables[len(covariates) + len(attributes) :]),
    )
    panel = Spool(context.panel_schema())
    quarantine = Spool(pl.DataFrame(schema=QUARANTINE_SCHEMA).to_arrow().schema)
    events = Spool(pl.DataFrame(schema=EVENT_SCHEMA).to_arrow().schema)
    vintages = Spool(context.vintages_schema())
    series = [empty_series(source)]
    futures, accounts = [context.future(series[0])], [_NO_ACCOUNT]
    for parsed in _batches(raw, context, parse_as_of(as_of), shards, number):
        accounts.append(parsed.account)
        quarantine.add(parsed.quarantine.to_arrow())
        observed = to_grid(parsed.rows, [UNIQUE_ID], ["y"], source, task).drop_nulls("y")
        regular = None
        if observed.height:
            regular = regularize(
                observed, context.end, task, cleaning, known_until=context.known_until
            )
            named = parsed.ids.filter(pl.col(UNIQUE_ID).is_in(regular.ids))
            panel.add(context.panel(regular, named))
            futures.append(context.future(named))
            vintages.add(context.vintages(regular, named))
            accounts.append(account_of_panel(regular, parsed, sources, task, cleaning))
            events.add(series_events(regular, sources, task, cleaning).to_arrow())
        series.append(series_table(parsed.ids, regular, context.end, task, source, number))
    described = pl.concat(series, how="diagonal_relaxed").sort(UNIQUE_ID).to_pandas()
    for (name, its), table in zip(attributes.items(), tables[len(covariates) :], strict=False):
        described = _join_attributes(described, name, its, table)
    account = pl.concat(accounts, how="diagonal_relaxed")
    account = account.group_by("source", UNIQUE_ID, "measure", maintain_order=True).sum()
    future = pd.concat(futures, ignore_index=True) if len(futures) > 1 else futures[0]
    return panel, future, described, account.to_pandas(), quarantine, events, vintages


def _by_name(names: Iterable[str], tables: Sequence[pd.DataFrame]) -> dict[str, pl.DataFrame]:
    return dict(zip(names, map(pl.from_pandas, tables), strict=True))


_NO_ACCOUNT = pl.DataFrame(schema=ACCOUNT_SCHEMA)


def _batches(
    raw: RawStore, context: _Context, as_of: dt.date | None, shards: list[int], number: int
) -> Iterator[Parsed]:
    """The shard's series, some at a time."""
    name, source = context.sources.target
    end = period_start(context.end, context.task.freq, context.task.timezone)
    rows = int(raw.known(as_of)["rows"].sum())
    shard, n_shards = (shards[number], shards[number + 1]), len(shards) - 1
    if source.layout == "wide":
        whole = raw.read(as_of)
        names = value_columns(source, whole.columns)
        for low, high in _cut(shard, rows * len(names) // n_shards):
            chosen = [
                column
                for column in names
                if low <= series_hash(source.renames.get(column, column)) < high
            ]
            if chosen:
                yield parse_target(name, source, whole, end, chosen)
        return
    rehash, times = make_hasher(source), time_reader(source)
    for hashes in _cut(shard, rows // n_shards):
        part = raw.read(as_of, hashes, key=key_of(source), rehash=rehash)
        if part.is_empty():
            continue
        steps = row_steps(source, context.task, part.columns)
        yield parse_target(name, source, part, end, steps=steps, times=times)


def _cut(shard: tuple[int, int], rows: int) -> Iterator[tuple[int, int]]:
    parts = max(1, -(-rows // _BATCH_ROWS))
    yield from (hash_range(part, parts, within=shard) for part in range(parts))


@dataclass(frozen=True)
class _Context:
    """What all batches have in common, and how their tables are made."""

    sources: SourcesConfig
    task: TaskConfig
    cleaning: CleaningConfig
    calendar: CalendarConfig
    end: pd.Timestamp
    known_until: pd.Timestamp
    covariates: dict[str, pl.DataFrame]
    versions: dict[str, pl.DataFrame]

    def panel(self, regular: Regular, named: pl.DataFrame) -> pa.Table:
        """The series' rows with their exogenous columns."""
        places, series = regular.places, regular.series
        table: dict[str, Any] = {
            UNIQUE_ID: pa.DictionaryArray.from_arrays(
                pa.array(series.astype("int32")), pa.array(regular.ids, pa.string())
            ),
            "ds": regular.steps.to_numpy("datetime64[ns]")[places],
            "y": regular.y,
            "is_imputed": regular.is_imputed,
            "is_outlier": regular.is_outlier,
        }
        if self.cleaning.replaces_outliers:
            table["y_observed"] = regular.observed_y
        covariates = self.sources.of_role("covariate")
        return pa.table(table | self._exogenous(named, regular.steps, series, places, covariates))

    def future(self, named: pl.DataFrame) -> pd.DataFrame:
        """The steps after the panel with the columns known in advance."""
        ids, ahead = named[UNIQUE_ID].to_list(), self._ahead()
        series = np.repeat(np.arange(len(ids)), len(ahead))
        places = np.tile(np.arange(len(ahead)), len(ids))
        table = {
            UNIQUE_ID: np.array(ids, dtype=object)[series],
            "ds": ahead.to_numpy("datetime64[ns]")[places],
        }
        exogenous = self._exogenous(named, ahead, series, places, self._in_advance())
        return pd.DataFrame(table | exogenous)

    def vintages(self, regular: Regular, named: pl.DataFrame) -> pa.Table:
        """What newer versions have replaced, on the series' steps and those after them."""
        schema, known = self.vintages_schema(), self._in_advance()
        revised = {name: self.versions[name] for name in known if self.versions[name].height}
        if not revised:
            return schema.empty_table()
        steps = regular.steps.append(self._ahead())
        keys = {name: join_keys(name, known[name], named) for name in revised}
        end = add_span(steps[-1], 1, self.task.freq, self.task.timezone)
        first = list(regular.steps[regular.first])
        moments, held = vintages_of_series(regular.ids, keys, revised, first, end)
        series = moments["series"].to_numpy()
        places = steps.get_indexer(pd.DatetimeIndex(moments["ds"].to_numpy()))
        # Where no version was replaced that held then, it is the newest.
        values = self._exogenous(named, steps, series, places, known)
        for name, table in revised.items():
            is_older = held[name].is_not_null().to_numpy()
            older = table[held[name].drop_nulls()]
            for column in known[name].renames.values():
                values[column] = values[column].copy()
                values[column][is_older] = older[column].to_numpy()
        ids = pa.array(regular.ids, pa.string())
        times = {name: moments[name].to_numpy() for name in ("ds", "known_from", "known_until")}
        unique_id = pa.DictionaryArray.from_arrays(pa.array(series.astype("int32")), ids)
        found = {UNIQUE_ID: unique_id, **times, **values}
        return pa.table({name: found[name] for name in schema.names})

    def vintages_schema(self) -> pa.Schema:
        """Types of the vintages' columns."""
        times = [(name, pa.timestamp("ns")) for name in ("ds", "known_from", "known_until")]
        columns = [column for its in self._in_advance().values() for column in its.renames.values()]
        return pa.schema(
            [
                (UNIQUE_ID, pa.dictionary(pa.int32(), pa.string())),
                *times,
                *((column, pa.float32()) for column in columns),
            ]
        )

    def _in_advance(self) -> dict[str, SourceConfig]:
        covariates = self.sources.of_role("covariate")
        return {name: its for name, its in covariates.items() if its.known == "in_advance"}

    def panel_schema(self) -> pa.Schema:
        """Types of the panel's columns."""
        fields: list[tuple[str, pa.DataType]] = [
            (UNIQUE_ID, pa.dictionary(pa.int32(), pa.string())),
            ("ds", pa.timestamp("ns")),
            ("y", pa.float64()),
            ("is_imputed", pa.bool_()),
            ("is_outlier", pa.bool_()),
        ]
        if self.cleaning.replaces_outliers:
            fields.append(("y_observed", pa.float64()))
        for its in self.sources.of_role("covariate").values():
            fields += [(column, pa.float32()) for column in its.renames.values()]
        return pa.schema([*fields, *((column, pa.int16()) for column in self.calendar.names)])

    def _ahead(self) -> pd.DatetimeIndex:
        task = self.task
        last = move_target(target_start(self.end, task), task.horizon, task)
        return grid(self.end, last, task.freq, task.timezone)

    def _exogenous(
        self,
        named: pl.DataFrame,
        steps: pd.DatetimeIndex,
        series: np.ndarray,
        places: np.ndarray,
        covariates: dict[str, SourceConfig],
    ) -> dict[str, np.ndarray]:
        columns: dict[str, np.ndarray] = {}
        for name, source in covariates.items():
            keys = join_keys(name, source, named)
            by_key, number = self._by_key(name, source, keys, steps)
            values = by_key[number[series], places] if len(series) else by_key[:0, 0]
            columns |= dict(zip(source.renames.values(), values.T, strict=True))
        clock = calendar_columns(pd.Series(steps), self.calendar, self.task.timezone)
        return columns | {name: clock[name].to_numpy()[places] for name in clock}

    def _by_key(
        self, name: str, source: SourceConfig, keys: list[str], steps: pd.DatetimeIndex
    ) -> tuple[np.ndarray, np.ndarray]:
        """`[K, G, C]` values of each key on the steps, and the key's number of each series."""
        names = list(source.renames.values())
        unique = sorted(set(keys))
        table = self.covariates[name].filter(pl.col("join_key").is_in(unique))
        parts = table.partition_by("join_key", as_dict=True)
        values = np.zeros((max(1, len(unique)), len(steps), len(names)), "float32")
        whole = self._around(steps, table["ds"])
        for number, key in enumerate(unique):
            rows = parts.get((key,), table.clear())
            filled = fill_covariate(rows, whole, names, source.known == "in_advance")
            values[number] = filled[whole.get_indexer(steps)]
        numbers = {key: number for number, key in enumerate(unique)}
        return values, np.array([numbers[key] for key in keys], dtype=int)

    def _around(self, steps: pd.DatetimeIndex, ds: pl.Series) -> pd.DatetimeIndex:
        """The steps and those between them and the rows, from which a gap may be filled."""
        if ds.is_empty():
            return steps
        first = min(steps[0], pd.Timestamp(ds.min()))
        last = max(steps[-1], pd.Timestamp(ds.max()))
        task = self.task
        end = add_span(last, 1, task.freq, task.timezone)
        return grid(first, end, task.freq, task.timezone)


def join_keys(name: str, source: SourceConfig, named: pl.DataFrame) -> list[str]:
    """What each series is joined on: the columns that the source names, joined by `-`.

    Raises:
        SourceError: the series do not have such a column.
    """
    unknown = [key for key in source.join_on if key not in named.columns]
    if unknown:
        raise SourceError(
            f"source '{name}': 'join' names {unknown}, which the series do not have; "
            f"they have: {', '.join(named.columns)}"
        )
    if not source.join_on:
        return [""] * named.height
    return named.select(pl.concat_str(list(source.join_on), separator="-")).to_series().to_list()


def _join_attributes(
    series: pd.DataFrame, name: str, source: SourceConfig, table: pd.DataFrame
) -> pd.DataFrame:
    """The series with the attributes of their key."""
    keys = join_keys(name, source, pl.from_pandas(series.drop(columns="season_lengths")))
    columns = table.set_index("join_key").reindex(keys)
    columns.index = series.index
    return series.join(columns, rsuffix=f"_{name}")
