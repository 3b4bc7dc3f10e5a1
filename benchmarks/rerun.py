"""What is run again when little or nothing has changed: `python benchmarks/rerun.py`.

The whole line on 1,000 monthly series (`series.py`) in 8 shards, with the models of `scale.py`:
once from nothing, three times with nothing changed, once after one value of one series was revised,
and once with a new series. `unchanged_over_startup_s` is the median of the three less that of three
times `kedro registry list`, which starts Kedro, loads the project's pipelines, and does nothing.
`shards_rerun` counts shards of which a model was run again, in backtests or forecasts, after the
revision: the models are of single series, for one of all series runs again whatever has changed.
What is made of the results of all shards runs again as well: the nodes that put them together and,
as the errors that quantiles come from are pooled, the quantiles of every shard. `touched` counts
the shards of which any node ran, `ran` the nodes.

Prints a table and writes `benchmarks/results/rerun.json`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from _line import prepare, run_line, table
from _results import (
    RESULTS,
    Target,
    format_table,
    format_targets,
    in_another_process,
    measure,
    say,
    write_results,
)
from scale import MODELS, parameters
from series import write_series

SERIES, SHARDS = 1_000, 8
_MODEL_NODES = ("backtest_local_models", "forecast_local_models")


def run(name: str, data: Path) -> dict[str, Any]:
    """The row of one run: how many nodes it ran, and of how many shards models."""
    used = run_line(data.parent)
    manifest = table(data, "08_reporting/run_manifest")
    ran = manifest[manifest["action"] == "ran"]
    return {
        "run": name,
        "nodes": len(manifest),
        "ran": len(ran),
        "shards": shards_of(ran, _MODEL_NODES),
        "touched": shards_of(ran),
        "seconds": used.seconds,
    }


def revise(file: Path) -> None:
    """Change one value of one series."""
    frame = pd.read_parquet(file)
    frame.loc[frame.index[-3], "y"] *= 1.01
    frame.to_parquet(file, index=False)


def add_series(file: Path) -> None:
    """Add a series: the last one, under another name."""
    frame = pd.read_parquet(file)
    new = frame[frame["unique_id"] == frame["unique_id"].iloc[-1]].assign(unique_id="a new one")
    pd.concat([frame, new]).to_parquet(file, index=False)


def shards_of(ran: pd.DataFrame, endings: tuple[str, ...] = ("",)) -> int:
    """Shards of which a node ran whose name ends so."""
    nodes = ran.loc[ran["node"].str.endswith(endings), "node"]
    return nodes.str.extract(r"\.(shard_\d+)\.", expand=False).nunique()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "series.parquet"
        in_another_process(write_series, file, SERIES)
        chosen = parameters(file, SERIES, MODELS) | {"n_shards": SHARDS}
        data = prepare(Path(folder) / "line", chosen)
        listing = [sys.executable, "-m", "kedro", "registry", "list"]
        started = [measure(listing, Path(folder) / "list.log").seconds for _ in range(3)]
        startup = statistics.median(started)
        rows = [
            dict.fromkeys(("nodes", "ran", "shards", "touched"), 0)
            | {"run": "kedro registry list", "seconds": startup}
        ]
        say("the first run ...")
        rows.append(run("first", data))
        unchanged = [run("unchanged", data) for _ in range(3)]
        rows += unchanged
        in_another_process(revise, file)
        revised = run("one value of one series revised", data)
        in_another_process(add_series, file)
        rows += [revised, run("a new series", data)]
    over = statistics.median(its["seconds"] for its in unchanged) - startup
    targets = [
        Target("unchanged_over_startup_s", over, 2.0),
        Target("shards_rerun", revised["shards"], 1),
    ]
    say(format_table(rows))
    say(format_targets(targets))
    packages = ["clepsydra", "kedro", "statsforecast", "pandas"]
    write_results(RESULTS / "rerun.json", packages, rows, targets)


if __name__ == "__main__":
    main()
