"""Every engine passes the leak canary, on real flights with their weather and their calendar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits
from tiny_chronos import KINDS, save_tiny

from clepsydra.config import CleaningConfig, ModelsConfig, WindowsConfig
from clepsydra.models.canary import find_leaks
from clepsydra.models.forecasting import candidates
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.wall import lead_steps
from clepsydra.pipelines.split.nodes import make_windows
from helpers import flights

IDS = ("EWR-UA", "JFK-B6", "LGA-DL")
WINDOWS = WindowsConfig(calibrate=0, select=1, report=1, step="8D")
TREES = {"estimator": "lightgbm.LGBMRegressor", "params": {"n_estimators": 20}}
NETWORK = {"max_steps": 5, "input_size": 48, "threads": 1}

ENGINES: dict[str, dict[str, Any]] = {
    "drift": {"engine": "statsforecast", "options": {"model": "RandomWalkWithDrift"}},
    "naive2": {"engine": "naive2"},
    "ets": {"engine": "statsforecast", "options": {"model": "AutoETS", "season_length": 24}},
    "arima": {
        "engine": "statsforecast",
        "max_history": 500,
        "options": {"model": "AutoARIMA", "season_length": 1, "known_columns": True},
    },
    "ces": {"engine": "statsforecast", "options": {"model": "AutoCES", "season_length": 24}},
    "mstl": {"engine": "statsforecast", "options": {"model": "MSTL"}},
    "croston": {"engine": "statsforecast", "options": {"model": "CrostonSBA"}},
    "sarimax": {"engine": "sarimax", "options": {"known_columns": True}},
    "components": {"engine": "unobserved_components", "options": {"maxiter": 5}},
    "smoothing": {"engine": "exponential_smoothing", "options": {"season_length": 24}},
    "var": {"engine": "var"},
    "autoregression": {"engine": "autoregression"},
    "windows": {"engine": "window_regression"},
    "window_trees": {"engine": "window_regression", "max_history": 1000, "options": TREES},
    "seasons": {
        "engine": "season_regression",
        "max_history": 2000,
        "options": {"products": [["hour", "dayofweek"]]},
    },
    "corrections": {
        "engine": "seasonal_correction",
        "max_history": 1000,
        "options": {"params": {"n_estimators": 20}, "scaled": False},
    },
    "ridge": {
        "engine": "mlforecast",
        "options": {
            "estimator": "sklearn.linear_model.Ridge",
            "strategy": "recursive",
            "static_columns": ["carrier"],
            "encoding": "onehot",
            "target_transforms": ["log1p", "standard_scaler"],
        },
    },
    "trees": {
        "engine": "mlforecast",
        "max_history": 1000,
        "options": {
            **TREES,
            "blocks": 4,
            "past_only_columns": True,
            "static_columns": ["origin", "carrier"],
            "target_transforms": ["difference_season"],
        },
    },
    "quantile_trees": {
        "engine": "mlforecast",
        "max_history": 1000,
        "options": {**TREES, "quantiles": True},
        "intervals": "own",
    },
    "forest": {
        "engine": "mlforecast",
        "max_history": 1000,
        "options": {
            "estimator": "sklearn.ensemble.RandomForestRegressor",
            "params": {"n_estimators": 5, "random_state": 0},
        },
    },
}
DEEP: dict[str, dict[str, Any]] = {
    name.lower(): {
        "engine": "neuralforecast",
        "options": {"model": name, **NETWORK},
        "intervals": "own",
    }
    for name in ("NHITS", "TFT", "PatchTST", "LSTM", "DeepAR")
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def real() -> dict[str, Any]:
    return flights("2013-09-18", "2013-11-08", IDS)


def send(real: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    spec = {"max_history": 504, **spec}
    models = ModelsConfig.model_validate({"mine": spec})
    tables = (real["panel"], real["future"], real["series"])
    windows = make_windows(real["series"], real["task"], WINDOWS, real["clock"])
    table = find_leaks(
        candidates(["mine"], models, real["task"], lead_steps(real["future"], real["task"])),
        {},
        Knowledge.of(*tables, real["sources"], real["task"], WINDOWS, CleaningConfig()),
        windows,
        0,
        WINDOWS.refit_every,
    )
    return table.to_dict("records")[0]


def check(found: dict[str, Any]) -> None:
    assert (found["verdict"], found["moved"]) == ("clean", 0), found
    assert (found["forecasts"], found["fallbacks"]) == (24 * len(IDS), 0), found
    assert found["seen_later"]


@pytest.mark.parametrize("name", list(ENGINES))
def test_no_engine_forecasts_from_what_was_not_known(real: dict[str, Any], name: str) -> None:
    check(send(real, ENGINES[name]))


@pytest.mark.deep
@pytest.mark.parametrize("name", list(DEEP))
def test_no_network_does(real: dict[str, Any], name: str) -> None:
    check(send(real, DEEP[name]))


@pytest.mark.deep
@pytest.mark.parametrize("kind", KINDS)
def test_no_foundation_model_does(real: dict[str, Any], kind: str, tmp_path: Path) -> None:
    options = {"path": str(save_tiny(kind, tmp_path))}
    check(send(real, {"engine": "chronos", "options": options, "intervals": "own"}))
