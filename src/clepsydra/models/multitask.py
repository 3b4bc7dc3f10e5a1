"""Ridge regressions of several tasks that share what they have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from scipy.linalg import cho_factor, cho_solve

__all__ = ["Moments", "MultitaskRidge"]

# Penalties to choose from, per row: on the shared weights, and on each task's own.
SHARED = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
OWN = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@dataclass(frozen=True)
class Moments:
    """What a least squares fit needs of one task's rows, an intercept first.

    Attributes:
        gram: `[1 + P, 1 + P]`, weighted sums of products of the features.
        cross: `[1 + P]`, of features and target.
        square: of the target with itself.
    """

    gram: np.ndarray
    cross: np.ndarray
    square: float

    @classmethod
    def of(cls, features: np.ndarray, target: np.ndarray, weight: np.ndarray) -> Moments:
        """From `[N, P]` features, `[N]` targets and `[N]` weights, none missing."""
        rows = np.column_stack([np.ones(len(features)), features])
        weighted = rows * weight[:, None]
        return cls(weighted.T @ rows, weighted.T @ target, float(weight @ target**2))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.gram + other.gram, self.cross + other.cross, self.square + other.square)


class MultitaskRidge:
    """Linear regressions whose weights are `shared + own`, each penalised by its square.

    With rows enough a task goes its own way, with few it does as all do. The two penalties are
    those of the least error on newer rows, of a fit to older ones.

    Source: Evgeniou and Pontil, Regularized multi-task learning (2004).

    Attributes:
        weights: `[tasks, 1 + P]`, the intercept first, in units of the features.
        penalties: the two that were chosen, per row.
        means: `[tasks, P]`, of the features.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> x = random.normal(size=(200, 1))
        >>> one = np.ones(100)
        >>> older, newer = (
        ...     [Moments.of(part, 1 + slope * part[:, 0], one) for slope in (2.0, 3.0)]
        ...     for part in (x[:100], x[100:])
        ... )
        >>> MultitaskRidge(older, newer).weights.round(2).tolist()
        [[1.0, 2.0], [1.0, 3.0]]
    """

    @classmethod
    def of(
        cls,
        features: Iterable[np.ndarray],
        targets: np.ndarray,
        weight: np.ndarray,
        newer: np.ndarray,
    ) -> MultitaskRidge:
        """From rows, of which all tasks have as many.

        Args:
            features: `[N, P]` of each task.
            targets: `[tasks, N]`.
            weight: `[N]`.
            newer: `[N]`, which of them the penalties are chosen on.
        """
        parts: list[list[Moments]] = [[], []]
        for rows, target in zip(features, targets, strict=True):
            for moments, chosen in zip(parts, (~newer, newer), strict=True):
                moments.append(Moments.of(rows[chosen], target[chosen], weight[chosen]))
        return cls(*parts)

    @classmethod
    def of_folds(
        cls,
        features: Iterable[np.ndarray],
        targets: np.ndarray,
        fold: np.ndarray,
        shared: Sequence[float] = SHARED,
        own: Sequence[float] = OWN,
    ) -> MultitaskRidge:
        """From rows whose penalties are chosen by cross-validation.

        Args:
            features: `[N, P]` of each task.
            targets: `[tasks, N]`.
            fold: `[N]`, which part a row is in, from 0.
            shared: penalties to choose from.
            own: likewise.
        """
        one = np.ones(len(fold))
        folds: list[list[Moments]] = [[] for _ in range(fold.max() + 1)]
        for rows, target in zip(features, targets, strict=True):
            for number, moments in enumerate(folds):
                its = fold == number
                moments.append(Moments.of(rows[its], target[its], one[its]))
        return cls(*folds, tests=range(len(folds)), shared=shared, own=own)

    def __init__(
        self,
        *parts: Sequence[Moments],
        tests: Sequence[int] = (-1,),
        shared: Sequence[float] = SHARED,
        own: Sequence[float] = OWN,
    ) -> None:
        """Fit.

        Args:
            parts: of each task's rows, the older before the newer; tasks in the same order.
            tests: which parts the penalties are chosen on, each by a fit to the others.
            shared: penalties to choose from.
            own: likewise.
        """
        every = _total(parts)
        self.means = np.stack([its.gram[0, 1:] / max(its.gram[0, 0], 1e-300) for its in every])
        scale = _scaling(every)
        scaled = [_scaled(part, scale) for part in parts]
        errors: dict[tuple[float, float], float] = {}
        for test in tests:
            held = scaled[test]
            train = _total([part for part in scaled if part is not held])
            for its_own in own:
                common = _Common(train, its_own)
                for its_shared in shared:
                    error = _error(held, common.weights(its_shared))
                    errors[its_shared, its_own] = errors.get((its_shared, its_own), 0.0) + error
        self.penalties = min(errors, key=lambda penalties: errors[penalties])
        self.weights = _weights(_total(scaled), self.penalties) @ scale.T

    def predict(self, task: int, features: np.ndarray) -> np.ndarray:
        """`[N]` from `[N, P]` features of a task."""
        return self.weights[task, 0] + features @ self.weights[task, 1:]


def _total(parts: Sequence[Sequence[Moments]]) -> list[Moments]:
    return [reduce(add, task) for task in zip(*parts, strict=True)]


def _weights(tasks: Sequence[Moments], penalties: tuple[float, float]) -> np.ndarray:
    return _Common(tasks, penalties[1]).weights(penalties[0])


def _scaling(moments: Iterable[Moments]) -> np.ndarray:
    """The matrix that standardises rows of features, over all tasks; `[1 + P, 1 + P]`."""
    gram = np.sum([its.gram for its in moments], axis=0)
    mean = gram[0] / gram[0, 0]
    variance = np.diag(gram) / gram[0, 0] - mean**2
    spread = np.sqrt(np.maximum(variance, 0.0))
    # What hardly varies is left out.
    able = spread > 1e-6 * np.sqrt(np.diag(gram) / gram[0, 0])
    inverse = np.where(able, 1.0 / np.where(able, spread, 1.0), 0.0)
    scale = np.diag(inverse)
    scale[0] = -mean * inverse
    scale[0, 0] = 1.0
    return scale


def _scaled(moments: Iterable[Moments], scale: np.ndarray) -> list[Moments]:
    return [Moments(scale.T @ its.gram @ scale, scale.T @ its.cross, its.square) for its in moments]


class _Common:
    """The tasks with their own parts eliminated: what remains is one regression, the shared one.

    The intercepts are each task's own, and hardly penalised.
    """

    def __init__(self, tasks: Sequence[Moments], own: float) -> None:
        size = len(tasks[0].cross)
        free = np.ones(size)
        free[0] = 1e-6
        self._left, self._right = np.zeros((size, size)), np.zeros(size)
        self._parts = []
        self._rows = float(sum(its.gram[0, 0] for its in tasks))
        for its in tasks:
            rows = its.gram[0, 0]
            factor = cho_factor(its.gram + np.diag(rows * (own * free + 1e-9)))
            part = cho_solve(factor, np.column_stack([its.gram, its.cross]))
            self._parts.append(part)
            self._left += its.gram - its.gram @ part[:, :-1]
            self._right += its.cross - its.gram @ part[:, -1]

    def weights(self, shared: float) -> np.ndarray:
        """Of each task, `[tasks, 1 + P]`."""
        penalty = np.full(len(self._right), shared * self._rows)
        penalty[0] = 1e6 * self._rows
        common = np.linalg.solve(self._left + np.diag(penalty), self._right)
        return np.stack([common + part[:, -1] - part[:, :-1] @ common for part in self._parts])


def _error(tasks: Sequence[Moments], weights: np.ndarray) -> float:
    """The weighted sum of squared errors."""
    return float(
        sum(
            its.square - 2 * one @ its.cross + one @ its.gram @ one
            for its, one in zip(tasks, weights, strict=True)
        )
    )
