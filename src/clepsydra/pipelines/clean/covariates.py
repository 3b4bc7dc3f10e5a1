"""The sources that are joined to the target: covariates, on the grid, and attributes."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.origins import panel_end
from clepsydra.pipelines.clean.ledger import ACCOUNT_SCHEMA
from clepsydra.pipelines.clean.parsing import parse_attributes, parse_covariate
from clepsydra.pipelines.clean.regular import to_grid
from clepsydra.row_columns import DAY, FILE, LINE
from clepsydra.timegrid import add_span, grid, local_day_start, shorter_than_a_day, snap, to_wall

__all__ = ["clean_attributes", "clean_covariate"]


def clean_covariate(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str, *, name: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Type the rows of a covariate source known at `as_of`.

    With a gate a store may hold rows of that day that were later than the gate. Those that are not
    known in advance are set aside.

    Returns:
        covariates: `join_key`, `ds` (naive UTC, on the grid), then every covariate column.
        account, quarantine: the fate of every raw row, and how many grid steps between a key's
            first and last row have none.
    """
    source = dict(sources.items())[name]
    rows = _known_rows(raw, source, as_of)
    parsed = parse_covariate(name, source, rows, _end_of_past(sources, source, task, as_of))
    values = list(source.renames.values())
    rows = parsed.rows
    if source.lasts and shorter_than_a_day(task.freq):
        rows = _all_day(rows, source, task)
    covariates = to_grid(rows, ["join_key"], values, source, task)
    missing = [
        {
            "source": name,
            "unique_id": key,
            "measure": "grid steps without a row",
            "value": float(len(_steps_between(part["ds"], task)) - part.height),
        }
        for (key,), part in covariates.group_by("join_key", maintain_order=True)
    ]
    account = pl.concat([parsed.account, pl.DataFrame(missing, schema=ACCOUNT_SCHEMA)])
    return covariates.to_pandas(), account.to_pandas(), parsed.quarantine.to_pandas()


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


def _all_day(rows: pl.DataFrame, source: SourceConfig, task: TaskConfig) -> pl.DataFrame:
    """Every row once for each grid step of its local day, which has 23 to 25 hours."""
    if rows.is_empty():
        return rows
    day = dt.timedelta(days=1)
    first, last = pd.Timestamp(rows["ds"].min()) - day, pd.Timestamp(rows["ds"].max()) + 2 * day
    steps = grid(
        snap(pd.Series([first]), task.freq, task.timezone)[0], last, task.freq, task.timezone
    )
    walls = to_wall(pd.Series(steps), source.timezone)
    table = pl.DataFrame(
        {
            DAY: pl.Series(walls.to_numpy("datetime64[ns]")).dt.date(),
            "_step": steps.to_numpy("datetime64[ns]"),
        }
    )
    local = pl.col("ds").dt.replace_time_zone("UTC").dt.convert_time_zone(source.timezone)
    dated = rows.with_columns(local.dt.date().alias(DAY))
    whole = dated.join(table, on=DAY, how="inner").drop("ds", DAY).rename({"_step": "ds"})
    return whole.select(rows.columns).sort("join_key", "ds", maintain_order=True)


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
