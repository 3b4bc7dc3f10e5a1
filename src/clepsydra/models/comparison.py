"""Whether models differ by more than chance, from what they lose at each time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = [
    "Difference",
    "compare",
    "diebold_mariano",
    "find_best",
    "model_confidence_set",
]

_SEED = 0
_COMPARED = ["model", "against", "metric"]
# Differences that vary less than this, relative to the losses, only vary by rounding.
_ROUNDING = 1e-12


class Difference(NamedTuple):
    """What a Diebold-Mariano test found.

    Attributes:
        mean_difference: of the losses, in their unit; missing without a step.
        statistic: of Student's t distribution with `steps - 1` degrees of freedom; missing where
            there is no test.
        pvalue: two-sided, of the losses being equal in expectation; missing where there is no test.
        steps: how many differences there were.
        note: why there is no test, or empty.
    """

    mean_difference: float
    statistic: float
    pvalue: float
    steps: int
    note: str


def diebold_mariano(difference: np.ndarray, horizon: int, lags: int | None = None) -> Difference:
    """Test whether the mean of a series of loss differences is zero.

    The variance of the mean allows for autocorrelation up to `lags` (Newey and West, with
    Bartlett's weights, so that it cannot be negative), and the statistic is corrected for few steps
    as Harvey, Leybourne and Newbold propose: times sqrt((n + 1 - 2h + h (h - 1) / n) / n) for n
    steps and a horizon of h, with Student's t distribution. Of differences whose autocorrelation
    does not die out within the lags it rejects too often.

    Sources: Diebold and Mariano, Comparing predictive accuracy (1995). Harvey, Leybourne and
    Newbold, Testing the equality of prediction mean squared errors (1997). Newey and West, A
    simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance
    matrix (1987).

    Args:
        difference: losses of one model less those of another, shape (steps,), in the order of time.
        horizon: steps that a forecast looks ahead.
        lags: autocorrelations to allow for; `horizon - 1` if not given, since errors of the best
            forecast of h steps ahead are correlated over h - 1 steps.

    Returns:
        The test. Where there can be none, because there are no more steps than the horizon has or
        the difference never changes, its p-value is missing and its note says why.

    Raises:
        ValueError: `difference` is no vector or has missing values, `horizon` is less than 1 or
            `lags` less than 0.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> found = diebold_mariano(random.normal(0.5, 1, size=200), horizon=2)
        >>> found.pvalue < 0.01
        True
        >>> diebold_mariano(np.zeros(200), horizon=2).note
        'the losses are the same at every time'
    """
    difference = np.asarray(difference, dtype=float)
    lags = horizon - 1 if lags is None else lags
    if difference.ndim != 1 or np.isnan(difference).any():
        shape = difference.shape
        raise ValueError(f"difference has the shape {shape}: give a vector of values, none missing")
    if horizon < 1 or lags < 0:
        raise ValueError(f"horizon {horizon}, lags {lags}: give at least 1 and 0")
    steps = len(difference)
    mean = float(difference.mean()) if steps else np.nan
    note = ""
    if steps <= max(horizon, lags, 1):
        needed = max(horizon, lags, 1) + 1
        note = f"{steps} steps; a test needs {needed}, of errors up to {horizon} steps ahead"
    elif not difference.any():
        note = "the losses are the same at every time"
    elif np.ptp(difference) <= _ROUNDING * np.abs(difference).max():
        note = "the losses differ by the same amount at every time"
    if note:
        return Difference(mean, np.nan, np.nan, steps, note)

    from scipy.stats import t
    from statsmodels.api import OLS

    # In units of its largest value, so that no square is too small or too large a number.
    unit = np.abs(difference).max()
    fit = OLS(difference / unit, np.ones(steps)).fit(cov_type="HAC", cov_kwds={"maxlags": lags})
    correction = (steps + 1 - 2 * horizon + horizon * (horizon - 1) / steps) / steps
    variance = float(fit.cov_params()[0, 0])
    if variance <= 0:
        return Difference(mean, np.nan, np.nan, steps, "the variance is not positive")
    statistic = mean / unit / np.sqrt(variance) * np.sqrt(correction)
    return Difference(mean, statistic, float(2 * t.sf(abs(statistic), steps - 1)), steps, "")


def model_confidence_set(
    losses: pd.DataFrame, horizon: int, confidence: float = 0.9, repetitions: int = 1000
) -> pd.DataFrame:
    """The models that may be the best: those that no test tells from it.

    The set holds the best model with at least the given probability, in the limit of many steps. It
    is found by leaving out the worst model as long as a test, over all pairs, tells the models
    apart. The distribution is that of a stationary bootstrap with blocks of `horizon` steps on
    average, always with the same seed.

    Models with the same losses share a p-value, and a model whose loss exceeds another's by the
    same amount at every time is out. A model that is worse on average may stay where a better one
    goes, if its differences vary more. With fewer than two blocks nothing is told apart.

    Sources: Hansen, Lunde and Nason, The model confidence set (2011), with their range statistic,
    in the implementation of arch. Politis and Romano, The stationary bootstrap (1994).

    Args:
        losses: a row a time, in order, and a column a model, none missing; any unit.
        horizon: steps that a forecast looks ahead.
        confidence: probability, between 0 and 1.
        repetitions: of the bootstrap.

    Returns:
        `model`, `mcs_pvalue` (in the set at any confidence of at least 1 less this; missing where
        nothing was tested), `included`: a row a model, by name.

    Raises:
        ValueError: a loss is missing, `horizon` or `repetitions` is less than 1, or `confidence`
            is not between 0 and 1.

    Examples:
        >>> random = np.random.default_rng(0)
        >>> noise = random.normal(size=(100, 2))
        >>> table = pd.DataFrame({"good": noise[:, 0], "bad": noise[:, 1] + 2})
        >>> model_confidence_set(table, horizon=1)
          model  mcs_pvalue  included
        0   bad         0.0     False
        1  good         1.0      True
    """
    if not 0 < confidence < 1 or horizon < 1 or repetitions < 1:
        raise ValueError(
            f"confidence {confidence}, horizon {horizon}, repetitions {repetitions}: give a "
            f"probability between 0 and 1, and at least 1 of the others"
        )
    if losses.isna().any(axis=None):
        raise ValueError(f"losses of {list(losses.columns[losses.isna().any()])} are missing")
    ordered = losses[sorted(losses.columns)].astype(float)
    if len(ordered) < max(2 * horizon, 2):
        pvalues = pd.Series(np.nan, index=ordered.columns)
    else:
        distinct, twins, beaten = _distinct(ordered)
        pvalues = _bootstrap(ordered[distinct], horizon, confidence, repetitions)
        for model, other in twins.items():
            pvalues[model] = pvalues[other]
        for model in beaten:
            pvalues[model] = 0.0
    pvalues = pvalues.reindex(ordered.columns)
    return pd.DataFrame(
        {
            "model": list(ordered.columns),
            "mcs_pvalue": pvalues.to_numpy(),
            "included": ~(pvalues < round(1 - confidence, 12)).to_numpy(),
        }
    )


def _distinct(losses: pd.DataFrame) -> tuple[list[str], dict[str, str], list[str]]:
    """Models whose pairwise differences vary, those equal to one of them, and those always worse.

    A difference that does not vary has no distribution that a bootstrap could find.
    """
    kept: list[str] = []
    twins: dict[str, str] = {}
    beaten: list[str] = []
    rounding = _ROUNDING * float(losses.abs().max(axis=None))
    for model in losses.mean().sort_values(kind="stable").index:
        for other in kept:
            difference = (losses[model] - losses[other]).to_numpy()
            if np.ptp(difference) > rounding:
                continue
            if np.abs(difference).max() <= rounding:
                twins[model] = other
            else:
                beaten.append(model)
            break
        else:
            kept.append(model)
    return sorted(kept), twins, beaten


def _bootstrap(losses: pd.DataFrame, block: int, confidence: float, repetitions: int) -> pd.Series:
    if losses.shape[1] < 2:
        return pd.Series(1.0, index=losses.columns)
    try:
        return _pvalues(losses, block, confidence, repetitions)
    except IndexError:
        # Where two statistics are equal to the last bit, as of whole numbers, arch knows not which
        # model to take out: less than rounding tells.
        random = np.random.default_rng(_SEED)
        least = _ROUNDING * float(losses.abs().max(axis=None))
        apart = losses + random.normal(0.0, least, losses.shape)
        return _pvalues(apart, block, confidence, repetitions)


def _pvalues(losses: pd.DataFrame, block: int, confidence: float, repetitions: int) -> pd.Series:
    # Importing it takes seconds.
    from arch.bootstrap import MCS

    test = MCS(losses, size=1 - confidence, reps=repetitions, block_size=block, seed=_SEED)
    test.compute()
    return test.pvalues["Pvalue"].astype(float)


def compare(losses: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Every model against the reference and against the best model, metric by metric.

    The best model is the one of least mean loss. The p-values are of single tests: among many
    models some are small by chance, see `model_confidence_set`.

    Args:
        losses: from `losses.losses_over_time`.
        reference: a model.

    Returns:
        `model`, `against`, `metric`, and what `diebold_mariano` found: `mean_difference` (above
        zero where `model` loses more), `statistic`, `pvalue`, `steps`, `note`. No row compares a
        model with itself.

    Examples:
        >>> times = pd.date_range("2024-01-01", periods=6, freq="D")
        >>> losses = pd.DataFrame({"ds": [*times, *times], "model": ["m"] * 6 + ["n"] * 6})
        >>> losses = losses.assign(cutoff=losses["ds"] - pd.Timedelta("1D"), metric="mae")
        >>> losses["loss"] = [3.0, 5.0, 4.0, 6.0, 5.0, 4.0, *[2.0] * 6]
        >>> compare(losses, "m")[["model", "against", "mean_difference", "steps"]]
          model against  mean_difference  steps
        0     m       n              2.5      6
        1     n       m             -2.5      6
    """
    rows = []
    horizon = _horizon(losses)
    for metric in losses["metric"].unique():
        table = _by_model(losses, metric)
        best = table.mean().idxmin()
        for model in table.columns:
            for against in dict.fromkeys([reference, best]):
                if against == model or against not in table.columns:
                    continue
                difference = (table[model] - table[against]).to_numpy()
                rows.append((model, against, metric, *diebold_mariano(difference, horizon)))
    return pd.DataFrame(rows, columns=[*_COMPARED, *Difference._fields])


def find_best(losses: pd.DataFrame, confidence: float, repetitions: int) -> pd.DataFrame:
    """The model confidence set of every metric.

    Args:
        losses: from `losses.losses_over_time`.
        confidence: see `model_confidence_set`.
        repetitions: see `model_confidence_set`.

    Returns:
        `metric`, `model`, `mcs_pvalue`, `included`.
    """
    horizon = _horizon(losses)
    tables = [
        model_confidence_set(_by_model(losses, metric), horizon, confidence, repetitions).assign(
            metric=metric
        )
        for metric in losses["metric"].unique()
    ]
    columns = ["metric", "model", "mcs_pvalue", "included"]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def _horizon(losses: pd.DataFrame) -> int:
    """The most steps from a cutoff to the last step of its window: the gap counts too."""
    if losses.empty:
        return 1
    first = losses[losses["cutoff"] == losses["cutoff"].iloc[0]]
    steps = pd.Series(first["ds"].unique()).sort_values().diff().dropna()
    step = steps.median() if len(steps) else (first["ds"] - first["cutoff"]).min()
    return max(1, round(((losses["ds"] - losses["cutoff"]).max()) / step))


def _by_model(losses: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Losses at each time, a column a model; where windows overlap, their mean."""
    rows = losses[losses["metric"] == metric]
    return rows.groupby(["ds", "model"])["loss"].mean().unstack()
