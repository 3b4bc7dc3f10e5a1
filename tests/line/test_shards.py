"""A line of more shards than series: the empty ones stop nothing, and no series is lost."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from shop_lines import SHOPS, line_of_shops

N_SHARDS = 4
OF_SERIES = [
    "03_primary/panel.parquet",
    "03_primary/future.parquet",
    "04_feature/diagnostics.parquet",
    "05_model_input/train_set.parquet",
    "06_models/promoted_champions.parquet",
    "07_model_output/backtests.parquet",
    "07_model_output/explanations.parquet",
    "08_reporting/metrics.parquet",
    "08_reporting/champions.parquet",
    "08_reporting/champion_scores.parquet",
    "08_reporting/drift.parquet",
]


def test_a_line_of_more_shards_than_series_loses_none(tmp_path: Path) -> None:
    line = line_of_shops(tmp_path, N_SHARDS)
    done = line.run()
    forecasts = line.forecasts()
    assert forecasts["unique_id"].value_counts().to_dict() == dict.fromkeys(SHOPS, 3)
    assert forecasts.notna().all(axis=None)
    assert "3 of 3 series" in done.stdout
    for name in OF_SERIES:
        assert set(line.read(name)["unique_id"]) == set(SHOPS), name
    # Whoever reads such a folder takes the columns of its first file for those of all.
    for folder in line.data.rglob("*.parquet"):
        if folder.is_dir():
            schemas = [pq.read_schema(part) for part in sorted(folder.iterdir())]
            assert len(schemas) == N_SHARDS, folder
            assert all(schema.equals(schemas[0]) for schema in schemas), folder
