"""Published forecasts and their parts: the same numbers, or a reason why there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.pandas import column, data_frames, range_indexes
from toys import Toy

from clepsydra.config import ModelsConfig, TaskConfig
from clepsydra.cost import Cost
from clepsydra.models.base import History
from clepsydra.models.explaining import OTHERS, explain, importances, strongest
from clepsydra.models.forecasting import Candidate, candidates, fit, forecast
from clepsydra.models.isolation import Isolation
from clepsydra.models.knowledge import Knowledge
from clepsydra.models.parts import parts_frame, total
from helpers import NEW_YORK, make_series, make_task

CUTOFF = pd.Timestamp("2013-11-02 23:00")
IDS = ["a", "b", "tiny"]
BOOSTING = {
    "engine": "mlforecast",
    "options": {
        "estimator": "sklearn.ensemble.HistGradientBoostingRegressor",
        "params": {"max_iter": 5},
    },
}
NAIVE = {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}}


def knowledge(task: TaskConfig) -> Knowledge:
    """Counts of some days of hours, up to the day on which the clocks go back, and a short series.

    Nothing is counted at night.
    """
    random = np.random.default_rng(0)
    frames = []
    for name, steps in (("a", 240), ("b", 240), ("tiny", 30)):
        ds = pd.date_range(end=CUTOFF + pd.Timedelta("1D"), periods=steps + 24, freq="h")
        y = random.poisson(3 * (ds.hour > 8), len(ds))
        frames.append(make_series(name, str(ds[0]), y))
    rows = pd.concat(frames, ignore_index=True)
    past = rows["ds"] <= CUTOFF
    static = pd.DataFrame({"unique_id": IDS})
    return Knowledge(
        rows[past].reset_index(drop=True),
        rows.loc[~past, ["unique_id", "ds"]].reset_index(drop=True),
        static,
        (),
        (),
        task,
    )


def both(
    candidate: Candidate, task: TaskConfig, timeout: float | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Forecasts, failures, and the explanations."""
    origin = knowledge(task).at(CUTOFF)
    with Isolation() as isolation:
        learnt = fit(candidate, origin, isolation, Cost())
        rows, failures = forecast(candidate, learnt, origin, None, isolation, Cost())
        found = explain(candidate, learnt, origin, rows, failures, IDS, isolation)
    return rows, failures, found


@pytest.mark.parametrize("spec", [NAIVE, BOOSTING], ids=["naive", "boosting"])
@pytest.mark.parametrize("changes", [{}, {"minimum": 0, "integer": True}], ids=str)
def test_parts_are_what_was_forecast_before_bounds_and_rounding(
    spec: dict[str, Any], changes: dict[str, Any]
) -> None:
    """On the local clock, which shows an hour twice."""
    task = make_task(timezone=NEW_YORK, **changes)
    models = ModelsConfig.model_validate({"naive": NAIVE, "m": spec})
    (candidate,) = candidates(["m"], models, task, 24)
    rows, failures, found = both(candidate, task)
    assert failures["unique_id"].tolist() == ["tiny"]
    (refused,) = found[found["reason"] != ""].itertuples()
    assert refused.unique_id == "tiny"
    assert refused.reason.startswith("the forecast of last season, since m: too short: 30 steps")
    sums = total(found[found["reason"] == ""]).set_index(["unique_id", "ds"])["y_hat"]
    made = rows[rows["unique_id"] != "tiny"].set_index(["unique_id", "ds"])["y_hat"]
    assert len(sums) == len(made) == 48
    if not changes:
        np.testing.assert_allclose(sums, made.loc[sums.index], atol=1e-6)
    else:
        assert (sums.clip(lower=0).round() == made.loc[sums.index]).all()


class Explained(Toy):
    """The toy whose explanation the test makes go wrong."""

    how = ""

    def explain(
        self, state: None, history: History, future: pd.DataFrame, horizon: int
    ) -> pd.DataFrame | None:
        ids = set(future["unique_id"])
        if self.how == "raises" and "a" in ids:
            raise ZeroDivisionError("bad luck")
        if self.how == "nothing":
            return None
        if self.how == "a table of its own":
            return pd.DataFrame({"unique_id": ["a"]})
        made = self.predict(state, history, future, horizon)
        if self.how == "absent":
            made = made[made["unique_id"] != "a"]
        value = made["y_hat"] + (self.how == "other sums")
        parts = {"component": {"last value": value.to_numpy()}}
        return parts_frame(made["unique_id"].tolist(), made["ds"], parts)


@pytest.mark.parametrize("scope", ["series", "panel"])
@pytest.mark.parametrize(
    ("how", "reason", "of"),
    [
        ("raises", "ZeroDivisionError: bad luck", {"a"}),
        ("nothing", "not explained: the model gives no parts", set(IDS)),
        ("a table of its own", "KeyError", set(IDS)),
        ("absent", "not explained: the model gives no parts", {"a"}),
        ("other sums", "not explained: parts that add up to", set(IDS)),
        ("", "", set()),
    ],
)
def test_an_explanation_that_fails_is_a_reason(
    how: str, reason: str, of: set[str], scope: str
) -> None:
    """All the others have theirs."""
    model = Explained(scope=scope)
    model.how = how
    timeout = 10.0 if scope == "series" else None
    _, _, found = both(Candidate("toy", model, timeout, False, None), make_task())
    refused = found[found["reason"] != ""]
    if how == "raises" and scope == "panel":
        of = set(IDS)
    assert set(refused["unique_id"]) == of
    assert refused["reason"].str.contains(reason, regex=False).all()
    assert refused["contribution"].isna().all()
    assert set(found.loc[found["reason"] == "", "unique_id"]) == set(IDS) - of


def test_a_model_without_explanations_is_not_asked() -> None:
    _, _, found = both(Candidate("toy", Toy(), None, False, None), make_task())
    assert found["unique_id"].tolist() == IDS
    assert set(found["reason"]) == {"a model without explanations"}


tables = data_frames(
    [
        column("unique_id", st.sampled_from("ab")),
        column("ds", st.sampled_from(list(pd.date_range("2024-01-01", periods=2)))),
        column("model", st.sampled_from("mn")),
        column("kind", st.sampled_from(["base", "feature", "component"])),
        column("feature", st.sampled_from("vwxyz")),
        column("contribution", st.floats(-100, 100)),
    ],
    index=range_indexes(min_size=0, max_size=40),
).map(lambda table: table.drop_duplicates(["unique_id", "ds", "model", "kind", "feature"]))


@given(table=tables, number=st.integers(1, 4))
def test_the_strongest_features_and_the_others_have_the_same_sums(
    table: pd.DataFrame, number: int
) -> None:
    table = table.assign(scale="value", reason="")
    found = strongest(table, number)
    keys = ["unique_id", "ds", "model"]
    sums = [its.groupby(keys)["contribution"].sum() for its in (table, found)]
    pd.testing.assert_series_equal(*sums, check_index_type=False)
    features = found[(found["kind"] == "feature") & (found["feature"] != OTHERS)]
    assert (features.groupby(["unique_id", "model"])["feature"].nunique() <= number).all()


def test_importances_are_mean_sizes() -> None:
    ds = pd.date_range("2024-01-01", periods=2)
    parts = parts_frame(
        "a", ds, {"base": {"base": np.array([9, 9])}, "feature": {"x": [1, -2], "y": [0.5, 0]}}
    )
    found = importances(parts.assign(model="m"))
    assert found.to_numpy().tolist() == [
        ["m", "value", "x", 1.5, 1.5 / 1.75, 2],
        ["m", "value", "y", 0.25, 0.25 / 1.75, 2],
    ]
    assert importances(parts.assign(model="m").iloc[:0]).empty
