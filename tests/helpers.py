"""What several test modules need: tasks, sources, and panels cut from the real flights."""

from __future__ import annotations

import datetime as dt
import functools
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from hypothesis import Phase, settings

from clepsydra.config import (
    CalendarConfig,
    ModelsConfig,
    SourceConfig,
    SourcesConfig,
    TaskConfig,
)
from clepsydra.datasets.raw_store import RawStore, RawStoreDataset, Snapshot
from clepsydra.pipelines.clean.nodes import (
    build_panel,
    build_series,
    clean_covariates,
    clean_target,
)
from clepsydra.pipelines.collect.nodes import collect_sources

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


def text_rows(rows: list[dict[str, str]], file: str = "a.csv") -> pd.DataFrame:
    """Raw text rows as `read_text` gives them."""
    return pd.DataFrame(rows).assign(_file=file, _line=range(2, len(rows) + 2))


def store_of(folder: Path, **tables: pd.DataFrame) -> RawStoreDataset:
    """A raw store that holds each table as one undated snapshot known from the beginning."""
    store = RawStoreDataset(str(folder))
    store.save(
        Snapshot(name, None, dt.date.min, dt.date(2000, 1, 1), frame)
        for name, frame in tables.items()
    )
    return store


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
    frames: dict[str, list[pd.DataFrame]] = {}
    for snapshot in collect_sources(sources, as_of, str(PROJECT)):
        if snapshot.day is None or snapshot.day.isoformat() >= first:
            frames.setdefault(snapshot.source, []).append(snapshot.frame)
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()}
    raw = tables["flights"]
    tables["flights"] = raw[(raw["origin"] + "-" + raw["carrier"]).isin(ids)]
    with tempfile.TemporaryDirectory() as folder:
        return _clean(store_of(Path(folder), **tables).load(), sources, task, calendar, as_of)


def _clean(
    store: RawStore, sources: SourcesConfig, task: TaskConfig, calendar: CalendarConfig, as_of: str
) -> dict[str, Any]:
    observations, series_ids, *_, clock = clean_target(store, sources, task, as_of)
    covariates, *_ = clean_covariates(store, sources, task, as_of)
    series = build_series(observations, series_ids, store, sources, task, clock, 1)
    observations = observations[observations["y"].notna()]
    panel, future, _ = build_panel(observations, covariates, series, sources, task, calendar, clock)
    return {
        "panel": panel,
        "future": future,
        "series": series,
        "clock": clock,
        "sources": sources,
        "task": task,
        "calendar": calendar,
    }


def project_models() -> ModelsConfig:
    """The models of the project's own configuration."""
    return ModelsConfig.model_validate(parameters("train")["models"])
