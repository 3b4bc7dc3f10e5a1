"""Choose the options of models before they are backtested."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.config import CleaningConfig, ModelsConfig, SourcesConfig, TaskConfig, WindowsConfig
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.tuning import tune
from clepsydra.models.wall import lead_steps

__all__ = ["tune_models"]


def tune_models(
    panel: pd.DataFrame,
    future: pd.DataFrame,
    series: pd.DataFrame,
    windows: pd.DataFrame,
    sources: SourcesConfig,
    task: TaskConfig,
    models: ModelsConfig,
    windows_config: WindowsConfig,
    cleaning: CleaningConfig,
    *vintages: pd.DataFrame,
    seconds: float | None = None,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The models with the options that were best before the first window.

    Args:
        panel: of all shards.
        future: the steps after it.
        series: all series, and their attributes.
        windows: of the backtests.
        sources: which columns are past-only, and which are attributes.
        task: grid, season and clock.
        models: those with `tune` are tuned.
        windows_config: how often models learn anew, and from how much.
        cleaning: how gaps are filled, and which outliers are replaced.
        vintages: of all shards.
        seconds: after which no further trial is begun.

    Returns:
        models: as JSON, of none of which options are still to be chosen.
        trials: see `models.tuning.tune`.
    """
    tuned, trials = tune(
        models,
        Knowledge.of(panel, future, series, sources, task, windows_config, cleaning, vintages),
        windows,
        windows_config,
        lead_steps(future, task),
        seconds,
    )
    return tuned.model_dump(mode="json", exclude_defaults=True), trials
