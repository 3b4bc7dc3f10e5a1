"""What groups of features contribute to a forecast of `WindowRegressionModel`.

Its features are many, and alike: newest values, values at the same place in earlier seasons, and a
known column's categories, bends and lags. Their SHAP values are added up by group, and the sums
still add up to the forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from clepsydra.models.contributions import contributions
from clepsydra.models.multitask import MultitaskRidge
from clepsydra.models.pooled import PooledRegressor

__all__ = ["window_parts"]


def window_parts(
    regression: MultitaskRidge | PooledRegressor,
    rows: Sequence[np.ndarray],
    groups: Sequence[Sequence[str]],
    centre: Callable[[], Sequence[np.ndarray]],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The parts of predictions relative to the level.

    Args:
        regression: fitted.
        rows: of each of H steps the features `[S, P]` of the series.
        groups: of each step, what each feature is of, `[P]`.
        centre: gives the means of each step's features, `[P]` each.

    Returns:
        base: `[S, H]`, what is expected.
        parts: by group, `[S, H]`; missing for series beyond what can be afforded.

    Raises:
        ValueError: see `models.contributions.contributions`.
    """
    names = list(dict.fromkeys(name for its in groups for name in its))
    if isinstance(regression, PooledRegressor):
        names = ["step ahead", *names]
    base = np.empty((len(rows[0]), len(rows)))
    parts = {name: np.zeros_like(base) for name in names}
    for step, (own_base, values) in enumerate(_by_step(regression, rows, centre)):
        base[:, step] = own_base
        of = np.array(["step ahead", *groups[step]][-values.shape[1] :])
        for name in names:
            parts[name][:, step] = values[:, of == name].sum(axis=1)
    return base, parts


def _by_step(
    regression: MultitaskRidge | PooledRegressor,
    rows: Sequence[np.ndarray],
    centre: Callable[[], Sequence[np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each step the base `[S]` and the features' parts `[S, P]`."""
    if isinstance(regression, MultitaskRidge):
        found = []
        for its, mean, weights in zip(rows, centre(), regression.weights, strict=False):
            expected = np.full(len(its), weights[0] + mean @ weights[1:])
            found.append((expected, (its - mean) * weights[1:]))
        return found
    # Series by series, so that all steps of one have their parts or none.
    steps = [regression.rows(step, its) for step, its in enumerate(rows)]
    whole = np.stack(steps, axis=1)
    horizon, n_features = whole.shape[1:]
    flat = whole.reshape(-1, n_features)
    explained = contributions(
        regression.regressor,
        flat,
        regression.regressor.predict(flat),
        lambda: np.mean(
            [regression.rows(step, its[None])[0] for step, its in enumerate(centre())], axis=0
        ),
        horizon,
    )
    if explained.log:
        raise ValueError("its loss takes logarithms of what is relative to a level")
    base = explained.base.reshape(-1, horizon)
    values = explained.of_features.reshape(-1, horizon, n_features)
    return [(base[:, step], values[:, step]) for step in range(horizon)]
