"""Which series are summed to which."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.config import HierarchyConfig
from clepsydra.errors import ClepsydraError
from clepsydra.models.reconciliation import summing_matrix
from clepsydra.pipelines.clean.levels import find_levels

SERIES = pd.DataFrame(
    {
        "unique_id": ["E-A", "E-B", "J-A", "J-C"],
        "n_observations": 9,
        "origin": ["E", "E", "J", "J"],
        "carrier": ["A", "B", "A", "C"],
        "airline": ["one", "two", "one", "three"],
    }
)


def test_levels_may_cross() -> None:
    levels = find_levels(
        SERIES, HierarchyConfig(levels=["total", "origin", "carrier", ["origin", "carrier"]])
    )
    matrix = summing_matrix(levels)
    assert matrix.loc["total"].tolist() == [1, 1, 1, 1]
    assert matrix.loc["origin=J"].tolist() == [0, 0, 1, 1]
    assert matrix.loc["carrier=A"].tolist() == [1, 0, 1, 0]
    assert np.array_equal(matrix.loc[SERIES["unique_id"]], np.eye(4))
    assert levels["level"].unique().tolist() == ["total", "origin", "carrier", "origin, carrier"]


def test_a_series_without_a_value_is_part_of_no_sum() -> None:
    series = SERIES.assign(n_observations=[9, 0, 9, 9], carrier=["A", None, "A", "C"])
    levels = find_levels(series, HierarchyConfig(levels=["total", ["origin", "carrier"]]))
    assert "E-B" not in set(levels["bottom_id"])


@pytest.mark.parametrize(
    ("changes", "levels", "says"),
    [
        ({}, ["total", "carrier"], "the last level, 'carrier', does not tell the series apart"),
        ({}, ["carrier", "airline", ["origin", "carrier"]], "'airline' and 'carrier' group"),
        ({}, [["airline", "origin"], ["origin", "carrier"]], "'airline, origin' and 'origin, c"),
        ({"carrier": ["A", None, "A", "C"]}, ["total", ["origin", "carrier"]], "1 series have no"),
        ({"carrier": ["A", "", "A", "C"]}, ["total", ["origin", "carrier"]], "e.g. 'E-B'"),
        ({}, ["total", "color"], "the series have no column 'color'"),
        ({"level": 1}, ["total", ["origin", "carrier"]], "give the attribute another name"),
        ({"n_observations": [9, 0, 0, 0]}, ["total", "unique_id"], "there are 1 series"),
        (
            {"unique_id": ["total", "E-B", "J-A", "J-C"]},
            ["total", ["origin", "carrier"]],
            "'total' is the name of a sum and of a series",
        ),
    ],
)
def test_what_cannot_be_summed_is_named(
    changes: dict[str, Any], levels: list[Any], says: str
) -> None:
    with pytest.raises(ClepsydraError, match=says):
        find_levels(SERIES.assign(**changes), HierarchyConfig(levels=levels))
