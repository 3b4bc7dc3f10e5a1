"""The components that a state space model of statsmodels sees in its forecast of one series.

- SARIMAX: the values some seasons ago, each by its weight, the known columns, and what the ARIMA
  errors with their constant add;
- unobserved components: the last level, how far the trend takes it, every season, the
  autoregressive part and the known columns;
- exponential smoothing: the last level, what the trend and the season add to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.tsa.statespace.sarimax import SARIMAX
from statsmodels.tsa.statespace.structural import UnobservedComponents

from clepsydra.models.statistical_components import season_apart

__all__ = ["regression_weights", "smoothing", "unobserved"]


def regression_weights(model: SARIMAX | UnobservedComponents, params: np.ndarray) -> np.ndarray:
    """Of each regressor of a `SARIMAX` or `UnobservedComponents` of statsmodels, `[K]`."""
    if not model.k_exog:
        return np.empty(0)
    prefix = "beta." if isinstance(model, UnobservedComponents) else ""
    where = [model.param_names.index(prefix + name) for name in model.exog_names]
    return np.asarray(params)[where]


def smoothing(smoothed: Any, mean: np.ndarray) -> dict[str, np.ndarray]:
    """What level, trend and season add to the forecasts of an `ETSModel` of statsmodels.

    Args:
        smoothed: its results.
        mean: `[H]` forecasts.

    Returns:
        By name, `[H]`.
    """
    model, season = smoothed.model, None
    if model.has_seasonal:
        last = np.asarray(smoothed.season)[-model.seasonal_periods :]
        season = np.resize(last, len(mean))
    return season_apart(
        mean,
        level=np.asarray(smoothed.level)[-1],
        has_trend=model.has_trend,
        season=season,
        multiplicative=model.seasonal == "mul",
    )


def unobserved(filtered: Any, steps: int) -> dict[str, np.ndarray]:
    """The states of a structural model of statsmodels, carried ahead, as parts of what is observed.

    Args:
        filtered: results of `UnobservedComponents.filter`.
        steps: ahead.

    Returns:
        By name, `[H]`: what each block of states adds; regression apart.
    """
    transition = filtered.filter_results.transition[:, :, -1]
    design = filtered.filter_results.design[0, :, -1]
    state = filtered.predicted_state[:, -1]
    path = [state]
    for _ in range(steps - 1):
        path.append(transition @ path[-1])
    observed = np.stack(path) * design
    blocks = _blocks(filtered)
    ends = [start for _, start in blocks[1:]] + [observed.shape[1]]
    found = {
        name: observed[:, start:end].sum(axis=1)
        for (name, start), end in zip(blocks, ends, strict=True)
    }
    if "level" in found and filtered.trend is not None:
        last = np.full(steps, filtered.level.filtered[-1])
        found = {"level": last, "trend": found["level"] - last, **_without(found, "level")}
    return found


def _blocks(filtered: Any) -> list[tuple[str, int]]:
    """Names of the blocks of states, and where each starts."""
    blocks = []
    if filtered.level is not None:
        blocks.append(("level", int(filtered.level.offset)))
    for part, spec in zip(
        filtered.freq_seasonal or [], filtered.specification.freq_seasonal_periods, strict=True
    ):
        blocks.append((f"season of {spec}", int(part.offset)))
    if filtered.autoregressive is not None:
        blocks.append(("autoregressive", int(filtered.autoregressive.offset)))
    return sorted(blocks, key=lambda block: block[1])


def _without(found: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {other: values for other, values in found.items() if other != name}
