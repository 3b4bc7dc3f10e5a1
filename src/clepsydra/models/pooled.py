"""One regressor for all steps ahead, that is told which step it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from sklearn.base import RegressorMixin

__all__ = ["PooledRegressor"]


class PooledRegressor:
    """A regressor of scikit-learn's interface over the rows of all tasks, with the task a feature.

    Args:
        regressor: unfitted.
        features: `[N, P]` of each task.
        targets: `[tasks, N]`.

    Attributes:
        regressor: fitted.
    """

    def __init__(
        self,
        regressor: RegressorMixin,
        features: Iterable[np.ndarray],
        targets: np.ndarray,
    ) -> None:
        rows = np.concatenate([self.rows(task, part) for task, part in enumerate(features)])
        self.regressor = regressor.fit(rows, targets.ravel())

    def predict(self, task: int, features: np.ndarray) -> np.ndarray:
        """`[N]` from `[N, P]` features of a task."""
        return self.regressor.predict(self.rows(task, features))

    def rows(self, task: int, features: np.ndarray) -> np.ndarray:
        """`[N, 1 + P]`, what the regressor predicts from: the task, then its features."""
        return _with_task(task, features).astype(np.float32)


def _with_task(task: int, features: np.ndarray) -> np.ndarray:
    return np.column_stack([np.full(len(features), float(task)), features])
