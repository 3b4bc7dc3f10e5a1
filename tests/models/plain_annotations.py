"""A model whose annotations are types and not text: its file has no `from __future__` line."""

from typing import Any

import pandas as pd

from clepsydra.config import TaskConfig
from clepsydra.models.base import History, Model


class PlainModel(Model):
    """Takes options of plain types, and does nothing."""

    def __init__(
        self, task: TaskConfig, lead: int, flag: bool = False, share: float | None = None
    ) -> None:
        self.flag, self.share = flag, share

    def fit(self, history: History) -> Any:
        return None

    def predict(
        self, state: Any, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame:
        return future.assign(y_hat=0.0)
