"""What lags, columns and attributes contribute to a forecast of `MlforecastModel`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin

from clepsydra.models.contributions import contributions
from clepsydra.models.parts import Kind, Scale, parts_frame
from clepsydra.models.target_transforms import Targets

__all__ = ["block_parts"]


def block_parts(
    found: pd.DataFrame,
    features: Sequence[pd.DataFrame],
    first: int,
    regressor: RegressorMixin,
    centre: Callable[[], np.ndarray],
    targets: Targets,
    history: Mapping[str, np.ndarray],
    renames: Mapping[str, str],
) -> pd.DataFrame:
    """The parts of one block's forecasts.

    Args:
        found: `unique_id` and `ds`, the same number of steps for each series in order.
        features: of each step what was predicted from, a row a series.
        first: steps before it are another block's.
        regressor: that predicted.
        centre: means of the features, see `contributions`.
        targets: what it predicted.
        history: values by series.
        renames: of features.

    Returns:
        See `models.parts.parts_frame`; series beyond what can be afforded are absent.

    Raises:
        ValueError: see `contributions` and `Targets.scale`.
    """
    horizon, ids = len(features), found["unique_id"].unique()
    names = [renames.get(str(name), _readable(str(name))) for name in features[0].columns]
    rows = np.stack([frame.to_numpy(dtype=float) for frame in features], axis=1)
    path = np.stack([regressor.predict(frame) for frame in features], axis=1)
    kept = horizon - first
    explained = contributions(
        regressor,
        rows[:, first:].reshape(len(ids) * kept, len(names)),
        path[:, first:].ravel(),
        centre,
        kept,
    )
    if explained.log and targets.transforms:
        raise ValueError("its loss takes logarithms of what had been transformed before")
    scale: Scale = "log" if explained.log else targets.scale
    parts = np.column_stack([explained.of_features, explained.base]).reshape(len(ids), kept, -1)
    whole = np.concatenate([np.zeros((len(ids), first, parts.shape[2])), parts], axis=1)
    undone = [targets.back(history[uid], *its) for uid, *its in zip(ids, path, whole, strict=True)]
    parts = np.concatenate([its[first:] for its, _ in undone])
    base = {"base": parts[:, -1]}
    if "difference_season" in targets.transforms:
        before = np.concatenate([its[first:] for _, its in undone])
        base[f"{targets.season} steps before"] = np.where(np.isnan(parts[:, -1]), np.nan, before)
    step = found.groupby("unique_id").cumcount()
    steps = found[step >= first]
    named: dict[Kind, dict[str, np.ndarray]] = {
        "base": base,
        "feature": dict(zip(names, parts[:, :-1].T, strict=True)),
    }
    return parts_frame(steps["unique_id"].tolist(), steps["ds"], named, scale)


def _readable(name: str) -> str:
    """mlforecast's name of a rolling mean in words.

    Examples:
        >>> _readable("rolling_mean_lag48_window_size168_min_samples1")
        'mean of 168 at lag48'
    """
    return re.sub(r"^rolling_mean_lag(\d+)_window_size(\d+).*$", r"mean of \2 at lag\1", name)
