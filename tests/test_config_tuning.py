"""The key `tune` of a model: what is accepted, what it means, and what errors say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from clepsydra.config import Dimension, ModelsConfig, ModelSpec
from clepsydra.config.base import tidy

ENGINE = {"engine": "mlforecast", "options": {"params": {"num_leaves": 31}, "blocks": 2}}


def test_a_full_description_is_read_and_written() -> None:
    tune = {
        "trials": 30,
        "windows": 3,
        "series": 9,
        "space": {
            "params.num_leaves": {"low": 15, "high": 127, "log": True},
            "params.learning_rate": {"low": 0.02, "high": 0.2},
            "blocks": {"low": 1, "high": 6, "step": 2},
            "lags": {"choices": [[24], [24, 48], None]},
        },
    }
    models = ModelsConfig.model_validate({"mine": {**ENGINE, "tune": tune}})
    for short in (True, False):
        written = models.model_dump(mode="json", exclude_defaults=short)
        assert ModelsConfig.model_validate(written) == models
    assert models.model_dump(exclude_defaults=True)["mine"]["tune"] == tune


@pytest.mark.parametrize(
    ("space", "values"),
    [
        ({"low": 3, "high": 5}, [3, 4, 5]),
        ({"low": 4, "high": 11, "step": 3}, [4, 7, 10]),
        ({"low": 0.1, "high": 0.4, "step": 0.1}, [0.1, 0.2, 0.3, 0.4]),
        ({"low": 1, "high": 2, "step": 0.5}, [1.0, 1.5, 2.0]),
        ({"low": 1, "high": 2.0, "step": 1}, [1.0, 2.0]),
        ({"low": 7, "high": 7}, [7]),
        ({"choices": [True, 1, None, [2]]}, [True, 1, None, [2]]),
    ],
)
def test_whole_numbers_stay_whole_and_others_do_not(space: dict[str, Any], values: list) -> None:
    its = Dimension.model_validate(space)
    assert its.size == len(values)
    found = [its.value(place) for place in range(its.size)]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_numbers_between_two_ends_cannot_be_counted() -> None:
    assert Dimension(low=0.1, high=1).size is None


@pytest.mark.parametrize(
    ("space", "where", "says"),
    [
        ({"blocks": 3}, "space.blocks", "3 says no values: write a range, e.g. {low: 15,"),
        ({"blocks": [1, 2]}, "space.blocks", "or {choices: [...]}"),
        ({"blocks": {}}, "space.blocks", "these are no values: write a range"),
        ({"blocks": {"low": 1}}, "space.blocks", "these are no values: write a range"),
        ({"blocks": {"low": 3, "high": 1}}, "space.blocks", "low: 3 is above high: 1"),
        ({"blocks": {"min": 3, "max": 1}}, "space.blocks.min", "unknown key"),
        ({"blocks": {"choices": []}}, "space.blocks.choices", "at least 1 item"),
        ({"blocks": {"low": 1, "high": 2, "choices": [1]}}, "space.blocks", "are two forms"),
        ({"blocks": {"log": True, "choices": [1]}}, "space.blocks", "'choices' and ['log']"),
        ({"blocks": {"low": "1e-3", "high": 1}}, "space.blocks.low", "'1e-3' is no finite number"),
        ({"blocks": {"low": True, "high": 2}}, "space.blocks.low", "True is no finite number"),
        ({"blocks": {"low": 0, "high": float("inf")}}, "space.blocks.high", "inf is no finite"),
        ({"blocks": {"low": 0, "high": 1, "log": True}}, "space.blocks", "low: 0 has no logarithm"),
        ({"blocks": {"low": 1, "high": 5, "step": 0}}, "space.blocks", "step: 0 leads nowhere"),
        (
            {"blocks": {"low": 1, "high": 5, "step": 2, "log": True}},
            "space.blocks",
            "'log' and 'step' exclude each other",
        ),
        ({"blocks.": {"choices": [1]}}, "space", "'blocks.' is no option"),
        (
            {"params": {"choices": [{}]}, "params.num_leaves": {"low": 1, "high": 2}},
            "space",
            "'params.num_leaves' is a part of 'params': take one of them out",
        ),
        ({}, "space", "at least 1 item"),
    ],
)
def test_a_wrong_space_names_the_model_and_the_option(
    space: dict[str, Any], where: str, says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelsConfig.model_validate({"mine": {**ENGINE, "tune": {"space": space}}})
    message = tidy(str(caught.value))
    assert f"mine.tune.{where}\n" in message
    assert says in message


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {**ENGINE, "tune": {"space": {"blocks.first.size": {"choices": [1]}}}},
            "'tune.space' names 'blocks.first.size', but 'blocks' is 2, which has no options",
        ),
        (
            {**ENGINE, "tune": {"space": {"params.num_leaves.x": {"choices": [1]}}}},
            "names 'params.num_leaves.x', but 'params.num_leaves' is 31",
        ),
        (
            {
                "engine": "median",
                "options": {"of": ["other"]},
                "tune": {"space": {"of": {"choices": [["other"]]}}},
            },
            "'tune' is for engines, and 'median' combines models: tune those instead",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ModelsConfig.model_validate({"other": {"engine": "naive2"}, "mine": spec})
    assert caught.value.errors()[0]["loc"] == ("mine",)
    assert says in str(caught.value)


def test_options_are_found_and_replaced_by_their_path() -> None:
    spec = ModelSpec.model_validate(ENGINE)
    assert spec.own(["params.num_leaves", "params.max_depth", "blocks", "a.b"]) == {
        "params.num_leaves": 31,
        "blocks": 2,
    }
    other = spec.with_options({"params.num_leaves": 7, "a.b.c": [1]})
    assert other.options == {"params": {"num_leaves": 7}, "blocks": 2, "a": {"b": {"c": [1]}}}
    assert spec.options == ENGINE["options"]
