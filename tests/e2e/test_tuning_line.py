"""Options are tuned in the line, and every later stage uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from line_runner import Line

pytestmark = pytest.mark.e2e


def test_what_was_tuned_is_what_forecasts(tmp_path: Path, make_line: Callable[..., Line]) -> None:
    week = np.tile([5.0, 1.0, 1.0, 1.0, 1.0, 9.0, 7.0], 20)
    days = pd.date_range("2024-01-01", periods=len(week), freq="D").strftime("%Y-%m-%d")
    noise = np.random.default_rng(0).normal(0, 0.1, len(week))
    pd.DataFrame({"shop": "north", "day": days, "sales": week + noise}).to_csv(
        tmp_path / "sales.csv", index=False
    )
    names = {"id": "shop", "time": "day", "value": "sales"}
    naive = {"engine": "statsforecast", "options": {"model": "SeasonalNaive", "season_length": 2}}
    line = make_line(
        as_of="latest",
        n_shards=1,
        sources={"sales": {"role": "target", "path": f"{tmp_path}/*.csv", **names}},
        task={"freq": "D", "season_lengths": [7], "horizon": 7},
        calendar={},
        windows={"calibrate": 1, "select": 2, "report": 2},
        models={
            "last": {"engine": "statsforecast", "options": {"model": "Naive"}},
            "seasonal": {**naive, "tune": {"space": {"season_length": {"low": 2, "high": 8}}}},
        },
    )
    done = line.run()
    trials = line.read("08_reporting/trials.parquet")
    assert json.loads(trials.loc[trials["chosen"], "options"].item()) == {"season_length": 7}
    planned = yaml.safe_load((line.data / "05_model_input/planned_models.yml").read_text())
    assert planned["seasonal"]["options"]["season_length"] == 7
    assert set(line.forecasts()["model"]) == {"seasonal"}
    found = line.forecasts().sort_values("ds")["y_hat"].to_numpy()
    np.testing.assert_allclose(found, week[:7], atol=0.5)
    assert "seasonal" in done.stdout
    # The forecast can be made again from what was chosen then.
    line.run("--pipelines=forecast")
