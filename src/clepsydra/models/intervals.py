"""Quantiles from backtest errors: by step ahead over all series, in units of each series' errors.

An error is seen in units of what its series usually errs by, for forecasts of that level. So seen,
the errors of all series on the same steps ahead are one sample, large enough for its tails, and its
quantiles need not be symmetric. This is split conformal prediction with a scaled score (Lei and
others, Distribution-free predictive inference for regression, 2018, section 5.2) in its Mondrian
form (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, section 4.5), with
steps ahead as the groups.

A series' unit comes from its other windows, never from the one whose errors are being scaled: an
error in units of itself would look smaller than the next ones will be. Forecasts take the unit
without the oldest window, which is made from as many as those of the errors. Where there are few,
the unit leans to that of series of the same level.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import LEVELS, quantile_columns
from clepsydra.timegrid import add_span

__all__ = [
    "LEVELS",
    "add_quantiles",
    "calibrate",
    "pool_shapes",
    "quantile_columns",
    "rolling_quantiles",
]

_MAX_BINS = 4
_FEWEST_IN_A_BIN = 20
_FEWEST_OF_A_STEP = 200
_FEWEST_WINDOWS = 6
_LOWEST_LEVEL = 0.02
# Of what is usual: what is smaller is taken for zero.
_ZERO = 1e-9
# Windows that the unit of a series of that level is worth.
_PRIOR_WINDOWS = 1.0

_KEYS = ["model", "unique_id"]
_COLUMNS = ["unique_id", "model", "step", "lower", "unit"]


def calibrate(residuals: pd.DataFrame, shapes: pd.DataFrame | None = None) -> pd.DataFrame:
    """What quantiles are made from.

    Args:
        residuals: `unique_id`, `model`, `cutoff`, `ds`, `y_hat`, `y`, of past windows.
        shapes: from `pool_shapes`, of these models and more series; made of `residuals` if not
            given.

    Returns:
        `unique_id`, `model`, `step`, `lower`, `unit` and the quantile columns, in three kinds of
        rows. Of each series and model: from forecasts of `lower` up, errors are seen in units of
        `unit`. Of each model, with an empty `unique_id` and `step` 0: `unit` is that of a series
        without errors of its own over its level (the mean size of its forecasts, `lower` if they
        are zeros).
        And, with an empty `unique_id`: the quantiles of errors so seen from `step` ahead on.
    """
    frames = [pd.DataFrame(columns=[*_COLUMNS, *quantile_columns()])]
    if len(residuals):
        # Before those without an actual are left out: steps are counted from the first forecast.
        residuals = residuals.assign(step=_steps(residuals))
    known = residuals.dropna(subset=["y", "y_hat"])
    known = known.assign(error=known["y"] - known["y_hat"])
    pooled = {} if shapes is None else dict(iter(shapes.groupby("model")))
    for model, group in known.groupby("model", sort=True):
        frames += _calibrate_one(str(model), group, pooled.get(model))
    # Series may have forecasts of a model without having errors of it.
    frames += [rows for model, rows in pooled.items() if model not in set(known["model"])]
    filled = [frame for frame in frames if len(frame)] or frames
    return pd.concat(filled, ignore_index=True)[[*_COLUMNS, *quantile_columns()]]


def pool_shapes(*residuals: pd.DataFrame) -> pd.DataFrame:
    """What the errors of all series have in common: the rows of `calibrate` without `unique_id`.

    Args:
        residuals: as for `calibrate`, each of other series, of all steps of the windows. Beside
            them, memory is needed for the rows of one model.
    """
    models = sorted({model for part in residuals for model in part["model"].unique()})
    frames = [calibrate(residuals[0].iloc[:0])]
    for model in models:
        parts = [part[part["model"] == model] for part in residuals]
        parts = [part for part in parts if len(part)]
        whole = calibrate(pd.concat(parts, ignore_index=True))
        frames.append(whole[whole["unique_id"] == ""])
    return pd.concat([frame for frame in frames if len(frame)] or frames, ignore_index=True)


def _calibrate_one(
    model: str, rows: pd.DataFrame, shapes: pd.DataFrame | None
) -> list[pd.DataFrame]:
    series, ids = pd.factorize(rows["unique_id"], sort=True)
    window = pd.factorize(rows["cutoff"], sort=True)[0]
    size, y_hat = rows["error"].abs().to_numpy(), rows["y_hat"].to_numpy()
    pair, of_row = np.unique(series * (window.max() + 1) + window, return_inverse=True)
    of_pair = pair // (window.max() + 1)
    total, number = np.bincount(of_row, size), np.bincount(of_row)
    sums, numbers = np.bincount(of_pair, total), np.bincount(of_pair, number)
    windows = np.bincount(of_pair)
    own = np.bincount(series, np.maximum(np.abs(y_hat), rows["y"].abs())) / numbers
    typical = float(np.median(own[own > 0])) if own.any() else 1.0
    start = None if shapes is None else shapes[shapes["step"] == 0].iloc[0]
    if start is not None:
        typical = float(start["lower"]) / _LOWEST_LEVEL
    # A series of zeros is as large as is usual; any other is measured by itself.
    own = np.where(own > _ZERO * typical, own, typical)
    level = np.maximum(np.bincount(series, np.abs(y_hat)) / numbers, _LOWEST_LEVEL * own)
    usual = (
        float(np.median(sums / numbers / level)) or float(np.mean(sums / numbers / level)) or 1.0
    )
    usual = usual if start is None else float(start["unit"])
    prior = usual * level

    def blended(mean: np.ndarray, count: np.ndarray, at: np.ndarray) -> np.ndarray:
        return (count * mean + _PRIOR_WINDOWS * prior[at]) / (count + _PRIOR_WINDOWS)

    rest = numbers[of_pair] - number
    others = (sums[of_pair] - total) / np.maximum(rest, 1)
    without = blended(others, windows[of_pair] - 1, of_pair)
    oldest = np.unique(of_pair, return_index=True)[1]
    unit, without = without[oldest], without[of_row]
    factor = np.ones(len(rows))
    # With few errors these are the ones that are scaled, and hardly any others.
    many = (numbers >= 2 * _FEWEST_IN_A_BIN) & (windows >= _FEWEST_WINDOWS)
    lowers = [(ids[place], -np.inf, unit[place]) for place in np.flatnonzero(~many)]
    of_series = _positions(series, len(ids)) if many.any() else []
    for place in np.flatnonzero(many):
        positions = of_series[place]
        for lower, inside in _bins(y_hat[positions]):
            its = positions[inside]
            ratio = (size[its].sum() + unit[place]) / (len(its) + 1) / unit[place]
            factor[its] = ratio
            lowers.append((ids[place], lower, unit[place] * ratio))
    units = pd.DataFrame(lowers, columns=["unique_id", "lower", "unit"]).assign(step=0)
    if shapes is not None:
        return [units.assign(model=model), shapes]
    seen = rows["error"].to_numpy() / (without * factor)
    pooled = [{"step": 0, "lower": _LOWEST_LEVEL * typical, "unit": usual}]
    steps = rows["step"].to_numpy()
    for first, last in _step_groups(steps):
        chosen = seen[(first <= steps) & (steps <= last)]
        quantiles = np.quantile(chosen, LEVELS)
        pooled.append({"step": first, **dict(zip(quantile_columns(), quantiles, strict=True))})
    return [units.assign(model=model), pd.DataFrame(pooled).assign(model=model, unique_id="")]


def _positions(series: np.ndarray, number: int) -> list[np.ndarray]:
    order = np.argsort(series, kind="stable")
    return np.split(order, np.searchsorted(series[order], np.arange(1, number)))


def _steps(rows: pd.DataFrame) -> np.ndarray:
    """How many steps of the target each is; 1 for the first."""
    if "cutoff" not in rows.columns:
        return np.unique(rows["ds"], return_inverse=True)[1] + 1
    return rows.groupby("cutoff")["ds"].rank(method="dense").astype(int).to_numpy()


def _step_groups(steps: np.ndarray) -> list[tuple[int, int]]:
    """First and last step of neighbours that together have errors enough."""
    groups: list[tuple[int, int]] = []
    number = np.bincount(steps)
    first, inside = 1, 0
    for step in range(1, len(number)):
        inside += number[step]
        if inside >= _FEWEST_OF_A_STEP or step == len(number) - 1:
            groups.append((first, step))
            first, inside = step + 1, 0
    last = len(groups) - 1
    if last > 0 and number[groups[last][0] : groups[last][1] + 1].sum() < _FEWEST_OF_A_STEP:
        groups[last - 1 :] = [(groups[last - 1][0], groups[last][1])]
    return groups


def add_quantiles(
    forecasts: pd.DataFrame, calibration: pd.DataFrame, task: TaskConfig
) -> pd.DataFrame:
    """Add the calibrated quantiles to point forecasts: sorted, and clipped to what is possible.

    Rows that have all quantiles of their own model keep them.

    Args:
        forecasts: `unique_id`, `model`, `ds`, `y_hat` and any other columns, of one cutoff.
        calibration: from `calibrate`.
        task: its `minimum` bounds the quantiles.

    Returns:
        The same rows and columns, and the quantile columns; they are missing where the model has
        no residual at all.
    """
    columns = quantile_columns()
    out = forecasts.reset_index(drop=True)
    found = np.full((len(out), len(columns)), np.nan)
    y_hat = out["y_hat"].to_numpy(dtype=float)
    steps = _steps(out) if len(out) else np.zeros(0, dtype=int)
    tables = dict(iter(calibration.groupby("model")))
    for model, rows in out.groupby("model").indices.items():
        if model not in tables:
            continue
        table = tables[model]
        is_pooled = table["unique_id"] == ""
        start, *shapes = table[is_pooled].sort_values("step").to_dict("records")
        first = np.array([shape["step"] for shape in shapes])
        shape = np.array([[its[column] for column in columns] for its in shapes])
        unit = _units(out.iloc[rows], table[~is_pooled], start)
        place = np.maximum(np.searchsorted(first, steps[rows], "right") - 1, 0)
        found[rows] = unit[:, None] * shape[place]
    values = np.sort(y_hat[:, None] + found, axis=1)
    if task.minimum is not None:
        values = np.maximum(values, task.minimum)
    own_values = out.reindex(columns=columns).to_numpy(dtype=float)
    has_own = np.isfinite(own_values).all(axis=1, keepdims=True)
    out[columns] = np.where(has_own, own_values, values)
    return out


def _units(rows: pd.DataFrame, own: pd.DataFrame, usual: dict[str, float]) -> np.ndarray:
    """What the errors of each row are seen in units of.

    Args:
        rows: `unique_id`, `y_hat` of one model.
        own: `unique_id`, `lower`, `unit` of the series that have errors.
        usual: `unit` of the others over their level, `lower` their level if they are zeros.
    """
    level = rows["y_hat"].abs().groupby(rows["unique_id"]).transform("mean").to_numpy()
    is_zero = level <= _ZERO * usual["lower"]
    others = usual["unit"] * np.where(is_zero, usual["lower"], level)
    if own.empty:
        return others
    # A forecast that is missing has no quantiles, whatever its unit.
    asked = pd.DataFrame(
        {"unique_id": rows["unique_id"].to_numpy(), "y_hat": rows["y_hat"].fillna(0.0).to_numpy()}
    )
    asked = asked.assign(place=np.arange(len(asked))).sort_values("y_hat", kind="stable")
    steps = own[["unique_id", "lower", "unit"]].astype({"lower": float, "unit": float})
    found = pd.merge_asof(
        asked, steps.sort_values("lower"), left_on="y_hat", right_on="lower", by="unique_id"
    )
    unit = found.sort_values("place")["unit"].to_numpy()
    return np.where(np.isnan(unit), others, unit)


def rolling_quantiles(
    backtests: pd.DataFrame, windows: pd.DataFrame, task: TaskConfig
) -> pd.DataFrame:
    """Quantiles of each window from the residuals of windows that had ended by its cutoff.

    Args:
        backtests: `unique_id`, `cutoff`, `model`, `y`, `y_hat`.
        windows: `cutoff`, `target_end`, oldest first.
        task: passed on.

    Returns:
        The rows with quantile columns, missing in the first windows, which have nothing before
        them to learn from.
    """
    ended = backtests["cutoff"].map(windows.set_index("cutoff")["target_end"])
    frames = []
    for window in windows.itertuples():
        rows = backtests[backtests["cutoff"] == window.cutoff]
        origin = add_span(window.cutoff, 1, task.freq, task.timezone)
        known = backtests[ended <= origin]
        frames.append(add_quantiles(rows, calibrate(known), task))
    return pd.concat(frames, ignore_index=True)


def _bins(y_hat: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Lower edges and members of up to four groups of similar forecasts, each large enough."""
    edges = np.unique(np.quantile(y_hat, np.linspace(0, 1, _MAX_BINS + 1)[1:-1], method="higher"))
    edges = edges[edges > y_hat.min()]
    while len(edges):
        place = np.searchsorted(edges, y_hat, side="right")
        sizes = np.bincount(place, minlength=len(edges) + 1)
        smallest = int(sizes.argmin())
        if sizes[smallest] >= _FEWEST_IN_A_BIN:
            break
        edges = np.delete(edges, max(smallest - 1, 0))
    place = np.searchsorted(edges, y_hat, side="right")
    lowers = [-np.inf, *edges]
    return [(lower, place == number) for number, lower in enumerate(lowers)]
