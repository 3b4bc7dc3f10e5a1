"""Tables of any cells, their way through cleaning, and the check that no row is lost on it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import strategies as st

from clepsydra.config import CalendarConfig, CleaningConfig, SourceConfig, SourcesConfig, TaskConfig
from clepsydra.datasets.raw_store import Feed, RawStore, RawStoreDataset
from clepsydra.datasets.spool import Spool
from clepsydra.layouts import row_steps
from clepsydra.pipelines.clean.balance import cut_shards
from clepsydra.pipelines.clean.clock import set_clock
from clepsydra.pipelines.clean.covariates import clean_attributes, clean_covariate
from clepsydra.pipelines.clean.nodes import gather_events, gather_files, report_quality
from clepsydra.pipelines.clean.parsing import Parsed, parse_target
from clepsydra.pipelines.clean.shard import clean_shard
from clepsydra.row_columns import INSTANT, LOCAL
from clepsydra.series_ids import key_of, make_hasher
from clepsydra.sharding import gather
from clepsydra.sources.times import TimeReader
from clepsydra.timegrid import grid
from helpers import make_source, make_task, table_of, text_rows

NOON = pd.Timestamp("2013-11-03 16:00")

NUMBERS = ["1", "2.5", "-3e2", " 4 ", "0"]
JUNK = ["", "NA", "x", "inf", "-inf", "nan", "1e999", "1e308", "-1e308", "1e39", "9" * 30]
JUNK += ["1,5", "True", "0x1F", " ", "1_0", "5\x00"]
TIMES = [
    *("2013-11-03 00:00", "2013-11-03 01:00", "2013-11-03 02:00", "2013-03-10 02:30"),
    *("2013-11-03T05:00:00Z", "2013-11-02", "", "NA", "soon", "now", "2013-02-30", "99999-01-01"),
    *("2262-04-11 23:30:00", "1677-09-21 00:15:00", "0001-01-01", "2013-11-03 24:00"),
]
IDS = ["a", "b", "", "NA", "ü"]

Row = dict[str, str]


def rows_of(**columns: list[str]) -> st.SearchStrategy[list[Row]]:
    cells = {name: st.sampled_from(values) for name, values in columns.items()}
    return st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=40)


def sources_of(**changes: Any) -> SourcesConfig:
    """A target `load` with these changes, and nothing else."""
    return SourcesConfig(root={"load": make_source(**changes)})


# Parsing


def parse(rows: list[Row], before: pd.Timestamp | None = None, **changes: Any) -> Parsed:
    """Text rows of a target with these changes."""
    return parse_rows(text_rows(rows), make_source(**changes), before)


def parse_rows(
    raw: pl.DataFrame, source: SourceConfig, before: pd.Timestamp | None = None
) -> Parsed:
    steps = row_steps(source, make_task(), raw.columns)
    return parse_target("load", source, raw, before, steps=steps)


def account_of(account: pl.DataFrame | pd.DataFrame) -> dict[str, float]:
    """The sum of every measure."""
    return dict(
        pl.DataFrame(account).group_by("measure").agg(pl.col("value").sum()).sort("measure").rows()
    )


def reasons(parsed: Parsed) -> dict[int, str]:
    """The reason of every line in quarantine."""
    return dict(parsed.quarantine.select("line", "reason").rows())


def check_account(rows_in: int, parsed: Parsed) -> None:
    """Rows in = kept + excluded + quarantined, and the quarantine tells all."""
    check_tables(rows_in, parsed.account, parsed.quarantine)


def check_tables(
    rows_in: int,
    account: pl.DataFrame | pd.DataFrame,
    quarantine: pl.DataFrame | pd.DataFrame,
    source: str | None = None,
) -> None:
    account, quarantine = pd.DataFrame(pl.DataFrame(account).to_dicts()), pl.DataFrame(quarantine)
    if source is not None:
        account = account[account["source"] == source]
        quarantine = quarantine.filter(pl.col("source") == source)
    totals = account.groupby("measure")["value"].sum().to_dict() if len(account) else {}
    excluded = sum(v for k, v in totals.items() if k.startswith("excluded: "))
    quarantined = sum(v for k, v in totals.items() if k.startswith("quarantined: "))
    assert totals.get("rows in", 0) == rows_in
    assert totals.get("rows kept", 0) + excluded + quarantined == rows_in
    assert quarantine.height == quarantined
    assert quarantine.null_count().row(0) == (0,) * quarantine.width
    assert (quarantine["reason"] != "").all()
    assert (quarantine["file"] != "").all()
    assert (quarantine["line"] >= 2).all()
    for row in quarantine["row"]:
        assert all(isinstance(cell, str) for cell in json.loads(row).values())


# The whole stage


def stored(folder: Path, source: SourceConfig, *batches: pl.DataFrame) -> RawStore:
    """The rows in a raw store, cut by day and hashed as `collect` does it."""
    store = RawStoreDataset(str(folder))
    day = pd.Timestamp("2030-01-01").date()
    timed = [_timed(rows, source) for rows in batches]
    store.save(Feed("source", timed, day, make_hasher(source), key_of(source)))
    return store.load()


def _timed(rows: pl.DataFrame, source: SourceConfig) -> pl.DataFrame:
    if not source.time_columns:
        return rows.with_columns(pl.lit(None, pl.Datetime("ns")).alias(LOCAL))
    return TimeReader(source)(rows).drop(INSTANT)


def store_rows(folder: Path, sources: SourcesConfig, **tables: list[Row]) -> dict[str, RawStore]:
    """Text rows of every source, each in its own store."""
    return {
        name: stored(folder / name, source, text_rows(tables[name]))
        for name, source in sources.items()
    }


def clean_up(
    raw: dict[str, RawStore],
    sources: SourcesConfig,
    task: TaskConfig,
    as_of: str = "latest",
    n_shards: int = 1,
    cleaning: CleaningConfig | None = None,
    calendar: CalendarConfig | None = None,
) -> dict[str, Any]:
    """The whole clean stage as the pipeline runs it; tables in order of series and time."""
    cleaning, calendar = cleaning or CleaningConfig(), calendar or CalendarConfig()
    target, _ = sources.target
    clock = set_clock(raw[target], sources, task, as_of)
    covariates = [
        clean_covariate(raw[name], sources, task, as_of, name=name)
        for name in sources.of_role("covariate")
    ]
    others = [
        *(tables for *tables, _ in covariates),
        *(
            clean_attributes(raw[name], sources, as_of, name=name)
            for name in sources.of_role("attributes")
        ),
    ]
    tables = [*(table for table, *_ in others), *(versions for *_, versions in covariates)]
    shards_of = cut_shards(raw[target], clock, sources, as_of, n_shards)
    how = (sources, task, cleaning, calendar, as_of, shards_of, *tables)
    shards = [clean_shard(raw[target], clock, *how, number=number) for number in range(n_shards)]
    panels, futures, series, accounts, quarantines, events, vintages = zip(*shards, strict=True)
    described = gather(*series)
    accounts = (*accounts, *(account for _, account, _ in others))
    report = report_quality(described, raw[target], sources, as_of, *accounts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quarantine = _files(folder / "quarantine", [*quarantines, *(q for _, _, q in others)])
        panel = gather_files(*_files(folder / "panel", panels))
        rejected = gather_files(*quarantine)
        happened = gather_events(
            described, clock, sources, task, *_files(folder / "events", events)
        )
    return {
        "panel": _ordered(table_of(panel), "unique_id", "ds"),
        "future": gather(*futures),
        "vintages": gather(*(table_of(table) for table in vintages)),
        "series": described,
        "clock": clock,
        "report": _ordered(report, *report.columns),
        "quarantine": _ordered(table_of(rejected), "source", "file", "line", "unique_id", "row"),
        "events": _ordered(table_of(happened), "unique_id", "start", "note"),
    }


def _files(folder: Path, tables: Iterable[Spool | pd.DataFrame]) -> list[Path]:
    """The tables in files, as the datasets of the catalog put them."""
    folder.mkdir()
    files = []
    for number, table in enumerate(tables):
        files.append(folder / f"{number}.parquet")
        if isinstance(table, Spool):
            table.move_to(files[-1])
        else:
            table.to_parquet(files[-1], index=False)
    return files


def _ordered(table: pd.DataFrame, *keys: str) -> pd.DataFrame:
    return table.sort_values(list(keys), kind="stable", ignore_index=True)


def check_regular(found: dict[str, Any], task: TaskConfig) -> None:
    """Every series with a value has one row for every step up to the panel's end."""
    panel, series, clock = found["panel"], found["series"], found["clock"]
    assert np.isfinite(panel["y"]).all()
    with_values = series[series["n_observations"] > 0]
    assert set(panel["unique_id"]) == set(with_values["unique_id"])
    for row in with_values.itertuples():
        ds = panel.loc[panel["unique_id"] == row.unique_id, "ds"]
        steps = grid(row.first_ds, pd.Timestamp(clock["panel_end"]), task.freq, task.timezone)
        assert ds.tolist() == steps.tolist()
        assert steps[-1] == pd.Timestamp(clock["cutoff"])
