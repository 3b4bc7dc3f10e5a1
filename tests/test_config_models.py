"""Models and their budget: what is accepted, and that a refusal says what it should be."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from clepsydra.config import BudgetConfig, ModelsConfig, ModelSpec
from clepsydra.models.registry import fallback_chain
from line_runner import PROJECT


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ({}, "name at least one model"),
        ({"a": {"engine": "sarimax", "intervals": "wide"}}, "'conformal' or 'own'"),
        ({"a": {"engine": "sarimax", "timeout": 0}}, "greater than 0"),
        ({"a": {"engine": "sarimax", "max_history": 1}}, "greater than or equal to 2"),
        (
            {"a": {"engine": "sarimax"}, "m": {"engine": "median", "options": {"of": ["b"]}}},
            r"'m': 'of' names \['b'\]; choose from \['a'\]",
        ),
        (
            {"a": {"engine": "sarimax"}, "m": {"engine": "median"}},
            r"'m' \(median\): of: List should have at least 1",
        ),
        (
            {"a": {"engine": "sarimax"}, "m": {"engine": "median", "options": {"of": ["m"]}}},
            r"'m': 'of' names \['m'\]; choose from \['a'\]",
        ),
        (
            {
                "a": {"engine": "sarimax"},
                "m": {"engine": "median", "options": {"of": ["a"], "off": 1}},
            },
            r"'m' \(median\): off: ",
        ),
    ],
)
def test_wrong_models_say_what_they_should_be(models: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        ModelsConfig.model_validate(models)


def test_the_models_of_the_readme_are_accepted() -> None:
    text = (PROJECT / "README.md").read_text()
    [section] = re.findall(r"^### Models\n(.*?)^### ", text, re.DOTALL | re.MULTILINE)
    blocks = [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    ]
    found = [ModelsConfig.model_validate(block["models"]) for block in blocks if "models" in block]
    assert len(found) == 2
    for models in found:
        for name in models.root:
            fallback_chain(name, models)
    assert found[1].root["season_regression"].options == {"lasting": ["temperature"]}
    assert "correction" not in found[1].root


def test_a_model_of_a_list_that_is_null_is_in_nothing_of_it() -> None:
    hourly = ModelsConfig.model_validate("hourly")
    found = ModelsConfig.model_validate({"like": "hourly", "trees": None})
    assert list(found.root) == [name for name in hourly.root if name != "trees"]
    for name in hourly.combinations:
        assert found.members(name) == [its for its in hourly.members(name) if its != "trees"]
    monthly = ModelsConfig.model_validate({"like": "monthly", "theta": None})
    assert fallback_chain("ets", monthly) == ["seasonal_naive"]
    assert monthly.members("weighted") == ["ces", "ets", "windows"]


def test_of_a_model_with_another_engine_nothing_of_the_list_is_kept() -> None:
    changes = {"ets": {"engine": "sarimax"}, "weighted": {"engine": "stacked"}}
    found = ModelsConfig.model_validate({"like": "monthly", **changes})
    assert found.root["ets"] == ModelSpec(engine="sarimax")
    assert found.members("weighted") == ["theta", "ces", "ets", "windows"]
    same = {"ets": {"engine": "statsforecast", "max_history": 50}}
    kept = ModelsConfig.model_validate({"like": "monthly", **same}).root["ets"]
    assert (kept.options["model"], kept.fallback) == ("AutoETS", ["theta", "seasonal_naive"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"corection": None}, "'corection' is null, but 'hourly' has no such model.*correction"),
        ({"tres": {"max_history": 9}}, "'tres' has no engine, and 'hourly' has no such.*trees"),
        ({"zzz": None}, "'zzz' is null, but .* has seasonal_naive, autoregression, "),
        ({"seasonal_naive": None}, "'seasonal_naive' is null, but it is the reference of 'hourly'"),
        (
            {"trees": None, "median": {"options": {"of": ["trees"]}}},
            r"'median': 'of' names \['trees'\]; choose from ",
        ),
        (
            dict.fromkeys(["autoregression", "autoregression_levels", "trees", "trees_levels"]),
            r"'median': 'of' names \['autoregression', .*'trees_levels'\]; choose from ",
        ),
        ({"median": {"options": {"of": None}}}, r"'median' \(median\): of: List should have"),
        ({"trees": {"options": 1}}, "trees.options"),
        ({"trees": 1}, "trees"),
    ],
)
def test_wrong_changes_of_a_list_say_what_they_should_be(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        ModelsConfig.model_validate({"like": "hourly", **changes})


@pytest.mark.parametrize("minutes", [0, -1, "ten", float("inf"), float("nan")])
def test_a_budget_is_a_number_of_minutes(minutes: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        BudgetConfig.model_validate({"minutes": minutes})
    assert caught.value.errors()[0]["loc"] == ("minutes",)
    assert BudgetConfig.model_validate({"minutes": 0.5}).minutes == 0.5
    assert BudgetConfig.model_validate({}).minutes is None


@pytest.mark.parametrize("minutes", [0.5, 10])
def test_a_budget_that_is_a_bare_number_is_refused_with_how_to_write_it(minutes: float) -> None:
    with pytest.raises(ValidationError, match=rf"write minutes: budget: {{minutes: {minutes}}}"):
        BudgetConfig.model_validate(minutes)
