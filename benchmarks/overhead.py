"""What the line adds to the work of the models: `python benchmarks/overhead.py`.

From a clean panel to published forecasts: windows, backtests, fits, scores, champions, the leak
canary, calibrated quantiles, the store. Beside it, in the same run and one after the other, the
shortest script that backtests and fits the same models on the same data with the libraries' own
parallelism (`overhead_direct.py`), which does none of the rest. Both may use all cores.

| series | models | windows |
|---|---|---|
| 1,000 | seasonal naive, dynamic optimized theta, AutoCES, AutoETS (damped), LightGBM | 5 |
| 10,000 | the same without AutoETS | 3 |

Series are monthly, of 120 to 144 months (`series.py`), forecast 18 months ahead. LightGBM forecasts
recursively from twelve lags of seasonal differences. Every window is fitted anew. The line has the
median of its models besides. `ratio_1000` is the line's time less 8 seconds for its start over the
script's; `ratio_10000` has no allowance. One round of each; the machine should do nothing else.

Prints a table and writes `benchmarks/results/overhead.json`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from _line import prepare, run_line
from _results import (
    PROJECT,
    RESULTS,
    Target,
    format_table,
    format_targets,
    in_another_process,
    measure,
    say,
    write_results,
)
from scale import parameters
from series import SEASON, write_series

ALLOWED_SECONDS = 8
# Of series that have room for all windows, which the script's libraries insist on.
_SHORTEST = 120
MODELS: dict[str, dict[str, Any]] = {
    "seasonal_naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
    "theta": {"engine": "statsforecast", "options": {"model": "DynamicOptimizedTheta"}},
    "ces": {"engine": "statsforecast", "options": {"model": "AutoCES"}},
    "ets": {"engine": "statsforecast", "options": {"model": "AutoETS", "damped": True}},
    "boosting": {
        "engine": "mlforecast",
        "options": {
            "estimator": "lightgbm.LGBMRegressor",
            "strategy": "recursive",
            "lags": list(range(1, SEASON + 1)),
            "rolling_means": {},
            "target_transforms": ["difference_season"],
        },
    },
}
# Series to models and to windows that report; one more selects.
RUNS = {1_000: (list(MODELS), 4), 10_000: ([name for name in MODELS if name != "ets"], 2)}


def run(number: int, folder: Path) -> tuple[list[dict[str, Any]], float]:
    """The rows of one size, and the line's time over the script's."""
    names, report = RUNS[number]
    folder.mkdir()
    file = folder / "series.parquet"
    in_another_process(write_series, file, number, _SHORTEST)
    models = {name: MODELS[name] for name in names}
    models["median"] = {"engine": "median", "options": {"of": names}}
    data = prepare(folder, parameters(file, number, models, report))
    run_line(folder, "--pipelines=collect,clean")
    panel = data / "03_primary/panel.parquet"
    script = [sys.executable, PROJECT / "benchmarks/overhead_direct.py", panel, folder]
    used = {
        "direct": measure([*script, str(report + 1), *names], folder / "direct.log"),
        "line": run_line(folder, "--pipelines=split,train,evaluate,deploy,forecast"),
    }
    rows = [
        {
            "series": number,
            "who": who,
            "models": len(names),
            "windows": report + 1,
            "seconds": its.seconds,
            "cpu_seconds": its.cpu_seconds,
            "peak_gb": its.peak_gb,
        }
        for who, its in used.items()
    ]
    allowed = ALLOWED_SECONDS if number == min(RUNS) else 0
    return rows, (used["line"].seconds - allowed) / used["direct"].seconds


def main() -> None:
    parser = argparse.ArgumentParser(description="The line beside the shortest script.")
    parser.add_argument("sizes", nargs="*", type=int, default=list(RUNS), metavar="N")
    sizes = parser.parse_args().sizes
    rows, targets = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in sizes:
            say(f"{number:,} series ...")
            its, ratio = run(number, Path(folder) / str(number))
            rows += its
            targets.append(Target(f"ratio_{number}", ratio, 1.10))
    say(format_table(rows))
    say(format_targets(targets))
    packages = ["clepsydra", "kedro", "statsforecast", "mlforecast", "lightgbm", "pandas"]
    write_results(RESULTS / "overhead.json", packages, rows, targets)


if __name__ == "__main__":
    main()
