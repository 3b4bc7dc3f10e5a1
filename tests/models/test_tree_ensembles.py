"""Trees of scikit-learn in LightGBM's hands: exact Shapley values of their own expectations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from clepsydra.models.contributions import contributions
from clepsydra.models.tree_ensembles import TreeEnsemble

ENSEMBLES = {
    "histogram": lambda: HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=5),
    "forest": lambda: RandomForestRegressor(n_estimators=3, random_state=0),
    "extra": lambda: ExtraTreesRegressor(n_estimators=3, random_state=0),
    "tree": lambda: DecisionTreeRegressor(max_depth=4),
    "stump": lambda: DecisionTreeRegressor(max_depth=1),
    "leaf": lambda: DecisionTreeRegressor(min_samples_leaf=1000),
    "lightgbm": lambda: lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=3, verbosity=-1),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads only wait for each other on so little data."""
    with threadpool_limits(1):
        yield


def data(seed: int, missing: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = random.normal(size=(80, 3))
    y = rows[:, 0] * rows[:, 1] + 2 * (rows[:, 2] > 0) + random.normal(scale=0.1, size=80)
    if missing:
        rows[random.random(rows.shape) < 0.2] = np.nan
    return rows, y


@pytest.mark.parametrize("name", ENSEMBLES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), weighted=st.booleans())
def test_parts_add_up_to_the_prediction(name: str, seed: int, weighted: bool) -> None:
    x, y = data(seed, missing=name != "boosting")
    weight = np.random.default_rng(seed).uniform(0.1, 3, len(y)) if weighted else None
    regressor = ENSEMBLES[name]().fit(x, y, sample_weight=weight)
    found = TreeEnsemble(regressor).contributions(x)
    np.testing.assert_allclose(found.sum(axis=1), regressor.predict(x), atol=1e-9)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", [DecisionTreeRegressor, ExtraTreesRegressor])
def test_parts_are_shapley_values(kind: type, missing: bool) -> None:
    """By their definition, over all orders of the features."""
    x, y = data(1, missing)
    options: dict[str, Any] = {"max_depth": 4, "random_state": 0}
    regressor = kind(**options, **({"n_estimators": 2} if kind is ExtraTreesRegressor else {}))
    regressor.fit(x, y)
    trees = [its.tree_ for its in getattr(regressor, "estimators_", [regressor])]
    found = TreeEnsemble(regressor).contributions(x[:10])
    for row, parts in zip(x[:10].astype(np.float32), found, strict=True):
        of_trees = np.mean([_shapley(tree, row) for tree in trees], axis=0)
        np.testing.assert_allclose(parts, of_trees, atol=1e-9)


def _shapley(tree: Any, row: np.ndarray) -> np.ndarray:
    features = range(len(row))
    out = np.zeros(len(row) + 1)
    out[-1] = _expectation(tree, 0, row, frozenset())
    for feature in features:
        others = [other for other in features if other != feature]
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(others) - size)
            for known in map(frozenset, itertools.combinations(others, size)):
                gain = _expectation(tree, 0, row, known | {feature})
                gain -= _expectation(tree, 0, row, known)
                out[feature] += gain * weight / math.factorial(len(row))
    return out


def _expectation(tree: Any, node: int, row: np.ndarray, known: frozenset[int]) -> float:
    """What the tree predicts on average where only the known features are followed."""
    children = (tree.children_left[node], tree.children_right[node])
    if children[0] < 0:
        return float(tree.value[node, 0, 0])
    feature = tree.feature[node]
    if feature in known:
        left = row[feature] <= tree.threshold[node]
        if np.isnan(row[feature]):
            left = bool(tree.missing_go_to_left[node])
        return _expectation(tree, children[0 if left else 1], row, known)
    weights = tree.weighted_n_node_samples[list(children)]
    values = [_expectation(tree, child, row, known) for child in children]
    return float(np.average(values, weights=weights))


def test_what_is_not_known_is_said() -> None:
    x, y = data(0, missing=False)
    with pytest.raises(ValueError, match="KNeighborsRegressor is no ensemble of trees"):
        TreeEnsemble(KNeighborsRegressor().fit(x, y))
    own = GradientBoostingRegressor(n_estimators=2, init=Ridge()).fit(x, y)
    with pytest.raises(ValueError, match="a regressor of its own"):
        TreeEnsemble(own)
    x[:, 2] = np.round(x[:, 2])
    categories = HistGradientBoostingRegressor(max_iter=2, categorical_features=[2])
    with pytest.raises(ValueError, match="categories"):
        TreeEnsemble(categories.fit(np.abs(x), np.round(x[:, 2]) ** 2))


def test_a_logarithmic_link_is_seen() -> None:
    x, y = data(0, missing=False)
    counts = np.round(np.exp(y))
    trees = HistGradientBoostingRegressor(loss="poisson", max_iter=5).fit(x, counts)
    found = contributions(trees, x, trees.predict(x), lambda: x.mean(axis=0))
    assert found.log
    sums = found.base + found.of_features.sum(axis=1)
    np.testing.assert_allclose(np.exp(sums), trees.predict(x), rtol=1e-9)


def test_of_what_would_take_too_long_one_group_has_its_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = data(0, missing=False)
    trees = ENSEMBLES["forest"]().fit(x, y)
    monkeypatch.setattr("clepsydra.models.contributions._MOST_WORK", 1.0)
    found = contributions(trees, x, trees.predict(x), lambda: x.mean(axis=0), at_once=7)
    assert np.isfinite(found.base).tolist() == [True] * 7 + [False] * 73
