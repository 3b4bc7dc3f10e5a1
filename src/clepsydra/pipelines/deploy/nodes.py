"""Bundle what was chosen, and let it through to the forecasts only if it passes the gate."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import Any

import pandas as pd

from clepsydra.config import DeployConfig, ExplainConfig, ModelsConfig, TaskConfig
from clepsydra.fingerprint import fingerprint
from clepsydra.models.explaining import evenly
from clepsydra.models.intervals import calibrate
from clepsydra.models.reconciliation import champion_errors
from clepsydra.models.weights import NOW
from clepsydra.pipelines.evaluate.leaks import refuse_leaks
from clepsydra.sharding import of_kinds
from clepsydra.timegrid import grid

__all__ = [
    "build_bundle",
    "calibrate_champions",
    "collect_errors",
    "decide_promotion",
    "promote_champions",
    "sample_errors",
]

# Of each model, of which the shapes of errors are made: enough for the tails, and bounded however
# many series there are. `pool_shapes` holds these rows of all models.
_MOST_ROWS = 1_000_000
_OF_ERRORS = ["unique_id", "model", "cutoff", "ds", "y_hat", "y"]
_LIBRARIES = ["clepsydra", "pandas", "scikit-learn", "statsmodels", "statsforecast", "mlforecast"]


def decide_promotion(
    verdict: dict[str, Any], canary: pd.DataFrame, deploy: DeployConfig
) -> dict[str, Any]:
    """Let the champions through if those that were judged are at least as good as the gate asks.

    Returns:
        `promoted`, `reason` and the figures that decided.

    Raises:
        LeakError: a model's backtest cannot be believed.
    """
    refuse_leaks(canary)
    ratio, limit = verdict["relative_error"], deploy.max_relative_error
    reference = verdict["reference"]
    promoted = ratio is not None and ratio <= limit
    figure = "no figure" if ratio is None else f"{ratio:.3f}"
    comparison = "at most" if promoted else "not at most"
    return {
        "promoted": promoted,
        "reference": reference,
        "relative_error": ratio,
        "limit": limit,
        "reason": f"champions' error over {reference}'s on report windows is {figure}, "
        f"{comparison} {limit:g}",
    }


def promote_champions(
    renewed_champions: pd.DataFrame,
    promotion: dict[str, Any],
    explained: ExplainConfig,
    n_shards: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The models that forecast the series of a shard.

    Args:
        renewed_champions: `unique_id`, `model`, `reason`.
        promotion: from `decide_promotion`.
        explained: of how many series forecasts are explained, of all shards.
        n_shards: how many there are.

    Returns:
        promoted_champions: the champions, or the reference model for every series.
        assigned: `unique_id`, `model`, `explain`: all that forecasting has to know of them.
    """
    promoted = renewed_champions
    if not promotion["promoted"]:
        reason = f"gate: {promotion['reason']}"
        promoted = promoted.assign(model=promotion["reference"], reason=reason)
    share = evenly(promoted["unique_id"], -(-explained.series // n_shards))
    assigned = promoted[["unique_id", "model"]].assign(explain=promoted["unique_id"].isin(share))
    return promoted, assigned


def sample_errors(
    backtests: pd.DataFrame, series: pd.DataFrame, windows: pd.DataFrame, task: TaskConfig
) -> pd.DataFrame:
    """Backtests of those series of a shard that are in the sample; of all, if it has room for them.

    The sample is made of whole series of the run, whatever the shards are: those of the lowest
    hashes, a million rows of each model at most, or one series. A new series takes the place of
    one other at most.

    Args:
        backtests: of the shard.
        series: all series of the run.
        windows: of the backtests.
        task: its grid says how many steps windows have.

    Returns:
        `unique_id`, `model`, `cutoff`, `ds`, `y_hat`, `y`.
    """
    steps = sum(
        len(grid(window.target_start, window.target_end, task.freq, task.timezone))
        for window in windows.itertuples()
    )
    number = max(1, _MOST_ROWS // max(1, steps))
    begun = series.loc[series["n_observations"] > 0, "unique_id"]
    rows = backtests[_OF_ERRORS]
    if len(begun) > number:
        rows = rows[rows["unique_id"].isin(sorted(begun, key=_place)[:number])]
    return rows.reset_index(drop=True)


def _place(unique_id: str) -> bytes:
    """Of a series among all; not by the hash that shards are cut by."""
    return hashlib.blake2b(unique_id.encode(), digest_size=8).digest()


def calibrate_champions(
    assigned: pd.DataFrame,
    backtests: pd.DataFrame,
    panel: pd.DataFrame,
    error_shapes: pd.DataFrame,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """What the quantiles of a shard's forecasts are made from.

    Args:
        assigned: from `promote_champions`.
        backtests: of the shard.
        panel: of the shard.
        error_shapes: what errors of all series have in common, from
            `models.intervals.pool_shapes`.

    Returns:
        calibration: see `models.intervals.calibrate`.
        fingerprints: of `calibration` and of `panel`.
    """
    chosen = assigned["model"].unique()
    used = backtests[backtests["model"].isin(chosen)]
    calibration = calibrate(used, error_shapes[error_shapes["model"].isin(chosen)])
    return calibration, {"calibration": fingerprint(calibration), "panel": fingerprint(panel)}


def build_bundle(
    promotion: dict[str, Any],
    task: TaskConfig,
    models: ModelsConfig,
    weights: pd.DataFrame,
    clock: dict[str, str],
    *shards: pd.DataFrame | dict[str, str],
    n_shards: int,
) -> dict[str, Any]:
    """All that forecasting needs besides the fitted models, under one content hash.

    Args:
        promotion: from `decide_promotion`.
        task: grid and season.
        models: those that ran.
        weights: of the members of combinations.
        clock: as of when.
        shards: of every shard `assigned`, then of every shard the fingerprints.
        n_shards: how many there are.

    Returns:
        `bundle_id`, champions, model descriptions, weights of combinations, task, fingerprints of
        the data, versions.

    Raises:
        ValueError: `shards` are not two of every shard.
    """
    tables, fingerprints = of_kinds(shards, n_shards, "assigned", "fingerprints")
    chosen = {
        str(unique_id): str(model)
        for table in tables
        for unique_id, model in zip(table["unique_id"], table["model"], strict=True)
    }
    content = {
        "as_of": clock["as_of"],
        "cutoff": clock["cutoff"],
        "promotion": promotion,
        "champions": dict(sorted(chosen.items())),
        "models": models.model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "weights": _current(weights),
        "panel_sha256": [its["panel"] for its in fingerprints],
        "calibration_sha256": [its["calibration"] for its in fingerprints],
        "versions": {library: version(library) for library in _LIBRARIES},
    }
    canonical = json.dumps(content, sort_keys=True).encode()
    return {"bundle_id": hashlib.sha256(canonical).hexdigest()[:16], **content}


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
