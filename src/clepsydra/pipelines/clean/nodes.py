"""What the shards have made, put together: `panel`, `series`, `quality_report`, `quarantine`, …"""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from clepsydra.config import SourceConfig, SourcesConfig, TaskConfig, parse_as_of
from clepsydra.datasets.raw_store import RawStore
from clepsydra.datasets.spool import Spool, copy_pieces
from clepsydra.errors import PanelError
from clepsydra.layouts import value_columns
from clepsydra.pipelines.clean.events import clock_changes
from clepsydra.pipelines.clean.ledger import check_balance

__all__ = ["gather_events", "gather_files", "report_quality"]

_LOGGER = logging.getLogger(__name__)
_MANY_REJECTED = 0.1
_MANY_IMPUTED = 0.5


def gather_files(*files: Path) -> Spool:
    """Put the shards' tables together, piece by piece."""
    spool = Spool(pq.read_schema(files[0]))
    for piece in copy_pieces(list(files)):
        spool.add(piece)
    return spool


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
