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
    """

    def __init__(
        self,
        regressor: RegressorMixin,
        features: Iterable[np.ndarray],
        targets: np.ndarray,
    ) -> None:
        rows = np.concatenate(
            [_with_task(task, part).astype(np.float32) for task, part in enumerate(features)]
        )
        self._regressor = regressor.fit(rows, targets.ravel())

    def predict(self, task: int, features: np.ndarray) -> np.ndarray:
        """`[N]` from `[N, P]` features of a task."""
        return self._regressor.predict(_with_task(task, features).astype(np.float32))


def _with_task(task: int, features: np.ndarray) -> np.ndarray:
    return np.column_stack([np.full(len(features), float(task)), features])
