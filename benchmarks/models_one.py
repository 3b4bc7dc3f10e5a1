"""One model on one prepared data set; `models.py` says what this is for.

`python models_one.py DATA ENVIRONMENT FOLDER MODEL BUDGET OUT`: reads what the line wrote under
FOLDER, writes the scores of every series to OUT (Parquet) and a row of figures beside it (JSON).
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader

from _results import PROJECT
from clepsydra.config import (
    CleaningConfig,
    ModelsConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
from clepsydra.models.backtest import BacktestResult, backtest
from clepsydra.models.forecasting import Candidate, candidates
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.metrics import history_scales, score_groups
from clepsydra.models.wall import lead_steps, to_wall_frame
from clepsydra.settings import CONFIG_LOADER_ARGS
from clepsydra.timegrid import add_span
from models import REFERENCE, specifications

WINDOWS = 4
PILOT = 6
M4_SEASON = 24


@dataclass
class Data:
    """A data set, ready to be forecast.

    Attributes:
        knowledge: every series.
        windows: to forecast.
        actuals: `unique_id`, `ds`, `y` of the targets.
        scales: what scaled errors are divided by.
    """

    knowledge: Knowledge
    windows: pd.DataFrame
    actuals: pd.DataFrame
    scales: pd.DataFrame
    task: TaskConfig
    lead: int


def load(data: str, environment: str, folder: Path) -> Data:
    """What the line wrote under `folder`."""
    arguments = {**CONFIG_LOADER_ARGS, "default_run_env": environment}
    loader = OmegaConfigLoader(str(folder / "conf"), env=environment, **arguments)
    parameters = loader["parameters"]
    task = TaskConfig.model_validate(parameters["task"])
    sources = SourcesConfig.model_validate(parameters["sources"])
    config = WindowsConfig.model_validate(parameters["windows"])
    read = {
        name: pd.read_parquet(folder / path)
        for name, path in {
            "panel": "03_primary/panel.parquet",
            "future": "03_primary/future.parquet",
            "series": "03_primary/series.parquet",
            "windows": "05_model_input/windows.parquet",
        }.items()
    }
    panel = read["panel"].astype({"unique_id": object}).sort_values(["unique_id", "ds"])
    cleaning = CleaningConfig.model_validate(parameters.get("cleaning") or {})
    knowledge = Knowledge.of(panel, read["future"], read["series"], sources, task, config, cleaning)
    grouped = knowledge.static.assign(group=_groups(knowledge.static, data))
    knowledge = replace(knowledge, static=grouped)
    if data == "m4_hourly":
        windows, actuals = _of_competition(panel, read["future"], task)
        season = M4_SEASON
    else:
        reported = read["windows"].query("role == 'report'").reset_index(drop=True)
        chosen = np.linspace(0, len(reported) - 1, WINDOWS).round().astype(int)
        windows, season = reported.iloc[chosen], task.season_length
        actuals = panel.loc[~panel["is_imputed"], ["unique_id", "ds", "y"]]
    before = panel[(panel["ds"] <= windows["cutoff"].min()) & ~panel["is_imputed"]]
    history = to_wall_frame(before[["unique_id", "ds", "y"]], task)
    lead = lead_steps(read["future"], task)
    return Data(knowledge, windows, actuals, history_scales(history, season), task, lead)


def _groups(series: pd.DataFrame, data: str) -> pd.Series:
    """Related series for a vector autoregression: by airport, or by the hash, five at a time."""
    if data == "flights":
        return series["origin"]
    codes = series["unique_id"].map(lambda uid: zlib.crc32(uid.encode()) % max(1, len(series) // 5))
    return codes.astype(str)


def _of_competition(
    panel: pd.DataFrame, future: pd.DataFrame, task: TaskConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The window after the training file, and the test file."""
    shared = Path(os.environ.get("CLEPSYDRA_SHARED_DATA", PROJECT / "../shared/data"))
    test = pd.read_csv(shared / "m4_hourly/Hourly-test.csv").set_index("V1")
    start, end = panel["ds"].max(), future["ds"].max()
    window = {
        "cutoff": [start],
        "target_start": [add_span(start, 1, task.freq, task.timezone)],
        "target_end": [add_span(end, 1, task.freq, task.timezone)],
    }
    ds = sorted(future["ds"].unique())
    wide = test.set_axis(ds, axis=1).rename_axis("unique_id").reset_index()
    actuals = wide.melt("unique_id", var_name="ds", value_name="y")
    return pd.DataFrame(window), actuals.astype({"ds": "datetime64[ns]"})


def specification(name: str, task: TaskConfig, budget: float) -> ModelsConfig:
    """The model, and the reference that forecasts what it cannot."""
    models = specifications()
    chosen = {key: models[key] for key in dict.fromkeys([REFERENCE, name])}
    words = {"short": min(task.season_lengths), "budget": budget}
    for spec in chosen.values():
        options = spec.get("options", {})
        spec["options"] = {
            key: words.get(value, value) if isinstance(value, str) else value
            for key, value in options.items()
        }
    return ModelsConfig.model_validate(chosen)


def run(candidate: Candidate, data: Data, ids: list[str]) -> tuple[BacktestResult, float]:
    """Backtest some series; what came of it, and the seconds."""
    panel, future = data.knowledge.panel, data.knowledge.future
    part = replace(
        data.knowledge,
        panel=panel[panel["unique_id"].isin(ids)],
        future=future[future["unique_id"].isin(ids)],
    )
    started = time.perf_counter()
    result = backtest([candidate], part, data.windows, refit_every=WINDOWS, final_fit=False)
    return result, time.perf_counter() - started


def choose(candidate: Candidate, data: Data, budget: float) -> list[str]:
    """As many series as the budget allows, in the order of their hashes."""
    every = data.knowledge.panel["unique_id"].unique()
    ids = sorted(every, key=lambda uid: zlib.crc32(uid.encode()))
    if candidate.model.scope == "panel" or len(ids) <= PILOT or candidate.name == REFERENCE:
        return ids
    run(candidate, data, ids[:1])  # imports
    _, start = run(candidate, data, ids[:1])
    _, seconds = run(candidate, data, ids[:PILOT])
    each = max((seconds - start) / (PILOT - 1), 1e-6)
    return ids[: max(PILOT, int((budget - start) / each))]


def score(result: BacktestResult, data: Data) -> pd.DataFrame:
    """A row a series, a column a metric."""
    rows = result.forecasts.merge(data.actuals, on=["unique_id", "ds"], how="left")
    long = score_groups(rows, data.scales, by=["unique_id"])
    return long.pivot(index="unique_id", columns="metric", values="value").reset_index()


def main(
    data_name: str, environment: str, folder: Path, name: str, budget: float, out: Path
) -> None:
    data = load(data_name, environment, folder)
    models = specification(name, data.task, budget)
    (candidate,) = candidates([name], models, data.task, data.lead)
    ids = choose(candidate, data, budget)
    result, seconds = run(candidate, data, ids)
    scores = score(result, data)
    scores.to_parquet(out, index=False)
    cost = result.costs.iloc[0]
    number = len(ids)
    each = cost["fit_seconds"] / cost["fits"] + cost["predict_seconds"] / cost["windows"]
    forecasts = number * len(data.windows)
    row: dict[str, Any] = {
        "series": number,
        "of": int(data.knowledge.panel["unique_id"].nunique()),
        "windows": len(data.windows),
        "mase": _mean(scores["mase"]),
        "smape": _mean(scores["smape"]),
        "wql": _mean(scores["wql"]),
        "coverage_95": _mean(scores["coverage_95"]),
        "seconds": round(seconds, 3),
        "seconds_per_series": round(each / number, 5),
        "memory_mb": round(float(cost["memory_mb"]), 1),
        "fallbacks": round(len(result.failures) / forecasts, 4),
    }
    out.with_suffix(".json").write_text(json.dumps(row))


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if values.notna().any() else None


if __name__ == "__main__":
    data_name, environment, folder, name, budget, out = sys.argv[1:]
    main(data_name, environment, Path(folder), name, float(budget), Path(out))
