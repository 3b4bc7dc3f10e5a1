"""What is published of the forecasts of all shards, and what a shard's forecasts are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from clepsydra.datasets.atomic import ParquetDataset
from clepsydra.pipelines.forecast.nodes import publish_forecasts
from helpers import make_series

CLOCK = {"cutoff": "2013-01-03T23:00:00"}


def forecasts(*ids: str, start: str = "2013-01-04", steps: int = 24) -> pd.DataFrame:
    parts = [make_series(uid, start, range(steps)) for uid in ids]
    empty = make_series("a", start, [0.0]).iloc[:0]
    return pd.concat([empty, *parts]) if not parts else pd.concat(parts)


def publish(folder: Path, *frames: pd.DataFrame) -> tuple[list[Path], dict]:
    paths = [folder / f"shard_{number}.parquet" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        ParquetDataset(filepath=str(path), save_args={"index": False}).save(frame)
    found, publication = publish_forecasts(CLOCK, *paths)
    assert found == paths, "every file goes to the store, in this order"
    assert json.loads(json.dumps(publication)) == publication
    return found, publication


def test_what_was_published_is_counted_over_all_shards(tmp_path: Path) -> None:
    late = forecasts("c", start="2013-01-04 06:00", steps=20)
    _, publication = publish(tmp_path, forecasts("b", "a"), forecasts(), late)
    assert publication == {
        "cutoff": "2013-01-03T23:00:00",
        "series": 3,
        "rows": 68,
        "first_step": "2013-01-04 00:00:00",
        "last_step": "2013-01-05 01:00:00",
    }


def test_nothing_published_has_no_first_step(tmp_path: Path) -> None:
    _, publication = publish(tmp_path, forecasts(), forecasts())
    assert (publication["series"], publication["rows"]) == (0, 0)
    assert (publication["first_step"], publication["last_step"]) == ("", "")
