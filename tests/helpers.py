"""What several test modules need: tasks, sources, and panels cut from the real flights."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import yaml
from hypothesis import Phase, settings

from clepsydra.config import (
    CalendarConfig,
    CleaningConfig,
    ModelsConfig,
    SourceConfig,
    SourcesConfig,
    TaskConfig,
)
from clepsydra.datasets.raw_store import Feed, RawStore, RawStoreDataset
from clepsydra.datasets.spool import Spool
from clepsydra.pipelines.clean.clock import set_clock
from clepsydra.pipelines.clean.covariates import clean_attributes, clean_covariate
from clepsydra.pipelines.clean.shard import clean_shard
from clepsydra.pipelines.collect.nodes import collect_source, collect_target
from clepsydra.row_columns import HASH, LOCAL

# The same examples on every machine, and no limit of time on a busy one.
settings.register_profile(
    "clepsydra",
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.load_profile("clepsydra")

PROJECT = Path(__file__).resolve().parents[1]
NEW_YORK = "America/New_York"


def package_folder(name: str) -> Path:
    """Folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0])


def parameters(stage: str) -> dict[str, Any]:
    """The project's own parameters of a stage."""
    return yaml.safe_load((PROJECT / f"conf/base/parameters/{stage}.yml").read_text())


def make_task(**changes: Any) -> TaskConfig:
    """An hourly task in UTC, with these changes."""
    values = {"freq": "h", "season_lengths": [24], "horizon": 24, **changes}
    return TaskConfig.model_validate(values)


def make_source(**changes: Any) -> SourceConfig:
    """A long target `id,time,value`, with these changes."""
    values = {"role": "target", "path": "*.csv", "id": "id", "time": "time", "value": "value"}
    return SourceConfig.model_validate({**values, **changes})


def make_series(unique_id: str, start: str, y: Any, freq: str = "h") -> pd.DataFrame:
    """One series as panel rows, from its first time and its values."""
    ds = pd.date_range(start, periods=len(y), freq=freq)
    values = [float(v) for v in y]
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": values, "is_imputed": False})


def text_rows(rows: list[dict[str, str]], file: str = "a.csv") -> pl.DataFrame:
    """Raw text rows as a reader gives them."""
    lines = pl.int_range(2, len(rows) + 2, dtype=pl.Int64, eager=True)
    return pl.DataFrame(rows).with_columns(pl.lit(file).alias("_file"), lines.alias("_line"))


def feed_of(
    rows: pl.DataFrame, day: dt.date | None = None, seen_on: dt.date = dt.date(2000, 1, 1)
) -> Feed:
    """A table as a feed of one day; without a day it is known from the beginning.

    All rows have the same hash, and the feed a key that no source has: whoever reads a part of
    the series hashes them again.
    """
    stamped = rows.with_columns(pl.lit(day).cast(pl.Datetime("ns")).alias(LOCAL))
    return Feed(
        "source",
        [stamped],
        seen_on,
        hasher=lambda frame: frame.with_columns(pl.lit(0, pl.UInt32).alias(HASH)),
        key="another key",
    )


def table_of(spool: Spool) -> pd.DataFrame:
    """What a spool holds, as it is loaded after it was saved."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        spool.move_to(path)
        return pd.read_parquet(path)


@functools.cache
def flights(first: str, as_of: str, ids: tuple[str, ...]) -> dict[str, Any]:
    """A panel of the real flights, by the project's own functions and configuration.

    Args:
        first: day from which flights are used.
        as_of: day of the run.
        ids: the series to keep.

    Returns:
        `panel`, `future`, `series`, `clock`, `sources`, `task`, `calendar`.
    """
    sources = SourcesConfig.model_validate(parameters("collect")["sources"])
    task = TaskConfig.model_validate(parameters("clean")["task"])
    calendar = CalendarConfig.model_validate(parameters("clean")["calendar"])
    target, source = sources.target
    with tempfile.TemporaryDirectory() as folder:
        stores = {name: RawStoreDataset(str(Path(folder) / name)) for name, _ in sources.items()}
        how = (str(PROJECT), {}, stores[target].load())
        feed, collected = collect_target(sources, as_of, *how, task)
        chosen = pl.concat_str(source.id_columns, separator="-").is_in(ids)
        stores[target].save(_part_of(feed, chosen, first))
        for name in stores.keys() - {target}:
            feed = collect_source(sources, collected, *how, task, name=name)
            stores[name].save(_part_of(feed, pl.lit(True), first))
        raw = {name: store.load() for name, store in stores.items()}
        tables = _clean(raw, sources, task, calendar, as_of)
    return {**tables, "sources": sources, "task": task, "calendar": calendar}


def _part_of(feed: Feed, chosen: pl.Expr, first: str) -> Feed:
    since = pl.col(LOCAL).is_null() | (pl.col(LOCAL) >= dt.datetime.fromisoformat(first))
    return dataclasses.replace(feed, batches=[rows.filter(chosen, since) for rows in feed.batches])


def _clean(
    raw: dict[str, RawStore],
    sources: SourcesConfig,
    task: TaskConfig,
    calendar: CalendarConfig,
    as_of: str,
) -> dict[str, Any]:
    target = raw[sources.target[0]]
    clock = set_clock(target, sources, task, as_of)
    covariates = [
        clean_covariate(raw[name], sources, task, as_of, name=name)
        for name in sources.of_role("covariate")
    ]
    tables = [
        *(table for table, *_ in covariates),
        *(
            clean_attributes(raw[name], sources, as_of, name=name)[0]
            for name in sources.of_role("attributes")
        ),
        *(versions for *_, versions in covariates),
    ]
    how = (sources, task, CleaningConfig(), calendar, as_of, [0, 1 << 32])
    panel, future, series, *_ = clean_shard(target, clock, *how, *tables, number=0)
    return {"panel": table_of(panel), "future": future, "series": series, "clock": clock}


def project_models() -> ModelsConfig:
    """The models of the project's own configuration."""
    return ModelsConfig.model_validate(parameters("train")["models"])
