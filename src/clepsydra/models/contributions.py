"""What each feature contributes to the predictions of a regressor: exact SHAP values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import lightgbm
import numpy as np
from sklearn.base import RegressorMixin

from clepsydra.models.tree_ensembles import TreeEnsemble

__all__ = ["Contributions", "contributions"]

# Some seconds of one core.
_MOST_WORK = 4e9
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Contributions:
    """The parts of predictions.

    Attributes:
        base: `[N]` what is predicted where no feature is known.
        of_features: `[N, P]` what each feature changes of it.
        log: whether they add up to the logarithm of the prediction.
    """

    base: np.ndarray
    of_features: np.ndarray
    log: bool = False


def contributions(
    regressor: RegressorMixin,
    rows: np.ndarray,
    predicted: np.ndarray,
    centre: Callable[[], np.ndarray],
    at_once: int = 1,
) -> Contributions:
    """The parts of predictions; those of the first rows only if all would take too long.

    Of a linear regressor a feature's part is its weight times how far it is from its mean; of trees
    it is as `TreeEnsemble.contributions` says.

    Source: Lundberg and Lee, A unified approach to interpreting model predictions (2017).

    Args:
        regressor: fitted, of scikit-learn or LightGBM.
        rows: `[N, P]`.
        predicted: `[N]` what it predicts for them.
        centre: gives the `[P]` means of the features, if they are needed.
        at_once: rows that belong together: a multiple of so many have their parts, at least one.

    Returns:
        Parts of all rows, missing for those beyond.

    Raises:
        ValueError: no exact parts are known of the regressor, or they do not add up to what it
            predicts.

    Examples:
        >>> from sklearn.linear_model import LinearRegression
        >>> rows = np.array([[0.0, 1.0], [1.0, 3.0], [2.0, 1.0]])
        >>> line = LinearRegression().fit(rows, 1 + 2 * rows[:, 0] + rows[:, 1])
        >>> found = contributions(line, rows, line.predict(rows), lambda: rows.mean(axis=0))
        >>> found.base.round(2).tolist(), found.of_features[:, 0].round(2).tolist()
        ([4.67, 4.67, 4.67], [-2.0, 0.0, 2.0])
    """
    weights = None if isinstance(regressor, lightgbm.LGBMModel) else _weights(regressor)
    if weights is not None:
        mean = centre()
        base = np.full(len(rows), float(np.ravel(regressor.intercept_)[0] + mean @ weights))
        found = Contributions(base, (rows - mean) * weights)
    else:
        trees = TreeEnsemble(regressor)
        able = max(int(_MOST_WORK / (trees.work * at_once)), 1) * at_once
        parts = np.full((len(rows), rows.shape[1] + 1), np.nan)
        parts[:able] = trees.contributions(rows[:able])
        found = Contributions(parts[:, -1], parts[:, :-1])
    return _checked(found, predicted, type(regressor).__name__)


def _weights(regressor: RegressorMixin) -> np.ndarray | None:
    weights = getattr(regressor, "coef_", None)
    return None if weights is None else np.ravel(np.asarray(weights, dtype=float))


def _checked(found: Contributions, predicted: np.ndarray, name: str) -> Contributions:
    """The same, with the link that makes them add up."""
    sums = found.base + found.of_features.sum(axis=1)
    able = np.isfinite(sums)
    margin = _TOLERANCE * np.maximum(np.abs(predicted[able]), 1.0)
    if (np.abs(sums[able] - predicted[able]) <= margin).all():
        return found
    if (np.abs(np.exp(np.minimum(sums[able], 700.0)) - predicted[able]) <= margin).all():
        return Contributions(found.base, found.of_features, log=True)
    raise ValueError(f"{name}: its parts do not add up to what it predicts")
