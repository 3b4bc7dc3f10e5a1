"""The whole line at an hour of the day, with a weather forecast that is revised every day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from line_runner import Line

pytestmark = pytest.mark.e2e

PARIS = "Europe/Paris"


def test_tomorrow_is_forecast_at_nine(tmp_path: Path, make_line: Callable[..., Line]) -> None:
    line = make_line(
        sources={
            "load": {
                "role": "target",
                "path": f"{tmp_path}/load.csv",
                "name": "town",
                "time": "time",
                "timezone": PARIS,
                "value": "mw",
            },
            "weather": {
                "role": "covariate",
                "known": "in_advance",
                "path": f"{tmp_path}/weather.csv",
                "time": "time",
                "timezone": PARIS,
                "columns": ["celsius"],
            },
        },
        task={
            "freq": "h",
            "season_lengths": [24],
            "horizon": "1D",
            "gate": "09:00",
            "timezone": PARIS,
        },
        calendar={},
        windows={"calibrate": 2, "select": 2, "report": 2, "history": "14D"},
        models={"naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}}},
        n_shards=1,
    )
    hours = pd.date_range("2024-03-10", "2024-04-03 23:00", freq="h")
    for number, day in enumerate(("2024-03-31", "2024-04-01")):
        load = pd.DataFrame({"time": hours, "mw": 50.0 + hours.hour})
        # The day is in the file already; the run is at nine.
        load[hours < day + " 12:00"].to_csv(tmp_path / "load.csv", index=False)
        weather = pd.DataFrame({"time": hours, "celsius": 10.0 + number})
        weather.to_csv(tmp_path / "weather.csv", index=False)
        line.run("--params", f"as_of={day}")
    made = line.forecasts()
    made = made.assign(**{name: pd.to_datetime(made[name]) for name in ("cutoff", "ds")})
    assert made.groupby("cutoff")["ds"].agg(
        ["min", "max", "size"]
    ).reset_index().to_numpy().tolist() == [
        # Clocks went forward in the night before: nine o'clock is 7:00 in UTC.
        [
            pd.Timestamp("2024-03-31 06:00"),
            pd.Timestamp("2024-03-31 22:00"),
            pd.Timestamp("2024-04-01 21:00"),
            24,
        ],
        [
            pd.Timestamp("2024-04-01 06:00"),
            pd.Timestamp("2024-04-01 22:00"),
            pd.Timestamp("2024-04-02 21:00"),
            24,
        ],
    ]
    windows = line.read("05_model_input/windows.parquet")
    local = windows["cutoff"].dt.tz_localize("UTC").dt.tz_convert(PARIS)
    assert set(local.dt.hour) == {8}
    vintages = line.read("03_primary/shard_0/vintages.parquet")
    assert set(vintages["celsius"]) == {10.0}
    assert set(vintages["known_until"]) == {pd.Timestamp("2024-04-01 07:00")}
    assert np.all(line.read("03_primary/panel.parquet")["celsius"] == 11.0)
