"""Statistical models: named by class, right on data whose future is plain to see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.config import ModelsConfig, TaskConfig
from clepsydra.errors import ConfigError
from clepsydra.models.base import build_models, combinations, global_models, local_models
from clepsydra.models.statistical import StatsforecastModel
from helpers import make_series, make_task


def ahead_of(history: pd.DataFrame, steps: int, freq: str = "h") -> pd.DataFrame:
    frames = [
        pd.DataFrame(
            {"unique_id": uid, "ds": pd.date_range(ds.max(), periods=steps + 1, freq=freq)[1:]}
        )
        for uid, ds in history.groupby("unique_id")["ds"]
    ]
    return pd.concat(frames, ignore_index=True)


def run(history: pd.DataFrame, steps: int, task: TaskConfig, **options: Any) -> pd.DataFrame:
    model = StatsforecastModel(task, steps, **options)
    future = ahead_of(history, steps, task.freq)
    return model.predict(model.fit(history), history, future)


def test_the_seasonal_naive_repeats_the_longest_season() -> None:
    task = make_task(season_lengths=[3, 6])
    history = pd.concat(
        [make_series("a", "2013-01-01", range(20)), make_series("b", "2013-01-01", range(50, 63))]
    )
    found = run(history, 9, task, model="SeasonalNaive")
    assert found.query("unique_id == 'a'")["y_hat"].tolist() == [
        *range(14, 20),
        *range(14, 17),
    ]
    assert found.query("unique_id == 'b'")["y_hat"].tolist()[:6] == list(range(57, 63))
    pd.testing.assert_frame_equal(
        found[["unique_id", "ds"]], ahead_of(history, 9), check_dtype=False
    )


@pytest.mark.parametrize(
    "options",
    [
        {"model": "SeasonalExponentialSmoothingOptimized"},
        {"model": "Theta", "decomposition_type": "additive"},
        {"model": "AutoETS"},
    ],
    ids=lambda options: options["model"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the libraries' optimisers
@pytest.mark.parametrize(("freq", "start"), [("MS", "2010-01-01"), ("QE", "2001-03-31")])
def test_a_season_is_found_again(options: dict[str, Any], freq: str, start: str) -> None:
    task = make_task(freq=freq, season_lengths=[12])
    random = np.random.default_rng(0)
    y = 100 + 30 * np.sin(2 * np.pi * np.arange(96 + 12) / 12) + random.normal(size=108)
    history = make_series("a", start, y[:96], freq)
    found = run(history, 12, task, **options)
    assert np.abs(found["y_hat"].to_numpy() - y[96:]).mean() < 4
    assert found["ds"].tolist() == ahead_of(history, 12, freq)["ds"].tolist()


def test_the_history_needed_is_two_seasons_where_there_is_a_season() -> None:
    task = make_task(season_lengths=[24, 168])
    assert StatsforecastModel(task, 1, model="SeasonalNaive").min_history == 336
    assert StatsforecastModel(task, 1, model="SeasonalNaive", season_length=24).min_history == 48
    assert StatsforecastModel(task, 1, model="Naive").min_history == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"engine": "statsforecast", "options": {"model": "Oracle"}}, "has no model 'Oracle'"),
        ({"engine": "statsforecast", "options": {"model": "np"}}, "has no model 'np'"),
        ({"engine": "statsforecast", "options": {}}, "'model'"),
        ({"engine": "statsforecast", "options": {"model": "Naive", "speed": 1}}, "'speed'"),
        ({"engine": "sarimax", "options": {"sesons": 2}}, "'sesons'"),
        ({"engine": "mlforecast", "options": {"estimator": "sklearn.no.Such"}}, "sklearn.no"),
        ({"engine": "mlforecast", "options": {"estimator": "sklearn.svm.Such"}}, "Such"),
        ({"engine": "mlforecast", "options": {"estimator": "Such"}}, "Such|[Ee]mpty module"),
        (
            {
                "engine": "mlforecast",
                "options": {"estimator": "sklearn.svm.SVR", "params": {"q": 1}},
            },
            "'q'",
        ),
    ],
)
def test_an_unknown_model_or_option_names_the_model_the_engine_and_the_fault(
    spec: dict[str, Any], says: str
) -> None:
    models = ModelsConfig.model_validate({"mine": spec})
    with pytest.raises(ConfigError, match=f"model 'mine'.*engine '{spec['engine']}'.*({says})"):
        build_models(["mine"], models, make_task(), lead=24)


def test_models_are_sorted_by_what_they_run_on() -> None:
    models = ModelsConfig.model_validate(
        {
            "a": {"engine": "statsforecast", "options": {"model": "Naive"}},
            "b": {"engine": "mlforecast"},
            "c": {"engine": "sarimax"},
            "m": {"engine": "median", "options": {"of": ["a", "b"]}},
        }
    )
    assert local_models(models) == ["a", "c"]
    assert global_models(models) == ["b"]
    assert combinations(models) == {"m": ["a", "b"]}
