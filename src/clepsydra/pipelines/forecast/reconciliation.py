"""Published forecasts that add up."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.errors import PanelError
from clepsydra.models.reconciliation import known_errors, reconcile

__all__ = ["reconcile_forecasts"]


def reconcile_forecasts(
    base_forecasts: pd.DataFrame,
    champion_errors: pd.DataFrame,
    bundle: dict[str, Any],
    levels: pd.DataFrame,
    task: TaskConfig,
    clock: dict[str, str],
) -> pd.DataFrame:
    """The champions' forecasts, made coherent; see `models.reconciliation.reconcile`.

    Returns:
        The rows and columns of `base_forecasts`: to its `y_hat` on each step, a sum's is the sum of
        its members'.

    Raises:
        PanelError: the errors are not those of the bundle's champions.
    """
    champion = champion_errors["unique_id"].map(bundle["champions"])
    if not (strange := champion_errors[champion_errors["model"] != champion]).empty:
        raise PanelError(
            f"the errors of '{strange['unique_id'].iloc[0]}' are those of "
            f"'{strange['model'].iloc[0]}', which is not its champion in bundle "
            f"{bundle['bundle_id']}; run 'deploy' again"
        )
    known = known_errors(champion_errors, pd.Timestamp(clock["cutoff"]), task)
    return reconcile(base_forecasts, known, levels, task)
