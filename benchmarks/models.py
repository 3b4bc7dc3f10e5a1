"""Every model on flights, M4 Hourly and the demand of Victoria: accuracy, seconds and memory.

`python benchmarks/models.py` cleans each data set by this project's own line, and then runs every
model of `models.yml` in a process of its own (`models_one.py`), on windows that come after all that
it learns from:

| data | windows |
|---|---|
| `flights` | four of the line's report windows: a day, from the morning of the day before |
| `m4_hourly` | the competition's own: 48 hours after the training file |
| `vic_electricity` | four of the line's report windows: a day of half-hours, from its midnight |

A model is fitted once, before the first window, on one thread. A model of single series takes as
many series as it can in `--budget` seconds, the same ones for all models that take as many; a
network trains for at most so long. `mase` is the mean over the series, and `over_naive` is it over
that of seasonal naive on the same series. Networks are left out, and said so, without the extra
`deep`. Writes `benchmarks/results/models.json`, if nothing was left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from _results import (
    PROJECT,
    RESULTS,
    Target,
    format_table,
    format_targets,
    measure,
    say,
    write_results,
)

PACKAGES = [
    *("clepsydra", "statsforecast", "statsmodels", "mlforecast", "scikit-learn", "lightgbm"),
    *("neuralforecast", "torch", "pandas"),
]
DATA = {"flights": "base", "m4_hourly": "m4_hourly", "vic_electricity": "vic_electricity"}
# As the competition published them (Makridakis et al., 2020).
M4_SEASONAL_NAIVE = {"smape": 13.912, "mase": 1.193}
REFERENCE = "seasonal_naive"


def specifications() -> dict[str, dict[str, Any]]:
    """The models, by name."""
    return yaml.safe_load((PROJECT / "benchmarks/models.yml").read_text())


def prepare(environment: str, folder: Path) -> None:
    """Have the line collect, clean and split a data set, under `folder`."""
    conf = folder / "conf"
    shutil.copytree(PROJECT / "conf", conf)
    globals_file = conf / environment / "globals.yml"
    settings = yaml.safe_load(globals_file.read_text())
    globals_file.write_text(yaml.safe_dump({**settings, "data_root": str(folder)}))
    command = [sys.executable, "-m", "kedro", "run", f"--conf-source={conf}"]
    command += [] if environment == "base" else [f"--env={environment}"]
    measure([*command, "--pipelines=collect,clean,split"], folder / "line.log")


def run_one(name: str, data: str, folder: Path, budget: float, out: Path) -> dict[str, Any]:
    """One model on one data set: its row, and the scores of its series in `out`."""
    script = PROJECT / "benchmarks/models_one.py"
    env = {"OMP_NUM_THREADS": "1"}
    arguments = [data, DATA[data], folder, name, str(budget), out]
    used = measure([sys.executable, script, *arguments], out.with_suffix(".log"), env)
    found = json.loads(out.with_suffix(".json").read_text())
    return {"data": data, "model": name, **found, "process_mb": round(used.peak_gb * 1000)}


def relative(scores: Path, reference: Path) -> float | None:
    """The model's mean MASE over the reference's, on the series that it was run on."""
    tables = (pd.read_parquet(path).set_index("unique_id") for path in (scores, reference))
    own, naive = (table["mase"] for table in tables)
    both = pd.concat([own, naive], axis=1, keys=["own", "naive"]).dropna()
    return float(both["own"].mean() / both["naive"].mean()) if len(both) else None


def main() -> None:
    every = specifications()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--budget", type=float, default=10.0, help="seconds a model and data set")
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--models", nargs="+", choices=list(every), metavar="MODEL")
    arguments = parser.parse_args()
    names = arguments.models or list(every)
    has_deep = importlib.util.find_spec("neuralforecast") is not None
    without = [name for name in names if every[name]["engine"] == "neuralforecast" and not has_deep]
    if without:
        say(f"left out without the extra deep (make dev-deep): {', '.join(without)}")
    names = [REFERENCE, *(name for name in names if name not in {REFERENCE, *without})]
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for data in arguments.data:
            folder = Path(temporary) / data
            folder.mkdir()
            say(f"{data}: collecting and cleaning ...")
            prepare(DATA[data], folder)
            for name in names:
                out = folder / f"{name}.parquet"
                row = run_one(name, data, folder, arguments.budget, out)
                row["over_naive"] = relative(out, folder / f"{REFERENCE}.parquet")
                rows.append(row)
                say(format_table([row]).splitlines()[-1])
    say(format_table(rows))
    targets = [
        Target(f"m4_seasonal_naive_{metric}_error", round(abs(row[metric] - published), 6), 0.0005)
        for row in rows
        if (row["data"], row["model"]) == ("m4_hourly", "seasonal_naive_short")
        for metric, published in M4_SEASONAL_NAIVE.items()
    ]
    say(format_targets(targets))
    if not without and set(arguments.data) == set(DATA) and not arguments.models:
        write_results(RESULTS / "models.json", PACKAGES, rows, targets)


if __name__ == "__main__":
    main()
