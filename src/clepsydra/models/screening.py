"""Which series a model can be shown: one that would make it fail, or spoil a fit of all, is not."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clepsydra.models.base import History, Model

__all__ = ["implausible", "screen", "typical_level"]

_FAR_FROM_OTHERS = 1e6
_LARGEST = 1e15
_SPIKE = 1e6
_BEYOND = 10.0


def screen(described: pd.DataFrame, model: Model, typical: float | None = None) -> dict[str, str]:
    """Series that the model is not shown, and why.

    Each is judged by itself, but for a model of scope `panel` also by how far its level is from
    that of the others, since it would decide the fit alone.

    Args:
        described: `History.described`.
        model: says how much history it needs, and whether it takes a series that never changes.
        typical: `typical_level` of all series that the model learns from, where `described` are
            some of them; if not given, these are all.

    Examples:
        >>> class Naive(Model):
        ...     def fit(self, history): ...
        ...     def predict(self, state, history, future, horizon): ...
        >>> days = pd.date_range("2024-01-01", periods=3)
        >>> rows = pd.DataFrame({"unique_id": "a", "ds": days, "y": [1.0, 1.0, 1.0]})
        >>> screen(History.of(rows).described, Naive())
        {'a': 'constant: every value is 1'}
    """
    typical = typical_level(described["mean"]) if typical is None else typical
    reasons: dict[str, str] = {}
    for its in described.itertuples():
        reason = _fault(its, model)
        if not reason and model.scope == "panel":
            reason = _stranger(its, typical)
        if reason:
            reasons[str(its.Index)] = reason
    return reasons


def typical_level(means: pd.Series) -> float:
    """The median of the series' mean sizes, zeros left out; NaN if there is no other.

    Examples:
        >>> typical_level(pd.Series([0.0, 1.0, 2.0, 30.0]))
        2.0
    """
    return float(means[means > 0].median())


def implausible(y_hat: pd.Series, unique_id: pd.Series, history: History) -> dict[str, str]:
    """Series of which a forecast is further from all that the model was shown of it than ten times
    its range or its level, whichever is larger.

    Args:
        y_hat: forecasts.
        unique_id: whose they are.
        history: up to the cutoff.
    """
    low, high = history.described["low"], history.described["high"]
    margin = _BEYOND * np.maximum(high - low, np.maximum(low.abs(), high.abs()))
    beyond = (y_hat < unique_id.map(low - margin)) | (y_hat > unique_id.map(high + margin))
    return {
        str(uid): f"implausible: {value:.4g}, after values from {low[uid]:.4g} to {high[uid]:.4g}"
        for uid, value in zip(unique_id[beyond], y_hat[beyond], strict=True)
    }


def _fault(its, model: Model) -> str:  # type: ignore[no-untyped-def]
    if its.steps < model.min_history:
        return f"too short: {its.steps} steps, {model.min_history} needed"
    if its.usable < its.steps:
        return f"not finite: {its.steps - its.usable} of {its.steps} values"
    if its.low == its.high and not model.accepts_constant:
        return f"constant: every value is {its.low:.6g}"
    if its.largest > _LARGEST:
        return f"absurd scale: a value of {its.largest:.4g}"
    if its.largest > _SPIKE * its.usual:
        return f"absurd scale: a value of {its.largest:.4g} where {its.usual:.4g} is usual"
    return ""


def _stranger(its, typical: float) -> str:  # type: ignore[no-untyped-def]
    """Why a series' level would spoil the fit of the others."""
    if its.mean > 0 and not typical / _FAR_FROM_OTHERS < its.mean < typical * _FAR_FROM_OTHERS:
        return f"absurd scale: a mean size of {its.mean:.4g}, that of others is {typical:.4g}"
    return ""
