"""Bundle what was chosen, and let it through to the forecasts only if it passes the gate."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any

import pandas as pd

from clepsydra.config import DeployConfig, ModelsConfig, TaskConfig
from clepsydra.fingerprint import fingerprint
from clepsydra.models.intervals import calibrate
from clepsydra.models.reconciliation import champion_errors
from clepsydra.models.weights import NOW
from clepsydra.pipelines.evaluate.leaks import refuse_leaks

__all__ = ["build_bundle", "collect_errors", "decide_promotion"]

_LIBRARIES = ["clepsydra", "pandas", "scikit-learn", "statsmodels", "statsforecast", "mlforecast"]


def decide_promotion(
    renewed_champions: pd.DataFrame,
    verdict: dict[str, Any],
    canary: pd.DataFrame,
    deploy: DeployConfig,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Let the champions through if those that were judged are at least as good as the gate asks.

    Returns:
        promoted_champions: the champions, or the reference model for every series.
        promotion: `promoted`, `reason` and the figures that decided.

    Raises:
        LeakError: a model's backtest cannot be believed.
    """
    refuse_leaks(canary)
    ratio, limit = verdict["relative_error"], deploy.max_relative_error
    reference = verdict["reference"]
    promoted = ratio is not None and ratio <= limit
    figure = "no figure" if ratio is None else f"{ratio:.3f}"
    comparison = "at most" if promoted else "not at most"
    promotion = {
        "promoted": promoted,
        "relative_error": ratio,
        "limit": limit,
        "reason": f"champions' error over {reference}'s on report windows is {figure}, "
        f"{comparison} {limit:g}",
    }
    if promoted:
        return renewed_champions, promotion
    refused = renewed_champions.assign(model=reference, reason=f"gate: {promotion['reason']}")
    return refused, promotion


def build_bundle(
    promoted_champions: pd.DataFrame,
    promotion: dict[str, Any],
    backtests: pd.DataFrame,
    panel: pd.DataFrame,
    task: TaskConfig,
    models: ModelsConfig,
    weights: pd.DataFrame,
    clock: dict[str, str],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """All that forecasting needs besides the fitted models, under one content hash.

    Returns:
        bundle: `bundle_id`, champions, model descriptions, weights of combinations, task, data
            fingerprint, versions.
        calibration: what the champions' quantiles are made from, see `models.intervals.calibrate`.
    """
    chosen = dict(zip(promoted_champions["unique_id"], promoted_champions["model"], strict=True))
    used = backtests[backtests["model"].isin(set(chosen.values()))]
    calibration = calibrate(used)
    content = {
        "as_of": clock["as_of"],
        "cutoff": clock["cutoff"],
        "promotion": promotion,
        "champions": chosen,
        "models": models.model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "weights": _current(weights),
        "panel_sha256": fingerprint(panel),
        "calibration_sha256": fingerprint(calibration),
        "versions": {library: version(library) for library in _LIBRARIES},
    }
    canonical = json.dumps(content, sort_keys=True).encode()
    return {"bundle_id": hashlib.sha256(canonical).hexdigest()[:16], **content}, calibration


def collect_errors(
    promoted_champions: pd.DataFrame, backtests: pd.DataFrame, windows: pd.DataFrame
) -> pd.DataFrame:
    """The promoted champions' errors in the backtests, by which forecasts are reconciled.

    Returns:
        See `models.reconciliation.champion_errors`.
    """
    chosen = dict(zip(promoted_champions["unique_id"], promoted_champions["model"], strict=True))
    return champion_errors(backtests, chosen, windows)


def _current(weights: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Combination to its members' weights, as all windows say."""
    now = weights[weights["cutoff"] == NOW]
    return {
        str(name): dict(zip(its["model"], its["weight"], strict=True))
        for name, its in now.groupby("combination", sort=True)
    }
