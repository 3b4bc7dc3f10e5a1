"""The leak canary: change everything that was not known, and see whether a forecast moves."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pandas as pd

from clepsydra.models.backtest import backtest
from clepsydra.models.base import quantile_columns
from clepsydra.models.forecasting import Candidate
from clepsydra.models.knowledge import Knowledge
from clepsydra.origins import allowed_cutoff, first_unknown

__all__ = ["alter", "find_leaks"]

_STEP = ["unique_id", "ds"]
_KEYS = ["unique_id", "cutoff", "ds", "model"]


def find_leaks(
    models: list[Candidate], knowledge: Knowledge, windows: pd.DataFrame, refit_every: int
) -> pd.DataFrame:
    """Whether forecasts depend on what was not known when they were made.

    The windows are backtested twice: as they were, and with everything changed that was not known
    when the first of them was forecast. What may be known is worked out from the task, not taken
    from the window, so that a cutoff that is too late is found as well. The forecasts of the first
    window must be the same, to the last bit.

    Args:
        models: from `candidates`.
        knowledge: a few series: of a model that learns from all, any few will do.
        windows: `cutoff`, `target_start`, `target_end`; the first is the one in question, and later
            ones show whether the change can be seen at all.
        refit_every: windows between two fits.

    Returns:
        `model`, `verdict` (`clean`, `leak`, or `not reproducible`: its forecasts differ from run to
        run), `series` and `forecasts` compared, `fallbacks` (series whose forecast is another
        model's, so that nothing is said of this one), `moved` (how many differ), `largest`
        (absolute difference), `example` (series and step that moved most), `seen_later` (whether
        later forecasts did move, as they should).
    """
    asked = windows.iloc[0]
    known = allowed_cutoff(asked["target_start"], knowledge.task)
    honest, failures = _by_model(models, knowledge, windows, refit_every)
    changed, _ = _by_model(models, alter(knowledge, known), windows, refit_every)
    rows = []
    for candidate in models:
        before, after = honest[candidate.name], changed[candidate.name]
        now = before["cutoff"] == asked["cutoff"]
        found = _compare(before[now], after[after["cutoff"] == asked["cutoff"]])
        later = _compare(before[~now], after[after["cutoff"] != asked["cutoff"]])
        verdict = "clean"
        if found["moved"]:
            again, _ = _by_model([candidate], knowledge, windows.iloc[:1], refit_every)
            same = not _compare(before[now], again[candidate.name])["moved"]
            verdict = "leak" if same else "not reproducible"
        failed = (failures["model"] == candidate.name) & (failures["cutoff"] == asked["cutoff"])
        rows.append(
            {
                "model": candidate.name,
                "verdict": verdict,
                "series": int(before["unique_id"].nunique()),
                "fallbacks": int(failed.sum()),
                **found,
                "seen_later": bool(later["moved"]),
            }
        )
    return pd.DataFrame(rows)


def _by_model(
    models: list[Candidate], knowledge: Knowledge, windows: pd.DataFrame, refit_every: int
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Each model's forecasts, and all failures."""
    result = backtest(models, knowledge, windows, refit_every, final_fit=False)
    forecasts = result.forecasts
    by_model = {
        candidate.name: forecasts[forecasts["model"] == candidate.name] for candidate in models
    }
    return by_model, result.failures


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
    for column in ("y", *knowledge.past_only):
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
