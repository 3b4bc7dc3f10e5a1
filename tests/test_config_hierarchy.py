"""What may be written under `hierarchy`."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from clepsydra import structure
from clepsydra.config import HierarchyConfig
from clepsydra.errors import ConfigError
from clepsydra.pipeline_registry import register_pipelines
from clepsydra.structure import Structure
from environments import read_configuration


def test_levels_are_names_or_lists_of_names() -> None:
    hierarchy = HierarchyConfig(levels=["total", "origin", ["origin", "carrier"]])
    assert hierarchy.levels == [(), ("origin",), ("origin", "carrier")]
    assert hierarchy.columns == ["origin", "carrier"]
    assert hierarchy.is_declared
    assert not HierarchyConfig().is_declared
    assert HierarchyConfig.model_validate(hierarchy.model_dump()) == hierarchy


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ([["origin", "carrier"]], "names one level only, 'origin, carrier'"),
        (["total"], "names one level only, 'total'"),
        (["origin", "total", "origin", ["origin", "carrier"]], "names 'origin' twice"),
        ([["a", "b"], ["b", "a"]], "names 'b, a' twice"),
        ([["origin", "origin"], "carrier"], "level 'origin, origin' names a column twice"),
        ([["origin", "carrier"], "origin"], "level 'origin, carrier' does not nest"),
        (["origin", "total"], "level 'origin' does not nest"),
        ("origin", "'origin' is no list: write e.g. levels:"),
    ],
)
def test_levels_that_make_no_hierarchy_are_refused(levels: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        HierarchyConfig(levels=levels)


def test_a_column_that_series_do_not_have_is_named_with_those_they_have() -> None:
    parameters = read_configuration("base")
    parameters["hierarchy"] = {"levels": ["total", "orgin", ["origin", "carrier"]]}
    with pytest.raises(ConfigError, match=r"no column 'orgin'\. Did you mean 'origin'") as caught:
        Structure.read(parameters)
    assert "airline, airport" in str(caught.value)


def test_an_attribute_may_be_a_level() -> None:
    parameters = read_configuration("base")
    parameters["hierarchy"] = {"levels": ["airport", ["origin", "carrier"]]}
    assert Structure.read(parameters).has_hierarchy


@pytest.mark.filterwarnings("ignore:One or more dataset names contain")
def test_without_levels_there_are_the_nodes_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    base, declared = (read_configuration(name) for name in ("base", "flights_hierarchy"))
    undeclared = {key: value for key, value in base.items() if key != "hierarchy"}
    names = {}
    for key, parameters in (("absent", undeclared), ("with", declared), ("empty", base)):
        monkeypatch.setattr(structure, "_followed", Structure.read(parameters))
        names[key] = {node.name for node in register_pipelines()["__default__"].nodes}
    assert names["absent"] == names["empty"] < names["with"]
    added = names["with"] - names["empty"]
    new = {name for name in added if "shard_4" not in name and not name.endswith("_4")}
    assert new == {
        "evaluate.reconcile_backtests",
        "evaluate.compare_levels",
        "deploy.collect_errors",
        "forecast.gather_base_forecasts",
        "forecast.reconcile_forecasts",
    }
