"""Runs of the line, each with a configuration and a data folder of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from _results import PROJECT, Usage, measure

__all__ = ["of_nodes", "prepare", "run_line", "table"]

_NEW = "benchmark"


def prepare(folder: Path, parameters: dict[str, Any], environment: str = _NEW) -> Path:
    """Copy the project's configuration, and let an environment of it keep its data beside.

    Args:
        folder: takes `conf` and `data`.
        parameters: of the environment, in the place of those it has.
        environment: one of `conf/`, or a new one.

    Returns:
        The folder of the data.
    """
    shutil.copytree(PROJECT / "conf", folder / "conf")
    its = folder / "conf" / environment
    its.mkdir(exist_ok=True)
    settings = {"globals.yml": {"data_root": str(folder / "data")}, "parameters.yml": parameters}
    for name, values in settings.items():
        file = its / name
        before = yaml.safe_load(file.read_text()) if file.exists() else None
        file.write_text(yaml.safe_dump({**(before or {}), **values}, sort_keys=False))
    return folder / "data"


def run_line(folder: Path, *arguments: str, environment: str = _NEW) -> Usage:
    """`kedro run` with what `prepare` has made in the folder; what it prints is in `line.log`."""
    command = [sys.executable, "-m", "kedro", "run", f"--conf-source={folder / 'conf'}"]
    command += [f"--env={environment}", *arguments]
    return measure(command, folder / "line.log", {"DO_NOT_TRACK": "1"})


def table(data: Path, name: str, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """A table of the line's, by the path below its data folder without its suffix."""
    return pd.read_parquet(data / f"{name}.parquet", columns=list(columns) if columns else None)


def of_nodes(profile: pd.DataFrame) -> float:
    """Seconds from the start of the first node to the end of the last."""
    end = profile["start"] + pd.to_timedelta(profile["seconds"], unit="s")
    return float((end.max() - profile["start"].min()).total_seconds())
