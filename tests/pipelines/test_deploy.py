"""The gate lets through what is good enough, and the bundle is known by its content."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import DeployConfig, ExplainConfig, ModelsConfig
from clepsydra.errors import LeakError
from clepsydra.models.intervals import pool_shapes
from clepsydra.models.weights import NOW
from clepsydra.pipelines.deploy.nodes import (
    build_bundle,
    calibrate_champions,
    decide_promotion,
    promote_champions,
    sample_errors,
)
from helpers import make_series, make_task

CHAMPIONS = pd.DataFrame(
    {"unique_id": ["a", "b"], "model": ["good", "ref"], "reason": ["better", "as good"]}
)
MODELS = ModelsConfig.model_validate(
    {
        name: {"engine": "statsforecast", "options": {"model": "Naive"}}
        for name in ("ref", "good", "unused")
    }
)


def canary(verdict: str = "clean") -> pd.DataFrame:
    """What the leak canary found of one model."""
    found = {"forecasts": 24, "moved": 1, "largest": 2.0, "example": "a at 2013-01-02"}
    return pd.DataFrame([{"model": "good", "verdict": verdict, **found}])


CLOCK = {"as_of": "2013-01-03", "cutoff": "2013-01-02T23:00:00"}


@pytest.mark.parametrize(
    ("ratio", "limit", "promoted"),
    [
        (0.9, 1.0, True),
        (1.0, 1.0, True),
        (1.001, 1.0, False),
        (0.96, 0.95, False),
        (float("inf"), 9.0, False),
        (float("nan"), 1.0, False),
        (None, 1.0, False),
    ],
)
def test_the_gate(ratio: float | None, limit: float, promoted: bool) -> None:
    verdict = {"relative_error": ratio, "reference": "ref"}
    config = DeployConfig(max_relative_error=limit)
    promotion = decide_promotion(verdict, canary(), config)
    chosen, assigned = promote_champions(CHAMPIONS, promotion, ExplainConfig(), n_shards=1)
    assert promotion["promoted"] is promoted
    assert promotion["limit"] == limit
    assert chosen["unique_id"].tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(assigned[["unique_id", "model"]], chosen[["unique_id", "model"]])
    if promoted:
        pd.testing.assert_frame_equal(chosen, CHAMPIONS)
        assert f"{ratio:.3f}, at most {limit:g}" in promotion["reason"]
    else:
        assert chosen["model"].tolist() == ["ref", "ref"]
        assert chosen["reason"].str.startswith("gate: ").all()
        assert f"not at most {limit:g}" in promotion["reason"]
    assert CHAMPIONS["model"].tolist() == ["good", "ref"], "the champions are not changed in place"


def test_a_backtest_that_leaks_promotes_nobody() -> None:
    verdict = {"relative_error": 0.5, "reference": "ref"}
    with pytest.raises(LeakError, match="model 'good' leaks"):
        decide_promotion(verdict, canary("leak"), DeployConfig())


# Of the windows together, and as they were at an earlier cutoff.
WEIGHTS = pd.DataFrame(
    {
        "combination": "both",
        "cutoff": [pd.Timestamp("2013-01-01"), NOW, NOW],
        "model": ["ref", "ref", "good"],
        "weight": [1.0, 0.25, 0.75],
        "windows": [0, 4, 4],
    }
)


WINDOWS = pd.DataFrame(
    {
        "cutoff": pd.to_datetime(["2012-12-31 23:00"]),
        "target_start": pd.to_datetime(["2013-01-01"]),
        "target_end": pd.to_datetime(["2013-01-03"]),
    }
)


def bundle(
    champions: pd.DataFrame = CHAMPIONS, shift: float = 0.0, start: float = 0.0, **changes: Any
) -> tuple[dict[str, Any], pd.DataFrame]:
    """A bundle of one shard, and its calibration.

    Forecasts are moved by `shift`; the panel's values begin at `start`.
    """
    random = np.random.default_rng(0)
    panel = make_series("a", "2013-01-01", np.arange(48) + start)
    backtests = pd.concat(
        [
            panel.assign(
                model=model,
                cutoff=pd.Timestamp("2012-12-31 23:00"),
                y_hat=panel["y"] + random.normal(size=48) + shift,
            )
            for model in ("ref", "good", "unused")
        ],
        ignore_index=True,
    )
    promotion = {"promoted": True, **changes.pop("promotion", {})}
    _, assigned = promote_champions(champions, {"promoted": True}, ExplainConfig(), n_shards=1)
    series = pd.DataFrame({"unique_id": ["a"], "n_observations": 48})
    shapes = pool_shapes(sample_errors(backtests, series, WINDOWS, make_task()))
    calibration, fingerprints = calibrate_champions(assigned, backtests, panel, shapes)
    common = {"task": make_task(), "models": MODELS, "weights": WEIGHTS, "clock": CLOCK, **changes}
    others = (common[name] for name in ("task", "models", "weights", "clock"))
    return build_bundle(promotion, *others, assigned, fingerprints, n_shards=1), calibration


def test_the_same_content_is_the_same_bundle() -> None:
    (first, calibration), (second, again) = bundle(), bundle()
    assert first == second
    pd.testing.assert_frame_equal(calibration, again)
    assert json.loads(json.dumps(first)) == first
    assert first["champions"] == {"a": "good", "b": "ref"}
    assert first["weights"] == {"both": {"ref": 0.25, "good": 0.75}}
    assert set(calibration["model"]) == {"good", "ref"}
    assert {"clepsydra", "pandas", "mlforecast"} <= set(first["versions"])


@pytest.mark.parametrize(
    "changes",
    [
        {"champions": CHAMPIONS.assign(model="ref")},
        {"start": 1.0},
        {"shift": 1.0},
        {"task": make_task(horizon=12)},
        {"clock": {**CLOCK, "as_of": "2013-01-04"}},
        {"promotion": {"promoted": False}},
        {"models": ModelsConfig(root=dict(list(MODELS.root.items())[:2]))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_anything_that_differs_makes_another_bundle(changes: dict[str, Any]) -> None:
    assert bundle(**changes)[0]["bundle_id"] != bundle()[0]["bundle_id"]


def test_a_bundle_is_the_same_after_json_so_that_forecasting_can_compare_it() -> None:
    """Options may have whole numbers for keys, which JSON knows as text only."""
    options = {"estimator": "sklearn.linear_model.Ridge", "rolling_means": {48: [24]}}
    models = ModelsConfig.model_validate({"ridge": {"engine": "mlforecast", "options": options}})
    made, _ = bundle(models=models)
    assert json.loads(json.dumps(made)) == made


def champions_of(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"unique_id": ids, "model": "good", "reason": "better"}, dtype=object)


@pytest.mark.parametrize("promoted", [True, False])
@pytest.mark.parametrize(
    ("series", "n_shards", "explained"),
    [
        (0, 4, []),
        (2, 1, ["a", "d"]),
        (4, 2, ["a", "d"]),
        (3, 2, ["a", "d"]),
        (4, 4, ["a"]),
        (99, 4, ["a", "b", "c", "d", "e", "f"]),
    ],
)
def test_a_shard_explains_its_share_of_the_series(
    series: int, n_shards: int, explained: list[str], promoted: bool
) -> None:
    promotion = {"promoted": promoted, "reference": "ref", "reason": "so it is"}
    config = ExplainConfig(series=series)
    _, assigned = promote_champions(champions_of(*"fedcba"), promotion, config, n_shards)
    assert list(assigned) == ["unique_id", "model", "explain"]
    assert sorted(assigned.loc[assigned["explain"], "unique_id"]) == explained
    assert set(assigned["model"]) == {"good" if promoted else "ref"}


@pytest.mark.parametrize("promoted", [True, False])
def test_a_shard_without_series_promotes_nobody(promoted: bool) -> None:
    promotion = {"promoted": promoted, "reference": "ref", "reason": "so it is"}
    nobody = champions_of()
    chosen, assigned = promote_champions(nobody, promotion, ExplainConfig(), n_shards=3)
    assert list(chosen) == ["unique_id", "model", "reason"]
    assert assigned.empty
    filled = promote_champions(CHAMPIONS, promotion, ExplainConfig(), n_shards=3)[1]
    assert assigned.dtypes.to_dict() == filled.dtypes.to_dict()


def test_a_bundle_has_the_champions_of_all_shards_and_the_data_of_each() -> None:
    promotion = {"promoted": True, "reference": "ref"}
    shards = [CHAMPIONS[1:], CHAMPIONS[:0], CHAMPIONS[:1]]
    assigned = [promote_champions(its, promotion, ExplainConfig(), 3)[1] for its in shards]
    prints = [{"calibration": f"c{number}", "panel": f"p{number}"} for number in range(3)]
    how = (promotion, make_task(), MODELS, WEIGHTS, CLOCK, *assigned)
    made = build_bundle(*how, *prints, n_shards=3)
    assert made["champions"] == {"a": "good", "b": "ref"}
    assert made["panel_sha256"] == ["p0", "p1", "p2"]
    assert made["calibration_sha256"] == ["c0", "c1", "c2"]
    other = build_bundle(*how, *prints[:2], {**prints[2], "panel": "changed"}, n_shards=3)
    assert other["bundle_id"] != made["bundle_id"]


SAMPLED = ["unique_id", "model", "cutoff", "ds", "y_hat", "y"]
IDS = [f"s{number:02}" for number in range(40)]
DAYS = pd.date_range("2024-01-01", periods=6, freq="D")
DAILY = make_task(freq="D", season_lengths=[7], horizon=2)
# Of five steps together: the last one is cut short.
DAILY_WINDOWS = pd.DataFrame(
    {"cutoff": DAYS[:3], "target_start": DAYS[1:4], "target_end": [DAYS[3], DAYS[4], DAYS[4]]}
)


def daily_backtests(lengths: dict[str, int]) -> pd.DataFrame:
    """Of two models; some series have not begun by the first windows."""
    random = np.random.default_rng(0)
    rows = [
        (uid, model, window.cutoff, ds, 10.0, 10.0 + random.normal(), True)
        for uid in IDS
        for window in DAILY_WINDOWS.tail(lengths.get(uid, 3)).itertuples()
        for ds in pd.date_range(window.target_start, window.target_end, inclusive="left")
        for model in ("one", "two")
    ]
    return pd.DataFrame(rows, columns=[*SAMPLED, "is_fallback"])


@settings(max_examples=20)
@given(
    st.lists(st.integers(0, 4), min_size=40, max_size=40),
    st.dictionaries(st.sampled_from(IDS), st.integers(1, 2)),
    st.integers(1, 250),
)
def test_the_sample_of_errors_and_their_shapes_are_the_same_in_any_shards(
    shards: list[int], lengths: dict[str, int], most: int
) -> None:
    backtests = daily_backtests(lengths)
    series = pd.DataFrame({"unique_id": IDS, "n_observations": 9})
    shard = backtests["unique_id"].map(dict(zip(IDS, shards, strict=True)))

    def sample(part: pd.DataFrame) -> pd.DataFrame:
        return sample_errors(part, series, DAILY_WINDOWS, DAILY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clepsydra.pipelines.deploy.nodes._MOST_ROWS", most)
        whole = sample(backtests)
        parts = [sample(backtests[shard == number]) for number in range(5)]
    assert list(whole) == SAMPLED
    together = pd.concat(parts).sort_values(SAMPLED[:4], ignore_index=True)
    expected = whole.sort_values(SAMPLED[:4], ignore_index=True)
    pd.testing.assert_frame_equal(together, expected, check_exact=True)
    pd.testing.assert_frame_equal(pool_shapes(*parts), pool_shapes(whole), check_exact=True)
    assert whole["unique_id"].nunique() == min(40, max(1, most // 5))
    assert whole["model"].value_counts().max() <= max(5, most)
    chosen = backtests[backtests["unique_id"].isin(whole["unique_id"])]
    assert len(whole) == len(chosen), "whole series"


def test_with_few_series_all_errors_are_sampled() -> None:
    backtests = daily_backtests({})
    series = pd.DataFrame({"unique_id": [*IDS, "empty"], "n_observations": [9] * 40 + [0]})
    sample = sample_errors(backtests, series, DAILY_WINDOWS, DAILY)
    pd.testing.assert_frame_equal(sample, backtests[SAMPLED])
    assert sample_errors(backtests.iloc[:0], series, DAILY_WINDOWS, DAILY).empty


def test_a_bundle_of_too_few_tables_is_refused() -> None:
    _, assigned = promote_champions(CHAMPIONS, {"promoted": True}, ExplainConfig(), n_shards=2)
    how = ({"promoted": True}, make_task(), MODELS, WEIGHTS, CLOCK)
    with pytest.raises(ValueError, match=r"3 datasets for 2 shards: .* 4 in all"):
        build_bundle(*how, assigned, assigned, {"panel": "p"}, n_shards=2)
