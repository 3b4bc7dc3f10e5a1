"""Models that take their time."""

from __future__ import annotations

import time

import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import History, Model


class Sleeping(Model):
    """The last value, after so many seconds a series."""

    accepts_constant = True

    def __init__(
        self,
        task: TaskConfig,
        lead: int,
        fit: float = 0.0,
        predict: float = 0.0,
        needs: int = 2,
        fails: bool = False,
    ):
        self._fit, self._predict, self._fails = fit, predict, fails
        self.min_history = needs

    def fit(self, history: History) -> None:
        time.sleep(self._fit * len(history.ids))

    def predict(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        time.sleep(self._predict * len(history.ids))
        if self._fails:
            raise ZeroDivisionError("bad luck")
        last = history.rows.groupby("unique_id")["y"].last()
        return future[["unique_id", "ds"]].assign(y_hat=future["unique_id"].map(last))


class SleepingOverAll(Sleeping):
    """The same of all series at once; it learns for so many seconds a thousand rows."""

    scope = "panel"

    def fit(self, history: History) -> None:
        time.sleep(self._fit * len(history.rows) / 1000)
