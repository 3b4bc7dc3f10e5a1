"""Diagnose every series: seasonality, trend, unit roots, autocorrelation, intermittency."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.wall import to_wall_frame

__all__ = ["diagnose_series", "intermittency_class"]

_LONGEST = 2016
_FIGURES = ["mean", "share_zero", "season_strength", "trend_strength", "adf_pvalue", "kpss_pvalue"]
_FIGURES += ["acf_1", "acf_season"]
_COLUMNS = {"unique_id": object, "n_steps": int, **dict.fromkeys(_FIGURES, float)}
_COLUMNS |= {"intermittency": object}


def diagnose_series(panel: pd.DataFrame, task: TaskConfig) -> pd.DataFrame:
    """One row of diagnostics a series, from its last 2,016 steps on the local clock.

    The ADF test has as many lagged differences as the cube root of the steps (Said and Dickey,
    1984, let them grow so): choosing them by an information criterion takes four fifths of the time
    of all diagnostics.

    Returns:
        `unique_id`, `n_steps`, `mean`, `share_zero`; `season_strength` and `trend_strength` of an
        STL decomposition, 0 to 1 (Wang, Smith and Hyndman, 2006); p-values of the ADF test (null:
        a unit root) and of the KPSS test (null: stationary); autocorrelation at one step and at
        one season; `intermittency` class. What a series is too short or too constant for is
        missing.
    """
    wall = to_wall_frame(panel[["unique_id", "ds", "y"]], task)
    rows = [
        {"unique_id": unique_id, **_diagnose(group["y"].to_numpy()[-_LONGEST:], task.season_length)}
        for unique_id, group in wall.groupby("unique_id", sort=True)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _diagnose(y: np.ndarray, season: int) -> dict[str, float | str]:
    from statsmodels.tsa.seasonal import STL
    from statsmodels.tsa.stattools import acf, adfuller, kpss

    found: dict[str, float | str] = {
        "n_steps": len(y),
        "mean": float(y.mean()),
        "share_zero": float((y == 0).mean()),
        "intermittency": intermittency_class(y),
    }
    if len(y) < 12 or np.ptp(y) == 0:
        return found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lags = min(season, len(y) // 2 - 1)
        correlation = acf(y, nlags=lags, fft=True)
        found |= {"acf_1": correlation[1]}
        if lags == season:
            found |= {"acf_season": correlation[season]}
        found |= {
            "adf_pvalue": adfuller(y, maxlag=int((len(y) - 1) ** (1 / 3)), autolag=None)[1],
            "kpss_pvalue": kpss(y, nlags="auto")[1],
        }
        if season > 1 and len(y) >= 2 * season:
            parts = STL(y, period=season, robust=False).fit()
            found |= {
                "season_strength": _strength(parts.resid, parts.seasonal),
                "trend_strength": _strength(parts.resid, parts.trend),
            }
    return found


def _strength(residual: np.ndarray, component: np.ndarray) -> float:
    total = np.var(residual + component)
    return float(max(0.0, 1.0 - np.var(residual) / total)) if total > 0 else float("nan")


def intermittency_class(y: np.ndarray) -> str:
    """Smooth, erratic, intermittent or lumpy demand.

    Source: the cut-offs of Syntetos, Boylan and Croston, On the categorization of demand
    patterns (2005).

    Args:
        y: `[N]` values; zero means no demand.

    Examples:
        >>> intermittency_class(np.array([5.0, 6.0, 5.0, 6.0]))
        'smooth'
        >>> intermittency_class(np.array([0.0, 0.0, 6.0, 0.0]))
        'intermittent'
    """
    demand = y[y != 0]
    if not len(demand):
        return "no demand"
    interval = len(y) / len(demand)
    variation = (demand.std() / abs(demand.mean())) ** 2 if demand.mean() else np.inf
    if interval < 1.32:
        return "smooth" if variation < 0.49 else "erratic"
    return "intermittent" if variation < 0.49 else "lumpy"
