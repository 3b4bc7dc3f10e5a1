"""How many shards there are changes nothing of what is found of points."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from line_runner import Line
from shop_lines import line_of_shops

pytestmark = pytest.mark.e2e

TABLES = {
    "champions": "08_reporting/champions.parquet",
    "renewed champions": "08_reporting/renewed_champions.parquet",
    "scores": "08_reporting/champion_scores.parquet",
    "metrics": "08_reporting/metrics.parquet",
    "losses": "08_reporting/losses.parquet",
    "leaderboard": "08_reporting/leaderboard.parquet",
    "drift": "08_reporting/drift.parquet",
    "explanations": "07_model_output/explanations.parquet",
}
# The last bits of a sum depend on what is added up first.
SUMS_OF_SHARDS = {"losses", "leaderboard"}
# In backtests, shapes of intervals are of the series of a shard together.
OF_POINTS = ["bias", "mae", "mape", "mase", "rmse", "rmsse", "smape"]


def results(line: Line) -> dict[str, pd.DataFrame]:
    """What a run found, but for the intervals of backtests, in an order whatever the shards are."""
    found = {name: line.read(path) for name, path in TABLES.items()}
    forecasts = line.forecasts().drop(columns=["run_id", "published_at"])
    return {**{name: of_points(table) for name, table in found.items()}, "forecasts": forecasts}


def of_points(table: pd.DataFrame) -> pd.DataFrame:
    if "metric" in table:
        table = table[table["metric"].isin(OF_POINTS)]
    table = table[[name for name in table if not name.startswith(("q0", "coverage"))]]
    keys = [name for name in table if not pd.api.types.is_float_dtype(table[name])]
    return table.sort_values(keys, ignore_index=True)


def test_a_line_of_seven_shards_finds_what_one_of_a_single_shard_does(tmp_path: Path) -> None:
    line = line_of_shops(tmp_path, n_shards=7)
    line.run()
    many = results(line)
    line = line_of_shops(tmp_path, n_shards=1)
    line.run()
    for name, table in results(line).items():
        assert len(table), name
        is_exact = name not in SUMS_OF_SHARDS
        pd.testing.assert_frame_equal(many[name], table, check_exact=is_exact, obj=name)
    parts = line.data.rglob("*.parquet/*")
    assert {part.name for part in parts} == {"shard_0.parquet"}, "tables have no part of the others"
