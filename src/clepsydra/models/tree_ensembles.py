"""Ensembles of regression trees of scikit-learn as boosters of LightGBM, which has exact TreeSHAP.

Only the trees are translated, node by node; what is computed with them LightGBM computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import lightgbm
import numpy as np
from sklearn.base import RegressorMixin
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.tree import BaseDecisionTree, DecisionTreeRegressor

__all__ = ["TreeEnsemble"]

# What LightGBM calls a numerical split, of which missing values go the default way; and that way.
_MISSING_IS_NAN, _DEFAULT_LEFT = 8, 2
_LARGEST = np.finfo(float).max
# Counts are whole numbers of 32 bits.
_TOTAL_COUNT = 1 << 30


@dataclass(frozen=True)
class _Tree:
    """Nodes in any order, the root first; a leaf has no children.

    Attributes:
        left: `[N]` child of values up to the threshold, -1 for none.
        right: `[N]` the other child.
        feature: `[N]` what is compared.
        threshold: `[N]` with what.
        missing_left: `[N]` where missing values go.
        value: `[N]` what a leaf adds.
        weight: `[N]` of the rows that the node was learnt from.
    """

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    weight: np.ndarray

    @property
    def is_leaf(self) -> np.ndarray:
        return self.left < 0

    @property
    def depth(self) -> int:
        depth, level = 0, np.array([0])
        while len(level := level[~self.is_leaf[level]]):
            level = np.concatenate([self.left[level], self.right[level]])
            depth += 1
        return depth

    def text(self) -> str:
        """In the format of LightGBM's model files."""
        leaf = self.is_leaf
        # Inner nodes and leaves are numbered apart; a leaf as a child is the complement of its own.
        number = np.where(leaf, ~(np.cumsum(leaf) - 1), np.cumsum(~leaf) - 1)
        count = self._counts()
        inner = ~leaf
        fields: dict[str, np.ndarray | int] = {
            "num_leaves": int(leaf.sum()),
            "num_cat": 0,
            "split_feature": self.feature[inner],
            "split_gain": np.zeros(inner.sum()),
            "threshold": np.clip(self.threshold[inner], -_LARGEST, _LARGEST),
            "decision_type": _MISSING_IS_NAN + _DEFAULT_LEFT * self.missing_left[inner].astype(int),
            "left_child": number[self.left[inner]],
            "right_child": number[self.right[inner]],
            "leaf_value": self.value[leaf],
            "leaf_weight": count[leaf].astype(float),
            "leaf_count": count[leaf],
            "internal_value": np.zeros(inner.sum()),
            "internal_weight": count[inner].astype(float),
            "internal_count": count[inner],
            "is_linear": 0,
            "shrinkage": 1,
        }
        return "\n".join(f"{name}={_text(value)}" for name, value in fields.items())

    def _counts(self) -> np.ndarray:
        """Weights as whole numbers, those of a node the sum of its leaves'."""
        scale = 1.0
        if not np.array_equal(self.weight, np.round(self.weight)):
            scale = _TOTAL_COUNT / self.weight[0]
        count = np.maximum(np.round(self.weight * scale), 1).astype(np.int64)
        order, level = [], np.array([0])
        while len(level := level[~self.is_leaf[level]]):
            order.append(level)
            level = np.concatenate([self.left[level], self.right[level]])
        for nodes in reversed(order):
            count[nodes] = count[self.left[nodes]] + count[self.right[nodes]]
        return count


class TreeEnsemble:
    """A fitted ensemble of regression trees, ready to be explained.

    Args:
        regressor: of scikit-learn (HistGradientBoosting, GradientBoosting, RandomForest,
            ExtraTrees, DecisionTree) or LightGBM, fitted for one target.

    Attributes:
        work: what explaining one row takes: leaves times their squared depth, of all trees.

    Raises:
        ValueError: no such ensemble, or one with categorical splits of scikit-learn.

    Examples:
        >>> x = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
        >>> tree = DecisionTreeRegressor(max_depth=1).fit(x, [1.0, 1.0, 3.0, 3.0])
        >>> TreeEnsemble(tree).contributions(x[:1]).tolist()
        [[-1.0, 0.0, 2.0]]
    """

    def __init__(self, regressor: RegressorMixin) -> None:
        if isinstance(regressor, lightgbm.LGBMModel):
            self._booster, self._offset, self._single = regressor.booster_, 0.0, False
            leaves, depth = _size_of(self._booster)
        else:
            trees = list(_trees(regressor))
            self._offset = _offset(regressor)
            # Trees of `sklearn.tree` compare single precision.
            self._single = not isinstance(regressor, HistGradientBoostingRegressor)
            self._booster = _booster(trees, regressor.n_features_in_)
            leaves = np.array([tree.is_leaf.sum() for tree in trees])
            depth = np.array([tree.depth for tree in trees])
        self.work = float((leaves * np.maximum(depth, 1.0) ** 2).sum())

    def contributions(self, rows: np.ndarray) -> np.ndarray:
        """SHAP values of rows.

        Those of the conditional expectations that the trees' own counts give ("tree path
        dependent"): exact, and their sum is the prediction on the scale that the trees add up on.

        Source: Lundberg et al., From local explanations to global understanding with explainable AI
        for trees (2020).

        Args:
            rows: `[N, P]`, features in the order of the fit.

        Returns:
            `[N, P + 1]`: a column a feature, the expected prediction last.
        """
        rows = rows.astype(np.float32).astype(float) if self._single else rows.astype(float)
        if not len(rows):
            return np.empty((0, rows.shape[1] + 1))
        found = np.asarray(self._booster.predict(rows, pred_contrib=True))
        found[:, -1] += self._offset
        return found


def _text(value: np.ndarray | int) -> str:
    return " ".join(map(repr, value.tolist())) if isinstance(value, np.ndarray) else str(value)


def _booster(trees: list[_Tree], n_features: int) -> lightgbm.Booster:
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={n_features - 1}",
        "objective=regression",
        "feature_names=" + " ".join(f"x{number}" for number in range(n_features)),
        "feature_infos=" + " ".join(["none"] * n_features),
    ]
    body = [f"Tree={number}\n{tree.text()}\n" for number, tree in enumerate(trees)]
    return lightgbm.Booster(model_str="\n".join([*head, "", *body, "end of trees", ""]))


def _trees(regressor: RegressorMixin) -> Iterator[_Tree]:
    if isinstance(regressor, HistGradientBoostingRegressor):
        for (predictor,) in regressor._predictors:
            yield _of_histogram(predictor.nodes)
    elif isinstance(regressor, GradientBoostingRegressor):
        for (tree,) in regressor.estimators_:
            yield _of_tree(tree, regressor.learning_rate)
    elif isinstance(regressor, RandomForestRegressor | ExtraTreesRegressor):
        for tree in regressor.estimators_:
            yield _of_tree(tree, 1.0 / len(regressor.estimators_))
    elif isinstance(regressor, DecisionTreeRegressor):
        yield _of_tree(regressor, 1.0)
    else:
        raise ValueError(f"{type(regressor).__name__} is no ensemble of trees that is known here")


def _of_histogram(nodes: np.ndarray) -> _Tree:
    if nodes["is_categorical"].any():
        raise ValueError("splits on categories are not translated: give it numbers")
    leaf = nodes["is_leaf"].astype(bool)
    return _Tree(
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["feature_idx"].astype(np.int64),
        nodes["num_threshold"].astype(float),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"].astype(float),
        nodes["count"].astype(float),
    )


def _of_tree(estimator: BaseDecisionTree, factor: float) -> _Tree:
    tree = estimator.tree_
    return _Tree(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        tree.missing_go_to_left.astype(bool),
        factor * tree.value[:, 0, 0],
        tree.weighted_n_node_samples,
    )


def _offset(regressor: RegressorMixin) -> float:
    """What the trees' sum is added to."""
    if isinstance(regressor, HistGradientBoostingRegressor):
        return float(np.ravel(regressor._baseline_prediction)[0])
    if isinstance(regressor, GradientBoostingRegressor):
        if isinstance(regressor.init_, str):
            return 0.0
        if not isinstance(regressor.init_, DummyRegressor):
            raise ValueError("it starts from a regressor of its own, 'init'")
        return float(np.ravel(regressor.init_.constant_)[0])
    return 0.0


def _size_of(booster: lightgbm.Booster) -> tuple[np.ndarray, np.ndarray]:
    """Leaves and depth of each tree."""
    frame = booster.trees_to_dataframe()
    trees = frame.groupby("tree_index", sort=True)
    leaves = frame["left_child"].isna().groupby(frame["tree_index"]).sum()
    return leaves.to_numpy(), trees["node_depth"].max().to_numpy() - 1
