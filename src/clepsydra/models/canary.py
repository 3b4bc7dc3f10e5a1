"""The leak canary: change everything that was not known, and see whether a forecast moves."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from clepsydra.config import Combination
from clepsydra.models.backtest import backtest
from clepsydra.models.base import quantile_columns
from clepsydra.models.combining import assemble
from clepsydra.models.forecasting import Candidate
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.weights import member_errors, weigh
from clepsydra.origins import allowed_cutoff, first_unknown

__all__ = ["alter", "find_leaks"]

_STEP = ["unique_id", "ds"]
_KEYS = ["unique_id", "cutoff", "ds", "model"]


def find_leaks(
    models: list[Candidate],
    combinations: Mapping[str, Combination],
    knowledge: Knowledge,
    windows: pd.DataFrame,
    asked: int,
    refit_every: int,
) -> pd.DataFrame:
    """Whether forecasts depend on what was not known when they were made.

    The windows are backtested twice: as they were, and with everything changed that was not known
    when one of them was forecast. What may be known is worked out from the task, not taken from the
    window, so that a cutoff that is too late is found as well. The forecasts of that window, and
    the intervals that were made from the errors before it, must be the same, to the last bit.

    Args:
        models: from `candidates`.
        combinations: models that combine others.
        knowledge: a few series: of a model that learns from all, any few will do.
        windows: `cutoff`, `target_start`, `target_end`, oldest first: from those before the one in
            question intervals are made, those after it show whether the change can be seen at all.
        asked: which of them is in question.
        refit_every: windows between two fits.

    Returns:
        `model`, `verdict` (`clean`; `leak`; `not reproducible`: its forecasts differ from run to
        run; `not tested`: all are another model's), `series` and `forecasts` compared, `fallbacks`
        (series whose forecast is another model's, of a combination those of all its models),
        `moved` (forecasts that differ), `largest` (absolute difference), `example` (series and step
        that moved most), `seen_later` (whether later forecasts did move, as they should).
    """
    window = windows.iloc[asked]
    known = allowed_cutoff(window["target_start"], knowledge.task)

    def run(known_then: Knowledge) -> tuple[pd.DataFrame, pd.DataFrame]:
        result = backtest(models, known_then, windows, refit_every, final_fit=False)
        panel, task = known_then.panel, known_then.task
        errors = member_errors(result.forecasts, panel, windows, combinations, task)
        weights = weigh(errors, windows, combinations, task)
        backtests = assemble(result.forecasts, panel, windows, combinations, weights, task)
        return backtests, result.failures

    honest, failures = run(knowledge)
    changed, _ = run(alter(knowledge, known))
    again: pd.DataFrame | None = None
    failed = failures[failures["cutoff"] == window["cutoff"]]
    parts_of = {candidate.name: [candidate.name] for candidate in models}
    parts_of |= {name: combination.of for name, combination in combinations.items()}
    rows = []
    for name, parts in parts_of.items():
        found = _compare(*_of(name, honest, changed, honest["cutoff"] == window["cutoff"]))
        later = _compare(*_of(name, honest, changed, honest["cutoff"] > window["cutoff"]))
        series = int(honest.loc[honest["model"] == name, "unique_id"].nunique())
        lost = [set(failed.loc[failed["model"] == its, "unique_id"]) for its in parts]
        fallbacks = len(set.intersection(*lost))
        verdict = "clean" if fallbacks < series else "not tested"
        if found["moved"]:
            again = run(knowledge)[0] if again is None else again
            same = _compare(*_of(name, honest, again, honest["cutoff"] == window["cutoff"]))
            verdict = "not reproducible" if same["moved"] else "leak"
        rows.append(
            {
                "model": name,
                "verdict": verdict,
                "series": series,
                "fallbacks": fallbacks,
                **found,
                "seen_later": bool(later["moved"]),
            }
        )
    return pd.DataFrame(rows)


def _of(
    name: str, honest: pd.DataFrame, other: pd.DataFrame, chosen: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One model's forecasts of the chosen windows, in both."""
    cutoffs = honest.loc[chosen, "cutoff"].unique()
    both = (frame[frame["cutoff"].isin(cutoffs)] for frame in (honest, other))
    first, second = (frame[frame["model"] == name] for frame in both)
    return first, second


def alter(knowledge: Knowledge, known: pd.Timestamp) -> Knowledge:
    """The same up to `known`, and after it other values of all that was not known then.

    The target and past-only columns take values of the same column in another order, and ten times
    as far from its mean, so that scalers and encoders see the change too. Of a column known in
    advance whose value was another one then, the newer values are changed.
    """
    at = first_unknown(known, knowledge.task)
    knowledge = _with_other_vintages(knowledge, at)
    panel = knowledge.panel.copy()
    after = (panel["ds"] > known).to_numpy()
    observed = ("y_observed",) if "y_observed" in panel else ()
    for column in ("y", *observed, *knowledge.past_only):
        values = panel[column].to_numpy(dtype=float, copy=True)
        random = np.random.default_rng(zlib.crc32(column.encode()))
        shuffled = random.permutation(values[after])
        middle = np.nanmean(values) if np.isfinite(values).any() else 0.0
        noise = random.normal(size=after.sum()) * (np.nanstd(values) or 1.0)
        values[after] = middle + 10 * (shuffled - middle) + noise
        panel[column] = values.astype(panel[column].dtype)
    return replace(knowledge, panel=panel)


def _with_other_vintages(knowledge: Knowledge, at: pd.Timestamp) -> Knowledge:
    """The same, with other values of all versions of a known column that came later than `at`."""
    later = knowledge.vintages
    if later.empty:
        return knowledge
    later = later[later["known_until"] > at].sort_values("known_until", kind="stable")
    again = later.duplicated(_STEP)
    columns = [name for name in knowledge.known if name in later]
    vintages = knowledge.vintages.copy()
    vintages.loc[again.index[again], columns] += 1e3
    steps = pd.MultiIndex.from_frame(later[_STEP])

    def changed(frame: pd.DataFrame) -> pd.DataFrame:
        newer = pd.MultiIndex.from_frame(frame[_STEP]).isin(steps)
        return frame.assign(
            **{name: frame[name].where(~newer, frame[name] + 1e3) for name in columns}
        )

    panel, future = changed(knowledge.panel), changed(knowledge.future)
    return replace(knowledge, panel=panel, future=future, vintages=vintages)


def _compare(honest: pd.DataFrame, changed: pd.DataFrame) -> dict[str, object]:
    """How the forecasts differ; a row that only one of them has differs too."""
    values = ["y_hat", *quantile_columns()]
    both = honest.set_index(_KEYS)[values].align(changed.set_index(_KEYS)[values])
    left, right = (frame.to_numpy(dtype=float) for frame in both)
    differs = ((left != right) & ~(np.isnan(left) & np.isnan(right))).any(axis=1)
    size = np.nan_to_num(np.abs(left - right), nan=0.0).max(axis=1, initial=0.0)
    example = ""
    if differs.any():
        unique_id, _, ds, _ = both[0].index[int(np.argmax(np.where(differs, size, -1.0)))]
        example = f"{unique_id} at {ds}"
    return {
        "forecasts": len(left),
        "moved": int(differs.sum()),
        "largest": float(size.max(initial=0.0)),
        "example": example,
    }
