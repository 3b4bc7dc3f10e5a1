"""Data of another shape goes through the whole line by configuration alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from line_runner import Line

pytestmark = pytest.mark.e2e


def test_wide_quarterly_csv(tmp_path: Path, make_line: Callable[..., Line]) -> None:
    """United States macroeconomic series, 1959 to 2009: a column per series."""
    data = sm.datasets.macrodata.load_pandas().data.astype({"year": int, "quarter": int})
    data["date"] = data["year"].astype(str) + "-" + (3 * data["quarter"] - 2).astype(str) + "-01"
    data["date"] = pd.to_datetime(data["date"]).dt.strftime("%Y-%m-%d")
    names = ["realgdp", "cpi", "unemp"]
    data[["date", *names]].to_csv(tmp_path / "economy.csv", index=False)
    line = make_line(
        as_of="latest",
        sources={
            "economy": {
                "role": "target",
                "layout": "wide",
                "path": f"{tmp_path}/*.csv",
                "time": "date",
            }
        },
        task={"freq": "QS", "season_lengths": [4], "horizon": 4},
        calendar={},
        windows={"calibrate": 2, "select": 4, "report": 4},
    )
    done = line.run()
    forecasts = line.forecasts()
    assert sorted(set(forecasts["unique_id"])) == sorted(names)
    assert sorted(set(pd.to_datetime(forecasts["ds"]).dt.strftime("%Y-%m"))) == [
        "2009-10",
        "2010-01",
        "2010-04",
        "2010-07",
    ]
    verdict = line.read("08_reporting/champion_scores.parquet")
    assert verdict["mase"].mean() < 0.9 * verdict["reference_mase"].mean()
    assert "3 of 3 series" in done.stdout


def test_long_weekly_csv_with_gaps(tmp_path: Path, make_line: Callable[..., Line]) -> None:
    """Carbon dioxide at Mauna Loa, weekly, 59 values missing, in two files."""
    data = sm.datasets.co2.load_pandas().data.reset_index()
    data.columns = ["when", "ppm"]
    data = data.assign(station="mauna-loa", when=data["when"].dt.strftime("%d/%m/%Y"))
    data.iloc[:1200].to_csv(tmp_path / "first.csv", index=False, sep=";")
    data.iloc[1200:].to_csv(tmp_path / "second.csv", index=False, sep=";")
    line = make_line(
        as_of="2001-06-30",
        sources={
            "air": {
                "role": "target",
                "path": f"{tmp_path}/*.csv",
                "separator": ";",
                "id": "station",
                "time": "when",
                "time_format": "%d/%m/%Y",
                "value": "ppm",
            }
        },
        task={"freq": "W-SAT", "season_lengths": [52], "horizon": 8},
        calendar={},
        windows={"calibrate": 2, "select": 2, "report": 2},
    )
    line.run()
    panel = line.read("03_primary/panel.parquet")
    known = data[pd.to_datetime(data["when"], format="%d/%m/%Y") < "2001-06-30"]
    assert panel["is_imputed"].sum() == known["ppm"].isna().sum() > 0
    assert panel["ds"].diff().dropna().eq(pd.Timedelta(weeks=1)).all()
    forecasts = line.forecasts()
    assert pd.to_datetime(forecasts["ds"]).tolist() == list(
        pd.date_range("2001-06-30", periods=8, freq="W-SAT")
    )
    actual = data.assign(ds=pd.to_datetime(data["when"], format="%d/%m/%Y")).set_index("ds")["ppm"]
    error = (forecasts.set_index(pd.to_datetime(forecasts["ds"]))["y_hat"] - actual).abs()
    assert error.mean() < 1.0
    quality = line.read("08_reporting/quality_report.parquet")
    totals = quality.groupby("measure")["value"].sum()
    assert totals["rows in"] == totals["rows kept"] + totals["excluded: no value"]


def test_covariates_known_in_advance_reach_the_future(
    tmp_path: Path, make_line: Callable[..., Line]
) -> None:
    """Sales double on promotion days, which are planned; the past-only column stays out."""
    days = pd.date_range("2024-01-01", periods=500, freq="D")
    promoted = pd.Series(days.dayofyear % 5 == 0)
    sales = 20 + days.dayofweek + 30 * promoted
    day = pd.Series(days.strftime("%Y-%m-%d"))
    known = day < "2025-05-01"
    table = pd.DataFrame({"shop": "north", "day": day, "sales": sales})[known]
    table.to_csv(tmp_path / "sales.csv", index=False)
    plan = pd.DataFrame({"day": day, "promotion": promoted.astype(int)})
    plan.to_csv(tmp_path / "plan.csv", index=False)
    pd.DataFrame({"day": day, "visitors": sales * 3}).to_csv(tmp_path / "door.csv", index=False)
    common = {"role": "covariate", "time": "day"}
    line = make_line(
        as_of="2025-05-01",
        sources={
            "sales": {
                "role": "target",
                "path": f"{tmp_path}/sales.csv",
                "id": "shop",
                "time": "day",
                "value": "sales",
            },
            "plan": {
                **common,
                "path": f"{tmp_path}/plan.csv",
                "columns": ["promotion"],
                "known": "in_advance",
            },
            "door": {**common, "path": f"{tmp_path}/door.csv", "columns": ["visitors"]},
        },
        task={"freq": "D", "season_lengths": [7], "horizon": 14, "minimum": 0},
        calendar={"columns": ["dayofweek"]},
        windows={"calibrate": 2, "select": 3, "report": 3},
    )
    line.run()
    future = line.read("03_primary/future.parquet")
    assert "visitors" not in future.columns
    expected = promoted[days >= "2025-05-01"][:14].astype(float).tolist()
    assert future["promotion"].tolist() == expected
    assert sum(expected) >= 1
    panel = line.read("03_primary/panel.parquet")
    assert panel["visitors"].notna().all()
    backtests = line.read("07_model_output/backtests.parquet")
    errors = (backtests["y_hat"] - backtests["y"]).abs().groupby(backtests["model"]).mean()
    assert errors["boosting"] < 0.5 * errors["seasonal_naive"]
    made, (champion,) = line.forecasts(), set(line.forecasts()["model"])
    members = {"median": ["seasonal_naive", "boosting", "boosting_difference"]}
    explained = line.read("07_model_output/explanations.parquet")
    assert set(explained["model"]) == set(members.get(champion, [champion]))
    assert set(explained["reason"]) == {""}
    assert set(explained["ds"]) == set(pd.to_datetime(made["ds"]))
    sums = explained.groupby(["ds", "model"])["contribution"].sum().unstack()
    published = made["y_hat"].set_axis(pd.to_datetime(made["ds"])).loc[sums.index]
    np.testing.assert_allclose(sums.clip(lower=0).median(axis=1), published, atol=1e-6)
    matters = line.read("08_reporting/importances.parquet").drop_duplicates("model")
    assert set(matters["feature"]) == {"promotion"}


def test_a_series_of_days_is_forecast_as_those_like_it(
    tmp_path: Path, make_line: Callable[..., Line]
) -> None:
    """Two products of weekly sales, two that sell now and then, and one that is five days old."""
    days = pd.date_range("2024-01-01", periods=84, freq="D")
    week, random = 10 + 3.0 * days.dayofweek, np.random.default_rng(0)
    sales = {
        "bread": week + random.normal(size=84),
        "milk": 2 * week + random.normal(size=84),
        "paint": 4.0 * (random.random(84) < 0.3),
        "glue": 4.0 * (random.random(84) < 0.3),
        "rolls": week[-5:] + 1,
    }
    rows = pd.concat(
        [pd.DataFrame({"item": k, "day": days[-len(y) :], "sales": y}) for k, y in sales.items()]
    )
    rows.to_csv(tmp_path / "sales.csv", index=False)
    line = make_line(
        as_of="latest",
        n_shards=1,
        sources={
            "sales": {
                "role": "target",
                "path": f"{tmp_path}/sales.csv",
                "id": "item",
                "time": "day",
                "value": "sales",
            }
        },
        task={"freq": "D", "season_lengths": [7], "horizon": 7, "minimum": 0},
        calendar={},
        models={
            "seasonal_naive": {"engine": "statsforecast", "options": {"model": "SeasonalNaive"}},
            "theta": {"engine": "statsforecast", "options": {"model": "Theta"}},
            "windows": {"engine": "window_regression"},
        },
        windows={"calibrate": 1, "select": 2, "report": 2},
    )
    line.run()
    chosen = line.read("08_reporting/renewed_champions.parquet").set_index("unique_id")
    assert chosen.loc["rolls", "model"] == "windows"
    assert "the best model for 2 series of the segment 'smooth'" in chosen.loc["rolls", "reason"]
    assert "too short: 5 steps, 14 needed" in chosen.loc["rolls", "reason"]
    failures = line.read("08_reporting/forecast_failures.parquet").groupby("model")["unique_id"]
    assert failures.agg(set).to_dict() == {"theta": {"rolls"}}
    made = line.forecasts()
    assert made[made["unique_id"] == "rolls"].notna().all(axis=None)
    segments = line.read("08_reporting/segments.parquet").groupby("unique_id")["segment"].agg(list)
    assert segments["paint"] == ["intermittent"] * 2
    assert segments["rolls"] == [None, "smooth"]


def test_shards_do_not_change_the_forecasts(tmp_path: Path, make_line: Callable[..., Line]) -> None:
    """One shard, or more shards than series: the same numbers."""
    data = sm.datasets.macrodata.load_pandas().data
    steps = pd.date_range("1959-01-01", periods=len(data), freq="QS").strftime("%Y-%m-%d")
    data[["cpi", "unemp"]].assign(date=steps).to_csv(tmp_path / "economy.csv", index=False)
    source = {"role": "target", "layout": "wide", "path": f"{tmp_path}/*.csv", "time": "date"}
    columns = ["unique_id", "ds", "model", "y_hat", "q0.1", "q0.9"]
    found = []
    for shards in (1, 3):
        line = make_line(
            as_of="latest",
            n_shards=shards,
            sources={"economy": source},
            task={"freq": "QS", "season_lengths": [4], "horizon": 2},
            calendar={},
            windows={"calibrate": 1, "select": 2, "report": 2},
        )
        line.empty_store()
        line.run()
        found.append(line.forecasts()[columns])
    pd.testing.assert_frame_equal(found[0], found[1], check_exact=True)
