"""Forecasts of every series: of what a model cannot do the next one's, and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toys import NAIVE, Toy, daily_windows, knowledge_of, run, small_panel

from clepsydra.config import ModelsConfig
from clepsydra.errors import ConfigError
from clepsydra.models.backtest import backtest
from clepsydra.models.forecasting import Candidate, candidates, finalize
from clepsydra.models.registry import fallback_chain
from clepsydra.models.statistical import StatsforecastModel
from helpers import make_series, make_task

KEYS = ["unique_id", "cutoff", "ds", "model"]


def naive_too() -> Candidate:
    task = make_task()
    return Candidate("other", StatsforecastModel(task, 24, "SeasonalNaive"), None, False, None)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"raises": "a"}, r"ZeroDivisionError: bad luck \(toys.py:[0-9]+\)"),
        ({"nan": "a"}, "naive gave [0-9]+ finite values of 24 steps"),
        ({"explodes": "a"}, r"implausible: 1e\+09, after values from .*"),
        ({"dies": "a"}, "its process ended with exit code 7"),
        ({"hangs": "a"}, "timed out (after 1 s|before)"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else "",
)
@pytest.mark.parametrize("fallback", [True, False])
def test_a_series_that_fails_gets_the_next_model_s_forecast_and_a_reason(
    fault: dict[str, str], reason: str, fallback: bool
) -> None:
    """The others are as they were, to the last bit."""
    panel, windows = small_panel(), daily_windows(2)
    chain = [naive_too()] if fallback else []
    good = run(Toy(), panel, windows, timeout=1.0, fallbacks=chain)
    bad = run(Toy(**fault), panel, windows, timeout=1.0, fallbacks=chain)
    assert good.failures["unique_id"].unique().tolist() == ["tiny"]
    pd.testing.assert_frame_equal(bad.forecasts[KEYS], good.forecasts[KEYS])
    assert np.isfinite(bad.forecasts["y_hat"]).all()
    others = good.forecasts["unique_id"] != "a"
    pd.testing.assert_frame_equal(bad.forecasts[others], good.forecasts[others])
    failed = bad.failures[bad.failures["unique_id"] == "a"]
    assert failed["cutoff"].tolist() == windows["cutoff"].tolist()
    assert all(re.fullmatch(reason, text) for text in failed["reason"])
    assert set(failed["fallback"]) == {"other" if fallback else "last season"}
    y = panel.set_index(["unique_id", "ds"])["y"]
    rows = bad.forecasts[bad.forecasts["unique_id"] == "a"]
    season_ago = [y["a", stamp - pd.Timedelta("24h")] for stamp in rows["ds"]]
    assert rows["y_hat"].tolist() == season_ago


@pytest.mark.parametrize(
    ("returns", "reason"),
    [
        (
            lambda found: found.rename(columns={"y_hat": "forecast"}),
            r"ValueError: predict returned no column \['y_hat'\], but .*'forecast'.*",
        ),
        (
            lambda found: found.assign(ds=found["ds"] + pd.Timedelta("1h")),
            "ValueError: predict returned a step that was not asked for: [abc] at 2013-01-1.*",
        ),
        (
            lambda found: pd.concat([found, found]),
            "ValueError: predict returned a step twice: [abc] at 2013-01-.*",
        ),
        (
            lambda found: found.astype({"y_hat": object}).assign(y_hat="n/a"),
            "ValueError: could not convert string to float: 'n/a'.*",
        ),
        (
            lambda found: pd.concat([found, found["y_hat"]], axis=1),
            "ValueError: predict returned a column twice: .*",
        ),
        (lambda found: found.assign(ds="tomorrow"), ".*tomorrow.*"),
        (lambda found: None, "TypeError: predict returned NoneType, not a DataFrame .*"),
    ],
    ids=["no column", "steps not asked for", "twice", "text", "a column twice", "no time", "none"],
)
def test_a_model_that_returns_what_it_should_not_is_told_so(
    returns: Callable[[pd.DataFrame], Any], reason: str
) -> None:
    found = run(Toy(returns=returns), small_panel(), daily_windows(2))
    assert np.isfinite(found.forecasts["y_hat"]).all()
    failed = found.failures[found.failures["unique_id"] != "tiny"]
    assert len(failed) == 3 * 2
    assert all(re.fullmatch(reason, text) for text in failed["reason"])


def test_text_for_one_series_is_a_reason_for_that_one_and_other_columns_are_no_matter() -> None:
    def odd(found: pd.DataFrame) -> pd.DataFrame:
        found = found.astype({"y_hat": object}).assign(wall=1, more="more")
        found.loc[found["unique_id"] == "b", "y_hat"] = "n/a"
        return found

    found = run(Toy(returns=odd), small_panel(), daily_windows(2))
    assert np.isfinite(found.forecasts["y_hat"]).all()
    assert set(found.failures["unique_id"]) == {"b", "tiny"}


def test_a_fit_that_returns_no_state_by_series_is_a_reason() -> None:
    found = run(Toy(learns=[1, 2]), small_panel(), daily_windows(2))
    failed = found.failures[found.failures["unique_id"] != "tiny"]
    wanted = "fit: TypeError: fit returned no state by series, but list "
    assert failed["reason"].str.startswith(wanted).all() and len(failed)
    assert np.isfinite(found.forecasts["y_hat"]).all()


def test_an_attribute_that_the_series_have_not_is_a_mistake_of_the_configuration() -> None:
    says = r"model 'naive': the series have no attribute \['colour'\]; they have \['size'\]"
    panel, task = small_panel(), make_task()
    static = pd.DataFrame({"unique_id": ["a", "b", "c", "tiny"], "size": "s"})
    knowledge = knowledge_of(panel, task, static=static)
    asks = Candidate("naive", Toy(attributes=("size", "colour")), None, False, None)
    with pytest.raises(ConfigError, match=says):
        backtest([asks], knowledge, daily_windows(1), refit_every=1)


@pytest.mark.parametrize("scope", ["series", "panel"])
def test_a_fit_that_fails_is_a_reason_for_every_series(scope: str) -> None:
    panel, windows = small_panel(), daily_windows(2)
    found = run(Toy(fit_fails=True, scope=scope), panel, windows)
    assert np.isfinite(found.forecasts["y_hat"]).all()
    able = found.failures[found.failures["unique_id"] != "tiny"]
    assert len(able) == 3 * 2
    text = {"series": "fit: ", "panel": "fit failed: "}[scope]
    assert set(able["reason"]) == {f"{text}RuntimeError: no fit today (toys.py:52)"}


def test_a_series_too_short_for_a_model_or_a_season_repeats_its_last_value() -> None:
    panel, windows = small_panel(), daily_windows(2)
    found = run(Toy(), panel, windows, season_lengths=[48])
    tiny = found.forecasts[found.forecasts["unique_id"] == "tiny"]
    assert tiny["cutoff"].unique().tolist() == windows["cutoff"].tolist()
    first, second = (
        tiny.loc[tiny["cutoff"] == cutoff, "y_hat"].tolist() for cutoff in windows["cutoff"]
    )
    assert first == [0.0] * 24
    assert second == [24.0] * 24
    reason = found.failures.query("unique_id == 'tiny'")["reason"].tolist()
    assert reason == ["too short: 1 steps, 2 needed"]


def test_a_fallback_that_fails_too_is_followed_by_the_next_and_then_by_the_last_season() -> None:
    panel, windows = small_panel(), daily_windows(1)
    task = make_task()
    second = Candidate("second", Toy(raises="b"), None, False, None)
    found = run(Toy(fit_fails=True, scope="panel"), panel, windows, fallbacks=[second, naive_too()])
    who = found.failures.set_index("unique_id")["fallback"].to_dict()
    assert who == {"a": "second", "b": "other", "c": "second", "tiny": "second"}
    model = StatsforecastModel(task, 24, "SeasonalNaive")
    assert model.min_history == 48


def test_a_series_without_one_finite_value_is_forecast_as_zero() -> None:
    panel = pd.concat([small_panel(), make_series("void", "2013-01-01", [np.inf] * 240)])
    found = run(Toy(), panel, daily_windows(1))
    void = found.forecasts[found.forecasts["unique_id"] == "void"]
    assert void["y_hat"].tolist() == [0.0] * 24
    reason = found.failures.set_index("unique_id").loc["void", "reason"]
    assert reason == "not finite: 216 of 216 values"


def test_the_fallback_is_the_reference_unless_others_are_named() -> None:
    models = ModelsConfig.model_validate(
        {
            "naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
            "theta": {"engine": "statsforecast", "options": {"model": "Theta"}},
            "ets": {
                "engine": "statsforecast",
                "options": {"model": "AutoETS"},
                "fallback": ["theta", "naive"],
            },
            "trees": {"engine": "mlforecast"},
            "odd": {"engine": "statsforecast", "fallback": ["trees"]},
        }
    )
    chains = {name: fallback_chain(name, models) for name in ("naive", "theta", "ets", "trees")}
    assert chains == {
        "naive": [],
        "theta": ["naive"],
        "ets": ["theta", "naive"],
        "trees": ["naive"],
    }
    with pytest.raises(ConfigError, match="model 'odd': 'fallback' names \\['trees'\\]; choose"):
        fallback_chain("odd", models)


def test_a_model_is_never_shown_less_than_it_needs() -> None:
    def longest(**changes: object) -> int | None:
        spec = NAIVE.root["naive"].model_copy(update=changes)
        models = ModelsConfig({"naive": spec})
        return candidates(["naive"], models, make_task(), 24)[0].longest

    assert longest() is None
    assert longest(max_history=100) == 100
    assert longest(max_history=9) == 48


def test_impossible_values_are_clipped_and_counts_are_whole() -> None:
    y_hat = pd.Series([-1.2, 0.4, 2.6])
    assert finalize(y_hat, make_task()).tolist() == [-1.2, 0.4, 2.6]
    assert finalize(y_hat, make_task(minimum=0)).tolist() == [0.0, 0.4, 2.6]
    assert finalize(y_hat, make_task(minimum=0, integer=True)).tolist() == [0.0, 0.0, 3.0]
