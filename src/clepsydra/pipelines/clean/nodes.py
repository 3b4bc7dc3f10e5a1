"""Raw snapshots to the `panel`, `series`, `quality_report` and `quarantine` tables."""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.datasets.spool import Spool, copy_pieces
from clepsydra.errors import PanelError, SourceError
from clepsydra.layouts import row_steps, value_columns
from clepsydra.pipelines.clean.events import clock_changes
from clepsydra.pipelines.clean.ledger import ACCOUNT_SCHEMA, check_balance
from clepsydra.pipelines.clean.parsing import (
    Parsed,
    parse_attributes,
    parse_covariate,
    parse_target,
)
from clepsydra.pipelines.clean.regular import to_grid
from clepsydra.row_columns import DAY, FILE, LINE
from clepsydra.timegrid import add_span, grid, local_day_start, shorter_than_a_day, snap, to_wall

__all__ = [
    "clean_attributes",
    "clean_covariate",
    "gather_events",
    "gather_files",
    "gather_parts",
    "report_quality",
    "set_clock",
]

_LOGGER = logging.getLogger(__name__)
_MANY_REJECTED = 0.1
_MANY_IMPUTED = 0.5
_LONGEST_SILENCE = pd.Timedelta(days=14)


def set_clock(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str
) -> dict[str, str]:
    """When the panel ends, from the newest days of the target known at `as_of`.

    Returns:
        `as_of`, `panel_end` (first step not known), `cutoff` (last step known), and
        `known_until`: when the last day that has any row ended.

    Raises:
        SourceError: nothing is known at `as_of`, or no row is usable, or the last are too old.
    """
    name, source = sources.target
    day = parse_as_of(as_of)
    if raw.known(day).empty:
        first = min(raw.days(), default=None)
        raise SourceError(
            f"as_of {as_of}: nothing of source '{name}' is known then "
            f"(first day collected: {first}); run 'collect' or choose a later day"
        )
    last_row, newest, rejected = _newest(name, source, task, raw, day)
    if day is None:
        last_step = snap(pd.Series([last_row]), task.freq, task.timezone).iloc[0]
        panel_end = add_span(last_step, 1, task.freq, task.timezone)
    else:
        # The source's last day may end before the day does on the clock of the forecasts.
        ends = [local_day_start(day, zone) for zone in (task.timezone, source.timezone)]
        panel_end = snap(pd.Series([min(ends)]), task.freq, task.timezone).iloc[0]
    two_seasons_ago = add_span(panel_end, -2 * task.season_length, task.freq, task.timezone)
    if newest < min(two_seasons_ago, panel_end - _LONGEST_SILENCE):
        raise SourceError(
            f"as_of {as_of}: the last data of source '{name}' are of {newest} UTC, two seasons or "
            f"more before"
            + (f" (of the rows after them: {rejected})" if rejected else "")
            + "; correct as_of, the source's description, or see why it has stopped"
        )
    last_day = to_wall(pd.Series([last_row]), source.timezone).iloc[0].date()
    known_until = local_day_start(last_day + dt.timedelta(days=1), source.timezone)
    today = to_wall(pd.Series([panel_end]), task.timezone).iloc[0].date()
    return {
        "as_of": (day or today).isoformat(),
        "panel_end": panel_end.isoformat(),
        "cutoff": add_span(panel_end, -1, task.freq, task.timezone).isoformat(),
        "known_until": min(panel_end, known_until).isoformat(),
    }


def _newest(
    name: str, source: SourceConfig, task: TaskConfig, raw: RawStore, as_of: dt.date | None
) -> tuple[pd.Timestamp, pd.Timestamp, str]:
    """Times (naive UTC) of the last row, and of the last row with a value, and what befell others.

    Days are read from the newest back, until one has a value.
    """
    last_row: pd.Timestamp | None = None
    reasons: Counter[str] = Counter()
    for parsed in _days_backwards(name, source, task, raw, as_of):
        for measure, number in parsed.account.select("measure", "value").iter_rows():
            if measure.startswith(("excluded", "quarantined")):
                reasons[measure] += int(number)
        valued = parsed.rows.filter(pl.col("y").is_not_null())
        if parsed.rows.height and last_row is None:
            last_row = pd.Timestamp(parsed.rows["ds"].max())
        if valued.height and last_row is not None:
            return last_row, pd.Timestamp(valued["ds"].max()), _listed(reasons)
    raise SourceError(
        f"source '{name}': no row can be used ({_listed(reasons)}); "
        f"correct the source's description"
    )


def _listed(reasons: Counter[str]) -> str:
    return "; ".join(f"{number} {reason}" for reason, number in reasons.most_common())


def _days_backwards(
    name: str, source: SourceConfig, task: TaskConfig, raw: RawStore, as_of: dt.date | None
) -> Iterator[Parsed]:
    days = raw.known(as_of)["day"]
    for day in reversed(days.to_list()):
        rows = raw.read(as_of, days=[dt.date.fromisoformat(day) if day else None])
        yield parse_target(name, source, rows, steps=row_steps(source, task, rows.columns))


def clean_covariate(
    raw: RawStore, sources: SourcesConfig, task: TaskConfig, as_of: str, *, name: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Type the rows of a covariate source known at `as_of`.

    Returns:
        covariates: `join_key`, `ds` (naive UTC, on the grid), then every covariate column.
        account, quarantine: the fate of every raw row, and how many grid steps between a key's
            first and last row have none.
    """
    source = dict(sources.items())[name]
    rows = _known_rows(raw, source, as_of)
    parsed = parse_covariate(name, source, rows)
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


def _known_rows(raw: RawStore, source: SourceConfig, as_of: str) -> pl.DataFrame:
    rows = raw.read(parse_as_of(as_of))
    if rows.is_empty():
        columns = [*source.needed_columns(), FILE]
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String) | {LINE: pl.Int64})
    return rows


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


def gather_files(*files: Path) -> Spool:
    """Put the shards' tables together, piece by piece."""
    spool = Spool(pq.read_schema(files[0]))
    for piece in copy_pieces(list(files)):
        spool.add(piece)
    return spool


def gather_parts(*files: Path) -> list[Path]:
    """The shards' files, which together are one table."""
    return list(files)


def gather_events(
    series: pd.DataFrame,
    clock: dict[str, str],
    sources: SourcesConfig,
    task: TaskConfig,
    *files: Path,
) -> Spool:
    """The shards' gaps and outliers, and every change of the clocks within the panel."""
    spool = gather_files(*files)
    name, source = sources.target
    first = series["first_ds"].min()
    if pd.notna(first):
        end = pd.Timestamp(clock["panel_end"])
        zones = dict.fromkeys([source.timezone, task.timezone])
        for zone in zones:
            changes = clock_changes(name, zone, first, end, task.freq)
            noted = changes.with_columns(pl.concat_str(pl.lit(f"{zone} "), "note").alias("note"))
            spool.add(noted.to_arrow())
    return spool


def report_quality(
    series: pd.DataFrame,
    raw: RawStore,
    sources: SourcesConfig,
    as_of: str,
    *accounts: pd.DataFrame,
) -> pd.DataFrame:
    """Gather every account, and check them against what was collected.

    Args:
        series: one row a series, with flags.
        raw: the target's snapshots: every row of them must be in the accounts.
        sources: what was read.
        as_of: what is known.
        accounts: of the shards, then of the other sources.

    Returns:
        `source`, `unique_id`, `measure`, `value`.

    Raises:
        PanelError: no series has a single value, or a row is not accounted for.
    """
    if (series["n_observations"] == 0).all():
        raise PanelError("no series has a value: see the quarantine")
    filled = [part for part in accounts if len(part)]
    report = pd.concat([*filled, _flags(series)], ignore_index=True)
    for name, part in report.groupby("source"):
        if name != "panel":
            check_balance(str(name), part)
    name, source = sources.target
    target = report[report["source"] == name]
    rows_in = target.loc[target["measure"] == "rows in", "value"].sum()
    collected = _cells_known(raw, source, as_of)
    if rows_in != collected:
        raise PanelError(
            f"source '{name}': {collected} rows collected, {rows_in:.0f} cleaned; "
            f"this is a defect of the cleaning, please report it"
        )
    _say_what_was_rejected(report)
    _say_what_was_made_up(report)
    return report.astype({"value": "float64"})


def _flags(series: pd.DataFrame) -> pd.DataFrame:
    flagged = series.assign(flag=series["flags"].str.split(", ")).explode("flag")
    flagged = flagged[flagged["flag"] != ""]
    return pd.DataFrame(
        {
            "source": "panel",
            "unique_id": flagged["unique_id"],
            "measure": "flag: " + flagged["flag"],
            "value": 1.0,
        }
    )


def _cells_known(raw: RawStore, source: SourceConfig, as_of: str) -> int:
    """Rows known at `as_of`; of tables with several observations a row, cells."""
    known = raw.known(parse_as_of(as_of))
    rows = int(known["rows"].sum())
    if source.layout == "long":
        return rows
    columns = raw.read(parse_as_of(as_of), hashes=(0, 0)).columns
    return rows * len(value_columns(source, columns))


def _say_what_was_rejected(report: pd.DataFrame) -> None:
    totals = report.groupby(["source", "measure"])["value"].sum()
    for name in dict.fromkeys(totals.index.get_level_values("source")):
        its = totals[name]
        rejected = its[its.index.str.startswith("quarantined: ")]
        if rejected.empty:
            continue
        number, rows_in = int(rejected.sum()), int(its["rows in"])
        log = _LOGGER.warning if number > _MANY_REJECTED * rows_in else _LOGGER.info
        log(
            "Source '%s': %d of %d rows are quarantined, most for '%s' (dataset 'quarantine')",
            name,
            number,
            rows_in,
            rejected.idxmax().removeprefix("quarantined: "),
        )


def _say_what_was_made_up(report: pd.DataFrame) -> None:
    totals = report[report["source"] == "panel"].groupby("measure")["value"].sum()
    share = totals.get("steps imputed", 0.0) / max(1.0, totals.get("grid steps", 0.0))
    if share > _MANY_IMPUTED:
        _LOGGER.warning(
            "%.0f%% of the panel's steps are imputed: is 'task.freq' the step of the data? "
            "(dataset 'quality_events')",
            100 * share,
        )
