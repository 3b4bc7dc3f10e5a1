"""Segments: series that are alike, by what was known when champions were chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.config import CleaningConfig, EvaluateConfig, SourcesConfig, WindowsConfig
from clepsydra.errors import ConfigError
from clepsydra.pipelines.evaluate.segments import segment_series
from helpers import make_series, make_source, make_task

TASK = make_task(freq="D", season_lengths=[7], horizon=2)
WINDOWS = pd.DataFrame(
    {
        "role": ["select", "report", "report"],
        "cutoff": pd.to_datetime(["2024-01-15", "2024-01-20", "2024-01-22"]),
    }
)
SHAPES = {
    "even": np.tile([5.0, 6.0], 15),
    "rare": np.tile([0.0, 0.0, 4.0], 10),
    "wild": np.tile([0.0, 0.0, 1.0, 0.0, 0.0, 9.0], 5),
    "silent": np.zeros(30),
}


def daily(shapes: dict[str, Any], until: str = "2024-01-30") -> pd.DataFrame:
    """A panel of series that end on the same day."""
    end = pd.Timestamp(until)
    frames = [
        make_series(uid, str(end - pd.Timedelta(days=len(y) - 1)), y, freq="D")
        for uid, y in shapes.items()
    ]
    return pd.concat(frames, ignore_index=True)


def segment(panel: pd.DataFrame, *attributes: str, **columns: list[Any]) -> pd.DataFrame:
    """Segments at the first cutoff that reports, and at the end."""
    ids = panel["unique_id"].unique()
    found = segment_series(
        panel,
        pd.DataFrame({"unique_id": [*ids, "empty"], **columns}),
        WINDOWS,
        {"cutoff": panel["ds"].max().isoformat()},
        SourcesConfig.model_validate({"sales": make_source().model_dump(exclude_unset=True)}),
        TASK,
        WindowsConfig.model_validate({"calibrate": 0, "select": 1, "report": 2}),
        CleaningConfig(),
        EvaluateConfig(segments=list(attributes)),
    )
    return found.set_index(["cutoff", "unique_id"])


def at_first(found: pd.DataFrame) -> pd.DataFrame:
    return found.loc[pd.Timestamp("2024-01-20")]


def test_classes_of_demand_are_segments() -> None:
    found = segment(daily(SHAPES))
    assert found.index.get_level_values("cutoff").unique().tolist() == [
        pd.Timestamp("2024-01-20"),
        pd.Timestamp("2024-01-30"),
    ]
    for cutoff in ("2024-01-20", "2024-01-30"):
        assert found.loc[cutoff, "segment"].dropna().to_dict() == {
            "even": "smooth",
            "rare": "intermittent",
            "wild": "lumpy",
            "silent": "no demand",
        }


def test_a_series_is_what_was_known_of_it() -> None:
    panel = daily({**SHAPES, "late": [3.0] * 9, "young": [3.0] * 14})
    found = segment(panel)
    steps = found["steps"].unstack("cutoff")
    assert found["steps"].dtype == int
    assert steps.loc["even"].tolist() == [20, 30]
    assert steps.loc["young"].tolist() == [4, 14]
    assert steps.loc["late"].tolist() == [0, 9]
    assert steps.loc["empty"].tolist() == [0, 0]
    assert pd.isna(at_first(found).loc["late", "segment"])
    assert at_first(found).loc["young", "segment"] == "smooth"


def test_nothing_after_the_first_cutoff_that_reports_is_seen() -> None:
    panel = daily(SHAPES)
    gap = panel["ds"].between("2024-01-19", "2024-01-22") & (panel["unique_id"] == "even")
    panel.loc[gap, "is_imputed"] = True
    changed = panel.copy()
    later = changed["ds"] > "2024-01-20"
    changed.loc[later, "y"] = np.resize([1000.0, 0.0, 0.0, 0.0, 0.0, 1.0], later.sum())
    before, after = segment(panel), segment(changed)
    pd.testing.assert_frame_equal(at_first(before), at_first(after))
    assert not before["segment"].equals(after["segment"])


def test_attributes_that_are_named_make_segments() -> None:
    panel = daily({"a": [1.0] * 30, "b": [2.0] * 30, "late": [3.0] * 5})
    columns = {"region": ["n", "s", None, "n"], "size": ["1", "2", "2", "1"]}
    found = segment(panel, "region", "size", **columns)
    for cutoff in ("2024-01-20", "2024-01-30"):
        its = found.loc[cutoff, "segment"]
        assert its.dropna().to_dict() == {
            "a": "region=n, size=1",
            "b": "region=s, size=2",
            "empty": "region=n, size=1",
        }
    assert at_first(segment(panel, "size", **columns)).loc["late", "segment"] == "size=2"


def test_an_attribute_that_the_series_do_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.segments: .*\['colour'\].*'region'"):
        segment(daily(SHAPES), "colour", region=["n"] * 5)
