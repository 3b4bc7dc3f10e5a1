"""The options of models, chosen on what was known before all windows.

Windows calibrate, select and report; none of them may have had a part in what a model is. So the
options are tried on rolling origins of their own, in front of the first window's:

    ... history ][ inner windows ]| first window's cutoff ... calibrate, select, report
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from clepsydra.config import ModelsConfig, ModelSpec, TaskConfig, TuneConfig, WindowsConfig
from clepsydra.errors import ClepsydraError
from clepsydra.models.backtest import BacktestResult, backtest
from clepsydra.models.explaining import evenly
from clepsydra.models.forecasting import candidates
from clepsydra.models.isolation import described
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.metrics import history_scales, score_groups
from clepsydra.models.registry import global_models
from clepsydra.models.search import Search
from clepsydra.models.wall import to_wall_frame
from clepsydra.origins import first_unknown, roll_back
from clepsydra.timegrid import add_span

__all__ = ["empty_trials", "inner_windows", "tune"]

_TRIALS = {"model": object, "trial": int, "options": object, "score": float, "seconds": float}
_TRIALS |= {"windows": int, "series": int, "state": object, "reason": object, "chosen": bool}
# Of a model of single series: more of them say little more about its options.
_SERIES = 50
_COMPLETE, _FAILED, _NOT_RUN = "complete", "failed", "not run"


@dataclass(frozen=True)
class _Trial:
    """Options, and how good they are; why not, if they are not."""

    options: dict[str, Any]
    state: str
    score: float = math.nan
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class _Proof:
    """What the options of one model are tried on.

    Attributes:
        knowledge: up to the first window's cutoff, of the series that it learns from.
        windows: the inner ones.
        actuals: `unique_id`, `ds`, `y` of the series that are scored.
        scales: of these series, see `models.metrics.history_scales`.
        lead: most steps from a cutoff to the last step forecast.
        refit_every: windows between two fits.
    """

    knowledge: Knowledge
    windows: pd.DataFrame
    actuals: pd.DataFrame
    scales: pd.DataFrame
    lead: int
    refit_every: int


def tune(
    models: ModelsConfig,
    knowledge: Knowledge,
    windows: pd.DataFrame,
    windows_config: WindowsConfig,
    lead: int,
    seconds: float | None = None,
) -> tuple[ModelsConfig, pd.DataFrame]:
    """Choose the options of every model that has `tune`.

    A trial is a backtest on inner windows, see `inner_windows`. Its score is the MASE: the mean
    absolute error of each series over that of the seasonal naive forecast in the history before
    the inner windows, averaged over the series. As in the line, a forecast that the model cannot
    make is its fallback's; where most are, the trial has failed. The first trial is of the options
    that the model has, and later ones must be better to be chosen. Each model is tuned beside
    others as they are.

    Args:
        models: what the configuration names.
        knowledge: the panel, and what of it was known when.
        windows: `cutoff` of all windows; nothing after the first is looked at.
        windows_config: step of the windows, and how many of them lie between two fits.
        lead: most steps from a cutoff to the last step forecast.
        seconds: after which no further trial is begun, in equal shares for the models. What is
            chosen then depends on the machine; if not given only `trials` decides.

    Returns:
        models: with the options chosen, and without `tune`.
        trials: `model`, `trial` (0 for the model's own), `options` (JSON), `score` (MASE),
            `seconds`, `windows` (inner ones), `series` (scored), `state` (`complete`, `failed` or
            `not run`), `reason` (why, or what is to be known about the score), `chosen` (one a
            model).
    """
    first_cutoff = windows["cutoff"].min()
    known = _up_to(knowledge, first_cutoff)
    started = time.perf_counter()
    asked = {name: spec.tune for name, spec in models.root.items() if spec.tune is not None}
    chosen, tables = {}, []
    for number, (name, how) in enumerate(asked.items()):
        spent = time.perf_counter() - started
        share = None if seconds is None else (seconds - spent) / (len(asked) - number)
        proof = _proof(
            known, first_cutoff, windows_config, how, lead, name in global_models(models)
        )
        trials = list(_trials(name, models, proof, share))
        best = _best(trials)
        chosen[name] = models.root[name].with_options(trials[best].options)
        tables.append(_rows(name, trials, best, proof))
    tuned = {
        name: chosen.get(name, spec).model_copy(update={"tune": None})
        for name, spec in models.root.items()
    }
    return ModelsConfig(root=tuned), _table(tables)


def empty_trials() -> pd.DataFrame:
    """What `tune` returns of no model."""
    return _table([])


def inner_windows(
    first: pd.Timestamp,
    first_cutoff: pd.Timestamp,
    task: TaskConfig,
    windows_config: WindowsConfig,
    number: int,
) -> pd.DataFrame:
    """Rolling origins of the same horizon, gap and gate, whose targets end by the first cutoff.

    Args:
        first: first step of the history; a season of it and one more step come before the first
            of the origins.
        first_cutoff: of all windows (naive UTC).
        task: horizon, and gap or gate.
        windows_config: step of the windows.
        number: how many; fewer where there is no room.

    Returns:
        `cutoff`, `target_start`, `target_end` (exclusive), oldest first.

    Examples:
        >>> task = TaskConfig(freq="h", season_lengths=[24], horizon=24)
        >>> first, cutoff = pd.Timestamp("2024-07-01"), pd.Timestamp("2024-07-09 23:00")
        >>> config = WindowsConfig(calibrate=0, select=1, report=1)
        >>> inner_windows(first, cutoff, task, config, 2)["target_start"].dt.day.tolist()
        [8, 9]
    """
    # Without one seasonal difference there is nothing to scale errors by.
    begin = add_span(first, task.season_length + 1, task.freq, task.timezone)
    step = windows_config.step or task.horizon
    rows = roll_back(first_unknown(first_cutoff, task), begin, task, step, {"tune": number})
    return rows.iloc[::-1].drop(columns="role").reset_index(drop=True)


def _up_to(knowledge: Knowledge, cutoff: pd.Timestamp) -> Knowledge:
    """What is known of the steps up to a cutoff, and of no others."""
    panel = knowledge.panel[knowledge.panel["ds"] <= cutoff]
    return replace(knowledge, panel=panel, future=knowledge.future.iloc[:0])


def _proof(
    knowledge: Knowledge,
    first_cutoff: pd.Timestamp,
    windows_config: WindowsConfig,
    how: TuneConfig,
    lead: int,
    learns_from_all: bool,
) -> _Proof | str:
    """What trials are scored on, or why there is nothing."""
    if knowledge.panel.empty:
        return f"no series has a step up to the first cutoff, {first_cutoff}"
    first = knowledge.panel["ds"].min()
    windows = inner_windows(first, first_cutoff, knowledge.task, windows_config, how.windows)
    if windows.empty:
        return (
            f"the history from {first} to the first cutoff, {first_cutoff}, has no room for a "
            f"window of horizon {knowledge.task.horizon} after a season of "
            f"{knowledge.task.season_length} steps and one more"
        )
    # As known at the first cutoff: what later steps make of a gap or an outlier is not.
    observed = knowledge.at(first_cutoff).observed[["unique_id", "ds", "y"]]
    before = observed[observed["ds"] <= windows["cutoff"].min()]
    wall = to_wall_frame(before, knowledge.task)
    scales = history_scales(wall, knowledge.task.season_length)
    scales = scales[scales["scale"] > 0]
    spans = zip(windows["target_start"], windows["target_end"], strict=True)
    within = [(observed["ds"] >= start) & (observed["ds"] < end) for start, end in spans]
    actuals = observed[pd.concat(within, axis=1).any(axis=1) & observed["y"].notna()]
    actuals = actuals[actuals["unique_id"].isin(scales["unique_id"])]
    if actuals.empty:
        return (
            f"no series has both values in the windows from {windows['target_start'].min()} to "
            f"{first_cutoff} and seasonal differences before them"
        )
    scored = actuals["unique_id"].unique()
    if how.series is not None or not learns_from_all:
        scored = evenly(scored, how.series or _SERIES)
        knowledge = knowledge.only(scored)
        actuals = actuals[actuals["unique_id"].isin(scored)]
    return _Proof(knowledge, windows, actuals, scales, lead, windows_config.refit_every)


def _trials(
    name: str, models: ModelsConfig, proof: _Proof | str, seconds: float | None
) -> Iterator[_Trial]:
    """One model's trials, the first of the options that it has."""
    spec = models.root[name]
    how = spec.tune
    assert how is not None
    own = spec.own(how.space)
    if isinstance(proof, str):
        yield _Trial(own, _NOT_RUN, reason=proof)
        return
    started = time.perf_counter()
    search = Search(how.space, own, how.trials)
    done: dict[str, tuple[int, _Trial]] = {}
    for number in range(how.trials):
        if seconds is not None and time.perf_counter() - started >= seconds:
            reason = f"its {max(seconds, 0):.3g} s were over after {number} of {how.trials} trials"
            yield _Trial({} if number else own, _NOT_RUN, reason=reason)
            return
        options = search.ask()
        if options is None:
            return
        text = _json(options)
        if text in done:
            earlier, trial = done[text]
            trial = replace(trial, reason=f"the options of trial {earlier}", seconds=0.0)
        else:
            trial = _try(name, models, options, proof)
            done[text] = number, trial
        search.tell(trial.score if trial.state == _COMPLETE else None)
        yield trial


def _try(name: str, models: ModelsConfig, options: Mapping[str, Any], proof: _Proof) -> _Trial:
    """Backtest a model with other options; whatever goes wrong is the reason that it failed."""
    started = time.perf_counter()
    score, reason = math.nan, ""
    try:
        score, reason = _score(name, models.root[name].with_options(options), models, proof)
    except ClepsydraError as error:
        reason = str(error)
    except Exception as error:  # of any library: it becomes a trial that failed
        reason = described(error)
    state = _COMPLETE if math.isfinite(score) else _FAILED
    return _Trial(dict(options), state, score, reason, time.perf_counter() - started)


def _score(name: str, spec: ModelSpec, models: ModelsConfig, proof: _Proof) -> tuple[float, str]:
    """Mean over the series of the MASE, and what is to be known about it; missing if it failed."""
    others = ModelsConfig(root={**models.root, name: spec})
    able = candidates([name], others, proof.knowledge.task, proof.lead)
    result = backtest(able, proof.knowledge, proof.windows, proof.refit_every, final_fit=False)
    forecasts = result.forecasts[["unique_id", "cutoff", "ds", "y_hat"]]
    rows = forecasts.merge(proof.actuals, on=["unique_id", "ds"])
    failures, made = _lost(result, rows)
    lost = len(failures)
    # As of champions: what another model forecast in most places is no record of this one.
    if not made or 2 * lost > made:
        return math.nan, _said(failures, made)
    scores = score_groups(rows, proof.scales, by=["unique_id"])
    mase = scores.loc[scores["metric"] == "mase", "value"]
    return float(mase.mean()), _said(failures, made) if lost else ""


def _lost(result: BacktestResult, scored: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """What failed of the forecasts of a series from a cutoff that are scored, and how many are."""
    keys = ["unique_id", "cutoff"]
    made = scored[keys].drop_duplicates()
    return result.failures.drop_duplicates(keys).merge(made, on=keys), len(made)


def _said(failures: pd.DataFrame, made: int) -> str:
    if failures.empty:
        return "it forecast nothing"
    example = failures.iloc[0]
    return (
        f"{len(failures)} of {made} forecasts are another model's, e.g. {example['unique_id']}: "
        f"{example['reason']}"
    )


def _best(trials: list[_Trial]) -> int:
    """Place of the trial with the lowest score, of several the first; the first if none has one."""
    return min(
        range(len(trials)),
        key=lambda place: trials[place].score if trials[place].state == _COMPLETE else math.inf,
    )


def _rows(name: str, trials: list[_Trial], best: int, proof: _Proof | str) -> pd.DataFrame:
    table = pd.DataFrame([asdict(trial) for trial in trials])
    return table.assign(
        model=name,
        trial=range(len(trials)),
        options=[_json(trial.options) for trial in trials],
        windows=0 if isinstance(proof, str) else len(proof.windows),
        series=0 if isinstance(proof, str) else proof.actuals["unique_id"].nunique(),
        chosen=[place == best for place in range(len(trials))],
    )


def _table(tables: list[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(_TRIALS))
    return whole[list(_TRIALS)].astype(_TRIALS)


def _json(options: Mapping[str, Any]) -> str:
    return json.dumps(options, default=str)
