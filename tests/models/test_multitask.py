"""Ridge regressions that share weights, against one regression of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from clepsydra.models.multitask import OWN, SHARED, MultitaskRidge

TASKS, ROWS = 3, 120


def make(spread: float, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Features, targets and the weights behind them, which differ by `spread` between tasks."""
    random = np.random.default_rng(seed)
    features = [random.normal(3, 2, (ROWS, 4)) for _ in range(TASKS)]
    weights = random.normal(size=4) + spread * random.normal(size=(TASKS, 4))
    targets = np.stack([x @ w for x, w in zip(features, weights, strict=True)])
    return features, targets + random.normal(size=targets.shape), weights


def fit(features: list[np.ndarray], targets: np.ndarray) -> MultitaskRidge:
    newer = np.arange(ROWS) >= 90
    return MultitaskRidge.of(iter(features), targets, np.ones(ROWS), newer)


def test_it_is_one_ridge_regression_on_shared_and_own_columns() -> None:
    """Shared columns and a copy for each task, scaled so that one penalty serves both."""
    features, targets, _ = make(spread=0.5)
    found = fit(features, targets)
    shared, own = found.penalties
    every = np.concatenate(features)
    standard = [(x - every.mean(0)) / every.std(0) for x in features]
    rows, answers = [], []
    for task, (x, y) in enumerate(zip(standard, targets, strict=True)):
        copies = np.zeros((ROWS, 4 * TASKS))
        copies[:, 4 * task : 4 * task + 4] = x * np.sqrt(shared * TASKS / own)
        intercepts = np.zeros((ROWS, TASKS))
        intercepts[:, task] = 1e4
        rows.append(np.column_stack([x, copies, intercepts]))
        answers.append(y)
    ridge = Ridge(alpha=shared * TASKS * ROWS, fit_intercept=False)
    one = ridge.fit(np.concatenate(rows), np.concatenate(answers))
    for task in range(TASKS):
        expected = one.predict(rows[task])
        np.testing.assert_allclose(found.predict(task, features[task]), expected, rtol=1e-3)


def test_tasks_that_are_alike_share_and_those_that_differ_do_not() -> None:
    def spread_of(found: MultitaskRidge) -> float:
        return float(found.weights[:, 1:].std(axis=0).mean())

    alike, apart = fit(*make(spread=0.0)[:2]), fit(*make(spread=2.0)[:2])
    assert spread_of(alike) < 0.1
    assert spread_of(apart) > 1.0
    np.testing.assert_allclose(apart.weights[:, 1:], make(spread=2.0)[2], atol=0.3)


def test_the_penalties_are_those_of_the_least_error_on_newer_rows() -> None:
    """Noise alone: whatever is learnt of the older rows does harm on the newer ones."""
    random = np.random.default_rng(1)
    features = [random.normal(size=(ROWS, 60)) for _ in range(TASKS)]
    found = fit(features, random.normal(size=(TASKS, ROWS)))
    assert found.penalties == (max(SHARED), max(OWN))


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_units_of_features_do_not_matter(unit: float) -> None:
    features, targets, _ = make(spread=0.5)
    other = [x * np.array([1.0, unit, 1.0, 1.0]) for x in features]
    one, two = fit(features, targets), fit(other, targets)
    np.testing.assert_allclose(
        one.predict(0, features[0]), two.predict(0, other[0]), rtol=1e-5, atol=1e-6
    )


def test_a_column_that_never_varies_is_left_out() -> None:
    features, targets, _ = make(spread=0.5)
    more = [np.column_stack([x, np.full(ROWS, 7.0)]) for x in features]
    found = fit(more, targets)
    assert (found.weights[:, -1] == 0).all()
    np.testing.assert_allclose(
        found.predict(1, more[1]), fit(features, targets).predict(1, features[1])
    )


def test_penalties_of_folds_are_those_that_do_well_on_every_part() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 60, 30))
    weights = random.normal(size=30) / 5
    y = np.stack([its @ weights + random.normal(size=60) for its in x])
    fold = np.arange(60) // 20
    grid = (1e-4, 1e-1, 10.0)
    chosen = MultitaskRidge.of_folds(x, y, fold, grid, grid)
    errors = {}
    for shared in grid:
        for own in grid:
            errors[shared, own] = 0.0
            for part in range(3):
                out = fold == part
                its = MultitaskRidge.of_folds(
                    x[:, ~out], y[:, ~out], np.arange(40) // 20, [shared], [own]
                )
                errors[shared, own] += sum(
                    ((its.predict(task, x[task, out]) - y[task, out]) ** 2).sum() for task in (0, 1)
                )
    best = sorted(errors, key=lambda penalties: errors[penalties])[:2]
    assert chosen.penalties in best
