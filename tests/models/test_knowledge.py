"""What a model is shown at a cutoff is what cleaning makes of the rows up to it, and no more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import Toy, knowledge_of

from clepsydra.config import CleaningConfig, TaskConfig
from clepsydra.models.canary import find_leaks
from clepsydra.models.forecasting import Candidate
from clepsydra.models.knowledge import Knowledge
from clepsydra.pipelines.clean.regular import regularize
from helpers import make_task

STEPS = 24 * 9
STEP = pd.Timedelta("1h")


def observed_rows(seed: int) -> pl.DataFrame:
    """Two series with a season, gaps, and values that stand out, one of them a new level."""
    random = np.random.default_rng(seed)
    frames = []
    for unique_id in ("a", "b"):
        y = 50 + 10 * np.sin(np.arange(STEPS) * np.pi / 12) + random.normal(size=STEPS)
        y[random.integers(0, STEPS, 4)] += random.choice([-1, 1]) * 90
        y[random.integers(24, STEPS) :] += 60
        ds = pd.date_range("2013-01-01", periods=STEPS, freq="h", name="ds")
        rows = pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": y})
        frames.append(rows[random.random(STEPS) > 0.15])
    return pl.from_pandas(pd.concat(frames, ignore_index=True))


def cleaned(rows: pl.DataFrame, task: TaskConfig, cleaning: CleaningConfig) -> pd.DataFrame:
    """The panel that cleaning makes of rows, up to a step after the last of them."""
    end = rows["ds"].max() + STEP
    regular = regularize(rows, pd.Timestamp(end), task, cleaning)
    return pd.DataFrame(
        {
            "unique_id": np.array(regular.ids, dtype=object)[regular.series],
            "ds": regular.steps[regular.places],
            "y": regular.y,
            "is_imputed": regular.is_imputed,
            "is_outlier": regular.is_outlier,
            "y_observed": regular.observed_y,
        }
    )


def known_of(panel: pd.DataFrame, task: TaskConfig, cleaning: CleaningConfig) -> Knowledge:
    return replace(knowledge_of(panel, task), cleaning=cleaning)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    last=st.integers(24, STEPS - 1),
    outliers=st.sampled_from(["hampel", "iqr", "stl", None]),
    gap_method=st.sampled_from(["linear", "previous", "seasonal"]),
    fill=st.sampled_from(["interpolate", "zero"]),
)
def test_a_history_is_what_cleaning_makes_of_the_rows_up_to_the_cutoff(
    seed: int, last: int, outliers: str | None, gap_method: str, fill: str
) -> None:
    how = {"method": outliers, "replace": True} if outliers else None
    cleaning = CleaningConfig.model_validate({"outliers": how, "gap_method": gap_method})
    task = make_task(fill=fill, minimum=None)
    rows = observed_rows(seed)
    cutoff = rows["ds"].sort()[last]
    knowledge = known_of(cleaned(rows, task, cleaning), task, cleaning)
    shown = knowledge.at(pd.Timestamp(cutoff)).history().rows
    then = cleaned(rows.filter(pl.col("ds") <= cutoff), task, cleaning)
    pd.testing.assert_frame_equal(shown, then[["unique_id", "ds", "y"]], check_exact=True)
    observed = knowledge.at(pd.Timestamp(cutoff)).observed
    seen = then[["unique_id", "ds"]].assign(y=then["y"].where(~then["is_imputed"]))
    pd.testing.assert_frame_equal(observed, seen, check_exact=True)


def test_a_jump_is_an_outlier_until_it_turns_out_to_be_a_level() -> None:
    cleaning = CleaningConfig.model_validate(
        {"outliers": {"method": "hampel", "window": 25, "replace": True}}
    )
    task = make_task()
    ds = pd.date_range("2013-01-01", periods=96, freq="h", name="ds")
    y = np.where(np.arange(96) < 72, 10.0, 40.0) + np.arange(96) % 2
    rows = pl.from_pandas(pd.DataFrame({"unique_id": "a", "ds": ds, "y": y}))
    panel = cleaned(rows, task, cleaning)
    assert not panel["is_outlier"].any()
    knowledge = known_of(panel, task, cleaning)
    shown = knowledge.at(ds[74]).history().rows
    assert shown["y"].iloc[-3:].max() < 12
    assert knowledge.at(ds[90]).history().rows["y"].iloc[-3:].min() >= 40


@pytest.mark.parametrize("method", ["hampel", "iqr", "stl"])
def test_the_canary_is_clean_where_outliers_are_replaced(method: str) -> None:
    cleaning = CleaningConfig.model_validate({"outliers": {"method": method, "replace": True}})
    task = make_task()
    knowledge = known_of(cleaned(observed_rows(0), task, cleaning), task, cleaning)
    starts = pd.to_datetime(["2013-01-06", "2013-01-07", "2013-01-09"])
    windows = pd.DataFrame(
        {"cutoff": starts - STEP, "target_start": starts, "target_end": starts + 24 * STEP}
    )
    models = [Candidate("mine", Toy(), None, False, None)]
    found = find_leaks(models, {}, knowledge, windows, 1, 7).to_dict("records")[0]
    assert (found["verdict"], found["seen_later"]) == ("clean", True)


def test_of_some_series_nothing_is_known_of_others() -> None:
    panel = cleaned(observed_rows(0), make_task(), CleaningConfig())
    both = panel[["unique_id", "ds"]].groupby("unique_id", as_index=False).last()
    whole = replace(knowledge_of(panel, make_task()), future=both)
    revised = replace(whole, vintages=both.assign(issued=both["ds"]))
    for knowledge, versions in ((whole, 0), (revised, 1)):
        found = knowledge.only(["b"])
        tables = (found.panel, found.future, found.static)
        assert [set(table["unique_id"]) for table in tables] == [{"b"}] * 3
        assert len(found.panel) == (panel["unique_id"] == "b").sum()
        assert len(found.vintages) == versions
        assert set(knowledge.panel["unique_id"]) == {"a", "b"}
    assert set(revised.only(["b"]).vintages["unique_id"]) == {"b"}
