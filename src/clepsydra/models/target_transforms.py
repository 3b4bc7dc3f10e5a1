"""What a regression learns instead of the values, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mlforecast.target_transforms import (
    Differences,
    GlobalSklearnTransformer,
    LocalStandardScaler,
)
from sklearn.preprocessing import FunctionTransformer

from clepsydra.config import TaskConfig
from clepsydra.models.parts import Scale

__all__ = ["TRANSFORMS", "Targets"]


def _log1p(task: TaskConfig) -> GlobalSklearnTransformer:
    return GlobalSklearnTransformer(FunctionTransformer(np.log1p, np.expm1))


def _difference_season(task: TaskConfig) -> Differences:
    return Differences([task.season_length])


def _standard_scaler(task: TaskConfig) -> LocalStandardScaler:
    return LocalStandardScaler()


TRANSFORMS = {
    "log1p": _log1p,
    "difference_season": _difference_season,
    "standard_scaler": _standard_scaler,
}
"""mlforecast's transforms by the name they have here, made from the task."""


@dataclass(frozen=True)
class Targets:
    """What was learnt instead of the values, and how to come back from it.

    Attributes:
        transforms: names, in the order in which they were applied.
        season: steps of `difference_season`.
    """

    transforms: tuple[str, ...]
    season: int

    @property
    def scale(self) -> Scale:
        """On which the parts of a forecast add up.

        Raises:
            ValueError: on none, for logarithms were taken of what had been transformed before.
        """
        if "log1p" in self.transforms[1:]:
            raise ValueError("'log1p' is not the first of 'target_transforms': no scale adds up")
        return "log1p" if "log1p" in self.transforms else "value"

    def back(
        self, y: np.ndarray, path: np.ndarray, parts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Undo what keeps sums: differences and units.

        Args:
            y: `[T]` history of the series.
            path: `[H]` predictions for the steps after it, as they were learnt.
            parts: `[H, P]` that add up to them, the expected prediction last.

        Returns:
            parts: `[H, P]` of the value or its logarithm, but for
            before: `[H]`, what they are differences from.
        """
        stages = []
        for name in self.transforms:
            stages.append((name, y))
            if name == "log1p":
                y = np.log1p(y)
            elif name == "difference_season":
                y = y[self.season :] - y[: -self.season]
            else:
                y = (y - y.mean()) / y.std()
        before = np.zeros(len(path))
        for name, y in reversed(stages):
            if name == "difference_season":
                whole = np.concatenate([y, np.empty(len(path))])
                for step in range(len(y), len(whole)):
                    whole[step] = path[step - len(y)] + whole[step - self.season]
                ago = whole[len(y) - self.season : len(whole) - self.season]
                before, path = before + ago, path + ago
            elif name == "standard_scaler":
                middle, spread = y.mean(), y.std()
                parts, before, path = parts * spread, before * spread, path * spread + middle
                parts[:, -1] += middle
        return parts, before
