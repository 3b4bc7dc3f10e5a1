"""Scores of the right windows, models told apart, and champions for every series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error

from clepsydra.config import EvaluateConfig, ModelsConfig
from clepsydra.models.intervals import quantile_columns
from clepsydra.models.losses import pool_losses
from clepsydra.models.metrics import METRICS
from clepsydra.pipelines.evaluate.nodes import (
    compare_models,
    judge_champions,
    measure_losses,
    rank_models,
    score_backtests,
    score_champions,
    seasonal_scales,
)
from helpers import NEW_YORK, make_series, make_task

MODELS = ModelsConfig.model_validate(
    {
        name: {"engine": "statsforecast", "options": {"model": "Naive"}}
        for name in ("ref", "good", "odd")
    }
)
EVALUATE = EvaluateConfig()
TASK = make_task(season_lengths=[24])


def make_panel() -> pd.DataFrame:
    random = np.random.default_rng(0)
    frames = [
        make_series(uid, "2013-01-01", random.integers(0, 30, 24 * 12)) for uid in ("a", "b", "c")
    ]
    frames.append(make_series("flat", "2013-01-01", np.tile(np.arange(24), 12)))
    frames.append(make_series("new", "2013-01-06", random.integers(0, 30, 24 * 7)))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def windows() -> pd.DataFrame:
    start = pd.date_range("2013-01-07", periods=6, freq="D")
    return pd.DataFrame(
        {
            "role": ["calibrate", "select", "select", "report", "report", "report"],
            "cutoff": start - pd.Timedelta("1h"),
            "target_start": start,
            "target_end": start + pd.Timedelta("1D"),
        }
    )


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return make_panel()


@pytest.fixture(scope="module")
def backtests(panel: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    random = np.random.default_rng(1)
    frames = []
    for window in windows.itertuples():
        rows = panel[panel["ds"].between(window.target_start, window.target_end, "left")]
        for model, spread in (("ref", 3.0), ("good", 1.0), ("odd", 6.0)):
            y_hat = rows["y"] + random.normal(scale=spread, size=len(rows))
            frames.append(rows.assign(cutoff=window.cutoff, model=model, y_hat=y_hat))
    table = pd.concat(frames, ignore_index=True)
    for number, column in enumerate(quantile_columns()):
        table[column] = table["y_hat"] + (number - 5) * 0.5
    return table


@pytest.fixture(scope="module")
def scales(panel: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    return seasonal_scales(panel, windows, TASK)


@pytest.fixture(scope="module")
def metrics(backtests: pd.DataFrame, windows: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    return score_backtests(backtests, windows, scales)[0]


@pytest.fixture(scope="module")
def totals(backtests: pd.DataFrame, windows: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    return score_backtests(backtests, windows, scales)[1]


def score(metrics: pd.DataFrame, role: str, metric: str) -> pd.DataFrame:
    """One metric of one role, series by models."""
    rows = metrics[(metrics["role"] == role) & (metrics["metric"] == metric)]
    return rows.pivot(index="unique_id", columns="model", values="value")


@pytest.mark.parametrize("role", ["select", "report"])
def test_scores_are_of_the_windows_of_their_role(
    metrics: pd.DataFrame,
    backtests: pd.DataFrame,
    windows: pd.DataFrame,
    panel: pd.DataFrame,
    role: str,
) -> None:
    cutoffs = windows.loc[windows["role"] == role, "cutoff"]
    known = panel[panel["ds"] <= windows["cutoff"].min()]
    rows = backtests[backtests["cutoff"].isin(cutoffs)]
    assert set(metrics["metric"]) == set(METRICS)
    for (unique_id, model), group in rows.groupby(["unique_id", "model"]):
        mae = mean_absolute_error(group["y"], group["y_hat"])
        assert score(metrics, role, "mae").loc[unique_id, model] == pytest.approx(mae)
        y = known.loc[known["unique_id"] == unique_id, "y"].to_numpy()
        if unique_id in ("a", "b", "c"):
            mase = mae / np.abs(y[24:] - y[:-24]).mean()
            assert score(metrics, role, "mase").loc[unique_id, model] == pytest.approx(mase)
        inside = group["y"].between(group["q0.1"], group["q0.9"]).mean()
        assert score(metrics, role, "coverage_80").loc[unique_id, model] == pytest.approx(inside)


def test_a_scale_of_zero_or_none_leaves_the_mase_missing_and_the_series_in(
    metrics: pd.DataFrame, scales: pd.DataFrame
) -> None:
    table = scales.set_index("unique_id")["scale"]
    assert table["flat"] == 0.0
    assert table[["a", "b", "c"]].gt(0).all()
    mase = score(metrics, "report", "mase")
    assert mase.loc["flat"].isna().all()
    notes = metrics[metrics["value"].isna()].set_index("unique_id")["note"]
    assert set(notes["flat"]) == {"scale is zero"}
    assert score(metrics, "report", "mae").loc["flat"].notna().all()


def test_a_series_without_a_season_of_history_has_no_scale(windows: pd.DataFrame) -> None:
    panel = make_panel()
    panel = panel[(panel["unique_id"] != "new") | (panel["ds"] >= "2013-01-06 12:00")]
    scales = seasonal_scales(panel, windows, TASK).set_index("unique_id")["scale"]
    assert set(scales.index) == {"a", "b", "c", "flat", "new"}
    assert np.isnan(scales["new"])


def test_the_clocks_change_is_no_error_of_a_timetable() -> None:
    ds = pd.date_range("2013-10-28", "2013-11-10", freq="h")
    hours = ds.tz_localize("UTC").tz_convert(NEW_YORK).hour
    panel = pd.DataFrame({"unique_id": "a", "ds": ds, "y": hours.astype(float)})
    panel["is_imputed"] = False
    windows = pd.DataFrame({"cutoff": [ds[-1]]})
    task = make_task(timezone=NEW_YORK)
    assert seasonal_scales(panel, windows, task)["scale"].tolist() == [0.0]
    assert seasonal_scales(panel, windows, make_task())["scale"][0] > 0


@pytest.fixture(scope="module")
def losses(backtests: pd.DataFrame, windows: pd.DataFrame, scales: pd.DataFrame) -> pd.DataFrame:
    return measure_losses(backtests, windows, scales)


def test_the_leaderboard_ranks_by_mean_and_tells_what_differs(
    metrics: pd.DataFrame, totals: pd.DataFrame, losses: pd.DataFrame
) -> None:
    ranks = rank_models(losses, EVALUATE, totals)
    assert list(ranks) == ["model", "metric", "value", "rank", "group", "mcs_pvalue"]
    mae = ranks[ranks["metric"] == "mae"].set_index("model")
    assert mae["rank"].to_dict() == {"good": 1, "ref": 2, "odd": 3}
    assert mae["value"]["good"] == pytest.approx(score(metrics, "report", "mae")["good"].mean())
    for metric, rows in ranks.groupby("metric"):
        groups = rows.set_index("model")["group"].to_dict()
        if metric in ("mae", "mase", "rmse", "rmsse", "wql"):
            assert groups == {"good": "a", "ref": "b", "odd": "b"}, metric
            assert rows["mcs_pvalue"].notna().all()
        else:
            assert groups == dict.fromkeys(groups, ""), metric
            assert rows["mcs_pvalue"].isna().all()


def test_bias_and_coverage_are_ranked_by_their_distance_from_what_they_should_be(
    losses: pd.DataFrame,
) -> None:
    values = {"good": 0.84, "ref": 0.70, "odd": 0.99}
    rows = pd.DataFrame(
        [
            ("report", model, metric, 2 * (value - less), 2)
            for model, value in values.items()
            for metric, less in (("coverage_80", 0.0), ("bias", 0.8), ("mae", 0.0))
        ],
        columns=["role", "model", "metric", "total", "series"],
    )
    ranks = rank_models(losses, EVALUATE, rows).set_index(["metric", "model"])["rank"]
    assert ranks["coverage_80"].to_dict() == {"good": 1, "ref": 2, "odd": 3}
    assert ranks["bias"].to_dict() == {"good": 1, "ref": 2, "odd": 3}
    assert ranks["mae"].to_dict() == {"ref": 1, "good": 2, "odd": 3}


def test_models_that_are_equally_good_share_the_group(
    backtests: pd.DataFrame, windows: pd.DataFrame, scales: pd.DataFrame
) -> None:
    twin = backtests[backtests["model"] == "good"].assign(model="twin")
    table = pd.concat([backtests, twin])
    _, totals = score_backtests(table, windows, scales)
    ranks = rank_models(measure_losses(table, windows, scales), EVALUATE, totals)
    mase = ranks[ranks["metric"] == "mase"].set_index("model")
    assert mase["group"].to_dict() == {"good": "a", "twin": "a", "ref": "b", "odd": "b"}


def test_without_report_windows_the_leaderboard_is_empty(
    totals: pd.DataFrame, losses: pd.DataFrame
) -> None:
    selecting = totals[totals["role"] == "select"]
    ranks = rank_models(losses.iloc[:0], EVALUATE, selecting)
    assert ranks.empty
    assert list(ranks) == ["model", "metric", "value", "rank", "group", "mcs_pvalue"]
    assert compare_models(losses.iloc[:0], MODELS).empty


def test_losses_are_of_the_windows_that_report(losses: pd.DataFrame, windows: pd.DataFrame) -> None:
    reporting = windows.loc[windows["role"] == "report", "cutoff"]
    assert set(losses["cutoff"]) == set(reporting)
    assert losses["ds"].min() > windows.loc[windows["role"] == "select", "cutoff"].max()


def test_models_are_compared_with_the_reference_and_the_best(losses: pd.DataFrame) -> None:
    found = compare_models(losses, MODELS)
    assert list(found) == [
        *("model", "against", "metric", "mean_difference", "statistic", "pvalue", "steps", "note")
    ]
    mase = found[found["metric"] == "mase"].set_index(["model", "against"])
    assert set(mase.index) == {("good", "ref"), ("odd", "ref"), ("odd", "good"), ("ref", "good")}
    assert (mase["pvalue"] < 0.05).all()
    assert mase["mean_difference"].gt(0).to_dict() == {
        ("good", "ref"): False,
        ("odd", "ref"): True,
        ("odd", "good"): True,
        ("ref", "good"): True,
    }


def judge(
    metrics: pd.DataFrame, scales: pd.DataFrame, windows: pd.DataFrame, *ids: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    champions = pd.DataFrame({"unique_id": ids, "model": "good"})
    scores = score_champions(metrics, champions, scales, MODELS)
    return scores, judge_champions(scores, scales, windows, MODELS)


def test_the_verdict_counts_every_series_and_says_why_a_mase_is_missing(
    metrics: pd.DataFrame, scales: pd.DataFrame, windows: pd.DataFrame
) -> None:
    scores, verdict = judge(metrics, scales, windows, "a", "b", "c", "flat", "unseen")
    assert scores.set_index("unique_id")["note"].to_dict() == {
        "a": "",
        "b": "",
        "c": "",
        "flat": "MASE scale is zero",
        "unseen": "no report window",
    }
    assert verdict["series"] == 5
    assert verdict["series_judged"] == 3
    assert verdict["series_with_zero_scale"] == 1
    assert verdict["series_without_scale"] == 1
    mase = score(metrics, "report", "mase").loc[["a", "b", "c"]].mean()
    assert verdict["champion_mase"] == pytest.approx(mase["good"])
    assert verdict["reference_mase"] == pytest.approx(mase["ref"])
    assert verdict["relative_error"] == pytest.approx(mase["good"] / mase["ref"])
    assert verdict["report_windows"] == 3
    assert verdict["last_select_target"] <= verdict["first_report_target"]


def test_where_no_series_has_a_scale_the_absolute_error_judges(
    metrics: pd.DataFrame, scales: pd.DataFrame, windows: pd.DataFrame
) -> None:
    only = metrics[metrics["unique_id"] == "flat"]
    _, verdict = judge(only, scales, windows, "flat")
    mae = score(metrics, "report", "mae").loc["flat"]
    assert verdict["champion_mase"] is None
    assert verdict["relative_error"] == pytest.approx(mae["good"] / mae["ref"])


@settings(max_examples=8)
@given(st.lists(st.integers(0, 6), min_size=5, max_size=5))
def test_what_is_found_is_the_same_in_any_shards(
    panel: pd.DataFrame, backtests: pd.DataFrame, windows: pd.DataFrame, shards: list[int]
) -> None:
    champions = pd.DataFrame({"unique_id": ["a", "b", "c", "flat", "new"], "model": "good"})
    shard = dict(zip(champions["unique_id"], shards, strict=True))

    def evaluated(split: list[set[str]]) -> dict[str, Any]:
        found = [
            _evaluate(
                *(frame[frame["unique_id"].isin(its)] for frame in (panel, backtests)), windows
            )
            for its in split
        ]
        metrics, totals, losses, scales = zip(*found, strict=True)
        pooled = pool_losses(*losses)
        scores = [
            score_champions(table, champions[champions["unique_id"].isin(its)], scale, MODELS)
            for its, table, scale in zip(split, metrics, scales, strict=True)
        ]
        together = in_order(*scores)
        return {
            "metrics": in_order(*metrics),
            "losses": pooled,
            "leaderboard": rank_models(pooled, EvaluateConfig(bootstrap=100), *totals),
            "champion_scores": together,
            "verdict": judge_champions(together, in_order(*scales), windows, MODELS),
        }

    whole = evaluated([set(shard)])
    parts = evaluated([{uid for uid in shard if shard[uid] == number} for number in range(7)])
    assert parts.pop("verdict") == pytest.approx(whole.pop("verdict"))
    for name, table in parts.items():
        pd.testing.assert_frame_equal(table, whole[name], obj=name)


def _evaluate(
    panel: pd.DataFrame, backtests: pd.DataFrame, windows: pd.DataFrame
) -> tuple[pd.DataFrame, ...]:
    scales = seasonal_scales(panel, windows, TASK)
    losses = measure_losses(backtests, windows, scales)
    return *score_backtests(backtests, windows, scales), losses, scales


def in_order(*parts: pd.DataFrame) -> pd.DataFrame:
    """The rows of all parts, in order of what tells them apart."""
    whole = pd.concat([part for part in parts if len(part)], ignore_index=True)
    keys = [name for name in ("unique_id", "role", "model", "metric") if name in whole]
    return whole.sort_values(keys, ignore_index=True)
