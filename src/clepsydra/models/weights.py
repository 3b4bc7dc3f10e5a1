"""Weights of combinations, from the errors that their members made in backtests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from clepsydra.config import Combination, TaskConfig
from clepsydra.models.metrics import history_scales
from clepsydra.models.wall import to_wall_frame
from clepsydra.origins import first_unknown

__all__ = ["NOW", "member_errors", "weigh"]

# The cutoff of weights that are learnt from all windows.
NOW = pd.Timestamp.max.floor("s")

_EMPTY = pd.DataFrame(
    {
        "cutoff": pd.Series(dtype="datetime64[ns]"),
        **{name: pd.Series(dtype=object) for name in ("model", "other")},
        "series": pd.Series(dtype=int),
        **{name: pd.Series(dtype=float) for name in ("absolute", "product")},
    }
)


def member_errors(
    points: pd.DataFrame,
    panel: pd.DataFrame,
    windows: pd.DataFrame,
    combinations: Mapping[str, Combination],
    task: TaskConfig,
) -> pd.DataFrame:
    """What the weights of combinations are made from: sums over series, of any part of the panel.

    Tables of several parts add up, row by row. The errors of each series are divided by its
    seasonal differences before the first cutoff, as in the mean absolute scaled error, so that
    large series count no more than small ones; series without any are left out.

    Args:
        points: `unique_id`, `cutoff`, `ds`, `model`, `y_hat`.
        panel: `unique_id`, `ds`, `y`, `is_imputed`.
        windows: `cutoff`.
        combinations: of which those count whose weights are learnt.
        task: season and clock.

    Returns:
        `cutoff`, `model`, `other` (also a model), `series` (how many), `absolute` (sum over series
        of the mean absolute scaled error of `model`) and `product` (sum over series of the mean
        product of both models' errors, in units of the mean squared error of the members' mean).
    """
    members = sorted({name for its in combinations.values() if its.learns for name in its.of})
    observed = panel.assign(y=panel["y"].where(~panel["is_imputed"]))[["unique_id", "ds", "y"]]
    before = to_wall_frame(observed[observed["ds"] <= windows["cutoff"].min()], task)
    scales = history_scales(before, task.season_length).set_index("unique_id")["scale"]
    rows = points[points["model"].isin(members)]
    wide = rows.pivot(index=["unique_id", "cutoff", "ds"], columns="model", values="y_hat")
    wide = wide.reindex(columns=members).reset_index().merge(observed, on=["unique_id", "ds"])
    wide["scale"] = wide["unique_id"].map(scales)
    wide = wide[wide["scale"] > 0].dropna(subset=["y", *members])
    error = (wide[members].to_numpy() - wide[["y"]].to_numpy()) / wide[["scale"]].to_numpy()
    found = [_EMPTY]
    for cutoff, places in wide.groupby("cutoff").indices.items():
        series = pd.factorize(wide["unique_id"].to_numpy()[places])[0]
        absolute, product = _sums(error[places], series)
        table = {
            "cutoff": cutoff,
            "model": np.repeat(members, len(members)),
            "other": np.tile(members, len(members)),
            "series": series.max() + 1,
            "absolute": np.repeat(absolute, len(members)),
            "product": product.ravel(),
        }
        found.append(pd.DataFrame(table))
    return pd.concat(found if len(found) == 1 else found[1:], ignore_index=True)


def _sums(error: np.ndarray, series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Over series: mean absolute errors `[M]`, and products `[M, M]`, of errors `[N, M]`."""
    number = np.bincount(series)
    absolute = (np.abs(error) / number[series, None]).sum(axis=0)
    of_mean = np.bincount(series, error.mean(axis=1) ** 2) / number
    weight = 1 / (number * np.where(of_mean > 0, of_mean, 1.0))
    return absolute, (error * weight[series, None]).T @ error


def weigh(
    errors: pd.DataFrame,
    windows: pd.DataFrame,
    combinations: Mapping[str, Combination],
    task: TaskConfig,
) -> pd.DataFrame:
    """The weights of every combination's members, at every cutoff and now.

    Those of a cutoff are learnt from windows that had ended by then; before there are any, all
    members weigh the same.

    - `mean`: all the same.
    - `weighted`: the mean absolute scaled error, to the power of minus `power`, of all (Pawlikowski
      and Chorowska, Weighted ensemble of statistical models, 2020, weigh by errors likewise).
    - `stacked`: weights of at least zero, one in all, that would have made the least squared error
      (Breiman, Stacked regressions, 1996).

    Args:
        errors: from `member_errors`.
        windows: `cutoff`, `target_end`, oldest first.
        combinations: those without weights, medians, are passed over.
        task: grid.

    Returns:
        `combination`, `cutoff` (`NOW` for what all windows say), `model`, `weight` (one in all),
        `windows` (how many it was learnt from).
    """
    rows = []
    for cutoff in [*windows["cutoff"], NOW]:
        known = windows["cutoff"]
        if cutoff != NOW:
            known = known[windows["target_end"] <= first_unknown(cutoff, task)]
        past = errors[errors["cutoff"].isin(known)]
        for name, combination in combinations.items():
            if combination.method == "median":
                continue
            inside = past["model"].isin(combination.of) & past["other"].isin(combination.of)
            weights = _weights(combination, past[inside])
            number = past.loc[inside, "cutoff"].nunique() if combination.learns else 0
            rows += [
                (name, cutoff, model, weight, number)
                for model, weight in zip(combination.of, weights, strict=True)
            ]
    columns = ["combination", "cutoff", "model", "weight", "windows"]
    return pd.DataFrame(rows, columns=columns).astype({"cutoff": "datetime64[ns]"})


def _weights(combination: Combination, errors: pd.DataFrame) -> np.ndarray:
    """One for each member, in their order."""
    members = combination.of
    equal = np.full(len(members), 1 / len(members))
    if not combination.learns or errors.empty:
        return equal
    total = errors.groupby(["model", "other"])[["series", "absolute", "product"]].sum()
    if combination.method == "weighted":
        own = total.loc[[(name, name) for name in members]]
        size = (own["absolute"] / own["series"]).to_numpy()
        if (size == 0).any():
            return (size == 0) / (size == 0).sum()
        relative = (size / size.min()) ** -combination.power
        return relative / relative.sum()
    product = (total["product"] / total["series"]).unstack().loc[members, members].to_numpy()
    return _least_squares(product)


def _least_squares(product: np.ndarray) -> np.ndarray:
    """Weights of at least zero, one in all, for which `w @ product @ w` is least."""
    size = len(product)
    values, vectors = np.linalg.eigh(product)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    # That they are one in all is a row that outweighs the rest.
    heavy = 1e3 * np.sqrt(max(float(np.trace(product)), np.finfo(float).tiny))
    rows = np.vstack([root, np.full((1, size), heavy)])
    found, _ = nnls(rows, np.append(np.zeros(size), heavy))
    return found / found.sum()
