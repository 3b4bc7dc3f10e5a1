"""The published scores of the M4 competition, from its data and with nothing but our own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clepsydra.models.metrics import history_scales, owa, score_groups
from clepsydra.models.naive2 import is_seasonal, naive2
from environments import data_set

SEASON, HORIZON = 24, 48


def read(path: Path) -> pd.DataFrame:
    """`unique_id`, `step`, `y` of one of the competition's files, a row a value."""
    wide = pd.read_csv(path, index_col=0).rename_axis("unique_id")
    wide.columns = range(wide.shape[1])
    long = wide.reset_index().melt("unique_id", var_name="step", value_name="y").dropna()
    return long.astype({"step": int, "y": float}).sort_values(["unique_id", "step"])


@pytest.fixture(scope="module")
def history() -> pd.DataFrame:
    return read(data_set("m4_hourly") / "Hourly-train.csv")


@pytest.fixture(scope="module")
def scores(history: pd.DataFrame) -> pd.DataFrame:
    """Means over the series, by model."""
    test = read(data_set("m4_hourly") / "Hourly-test.csv")
    assert test.groupby("unique_id").size().eq(HORIZON).all()
    tables = []
    for unique_id, y in history.groupby("unique_id")["y"]:
        known = y.to_numpy()
        forecasts = {
            "seasonal_naive": np.resize(known[-SEASON:], HORIZON),
            "naive2": naive2(known, HORIZON, SEASON),
        }
        for model, y_hat in forecasts.items():
            tables.append(
                pd.DataFrame({"step": range(HORIZON), "y_hat": y_hat}).assign(
                    unique_id=unique_id, model=model
                )
            )
    forecasts = pd.concat(tables).merge(test, on=["unique_id", "step"], validate="m:1")
    assert len(forecasts) == 2 * len(test) == 2 * 414 * HORIZON
    found = score_groups(forecasts, history_scales(history, SEASON))
    return found.groupby(["model", "metric"])["value"].mean().unstack()


@pytest.mark.parametrize(
    ("model", "smape", "mase", "overall"),
    [("seasonal_naive", 13.912, 1.193, 0.628), ("naive2", 18.383, 2.395, 1.0)],
)
def test_the_published_scores_come_out(
    scores: pd.DataFrame, model: str, smape: float, mase: float, overall: float
) -> None:
    row = scores.loc[model]
    assert round(row["smape"], 3) == smape
    assert round(row["mase"], 3) == mase
    assert round(owa(scores, "naive2")[model], 3) == overall


def test_most_of_the_series_are_seasonal_and_some_are_not(history: pd.DataFrame) -> None:
    """Else the two models would be of one kind, and Naive2's test would not be tested."""
    seasonal = history.groupby("unique_id")["y"].agg(lambda y: is_seasonal(y.to_numpy(), SEASON))
    assert 0.8 < seasonal.mean() < 1
