"""Choose the options of models before they are backtested."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clepsydra.config import (
    BudgetConfig,
    CleaningConfig,
    ModelsConfig,
    SourcesConfig,
    TaskConfig,
    WindowsConfig,
)
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
    budget: BudgetConfig,
    plan: pd.DataFrame,
    *vintages: pd.DataFrame,
) -> tuple[ModelsConfig, pd.DataFrame]:
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
        budget: minutes for all models, if there is a limit.
        plan: what they are expected to take of it, and measuring them took; no trial is begun
            after the rest.
        vintages: of all shards.

    Returns:
        models: of none of which options are still to be chosen.
        trials: see `models.tuning.tune`.
    """
    return tune(
        models,
        Knowledge.of(panel, future, series, sources, task, windows_config, cleaning, vintages),
        windows,
        windows_config,
        lead_steps(future, task),
        _seconds(budget, plan, models),
    )


def _seconds(budget: BudgetConfig, plan: pd.DataFrame, models: ModelsConfig) -> float | None:
    """What is left of the budget; None without one.

    Nothing is, where it is not known what a model takes that runs nevertheless.
    """
    if budget.minutes is None:
        return None
    fitted = plan["runs"] & ~plan["model"].isin(list(models.combinations))
    expected = plan.loc[fitted, "seconds"].sum(skipna=False)
    left = 60 * budget.minutes - plan["took"].sum() - expected
    return 0.0 if np.isnan(left) else max(0.0, float(left))
