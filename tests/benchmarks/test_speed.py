"""What the figures of the benchmarks of speed are made of."""

from __future__ import annotations

import pandas as pd
import pytest

from _line import of_nodes
from rerun import shards_of
from scale import exponent


def test_a_stage_lasts_from_its_first_node_to_the_end_of_the_longest() -> None:
    start = pd.Timestamp("2024-03-01 06:00", tz="UTC")
    profile = pd.DataFrame(
        {
            "start": [start + pd.Timedelta(4, "s"), start, start + pd.Timedelta(5, "s")],
            "seconds": [10.0, 3.0, 1.0],
        }
    )
    assert of_nodes(profile) == 14.0


def test_a_shard_counts_once_and_only_with_the_nodes_asked_for() -> None:
    names = [
        "train.shard_1.backtest_local_models",
        "forecast.shard_1.forecast_local_models",
        "forecast.shard_12.forecast_local_models",
        "train.backtest_boosting",
        "clean.shard_3.clean_shard",
    ]
    ran = pd.DataFrame({"node": names})
    assert shards_of(ran, ("backtest_local_models", "forecast_local_models")) == 2
    assert shards_of(ran) == 3
    assert shards_of(ran.iloc[:0]) == 0


def test_the_exponent_is_that_of_the_steepest_part() -> None:
    sizes = [(10, 5.0), (100, 10.0), (1000, 200.0)]
    rows = [{"series": number, "seconds": seconds} for number, seconds in sizes]
    assert exponent(rows) == pytest.approx(1.30103)
