"""The comparison of models: every one can be made, and a part of the series is compared fairly."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from clepsydra.models.registry import build_models
from helpers import make_task
from models import relative, specifications
from models_one import specification

SHORT_TERM = [name for name, spec in specifications().items() if spec["engine"] != "neuralforecast"]


@pytest.mark.parametrize("name", SHORT_TERM)
def test_every_model_of_the_comparison_can_be_made(name: str) -> None:
    task = make_task(season_lengths=[24, 168])
    models = specification(name, task, budget=7.0)
    model = build_models([name], models, task, lead=48)[name]
    assert model.own_quantiles or models.root[name].intervals == "conformal"
    assert set(models.root) == {"seasonal_naive", name}


def test_words_stand_for_the_shortest_season_and_the_budget() -> None:
    task = make_task(season_lengths=[48, 336])
    assert specification("theta", task, 7.0).root["theta"].options["season_length"] == 48
    assert specification("nhits", task, 7.0).root["nhits"].options["max_seconds"] == 7.0


def test_a_part_of_the_series_is_compared_with_the_reference_on_the_same_ones(
    tmp_path: Path,
) -> None:
    own = pd.DataFrame({"unique_id": ["a", "b"], "mase": [1.0, 2.0]})
    naive = pd.DataFrame({"unique_id": ["a", "b", "c"], "mase": [2.0, 4.0, 900.0]})
    own.to_parquet(tmp_path / "own.parquet")
    naive.to_parquet(tmp_path / "naive.parquet")
    assert relative(tmp_path / "own.parquet", tmp_path / "naive.parquet") == 0.5
