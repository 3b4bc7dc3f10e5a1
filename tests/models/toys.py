"""A toy model, panels and windows for the tests of the backtest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from clepsydra.config import ModelsConfig, TaskConfig
from clepsydra.models.backtest import BacktestResult, backtest
from clepsydra.models.base import History, Model
from clepsydra.models.forecasting import Candidate
from clepsydra.models.knowledge import Knowledge
from helpers import make_series, make_task

NAIVE = ModelsConfig.model_validate(
    {"naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}}}
)


class Toy(Model):
    """The last value, or what the test wants to go wrong."""

    accepts_constant = True

    def __init__(
        self,
        task: TaskConfig | None = None,
        lead: int = 1,
        raises: str = "",
        nan: str = "",
        dies: str = "",
        hangs: str = "",
        explodes: str = "",
        fit_fails: bool = False,
        scope: str = "series",
        returns: Callable[[pd.DataFrame], Any] | None = None,
        attributes: tuple[str, ...] = (),
        learns: Any = None,
    ):
        self.scope = scope  # type: ignore[assignment]
        self._raises, self._nan, self._fit_fails = raises, nan, fit_fails
        self._dies, self._hangs, self._explodes = dies, hangs, explodes
        self._returns, self._learns, self.attributes = returns, learns, attributes

    def fit(self, history: History) -> Any:
        if self._fit_fails:
            raise RuntimeError("no fit today")
        return self._learns

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        ids = set(history.ids)
        if self._raises in ids:
            raise ZeroDivisionError("bad luck")
        if self._dies in ids:
            os._exit(7)
        if self._hangs in ids:
            time.sleep(600)
        last = history.rows.groupby("unique_id")["y"].last()
        found = future[["unique_id", "ds"]].assign(y_hat=future["unique_id"].map(last))
        found.loc[found["unique_id"] == self._nan, "y_hat"] = np.nan
        found.loc[found["unique_id"] == self._explodes, "y_hat"] = 1e9
        return self._returns(found) if self._returns else found


def small_panel() -> pd.DataFrame:
    """Three series of ten days of hours, and one of two days that begins late."""
    random = np.random.default_rng(0)
    frames = [
        make_series(uid, "2013-01-01", random.integers(1, 50, 24 * 10)) for uid in ("a", "b", "c")
    ]
    return pd.concat([*frames, make_series("tiny", "2013-01-08 23:00", range(49))])


def daily_windows(number: int, end: str | pd.Timestamp = "2013-01-11") -> pd.DataFrame:
    """Windows of a day, the last of which ends at `end`."""
    starts = pd.date_range(end=pd.Timestamp(end) - pd.Timedelta("1D"), periods=number, freq="D")
    return pd.DataFrame(
        {
            "cutoff": starts - pd.Timedelta("1h"),
            "target_start": starts,
            "target_end": starts + pd.Timedelta("1D"),
        }
    )


def knowledge_of(panel: pd.DataFrame, task: TaskConfig, **columns: Any) -> Knowledge:
    """What is known of a panel that nothing follows."""
    static = panel[["unique_id"]].drop_duplicates(ignore_index=True)
    known = tuple(columns.get("known", ()))
    return Knowledge(
        panel,
        panel.iloc[:0],
        columns.get("static", static),
        known,
        tuple(columns.get("past_only", ())),
        task,
    )


def run(
    model: Model,
    panel: pd.DataFrame,
    windows: pd.DataFrame,
    timeout: float | None = None,
    fallbacks: list[Candidate] | None = None,
    **changes: Any,
) -> BacktestResult:
    """The backtest of one model, named `naive`."""
    candidate = Candidate("naive", model, timeout, False, None, fallbacks or [])
    task = make_task(**changes)
    return backtest([candidate], knowledge_of(panel, task), windows, refit_every=2)


def models_of(spec: dict[str, Any], space: dict[str, Any], **how: Any) -> ModelsConfig:
    """The reference, and a model that is to be tuned."""
    return ModelsConfig.model_validate(
        {**NAIVE.root, "mine": {**spec, "tune": {"space": space, **how}}}
    )
