"""Whole lines of a few series, for tests of how many shards they are in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from line_runner import Line, build_line

__all__ = ["SHOPS", "line_of_shops"]

# In four shards, none is in the first.
SHOPS = ["north", "south", "west"]
_MODELS: dict[str, Any] = {
    "naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
    "boosting": {
        "engine": "mlforecast",
        "options": {
            "estimator": "lightgbm.LGBMRegressor",
            "lags": [7],
            "params": {"n_estimators": 5, "min_child_samples": 3},
        },
    },
    "both": {"engine": "median", "options": {"of": ["naive", "boosting"]}},
}


def line_of_shops(folder: Path, n_shards: int) -> Line:
    """Three daily series, with a model of each by itself and one of all."""
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=90, freq="D").strftime("%Y-%m-%d")
    rows = [
        pd.DataFrame({"shop": shop, "day": days, "sales": random.poisson(20, 90)}) for shop in SHOPS
    ]
    pd.concat(rows).to_csv(folder / "sales.csv", index=False)
    names = {"id": "shop", "time": "day", "value": "sales"}
    return build_line(
        folder,
        {
            "as_of": "latest",
            "n_shards": n_shards,
            "sources": {"sales": {"role": "target", "path": f"{folder}/*.csv", **names}},
            "task": {"freq": "D", "season_lengths": [7], "horizon": 3},
            "calendar": {},
            "windows": {"calibrate": 1, "select": 2, "report": 2},
            "models": _MODELS,
        },
    )
