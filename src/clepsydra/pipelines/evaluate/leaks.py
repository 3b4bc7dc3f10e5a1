"""The leak canary: no forecast of any model may depend on what came after its origin."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from clepsydra.config import (
    CleaningConfig,
    EvaluateConfig,
    ModelsConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
from clepsydra.errors import LeakError
from clepsydra.models.canary import find_leaks
from clepsydra.models.forecasting import candidates
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.wall import lead_steps
from clepsydra.origins import allowed_cutoff, first_unknown
from clepsydra.sharding import of_kinds, read_series, series_hash

__all__ = ["check_windows", "refuse_leaks", "send_canary"]


def send_canary(
    future: pd.DataFrame,
    series: pd.DataFrame,
    windows: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    models: ModelsConfig,
    windows_config: WindowsConfig,
    cleaning: CleaningConfig,
    evaluate: EvaluateConfig,
    *files: Path,
    n_shards: int,
) -> pd.DataFrame:
    """Backtest every model on a few series, with and without a changed future.

    The window is the first one that reports. The last that selects comes before it, for intervals
    are made from its errors; the last of all shows whether the change can be seen.

    Args:
        future: the steps after the panel.
        series: all series: those with the most observations are taken.
        windows: of the backtests.
        sources: which columns are past-only.
        task: what may be known when.
        models: every one, combinations too.
        windows_config: how often models learn anew, and from how much.
        cleaning: whether models are shown outliers.
        evaluate: how many series.
        files: of every shard its panel, then of every shard its vintages; only some series are
            read.
        n_shards: how many there are.

    Returns:
        A row a model, see `models.canary.find_leaks`.

    Raises:
        LeakError: a window whose cutoff is later than the task allows, or windows that judge what
            was chosen when their targets were known.
        ValueError: `files` are not two of every shard.
    """
    panels, all_vintages = of_kinds(files, n_shards, "panel", "vintages")
    check_windows(windows, task)
    ids = _longest(series, evaluate.canary_series)
    panel = read_series(panels, ids)
    vintages = [read_series(all_vintages, ids)]
    its_future = future[future["unique_id"].isin(ids)]
    first = int((windows["role"] == "report").to_numpy().argmax())
    places = sorted({max(first - 1, 0), first, len(windows) - 1})
    combinations = models.combinations
    names = [name for name in models.root if name not in combinations]
    return find_leaks(
        candidates(names, models, task, lead_steps(future, task)),
        combinations,
        Knowledge.of(panel, its_future, series, sources, task, windows_config, cleaning, vintages),
        windows.iloc[places],
        places.index(first),
        windows_config.refit_every,
    )


def check_windows(windows: pd.DataFrame, task: TaskConfig) -> None:
    """Refuse windows that know too much, all of them.

    Raises:
        LeakError: names the window, its cutoff and the latest it may be.
    """
    for window in windows.itertuples():
        latest = allowed_cutoff(window.target_start, task)
        if window.cutoff > latest:
            raise LeakError(
                f"the {window.role} window of {window.target_start} knows steps up to "
                f"{window.cutoff}, and may know those up to {latest} (UTC): see 'task.gap' and "
                f"'task.gate', and run 'split' again"
            )
    for earlier, later in itertools.pairwise(["calibrate", "select", "report"]):
        ends = windows.loc[windows["role"] == earlier, "target_end"].max()
        begins = windows.loc[windows["role"] == later, "cutoff"].min()
        if pd.notna(ends) and pd.notna(begins) and first_unknown(begins, task) < ends:
            raise LeakError(
                f"windows that {later} begin when those that {earlier} have not ended: a cutoff of "
                f"{begins}, a target up to {ends} (UTC); run 'split' again"
            )


def refuse_leaks(canary: pd.DataFrame) -> None:
    """Stop the line if a forecast moved.

    Raises:
        LeakError: names each model whose forecasts moved, by how much, and an example.
    """
    found = canary[~canary["verdict"].isin(["clean", "not tested"])]
    if len(found):
        raise LeakError("; ".join(_said(row) for row in found.to_dict("records")))


def _said(row: dict[str, object]) -> str:
    moved = (
        f"{row['moved']} of {row['forecasts']} forecasts, by up to {row['largest']:.3g}, "
        f"e.g. {row['example']}"
    )
    if row["verdict"] == "leak":
        return (
            f"model '{row['model']}' leaks: what came after the cutoff changed {moved}; look at "
            f"what it reads besides the history it is given, and at the windows' cutoffs"
        )
    return (
        f"model '{row['model']}' is not reproducible: run again, it changed {moved}; give it a "
        f"seed ('random_state' of an estimator), and a budget in steps rather than in seconds, and "
        f"run the line from 'train'"
    )


def _longest(series: pd.DataFrame, number: int) -> list[str]:
    """Series with the most observations, of equals by their hash."""
    ordered = series.assign(hash=series["unique_id"].map(series_hash)).sort_values(
        ["n_observations", "hash"], ascending=[False, True]
    )
    return ordered["unique_id"].head(number).tolist()
