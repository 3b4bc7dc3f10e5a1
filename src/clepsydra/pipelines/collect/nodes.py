"""Read every source and cut it into immutable daily snapshots of what is known at `as_of`."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from clepsydra.binding import reads
from clepsydra.config import LATEST, SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.drift import DRIFT_COLUMNS, schema_drift
from clepsydra.datasets.raw_store import Feed, RawStore
from clepsydra.datasets.spool import Batches
from clepsydra.errors import ConfigError, SourceError
from clepsydra.layouts import row_steps
from clepsydra.origins import first_run_after, run_time
from clepsydra.row_columns import FILE, INSTANT, LOCAL, WATERMARK
from clepsydra.series_ids import key_of, make_hasher
from clepsydra.sources.files import local_files
from clepsydra.sources.reader import Reading, read_source
from clepsydra.sources.times import TimeReader
from clepsydra.timegrid import local_day_start, to_utc, to_wall

__all__ = ["collect_source", "collect_target", "files_of_source", "report_drift"]

_LOGGER = logging.getLogger(__name__)
# A column whose values repeat in a sample of so many rows.
_SAMPLE_ROWS, _MOST = 20_000, 0.75
# As days: the last day of all is no time in nanoseconds.
_DAY_OF_ROW = pl.col(LOCAL).dt.date()


def files_of_source(parameters: dict[str, Any], name: str | None = None) -> list[Path] | None:
    """The files that a source, or else the target, is read from, if it is files of this machine."""
    sources = SourcesConfig.model_validate(parameters["sources"])
    name = name or sources.target[0]
    return local_files(name, sources.root[name], Path(parameters["project_path"]))


@reads(files_of_source)
def collect_target(
    sources: SourcesConfig,
    as_of: str,
    project_path: str,
    credentials: Any,
    held: RawStore,
    task: TaskConfig,
) -> tuple[Feed, dict[str, str]]:
    """Read the target, and say as of which day the other sources are to be read.

    The rows of day D are known on the morning of D + 1, so a run at `as_of` takes the days before
    it; with `task.gate`, the rows before that hour of `as_of` as well. Rows whose time cannot be
    read stay together without a day: `clean` accounts for them.

    Args:
        sources: what to read.
        as_of: the day of the run, or `latest`: the first one that knows all of the target.
        project_path: folder that relative paths start from.
        credentials: by name.
        held: what earlier runs have collected.
        task: what the grid and the gate are.

    Returns:
        The target's rows, read while they are stored, and `{"as_of": day}`.

    Raises:
        SourceError: the source cannot be read, or has nothing before `as_of`.
        ConfigError: an API or a database is to be asked as of `latest`.
    """
    name, source = sources.target
    day = parse_as_of(as_of)
    if day is None:
        day = _day_after_last(name, source, task, project_path, credentials)
    feed = _feed(name, source, task, day, project_path, credentials, held)
    return feed, {"as_of": day.isoformat()}


@reads(files_of_source)
def collect_source(
    sources: SourcesConfig,
    collected: dict[str, str],
    project_path: str,
    credentials: Any,
    held: RawStore,
    task: TaskConfig,
    *,
    name: str,
) -> Feed:
    """Read a covariate or attributes source as of the target's day.

    Of a source that is known in advance every day is taken.

    Args:
        sources: the source's description among the others.
        collected: of the target: its `as_of`.
        project_path: folder that relative paths start from.
        credentials: by name.
        held: what earlier runs have collected.
        task: what the gate is.
        name: which source.

    Raises:
        SourceError: the source cannot be read.
    """
    source = dict(sources.items())[name]
    day = dt.date.fromisoformat(collected["as_of"])
    return _feed(name, source, task, day, project_path, credentials, held)


def report_drift(sources: SourcesConfig, *stores: RawStore) -> pd.DataFrame:
    """How the shape of the sources changed from snapshot to snapshot.

    Args:
        sources: in the order of the stores; `on_drift` says what a change in the newest snapshot
            is.
        stores: the sources' snapshots.

    Returns:
        `source`, `day`, `seen_on`, `kind`, `column`, `before`, `after`, `is_newest`.

    Raises:
        SourceError: the newest snapshot differs, and the source says that this is an error.
    """
    tables = [
        schema_drift(name, store.manifest)
        for (name, _), store in zip(sources.items(), stores, strict=True)
    ]
    drift = pd.concat(tables, ignore_index=True)
    for change in drift[drift["is_newest"]].itertuples():
        policy = dict(sources.items())[change.source].on_drift
        column = f" '{change.column}'" if change.column else ""
        text = (
            f"source '{change.source}', {change.day or 'undated'}: {change.kind}{column}, "
            f"before {change.before or 'nothing'}, now {change.after or 'nothing'}"
        )
        if policy == "error":
            raise SourceError(f"{text}; correct the source, or write 'on_drift: warn'")
        if policy == "warn":
            _LOGGER.warning("%s (dataset 'schema_drift')", text)
    return drift[DRIFT_COLUMNS]


def _feed(
    name: str,
    source: SourceConfig,
    task: TaskConfig,
    as_of: dt.date,
    path: str,
    credentials: Any,
    held: RawStore,
) -> Feed:
    times = _check_times(name, source, held)
    days = held.days()
    newest = max(days, default=None)
    gate, end = None, as_of
    if task.gate is not None and source.known != "in_advance":
        gate = _local(run_time(as_of, task), source.timezone)
        end = (gate - pd.Timedelta(1, "ns")).date() + dt.timedelta(days=1)
    reading = read_source(name, source, end, newest, path, credentials, held.state)
    feed = Feed(
        source=name,
        batches=Batches(_Dated(name, source, as_of, end, gate, reading, min(days, default=None))),
        seen_on=as_of,
        hasher=make_hasher(source),
        key=key_of(source),
        in_advance=source.known == "in_advance",
        times=times,
        is_whole=source.path is not None,
        identity=_identity(name, source) if reading.is_partial else None,
        state=reading.state,
    )
    if gate is None:
        return feed
    last = end - dt.timedelta(days=1)
    return replace(feed, first_run=partial(_first_run, source, task), unfinished=last)


def _first_run(source: SourceConfig, task: TaskConfig, day: dt.date) -> dt.date:
    """The day of the first run whose gate is within that day of the source, or after it."""
    return first_run_after(local_day_start(day, source.timezone), task)


def _local(instant: pd.Timestamp, timezone: str) -> pd.Timestamp:
    return to_wall(pd.Series([instant]), timezone).iloc[0]


def _check_times(name: str, source: SourceConfig, held: RawStore) -> str:
    """How times are read, as text; the snapshots there are must have been cut in the same way."""
    keys = ("time", "time_format", "interval", "timezone")
    times = json.dumps({key: getattr(source, key) for key in keys})
    before = held.manifest["times"].iloc[-1] if len(held.manifest) else times
    if before not in ("", times):
        was, now = json.loads(before), json.loads(times)
        changed = [key for key in keys if was[key] != now[key]]
        raise SourceError(
            f"source '{name}': '{changed[0]}' was {was[changed[0]]!r} when it was collected, and "
            f"is {now[changed[0]]!r} now, but its days were cut with it: take the change back, or "
            f"delete the folder '{held.root}' and collect again"
        )
    return times


def _identity(name: str, source: SourceConfig) -> list[str]:
    """Columns that a row has in common with its own later version."""
    key = (source.sql.key if source.sql else []) or source.unique
    if not key:
        raise ConfigError(
            f"source '{name}': 'sql.watermark' needs 'sql.key', the columns that identify a row, "
            f"so that a revised row replaces its earlier version"
        )
    return key


@dataclass
class _Dated:
    """The batches of a source with the time of each row, without the rows not known yet.

    Those are of the days from `end` on, or not before `gate`, a time of the source's clock.
    `first` is the first day that earlier runs have collected.

    Iterating raises `SourceError` if a whole source has no readable time, or nothing before
    `as_of`.
    """

    name: str
    source: SourceConfig
    as_of: dt.date
    end: dt.date
    gate: dt.datetime | None
    reading: Reading
    first: dt.date | None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if not self.source.time_columns:
            never = pl.lit(None, pl.Datetime("ns")).alias(LOCAL)
            for batch in self.reading.batches():
                self.reading.took(batch, batch.clear())
                yield batch.drop(WATERMARK, strict=False).with_columns(never)
            return
        rows = dated = 0
        first = self.first
        span = self.reading.span()
        with_times = TimeReader(self.source)
        for batch in self.reading.batches():
            timed = with_times(_with_codes(batch, self.source)).drop(INSTANT)
            if span:
                timed = timed.filter(pl.col(LOCAL).is_null() | _DAY_OF_ROW.is_between(*span))
            known = timed.filter(self._is_known())
            self.reading.took(known, timed.filter(~self._is_known()))
            rows += timed.height
            dated += timed.height - timed[LOCAL].null_count()
            earliest = timed[LOCAL].dt.date().min()
            if isinstance(earliest, dt.date):
                first = min(first or earliest, earliest)
            yield known.drop(WATERMARK, strict=False)
        if rows and not dated and not (self.reading.is_partial and self.first):
            raise SourceError(
                f"source '{self.name}': no row has a readable time; correct 'time', or give "
                f"'time_format'"
            )
        if self.source.role == "target" and (first is None or first >= self.end):
            raise SourceError(
                f"as_of {self.as_of} is before the first data of source '{self.name}' "
                f"({first or 'it has no row at all'}): choose a later day"
            )

    def _is_known(self) -> pl.Expr:
        if self.source.known == "in_advance":
            return pl.lit(True)
        is_early = pl.lit(self.end) > _DAY_OF_ROW
        if self.gate is not None:
            is_early = pl.lit(self.gate) > pl.col(LOCAL)
        return pl.col(LOCAL).is_null() | is_early


def _with_codes(rows: pl.DataFrame, source: SourceConfig) -> pl.DataFrame:
    """The rows with numbers for the texts that repeat: ids, times, files."""
    own = source.id_columns if source.role == "target" else list(source.join_on.values())
    names = dict.fromkeys([*own, *source.time_columns, FILE])
    sample = rows.select(*names).gather_every(max(1, rows.height // _SAMPLE_ROWS))
    repeated = [name for name in names if sample[name].n_unique() <= _MOST * sample.height]
    if sample[FILE].n_unique() == 1:
        file = sample[FILE].head(1).cast(pl.Categorical).new_from_index(0, rows.height)
        rows = rows.with_columns(file)
    return rows.with_columns(pl.col(repeated).cast(pl.Categorical))


def _day_after_last(
    name: str, source: SourceConfig, task: TaskConfig, path: str, credentials: Any
) -> dt.date:
    if source.path is None:
        raise ConfigError(
            f"as_of is '{LATEST}', which is for files: source '{name}', an API or a database, is "
            f"read as of a day. Write it as YYYY-MM-DD, or as_of: ${{today:{source.timezone}}}"
        )
    last: dt.datetime | None = None
    reading = read_source(name, source, dt.date.max, None, path, credentials, {})
    with_times = TimeReader(source)
    for batch in reading.batches():
        steps = row_steps(source, task, batch.columns)
        if steps is not None:
            last = _local(steps[-1], source.timezone)
            break
        latest = with_times(batch)[LOCAL].max()
        if isinstance(latest, dt.datetime):
            last = max(last or latest, latest)
    if last is None:
        raise SourceError(
            f"source '{name}': no row has a readable time; correct 'time', or give 'time_format'"
        )
    if task.gate is not None:
        return first_run_after(to_utc(pd.Timestamp(last), source.timezone), task)
    return last.date() + dt.timedelta(days=1)
