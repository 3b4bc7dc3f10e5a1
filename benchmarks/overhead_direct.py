"""The shortest script that does what `overhead.py` asks of the line, without the line.

`python benchmarks/overhead_direct.py PANEL OUT WINDOWS MODEL…`: reads `unique_id`, `ds`, `y`;
backtests the models on that many windows, each fitted anew; fits them on everything, forecasts, and
writes the backtests and the forecasts. Nothing is scored, checked, calibrated or published, and a
series that fails ends it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
from lightgbm import LGBMRegressor
from mlforecast import MLForecast
from mlforecast.target_transforms import Differences
from statsforecast import StatsForecast
from statsforecast.models import AutoCES, AutoETS, DynamicOptimizedTheta, SeasonalNaive

HORIZON, SEASON, FREQ = 18, 12, "MS"
LOCAL = {
    "seasonal_naive": SeasonalNaive(SEASON),
    "theta": DynamicOptimizedTheta(SEASON),
    "ces": AutoCES(SEASON),
    "ets": AutoETS(SEASON, damped=True),
}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def main(panel: str, out: str, windows: str, *names: str) -> None:
    frame = pd.read_parquet(panel, columns=["unique_id", "ds", "y"])
    shown = {"h": HORIZON, "n_windows": int(windows), "step_size": HORIZON}
    local = [LOCAL[name] for name in names if name in LOCAL]
    statistical = StatsForecast(models=local, freq=FREQ, n_jobs=CORES)
    backtests = statistical.cross_validation(df=frame, **shown)
    forecasts = statistical.forecast(df=frame, h=HORIZON)
    if "boosting" in names:
        learner = MLForecast(
            models={"boosting": LGBMRegressor(verbosity=-1)},
            freq=FREQ,
            lags=list(range(1, SEASON + 1)),
            target_transforms=[Differences([SEASON])],
            num_threads=CORES,
        )
        keys = ["unique_id", "ds"]
        learnt = learner.cross_validation(df=frame, refit=True, **shown)
        backtests = backtests.merge(learnt[[*keys, "cutoff", "boosting"]], on=[*keys, "cutoff"])
        forecasts = forecasts.merge(learner.fit(frame).predict(HORIZON), on=keys)
    backtests.to_parquet(Path(out) / "backtests.parquet")
    forecasts.to_parquet(Path(out) / "forecasts.parquet")


if __name__ == "__main__":
    main(*sys.argv[1:])
