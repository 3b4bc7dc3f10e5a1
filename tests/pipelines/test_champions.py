"""Champions: by their own record and everyone's, and no leader by a hair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.config import EvaluateConfig, ModelsConfig
from clepsydra.models.intervals import quantile_columns
from clepsydra.pipelines.evaluate.champions import choose_champions
from clepsydra.pipelines.evaluate.nodes import score_backtests

MODELS = ModelsConfig.model_validate(
    {
        name: {"engine": "statsforecast", "options": {"model": "Naive"}}
        for name in ("ref", "good", "odd")
    }
)
COMBINED = ModelsConfig.model_validate(
    {**MODELS.model_dump(), "both": {"engine": "median", "options": {"of": ["good", "odd"]}}}
)
DAYS = pd.date_range("2013-01-07", periods=30, freq="D")

Errors = Mapping[str, Mapping[str, float | Sequence[float]]]


def choose(
    errors: Errors,
    models: ModelsConfig = COMBINED,
    ids: list[str] | None = None,
    windows: int = 10,
    roles: Sequence[str] = ("select",),
    **options: Any,
) -> pd.DataFrame:
    """Champions from the absolute error of every series and model in each window."""
    names = ("select",) * windows + ("report",) * 2
    table = pd.DataFrame({"role": names, "cutoff": DAYS[: windows + 2]})
    rows = [
        (uid, model, cutoff, cutoff, 10.0, 10.0 + error)
        for uid, by_model in errors.items()
        for model, sizes in by_model.items()
        for cutoff, error in zip(table["cutoff"], np.resize(sizes, windows + 2), strict=True)
    ]
    backtests = pd.DataFrame(rows, columns=["unique_id", "model", "cutoff", "ds", "y", "y_hat"])
    backtests[quantile_columns()] = np.nan
    unique_ids = pd.Series(ids or list(errors), name="unique_id")
    scales = pd.DataFrame({"unique_id": unique_ids, "scale": 1.0, "squared_scale": 1.0})
    return choose_champions(
        score_backtests(backtests, table, scales),
        backtests,
        table,
        models,
        EvaluateConfig(**options),
        unique_ids.to_frame(),
        roles,
    )


def chosen(errors: Errors, models: ModelsConfig = COMBINED, **options: Any) -> dict[str, str]:
    found = choose(errors, models, **options)
    return dict(zip(found["unique_id"], found["model"], strict=True))


def test_the_best_model_is_chosen_and_a_series_without_windows_gets_the_best_of_all() -> None:
    errors = {uid: {"ref": 1.0, "good": 0.5, "odd": 2.0} for uid in "ab"}
    found = choose(errors, MODELS, ids=["a", "b", "unseen"])
    assert found["model"].tolist() == ["good"] * 3
    assert found["reason"][0] == "52% of ref's error on its own windows, 52% over all series"
    assert found["reason"][2] == "no window of its own: the best model over all series"


def test_only_the_windows_that_select_count() -> None:
    errors = {"a": {"ref": [1.0] * 12, "good": [0.9] * 12, "odd": [2.0] * 10 + [0.0] * 2}}
    assert chosen(errors, MODELS) == {"a": "good"}


def test_shrinkage_weighs_the_record_of_all_against_its_own() -> None:
    errors = {f"s{n}": {"ref": 1.0, "good": 0.8, "odd": 1.2} for n in range(9)}
    errors["own way"] = {"ref": 1.0, "good": 0.9, "odd": 0.7}
    assert chosen(errors, MODELS, shrinkage=0)["own way"] == "odd"
    assert chosen(errors, MODELS, shrinkage=100)["own way"] == "good"
    assert chosen(errors, MODELS, shrinkage=0)["s1"] == "good"


NOISY = [0.6, 1.0] * 6


def test_a_combination_is_taken_where_a_model_is_better_by_less_than_the_noise() -> None:
    """Of a tenth on average, where the difference is a fifth up and down every day."""
    errors = {uid: {"ref": 1.0, "good": NOISY, "odd": 1.5, "both": 0.83} for uid in "abc"}
    assert set(chosen(errors, MODELS).values()) == {"good"}
    found = choose(errors, ids=[*"abc", "unseen"])
    assert set(found["model"]) == {"both"}
    assert found["reason"].str.endswith("; good is better by less than the windows' noise").all()


@pytest.mark.parametrize(
    ("both", "good", "windows"),
    [
        pytest.param(0.83, 0.8, 10, id="always better"),
        pytest.param(0.95, NOISY, 10, id="better by more than the noise"),
    ],
)
def test_a_model_that_is_better_for_sure_is_taken_before_a_combination(
    both: float, good: Any, windows: int
) -> None:
    errors = {uid: {"ref": 1.0, "good": good, "odd": 1.5, "both": both} for uid in "abc"}
    assert set(chosen(errors, windows=windows).values()) == {"good"}


def test_too_few_windows_to_know_the_noise_choose_the_combination() -> None:
    errors = {uid: {"ref": 1.0, "good": 0.5, "odd": 1.5, "both": 0.9} for uid in "abc"}
    assert set(chosen(errors, windows=4).values()) == {"both"}
    assert set(chosen(errors, windows=5).values()) == {"good"}


def test_a_combination_takes_the_place_of_no_reference() -> None:
    errors = {uid: {"ref": NOISY, "good": 1.3, "odd": 1.4, "both": 0.81} for uid in "abcd"}
    assert set(chosen(errors).values()) == {"ref"}
    errors = {uid: {"ref": 0.82, "good": NOISY, "odd": 1.4, "both": 0.83} for uid in "abcd"}
    assert set(chosen(errors).values()) == {"good"}


def test_series_that_differ_are_no_noise() -> None:
    errors = {
        "a": {"ref": 1.0, "good": 0.2, "odd": 0.9, "both": 1.0},
        "b": {"ref": 1.0, "good": 1.0, "odd": 0.9, "both": 0.22},
    }
    assert chosen(errors, shrinkage=10)["a"] == "good"


@pytest.mark.parametrize("error", [0.0, 3.0])
def test_where_all_models_are_alike_the_reference_is_champion(error: float) -> None:
    errors = {uid: dict.fromkeys(("ref", "good", "odd", "both"), error) for uid in "ab"}
    found = choose(errors)
    assert found["model"].tolist() == ["ref", "ref"]
    assert not found["reason"].str.contains("noise").any()


def test_a_reference_that_is_never_wrong_is_champion() -> None:
    errors = {uid: {"ref": 0.0, "good": 1.0, "odd": 2.0, "both": 1.0} for uid in "ab"}
    assert chosen(errors) == {"a": "ref", "b": "ref"}


def test_of_two_combinations_the_better_one_is_taken() -> None:
    models = ModelsConfig.model_validate(
        {
            **COMBINED.model_dump(),
            "three": {"engine": "median", "options": {"of": ["ref", "good", "odd"]}},
        }
    )
    both = {"ref": 1.0, "good": NOISY, "odd": 1.5, "both": 0.83, "three": 0.82}
    assert set(chosen({"a": both, "b": both}, models).values()) == {"three"}


def test_without_any_score_the_reference_is_champion() -> None:
    unscored = {"ref": np.nan, "good": np.nan, "odd": np.nan, "both": np.nan}
    found = choose({"a": unscored, "b": unscored})
    assert found["model"].tolist() == ["ref", "ref"]


def test_what_is_promoted_is_chosen_from_the_windows_that_reported_too() -> None:
    later = {"ref": 1.0, "good": [*[0.5] * 10, 5.0, 5.0], "odd": 0.8, "both": 0.9}
    errors = dict.fromkeys("abc", later)
    assert set(chosen(errors, MODELS).values()) == {"good"}
    assert set(chosen(errors, MODELS, roles=("select", "report")).values()) == {"odd"}
