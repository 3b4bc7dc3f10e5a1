"""Reconciled backtests know what a run knew then, and the table says what they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from clepsydra.errors import PanelError
from clepsydra.models.base import quantile_columns
from clepsydra.pipelines.deploy.nodes import collect_errors
from clepsydra.pipelines.evaluate.reconciliation import compare_levels, reconcile_backtests
from clepsydra.pipelines.forecast.reconciliation import reconcile_forecasts
from clepsydra.pipelines.report.levels import describe_levels
from helpers import make_task

TASK = make_task(minimum=0)
LEVELS = pd.DataFrame(
    [
        *(("total", "total", name) for name in "abc"),
        *(("shop", name, name) for name in "abc"),
    ],
    columns=["level", "unique_id", "bottom_id"],
)
CHAMPIONS = pd.DataFrame({"unique_id": ["a", "b", "c", "total"], "model": ["m", "m", "other", "m"]})
ROLES = ["select"] * 4 + ["report"] * 3


def tables() -> dict[str, Any]:
    """Seven windows a day apart; `m` forecasts the total well, and all others badly."""
    random = np.random.default_rng(0)
    cutoffs = pd.date_range("2024-01-01 23:00", periods=len(ROLES), freq="D")
    starts = cutoffs + pd.Timedelta(1, "h")
    windows = pd.DataFrame({"role": ROLES, "cutoff": cutoffs, "target_start": starts})
    windows["target_end"] = starts + pd.Timedelta(1, "D")
    frames = []
    for start, cutoff in zip(starts, cutoffs, strict=True):
        rows = pd.DataFrame({"cutoff": cutoff, "ds": pd.date_range(start, periods=24, freq="h")})
        actual = {name: random.uniform(5, 15, 24) for name in "abc"}
        for unique_id in [*"abc", "total"]:
            y = actual.get(unique_id, sum(actual.values()))
            for model in ("m", "other"):
                y_hat = y + random.normal(0, 0.1 if unique_id == "total" else 3, 24)
                frames.append(rows.assign(unique_id=unique_id, model=model, y=y, y_hat=y_hat))
    backtests = pd.concat(frames, ignore_index=True)
    for level, name in zip(
        np.linspace(-4, 4, len(quantile_columns())), quantile_columns(), strict=True
    ):
        backtests[name] = backtests["y_hat"] + level
    return {"backtests": backtests, "windows": windows, "champions": CHAMPIONS, "levels": LEVELS}


def test_only_the_champions_windows_that_report_are_reconciled() -> None:
    found = reconcile_backtests(**tables(), task=TASK)
    assert len(found) == 3 * 4 * 24
    assert found.groupby("unique_id")["model"].first().to_dict() == dict(CHAMPIONS.to_numpy())
    wide = found.pivot(index="ds", columns="unique_id", values="y_hat")
    np.testing.assert_allclose(wide[[*"abc"]].sum(axis=1), wide["total"], atol=1e-9)


@pytest.mark.parametrize("place", range(7))
def test_a_window_is_reconciled_without_errors_that_were_known_later(place: int) -> None:
    """Whatever becomes of the actuals from a window on, and of later forecasts, it stays."""
    given = tables()
    changed = given["backtests"].copy()
    cutoff = given["windows"]["cutoff"].iloc[place]
    later = changed["cutoff"] >= cutoff
    random = np.random.default_rng(1)
    changed.loc[later, "y"] = random.uniform(0, 99, later.sum())
    afterwards = changed["cutoff"] > cutoff
    changed.loc[afterwards, "y_hat"] = random.uniform(0, 99, afterwards.sum())
    columns = ["unique_id", "cutoff", "ds", "y_hat", *quantile_columns()]
    before = reconcile_backtests(**given, task=TASK)[columns]
    after = reconcile_backtests(**{**given, "backtests": changed}, task=TASK)[columns]
    same = before["cutoff"] <= cutoff
    pd.testing.assert_frame_equal(before[same], after[same], check_exact=True)
    if same.any() and not same.all():
        assert (before.loc[~same, "y_hat"] != after.loc[~same, "y_hat"]).any()


def test_the_table_has_every_level_before_and_after() -> None:
    given = tables()
    scales = pd.DataFrame({"unique_id": [*"abc", "total"], "scale": [2.0, 2.0, 2.0, 5.0]})
    scales["squared_scale"] = scales["scale"] ** 2
    reconciled = reconcile_backtests(**given, task=TASK)
    found = compare_levels(
        given["backtests"], reconciled, given["windows"], CHAMPIONS, scales, LEVELS
    )
    assert found["level"].tolist() == ["total", "shop", "all levels"]
    assert found["series"].tolist() == [1, 3, 4]
    assert found["champions"].tolist() == ["m 1", "m 2, other 1", "m 3, other 1"]
    error = (reconciled["y_hat"] - reconciled["y"]).abs().groupby(reconciled["unique_id"]).mean()
    shop = found.set_index("level").loc["shop"]
    assert shop["mae_after"] == pytest.approx(error[[*"abc"]].mean())
    assert shop["mase_after"] == pytest.approx(error[[*"abc"]].mean() / 2)
    assert shop["mae_ratio"] == pytest.approx(shop["mae_after"] / shop["mae_before"])
    assert shop["mae_ratio"] < 1
    assert shop["note"] == ""


def test_where_it_is_less_accurate_the_table_says_so() -> None:
    given = tables()
    worse = reconcile_backtests(**given, task=TASK)
    worse.loc[worse["unique_id"] == "total", "y_hat"] += 50
    scales = pd.DataFrame({"unique_id": [*"abc", "total"], "scale": 0.0, "squared_scale": 0.0})
    found = compare_levels(given["backtests"], worse, given["windows"], CHAMPIONS, scales, LEVELS)
    notes = found.set_index("level")["note"]
    assert notes["total"].startswith("MAE ")
    assert notes["total"].endswith("% higher")
    assert notes["shop"] == ""
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    lines = describe_levels(rows)
    assert "total (1): MAE" in lines[1]
    assert "HIGHER" in lines[1]
    assert "MASE" not in lines[1]
    assert "lower" in lines[2]
    assert describe_levels([]) == []


def published() -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], dict[str, str]]:
    given = tables()
    errors = collect_errors(CHAMPIONS, given["backtests"], given["windows"])
    bundle = {"bundle_id": "x", "champions": dict(CHAMPIONS.to_numpy())}
    last = given["windows"]["target_end"].max()
    base = pd.DataFrame(
        {"unique_id": ["a", "b", "c", "total"], "cutoff": last, "ds": last, "model": "m"}
    ).assign(y_hat=[1.0, 2.0, 3.0, 10.0], **dict.fromkeys(quantile_columns(), 1.0))
    clock = {"cutoff": str(last - pd.Timedelta(1, "h"))}
    return base, errors, bundle, clock


def test_what_is_published_adds_up() -> None:
    base, errors, bundle, clock = published()
    found = reconcile_forecasts(base, errors, bundle, LEVELS, TASK, clock)
    y_hat = found.set_index("unique_id")["y_hat"]
    assert y_hat[[*"abc"]].sum() == pytest.approx(y_hat["total"], abs=1e-9)
    # The total's errors are small, so it hardly moves.
    assert y_hat["total"] == pytest.approx(10, abs=0.1)
    assert list(found) == list(base)


def test_a_published_forecast_reads_no_error_of_a_window_that_has_not_ended() -> None:
    base, errors, bundle, clock = published()
    changed = errors.copy()
    ended = pd.Timestamp(clock["cutoff"]) - pd.Timedelta(2, "D")
    later = changed["target_end"] > ended + pd.Timedelta(1, "h")
    assert later.any()
    changed.loc[later, "error"] = 1e6
    early = {"cutoff": str(ended)}
    tables = [
        reconcile_forecasts(base, table, bundle, LEVELS, TASK, early) for table in (errors, changed)
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_errors_of_other_champions_are_refused() -> None:
    base, errors, bundle, clock = published()
    bundle["champions"]["c"] = "m"
    with pytest.raises(PanelError, match=r"errors of 'c' are those of 'other'.*run 'deploy' again"):
        reconcile_forecasts(base, errors, bundle, LEVELS, TASK, clock)
