"""The sources that are joined to the target: covariates, on the grid, and attributes."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.origins import known_from, panel_end
from clepsydra.pipelines.clean.ledger import ACCOUNT_SCHEMA
from clepsydra.pipelines.clean.parsing import parse_attributes, parse_covariate
from clepsydra.pipelines.clean.regular import all_day, to_grid
from clepsydra.pipelines.clean.vintages import source_vintages
from clepsydra.row_columns import FILE, LINE
from clepsydra.timegrid import add_span, grid, local_day_start, shorter_than_a_day

__all__ = ["clean_attributes", "clean_covariate"]


def clean_covariate(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str, *, name: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Type the rows of a covariate source known at `as_of`.

    With a gate a store may hold rows of that day that were later than the gate. Those that are not
    known in advance are set aside.

    Returns:
        covariates: `join_key`, `ds` (naive UTC, on the grid), then every covariate column.
        account, quarantine: the fate of every raw row, and how many grid steps between a key's
            first and last row have none; of a source known in advance also how many were collected
            after they had begun: a backtest reads what no forecast of them can have known.
        versions: what newer rows have replaced, see `source_vintages`.
    """
    source = dict(sources.items())[name]
    rows = _known_rows(raw, source, as_of)
    parsed = parse_covariate(name, source, rows, _end_of_past(sources, source, task, as_of))
    values = list(source.renames.values())
    rows = parsed.rows
    if source.lasts and shorter_than_a_day(task.freq):
        rows = all_day(rows, source, task)
    covariates = to_grid(rows, ["join_key"], values, source, task)
    late = _is_late(covariates["ds"], raw, sources, source, task, as_of)
    measured: list[dict[str, str | float]] = []
    for (key,), part in covariates.with_columns(late).group_by("join_key", maintain_order=True):
        counts = {
            "grid steps without a row": len(_steps_between(part["ds"], task)) - part.height,
            "grid steps first known after they began": part["_late"].sum(),
        }
        measured += [
            {"source": name, "unique_id": str(key), "measure": measure, "value": float(count)}
            for measure, count in counts.items()
            if count or measure == "grid steps without a row"
        ]
    account = pl.concat([parsed.account, pl.DataFrame(measured, schema=ACCOUNT_SCHEMA)])
    zone = sources.target[1].timezone
    versions = source_vintages(name, source, raw, task, zone, parse_as_of(as_of))
    return (
        *(table.to_pandas() for table in (covariates, account, parsed.quarantine)),
        versions.to_pandas(),
    )


def _is_late(
    ds: pl.Series,
    raw: RawStore,
    sources: SourcesConfig,
    source: SourceConfig,
    task: TaskConfig,
    as_of: str,
) -> pl.Series:
    """Whether each step had begun when a run first knew of its day."""
    first = raw.first_known(parse_as_of(as_of))
    first = first[first > dt.date.min.isoformat()]
    if source.known != "in_advance" or first.empty:
        return pl.repeat(False, len(ds), eager=True).alias("_late")
    zone = sources.target[1].timezone
    moments = {
        moment: known_from(dt.date.fromisoformat(moment), task, zone) for moment in first.unique()
    }
    known = pl.Series(first.map(moments).to_numpy("datetime64[ns]"))
    days = pl.Series([dt.date.fromisoformat(str(day)) for day in first.index])
    local = ds.dt.replace_time_zone("UTC").dt.convert_time_zone(source.timezone).dt.date()
    return (local.replace_strict(days, known, default=None) > ds).alias("_late")


def _end_of_past(
    sources: SourcesConfig, source: SourceConfig, task: TaskConfig, as_of: str
) -> pd.Timestamp | None:
    """The first time of a covariate whose step is not over at the gate of `as_of`."""
    day = parse_as_of(as_of)
    if day is None or task.gate is None or source.known == "in_advance":
        return None
    if source.lasts:
        return local_day_start(day, source.timezone)
    return panel_end(day, task, sources.target[1].timezone)


def _steps_between(ds: pl.Series, task: TaskConfig) -> pd.DatetimeIndex:
    first, last = pd.Timestamp(ds.min()), pd.Timestamp(ds.max())
    return grid(first, add_span(last, 1, task.freq, task.timezone), task.freq, task.timezone)


def clean_attributes(
    raw: RawStore, sources: SourcesConfig, as_of: str, *, name: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The rows of an attributes source known at `as_of`, one a key.

    Returns:
        attributes: `join_key`, then the columns, text.
        account, quarantine: the fate of every raw row.
    """
    source = dict(sources.items())[name]
    parsed = parse_attributes(name, source, _known_rows(raw, source, as_of))
    return tuple(part.to_pandas() for part in (parsed.rows, parsed.account, parsed.quarantine))


def _known_rows(raw: RawStore, source: SourceConfig, as_of: str) -> pl.DataFrame:
    rows = raw.read(parse_as_of(as_of))
    if rows.is_empty():
        columns = [*source.needed_columns(), FILE]
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String) | {LINE: pl.Int64})
    return rows
