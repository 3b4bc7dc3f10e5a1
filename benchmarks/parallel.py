"""What a second core is worth: `python benchmarks/parallel.py`.

The train stage, on 1,000 monthly series (`series.py`) and models of single series (seasonal naive,
dynamic optimized theta, AutoCES, AutoETS), under Kedro's SequentialRunner, its ParallelRunner, and
the ProcessRunner that `kedro run` takes here: one thread a process in all. `speedup` is that of the
ProcessRunner, from the start of the stage's first node to the end of its last. Then the whole line,
from a raw file, with LightGBM over all series besides: the time of the command, start included, for
which there is no target. One round of each.

All runs must make the same forecasts. Prints a table and writes `benchmarks/results/parallel.json`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from _line import of_nodes, prepare, run_line, table
from _results import (
    RESULTS,
    Target,
    format_table,
    format_targets,
    in_another_process,
    say,
    write_results,
)
from overhead import MODELS
from scale import parameters
from series import write_series

SERIES = 1_000
RUNNERS = {
    "SequentialRunner": ["--runner=SequentialRunner"],
    "ParallelRunner": ["--runner=ParallelRunner"],
    "ProcessRunner": ["--force"],
}
_KEYS = ["unique_id", "cutoff", "ds", "model"]


def runs(work: str, data: Path, stages: list[str]) -> list[dict[str, Any]]:
    """A row for each runner, of the stages or of the whole line."""
    rows: list[dict[str, Any]] = []
    made: list[pd.DataFrame] = []
    for runner, arguments in RUNNERS.items():
        used = run_line(data.parent, *stages, *arguments)
        profile = table(data, "08_reporting/run_profile")
        seconds = of_nodes(profile) if stages else used.seconds
        found = table(data, "07_model_output/backtests").sort_values(_KEYS, ignore_index=True)
        made.append(found)
        pd.testing.assert_frame_equal(made[0], made[-1], check_exact=True)
        rows.append(
            {
                "work": work,
                "runner": runner,
                "processes": int(profile["pid"].nunique()),
                "seconds": seconds,
                "in_nodes": float(profile["seconds"].sum()),
                "speedup": rows[0]["seconds"] / seconds if rows else 1.0,
            }
        )
    return rows


def main() -> None:
    local = {name: its for name, its in MODELS.items() if its["engine"] == "statsforecast"}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "series.parquet"
        in_another_process(write_series, file, SERIES)
        say("the train stage ...")
        data = prepare(Path(folder) / "train", parameters(file, SERIES, local))
        run_line(data.parent, "--pipelines=collect,clean,split")
        rows += runs("train", data, ["--pipelines=train"])
        say("the whole line ...")
        data = prepare(Path(folder) / "line", parameters(file, SERIES, MODELS))
        rows += runs("the whole line", data, [])
    targets = [Target("speedup", rows[len(RUNNERS) - 1]["speedup"], 1.85, "higher")]
    say(format_table(rows))
    say(format_targets(targets))
    packages = ["clepsydra", "kedro", "statsforecast", "mlforecast", "lightgbm", "pandas"]
    write_results(RESULTS / "parallel.json", packages, rows, targets)


if __name__ == "__main__":
    main()
