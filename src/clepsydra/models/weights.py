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
    large series count no more than small ones; series without any are left out. Of a model that
    failed, and has another one's forecasts, there is no error.

    Args:
        points: `unique_id`, `cutoff`, `ds`, `model`, `y_hat`, `is_fallback`.
        panel: `unique_id`, `ds`, `y`, `is_imputed`.
        windows: `cutoff`.
        combinations: of which those count whose weights are learnt.
        task: season and clock.

    Returns:
        `cutoff`, `model`, `other` (also a model), `series` (how many have errors of both),
        `absolute` (sum over these of the mean absolute scaled error of `model`) and `product` (sum
        over them of the mean product of both models' scaled errors).
    """
    members = sorted({name for its in combinations.values() if its.learns for name in its.of})
    observed = panel.assign(y=panel["y"].where(~panel["is_imputed"]))[["unique_id", "ds", "y"]]
    before = to_wall_frame(observed[observed["ds"] <= windows["cutoff"].min()], task)
    scales = history_scales(before, task.season_length).set_index("unique_id")["scale"]
    rows = points[points["model"].isin(members) & ~points["is_fallback"].astype(bool)]
    wide = rows.pivot(index=["unique_id", "cutoff", "ds"], columns="model", values="y_hat")
    wide = wide.reindex(columns=members).reset_index().merge(observed, on=["unique_id", "ds"])
    wide["scale"] = wide["unique_id"].map(scales)
    wide = wide[wide["scale"] > 0].dropna(subset="y")
    error = (wide[members].to_numpy() - wide[["y"]].to_numpy()) / wide[["scale"]].to_numpy()
    found = [_EMPTY]
    for cutoff, places in wide.groupby("cutoff").indices.items():
        series = pd.factorize(wide["unique_id"].to_numpy()[places])[0]
        count, absolute, product = _sums(error[places], series)
        table = {
            "cutoff": cutoff,
            "model": np.repeat(members, len(members)),
            "other": np.tile(members, len(members)),
            "series": count.ravel(),
            "absolute": absolute.ravel(),
            "product": product.ravel(),
        }
        found.append(pd.DataFrame(table))
    return pd.concat(found if len(found) == 1 else found[1:], ignore_index=True)


def _sums(error: np.ndarray, series: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of errors `[N, M]`, by pair of models: series, sums over them of mean errors and of products.

    A model has errors in all steps of a series, or in none.
    """
    there = np.isfinite(error)
    error = np.where(there, error, 0.0)
    number = np.bincount(series)
    first = np.unique(series, return_index=True)[1]
    able = there[first].astype(float)
    size = np.stack([np.bincount(series, np.abs(one)) / number for one in error.T], axis=1)
    product = (error / number[series, None]).T @ error
    return (able.T @ able).astype(int), size.T @ able, product


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
      in units of each series' seasonal differences (Breiman, Stacked regressions, 1996).

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
    if not total["series"].any():
        return equal
    if combination.method == "weighted":
        size = _sizes(total, members)
        if (size == 0).any():
            return (size == 0) / (size == 0).sum()
        relative = (size / size.min()) ** -combination.power
        return relative / relative.sum()
    product = (total["product"] / total["series"]).unstack().loc[members, members].to_numpy()
    able = np.isfinite(np.diag(product))
    weights = np.zeros(len(members))
    weights[able] = _least_squares(np.nan_to_num(product[np.ix_(able, able)]))
    return weights


def _sizes(total: pd.DataFrame, members: list[str]) -> np.ndarray:
    """Each member's mean absolute scaled error, on the series that most of them have errors of.

    They are compared on the same series: a model's errors over those of the model with the most,
    where it has both. Of one without an error nothing is known but that it fails: it is taken for
    as bad as the worst.
    """
    pairs = (total["absolute"] / total["series"]).unstack().loc[members, members]
    number = total["series"].unstack().loc[members, members].to_numpy()
    most = int(np.diag(number).argmax())
    own, other = pairs.to_numpy()[:, most], pairs.to_numpy()[most]
    size = np.where(other > 0, own / np.where(other > 0, other, 1.0) * pairs.iloc[most, most], own)
    return np.where(np.isfinite(size), size, np.nanmax(size))


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
