"""A budget of minutes goes through the whole line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from line_runner import PROJECT, Line

pytestmark = pytest.mark.e2e


def test_what_takes_too_long_is_left_out_and_said(
    tmp_path: Path, make_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT / 'src'}:{PROJECT / 'tests/models'}")
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=90, freq="D").strftime("%Y-%m-%d")
    rows = [
        pd.DataFrame({"shop": shop, "day": days, "sales": random.poisson(20, 90)})
        for shop in ("north", "south", "west")
    ]
    pd.concat(rows).to_csv(tmp_path / "sales.csv", index=False)
    names = {"id": "shop", "time": "day", "value": "sales"}
    models: dict[str, Any] = {
        "a_naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
        "b_slow": {"engine": "sleeping.SleepingOverAll", "options": {"fit": 600.0}},
        "c_last": {"engine": "sleeping.Sleeping"},
        "median": {"engine": "median", "options": {"of": ["a_naive", "b_slow", "c_last"]}},
    }
    line = make_line(
        as_of="latest",
        n_shards=2,
        sources={"sales": {"role": "target", "path": f"{tmp_path}/*.csv", **names}},
        task={"freq": "D", "season_lengths": [7], "horizon": 3},
        calendar={},
        windows={"calibrate": 1, "select": 2, "report": 2},
        models=models,
        budget={"minutes": 0.5},
    )
    done = line.run()
    assert "\n               b_slow left out: more than " in done.stdout
    assert line.read("08_reporting/plan.parquet")["runs"].tolist() == [True, False, True, True]
    assert set(line.forecasts()["unique_id"]) == {"north", "south", "west"}
    scored = set(line.read("08_reporting/leaderboard.parquet")["model"])
    assert scored == {"a_naive", "c_last", "median"}
    assert set(line.read("08_reporting/canary.parquet")["model"]) == scored
    for number in range(2):
        assert line.read(f"07_model_output/shard_{number}.b_slow/points.parquet").empty
        assert len(line.read(f"07_model_output/shard_{number}/points.parquet"))

    models["c_last"]["max_history"] = 30
    parameters = line.conf / "test/parameters.yml"
    said = yaml.safe_load(parameters.read_text())
    parameters.write_text(yaml.safe_dump({**said, "models": models}))
    refused = line.run("--pipelines=forecast", check=False)
    assert refused.returncode == 1
    assert "'models' has changed since it was planned which of them run" in refused.stderr
