"""Weights of combinations: of what had ended by then, and the same however series are spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import Combination, ModelsConfig
from clepsydra.models.combining import combine
from clepsydra.models.weights import NOW, member_errors, weigh
from helpers import make_series, make_task

TASK = make_task(season_lengths=[24], horizon=24)
STARTS = pd.date_range("2013-01-05", periods=3, freq="D")
WINDOWS = pd.DataFrame(
    {
        "cutoff": STARTS - pd.Timedelta("1h"),
        "target_start": STARTS,
        "target_end": STARTS + pd.Timedelta("1D"),
    }
)
MEMBERS = ["good", "bad", "opposite"]
# How far each member is from the truth: `bad` and `opposite` on either side of it.
ERRORS = {"good": 1.0, "bad": 3.0, "opposite": -3.0}


def panel(series: int = 4) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.concat(
        [
            make_series(f"s{number}", "2013-01-01", 10.0**number * random.normal(50, 5, 24 * 7))
            for number in range(series)
        ],
        ignore_index=True,
    )


def points(truth: pd.DataFrame, errors: dict[str, float] = ERRORS) -> pd.DataFrame:
    random = np.random.default_rng(1)
    frames = []
    for window in WINDOWS.itertuples():
        steps = truth[truth["ds"].between(window.target_start, window.target_end, "left")]
        size = 10.0 ** steps["unique_id"].str[1:].astype(int)
        for model, error in errors.items():
            noise = random.normal(1, 0.1, len(steps))
            found = steps[["unique_id", "ds"]].assign(
                cutoff=window.cutoff,
                model=model,
                y_hat=steps["y"] + error * size * noise,
                is_fallback=False,
            )
            frames.append(found)
    return pd.concat(frames, ignore_index=True)


def weights_of(method: str, rows: pd.DataFrame, **options: Any) -> pd.DataFrame:
    combined = {"all": Combination(method=method, of=MEMBERS, **options)}
    errors = member_errors(rows, panel(), WINDOWS, combined, TASK)
    table = weigh(errors, WINDOWS, combined, TASK)
    return table.pivot(index="cutoff", columns="model", values="weight")[MEMBERS]


def test_weights_fall_with_the_error_and_stacking_sees_that_errors_cancel() -> None:
    rows = points(panel())
    np.testing.assert_allclose(weights_of("mean", rows), 1 / 3)
    weighted = weights_of("weighted", rows, power=2).loc[NOW]
    np.testing.assert_allclose(weighted, np.array([9, 1, 1]) / 11, atol=0.01)
    stacked = weights_of("stacked", rows).loc[NOW]
    assert stacked["opposite"] > 0.2
    of_stacked = (
        (rows["y_hat"] * rows["model"].map(stacked)).groupby([rows["unique_id"], rows["ds"]]).sum()
    )
    truth = panel().set_index(["unique_id", "ds"])["y"].reindex(of_stacked.index)
    size = 10.0 ** truth.index.get_level_values(0).str[1:].astype(int)
    assert np.abs((of_stacked - truth) / size).mean() < 0.3, "no member alone is nearer than 1"


@pytest.mark.parametrize("horizon", [1, 4, 24])
def test_stacking_finds_the_least_squared_error_at_any_horizon(horizon: int) -> None:
    """Of independent errors as the inverse of their variances."""
    random = np.random.default_rng(0)
    whole = pd.concat([make_series(f"s{n}", "2013-01-01", [0.0, 1.0] * 84) for n in range(2000)])
    whole = whole.assign(y=whole["y"].where(whole["ds"] < STARTS[0], 0.0))
    ahead = whole[whole["ds"].between(STARTS[0], STARTS[0] + pd.Timedelta(horizon - 1, "h"))]
    rows = pd.concat(
        ahead[["unique_id", "ds"]].assign(
            cutoff=WINDOWS["cutoff"][0],
            model=model,
            y_hat=random.normal(0, size, len(ahead)),
            is_fallback=False,
        )
        for model, size in {"good": 1.0, "bad": 2.0}.items()
    )
    task = make_task(season_lengths=[1], horizon=horizon)
    combined = {"all": Combination(method="stacked", of=["good", "bad"])}
    errors = member_errors(rows, whole, WINDOWS.iloc[:1], combined, task)
    found = weigh(errors, WINDOWS.iloc[:1], combined, task).set_index(["cutoff", "model"])["weight"]
    np.testing.assert_allclose(found[NOW]["good"], 0.8, atol=0.03)


@pytest.mark.parametrize("method", ["weighted", "stacked"])
def test_weights_of_a_cutoff_come_from_windows_that_had_ended(method: str) -> None:
    rows = points(panel())
    found = weights_of(method, rows)
    np.testing.assert_allclose(found.loc[WINDOWS["cutoff"][0]], 1 / 3)
    late = rows["cutoff"] >= WINDOWS["cutoff"][1]
    rows.loc[late & (rows["model"] == "good"), "y_hat"] += 1e6
    other = weights_of(method, rows)
    pd.testing.assert_frame_equal(found.iloc[:2], other.iloc[:2], check_exact=True)
    assert (found.iloc[2:]["good"] > 2 * other.iloc[2:]["good"]).all()


@settings(max_examples=30)
@given(
    errors=st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    method=st.sampled_from(["mean", "weighted", "stacked"]),
)
def test_weights_are_at_least_zero_and_one_in_all(errors: list[float], method: str) -> None:
    found = weights_of(method, points(panel(), dict(zip(MEMBERS, errors, strict=True))))
    assert (found >= 0).all(axis=None)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


def test_sums_of_shards_are_those_of_the_whole() -> None:
    combined = {"all": Combination(method="stacked", of=MEMBERS)}
    whole, rows = panel(), points(panel())
    first = whole["unique_id"] < "s2"
    parts = [
        member_errors(rows, part, WINDOWS, combined, TASK) for part in (whole[first], whole[~first])
    ]
    table = weigh(pd.concat(parts), WINDOWS, combined, TASK)
    expected = weigh(member_errors(rows, whole, WINDOWS, combined, TASK), WINDOWS, combined, TASK)
    pd.testing.assert_frame_equal(table, expected)


def test_what_cannot_be_scaled_or_compared_counts_for_nothing() -> None:
    whole, rows = panel(), points(panel())
    expected = weights_of("weighted", rows[rows["unique_id"] != "s1"])
    flat = whole.assign(y=whole["y"].where(whole["unique_id"] != "s1", 7.0))
    combined = {"all": Combination(method="weighted", of=MEMBERS)}
    table = weigh(member_errors(rows, flat, WINDOWS, combined, TASK), WINDOWS, combined, TASK)
    pd.testing.assert_frame_equal(
        table.pivot(index="cutoff", columns="model", values="weight")[MEMBERS], expected
    )
    imputed = whole.assign(is_imputed=whole["is_imputed"] | (whole["unique_id"] == "s1"))
    errors = member_errors(rows, imputed, WINDOWS, combined, TASK)
    assert set(errors["series"]) == {3}


def test_a_member_that_failed_is_neither_weighed_nor_combined() -> None:
    """Where another model forecasts in its place, that one would count twice."""
    whole, rows = panel(), points(panel())
    failed = (rows["model"] == "good") & (rows["unique_id"] != "s1")
    rows.loc[failed, ["y_hat", "is_fallback"]] = [1e6, True]
    weighted = weights_of("weighted", rows, power=2).loc[NOW]
    np.testing.assert_allclose(weighted, np.array([9, 1, 1]) / 11, atol=0.02)
    stacked = weights_of("stacked", rows).loc[NOW]
    assert stacked["opposite"] > 0.2
    for method in ("mean", "median", "weighted", "stacked"):
        combined = {"all": Combination(method=method, of=MEMBERS)}
        errors = member_errors(rows, whole, WINDOWS, combined, TASK)
        table = combine(rows, combined, weigh(errors, WINDOWS, combined, TASK), TASK)
        found = table[table["model"] == "all"]
        assert len(found) == len(rows) / len(MEMBERS)
        assert found["y_hat"].notna().all()
        assert found["y_hat"].max() < 1e5
        assert not found["is_fallback"].any()
    # With none left the forecasts in their place are taken, whatever they weigh.
    alone = {"all": Combination(method="weighted", of=["good"])}
    none = pd.DataFrame({"combination": "all", "cutoff": [NOW], "model": ["good"], "weight": 0.0})
    now = rows[failed].drop(columns="cutoff")
    made = combine(now, alone, none, TASK)
    its = made[made["model"] == "all"]
    assert (its["y_hat"] == 1e6).all()
    assert its["is_fallback"].all()


def test_a_member_that_always_failed_weighs_no_more_than_the_worst() -> None:
    rows = points(panel())
    rows["is_fallback"] = rows["model"] == "good"
    for method in ("weighted", "stacked"):
        found = weights_of(method, rows).loc[NOW]
        assert found["good"] <= found.drop("good").min() + 1e-12


def test_a_perfect_member_takes_it_all() -> None:
    found = weights_of("weighted", points(panel(), {**ERRORS, "good": 0.0}))
    assert found.loc[NOW].tolist() == [1.0, 0.0, 0.0]


def test_forecasts_are_combined_with_the_weights_of_their_cutoff() -> None:
    combined = {"all": Combination(method="weighted", of=["good", "bad"])}
    at = pd.Timestamp("2013-01-05")
    weights = pd.DataFrame(
        {
            "combination": "all",
            "cutoff": [at, at, NOW, NOW],
            "model": ["good", "bad"] * 2,
            "weight": [0.5, 0.5, 0.9, 0.1],
        }
    )
    rows = pd.DataFrame({"model": ["good", "bad", "other"], "y_hat": [10.0, 20.0, 99.0]})
    rows = rows.assign(unique_id="a", ds=at, is_fallback=False)
    now = combine(rows, combined, weights, TASK)
    then = combine(rows.assign(cutoff=at), combined, weights, TASK)
    assert now.loc[now["model"] == "all", "y_hat"].tolist() == [11.0]
    assert then.loc[then["model"] == "all", "y_hat"].tolist() == [15.0]
    assert len(now) == 4


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"engine": "mean", "options": {"of": ["a", "x"]}}, r"'of' names \['x'\]; choose from"),
        ({"engine": "weighted"}, r"'m' \(weighted\): of: List should have at least 1"),
        ({"engine": "median", "options": {"of": ["a"], "power": 2}}, "'power' is an option of"),
        ({"engine": "stacked", "options": {"of": ["a"], "pover": 2}}, r"'m' \(stacked\): pover"),
    ],
)
def test_a_combination_s_options_are_checked(spec: dict[str, Any], says: str) -> None:
    plain = {"engine": "statsforecast", "options": {"model": "Naive"}}
    with pytest.raises(ValueError, match=says):
        ModelsConfig.model_validate({"a": plain, "m": spec})
