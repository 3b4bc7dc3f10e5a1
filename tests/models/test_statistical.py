"""Statistical models: named by class, right on data whose future is plain to see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import Toy

from clepsydra.config import Combination, ModelsConfig, TaskConfig
from clepsydra.errors import ConfigError
from clepsydra.models import statistical
from clepsydra.models.base import History, quantile_columns
from clepsydra.models.registry import build_models, global_models, local_models
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
    known = History.of(history[["unique_id", "ds", "y"]])
    return model.predict(model.fit(known), known, future, steps)


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
        ({"engine": "statsforecast", "options": {}}, "name a 'model', a class"),
        ({"engine": "statsforecast", "options": {"model": "Naive", "speed": 1}}, "'speed'"),
        (
            {"engine": "statsforecast", "options": {"model": "Theta", "known_columns": True}},
            "'Theta' takes no columns",
        ),
        ({"engine": "statsforecast", "options": {"model": "TSB"}}, "alpha_d"),
        ({"engine": "var", "options": {"lag": 2}}, "'lag'"),
        ({"engine": "var", "options": {"lags": "two"}}, "'lags' is 'two': .* a whole number"),
        (
            {"engine": "sarimax", "options": {"known_columns": "no"}},
            "'known_columns' is 'no': it should be true or false",
        ),
        (
            {
                "engine": "mlforecast",
                "options": {"estimator": "sklearn.svm.SVR", "past_only_columns": ["rain"]},
            },
            r"'past_only_columns' is \['rain'\]: it should be true or false",
        ),
        (
            {"engine": "plain_annotations.PlainModel", "options": {"flag": "no"}},
            "'flag' is 'no': it should be true or false",
        ),
        (
            {"engine": "plain_annotations.PlainModel", "options": {"share": "a half"}},
            "'share' is 'a half': it should be a number",
        ),
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
            "v": {"engine": "var"},
            "n": {"engine": "neuralforecast"},
            "c": {"engine": "sarimax"},
            "m": {"engine": "median", "options": {"of": ["a", "b"]}},
        }
    )
    assert local_models(models) == ["a", "c"]
    assert global_models(models) == ["b", "v", "n"]
    assert models.combinations == {"m": Combination(method="median", of=["a", "b"])}


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        (
            "oracle",
            "model 'mine': no engine 'oracle'; there are .*median, mean, weighted, stacked, or the",
        ),
        ("no.such.Model", "model 'mine' .*No module named 'no'"),
        ("collections.NoModel", "model 'mine' .*NoModel"),
        ("collections.Counter", "'collections.Counter' is no subclass of clepsydra.models.base"),
    ],
)
def test_an_unknown_engine_is_an_error_that_lists_those_there_are(engine: str, says: str) -> None:
    models = ModelsConfig.model_validate({"mine": {"engine": engine}})
    with pytest.raises(ConfigError, match=says):
        build_models(["mine"], models, make_task(), lead=24)


def test_a_class_of_one_s_own_is_an_engine_too() -> None:
    models = ModelsConfig.model_validate({"mine": {"engine": "toys.Toy", "options": {"nan": "x"}}})
    assert local_models(models) == ["mine"]
    assert type(build_models(["mine"], models, make_task(), lead=24)["mine"]) is Toy


def test_own_intervals_are_refused_of_a_model_that_has_none() -> None:
    spec = {"engine": "statsforecast", "options": {"model": "TSB", "alpha_d": 0.1, "alpha_p": 0.1}}
    models = ModelsConfig.model_validate({"mine": {**spec, "intervals": "own"}})
    with pytest.raises(ConfigError, match="model 'mine': 'intervals: own', but it has none"):
        build_models(["mine"], models, make_task(), lead=24)


WEEK = make_task(freq="D", season_lengths=[7], horizon=7)
NEEDED = {
    "WindowAverage": {"window_size": 7},
    "SeasonalWindowAverage": {"window_size": 2},
    "SeasonalExponentialSmoothing": {"alpha": 0.3},
    "SimpleExponentialSmoothing": {"alpha": 0.3},
    "TSB": {"alpha_d": 0.1, "alpha_p": 0.1},
    "MSTL": {"trend_forecaster": "AutoETS"},
}
FAMILIES = [
    *("Naive", "SeasonalNaive", "RandomWalkWithDrift", "HistoricAverage", "AutoETS", "AutoCES"),
    *("Theta", "OptimizedTheta", "DynamicTheta", "DynamicOptimizedTheta", "AutoTheta", "MSTL"),
    *("AutoARIMA", "CrostonClassic", "CrostonOptimized", "CrostonSBA", "TSB", "ADIDA", "IMAPA"),
    *("WindowAverage", "SeasonalWindowAverage", "SimpleExponentialSmoothing", "HoltWinters"),
    *("SeasonalExponentialSmoothing", "SeasonalExponentialSmoothingOptimized"),
    "SimpleExponentialSmoothingOptimized",
]


@pytest.fixture(scope="module")
def weeks() -> pd.DataFrame:
    random = np.random.default_rng(0)
    y = 50 + 10 * np.sin(2 * np.pi * np.arange(70) / 7) + random.normal(size=70)
    return make_series("a", "2013-01-01", y, freq="D")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_forecasts_with_quantiles_where_the_library_has_them(
    name: str, weeks: pd.DataFrame
) -> None:
    """The list of those that have none is ours, and must be the library's."""
    options = {"model": name, **NEEDED.get(name, {})}
    model = StatsforecastModel(WEEK, 7, **options)
    found = run(weeks, 7, WEEK, **options)
    assert np.isfinite(found["y_hat"]).all()
    assert model.own_quantiles == (name not in statistical._WITHOUT_QUANTILES)
    if model.own_quantiles:
        values = found[quantile_columns()].to_numpy()
        assert (np.diff(values, axis=1) >= 0).all()
        assert (values[:, 0] < values[:, -1]).all()
        np.testing.assert_allclose(found["q0.5"], found["y_hat"])
    else:
        assert list(found.columns) == ["unique_id", "ds", "y_hat"]
        statistical._WITHOUT_QUANTILES.remove(name)
        try:
            with pytest.raises(Exception, match="prediction_intervals"):
                run(weeks, 7, WEEK, **options)
        finally:
            statistical._WITHOUT_QUANTILES.add(name)


@pytest.mark.parametrize("name", sorted(statistical._SIMPLE - {"ZeroModel", "ConstantModel"}))
def test_the_simple_models_repeat_a_series_that_never_changes(
    name: str, weeks: pd.DataFrame
) -> None:
    options = {"model": name, **NEEDED.get(name, {})}
    assert StatsforecastModel(WEEK, 7, **options).accepts_constant
    found = run(weeks.assign(y=5.0), 7, WEEK, **options)
    np.testing.assert_allclose(found["y_hat"], 5.0, atol=1e-9 if "Croston" not in name else 1.0)


def test_a_column_known_in_advance_is_used_where_it_is_asked_for(weeks: pd.DataFrame) -> None:
    random = np.random.default_rng(1)
    promotion = random.integers(0, 2, 77).astype(float)
    y = 50 + 30 * promotion + random.normal(size=77)
    rows = make_series("a", "2013-01-01", y, freq="D").assign(promotion=promotion)
    past, ahead = rows.iloc[:70], rows.iloc[70:]
    errors = {}
    for known in (True, False):
        model = StatsforecastModel(WEEK, 7, "AutoARIMA", known_columns=known, season_length=1)
        assert ("known" in model.uses) == known
        shown = History.of(past, ("promotion",)).for_model(model)
        columns = ["unique_id", "ds", *shown.known]
        found = model.predict(model.fit(shown), shown, ahead[columns], 7)
        errors[known] = np.abs(found["y_hat"].to_numpy() - ahead["y"].to_numpy()).mean()
    assert errors[True] < errors[False] / 4
