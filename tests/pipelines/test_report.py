"""The summary counts what the tables hold, and the page stands alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clepsydra.config import ModelsConfig, WindowsConfig
from clepsydra.datasets.atomic import ParquetDataset
from clepsydra.models.parts import parts_frame
from clepsydra.models.planning import Estimate, choose, everything
from clepsydra.models.tuning import empty_trials
from clepsydra.pipelines.report.figures import (
    draw_champions,
    draw_costs,
    draw_explanations,
    draw_forecasts,
    draw_importances,
    draw_leaderboard,
    draw_quality,
)
from clepsydra.pipelines.report.nodes import pick_series, render_page, summarize
from helpers import NEW_YORK, make_series, make_task

CUTOFF = pd.Timestamp("2013-01-03 23:00")
MODELS = ModelsConfig.model_validate({"m": {"engine": "naive2"}, "n": {"engine": "naive2"}})
QUALITY = pd.DataFrame(
    [
        ("flights", "a", "rows in", 90),
        ("flights", "b", "rows in", 10),
        ("flights", "a", "rows kept", 93),
        ("flights", "a", "excluded: cancelled", 5),
        ("flights", "", "quarantined: no series id", 2),
        ("panel", "a", "steps imputed", 3),
        ("panel", "b", "steps imputed", 4),
    ],
    columns=["source", "unique_id", "measure", "value"],
)
COSTS = pd.DataFrame(
    {
        "model": ["m", "n"],
        "series": [1, 1],
        "windows": [2, 2],
        "seconds_per_series": [1.5, 0.002],
        "memory_mb": [90.0, 1234.0],
    }
)

IMPORTANCES = pd.DataFrame(
    {
        "model": ["m", "m", "n"],
        "scale": ["value", "value", "log"],
        "feature": ["lag24", "hour", "lag24"],
        "importance": [3.0, 1.0, 0.5],
        "share": [0.75, 0.25, 1.0],
    }
)


def explanations() -> pd.DataFrame:
    """Of one series the parts of two members' forecasts, of another none."""
    ds = pd.date_range("2013-01-04", periods=24, freq="h")
    parts = {"base": {"base": [5.0] * 24}, "feature": {"lag24": range(24), "hour": [-1.0] * 24}}
    frames = [parts_frame("a", ds, parts, scale).assign(model=scale) for scale in ("value", "log")]
    why = pd.DataFrame({"unique_id": ["b"], "model": ["value"], "reason": ["none"]})
    return pd.concat([*frames, why], ignore_index=True).assign(cutoff=CUTOFF)


def forecasts() -> pd.DataFrame:
    ahead = make_series("a", "2013-01-04", range(24)).rename(columns={"y": "y_hat"})
    ahead = ahead.assign(model="m", cutoff=CUTOFF)
    ahead["q0.1"], ahead["q0.9"] = ahead["y_hat"] - 1, ahead["y_hat"] + 1
    earlier = ahead.assign(
        ds=ahead["ds"] - pd.Timedelta("1D"), cutoff=CUTOFF - pd.Timedelta("1D"), unique_id="old"
    )
    return pd.concat([earlier, ahead], ignore_index=True)


def summary(**changes: Any) -> dict[str, Any]:
    values = {
        "series": pd.DataFrame({"unique_id": ["a", "b"], "flags": ["short, ended", "short"]}),
        "promoted_champions": pd.DataFrame({"model": ["m", "m"]}),
        "promotion": {"promoted": True},
        "verdict": {
            **dict.fromkeys(["champion_mase", "champion_mae", "relative_error"], 0.5),
            **dict.fromkeys(["reference_mase", "reference_mae"], 1.0),
            **dict.fromkeys(["series_with_zero_scale", "series_without_scale"], 0),
            "reference": "naive",
            "report_windows": 1,
            "first_report_target": "2013-01-03",
            "coverage_80": None,
        },
        "quality_report": QUALITY,
        "quarantine": pd.DataFrame({"reason": ["no series id", "no series id"]}),
        "failures": pd.DataFrame({"model": ["m", "m", "n"], "reason": ["no", "no", "short"]}),
        "forecast_failures": pd.DataFrame({"model": pd.Series(dtype=object)}),
        "costs": COSTS,
        "canary": pd.DataFrame({"model": ["m", "n"], "verdict": ["clean", "not tested"]}),
        "publication": {
            "series": 1,
            "rows": 24,
            "first_step": "2013-01-04 00:00:00",
            "last_step": "2013-01-04 23:00:00",
        },
        "retraining": {"reasons": [], "forecasts_due": 0},
        "clock": {"as_of": "2013-01-04", "cutoff": CUTOFF.isoformat()},
        "plan": everything(MODELS, 2),
        "trials": empty_trials(),
        "windows": pd.DataFrame({"role": ["select", "report"]}),
        "windows_config": WindowsConfig(calibrate=2, select=1, report=1),
        **changes,
    }
    return summarize(**values)


def test_the_summary_counts_what_the_tables_hold() -> None:
    found = summary()
    assert json.loads(json.dumps(found)) == found
    assert (found["series"], found["series_forecast"]) == (2, 1)
    assert (found["first_step"], found["last_step"]) == (
        "2013-01-04 00:00:00",
        "2013-01-04 23:00:00",
    )
    assert found["flags"] == {"short": 2, "ended": 1}
    assert found["champions"] == {"m": 2}
    assert found["rows_in"] == 100
    assert found["rows_excluded"] == {"cancelled": 5}
    assert found["rows_quarantined"] == 2
    assert found["quarantine_reasons"] == {"no series id": 2}
    assert found["steps_imputed"] == 7
    assert found["backtest_fallbacks"] == {"m": 2, "n": 1}
    assert found["forecast_fallbacks"] == {}
    assert found["seconds_per_series"] == {"m": 1.5, "n": 0.002}
    assert found["failed_models"] == {"m": "no"}, "all of m's two forecasts, one of n's"
    assert found["canary"] == {"clean": ["m"], "not tested": ["n"]}


def test_what_a_budget_was_spent_on_is_in_the_summary_and_else_nothing() -> None:
    plan = choose(MODELS, 60, 2, lambda name, _: Estimate(1.5, {"m": 10.0, "n": 90.0}[name], 1))
    found = summary(plan=plan)
    assert found["budget"] == {"models": 2, "run": 1, "seconds": 10.0, "took": 3.0}
    assert found["left_out"] == {"n": "left out: 90 s expected, 47 s left"}
    assert not {"budget", "left_out"} & summary().keys()
    unknown = choose(MODELS, 60, 2, lambda *_: Estimate(1.5, problem="it hangs"))
    assert summary(plan=unknown)["budget"]["seconds"] is None


def test_the_options_that_were_tuned_are_in_the_summary() -> None:
    columns = ["model", "trial", "options", "score", "state", "reason", "chosen"]
    rows = [
        ("m", 0, '{"a": 1}', 0.9, "complete", "", False),
        ("m", 1, '{"a": 2}', 0.8, "complete", "", True),
        ("m", 2, '{"a": 3}', float("nan"), "failed", "no", False),
        ("m", 3, '{"a": 3}', float("nan"), "failed", "the options of trial 2", False),
        ("m", 4, "{}", float("nan"), "not run", "time was over", False),
        ("n", 0, "{}", float("nan"), "not run", "too short", True),
    ]
    trials = pd.concat([empty_trials(), pd.DataFrame(rows, columns=columns)], ignore_index=True)
    found = summary(trials=trials)["tuned"]
    assert found["m"] == {
        "tried": 4,
        "failed": 2,
        "options": '{"a": 2}',
        "is_own": False,
        "score": 0.8,
        "own_score": 0.9,
        "problem": "no",
        "stopped": "time was over",
    }
    assert (found["n"]["tried"], found["n"]["score"], found["n"]["stopped"]) == (
        0,
        None,
        "too short",
    )
    assert summary()["tuned"] == {}


def test_windows_that_the_history_has_no_room_for_are_in_the_summary() -> None:
    assert summary()["windows"] == {"calibrate": [0, 2], "select": [1, 1], "report": [1, 1]}


def test_nothing_to_report_is_zero() -> None:
    found = summary(
        quality_report=QUALITY.iloc[:0],
        quarantine=pd.DataFrame({"reason": pd.Series(dtype=object)}),
        series=pd.DataFrame({"unique_id": ["a"], "flags": [""]}),
    )
    assert (found["rows_in"], found["steps_imputed"], found["rows_quarantined"]) == (0, 0, 0)
    assert found["flags"] == found["rows_excluded"] == {}


@pytest.fixture
def figures() -> list[go.Figure]:
    panel = make_series("a", "2013-01-01", range(72)).assign(is_imputed=False)
    leaderboard = pd.DataFrame(
        {"model": ["m", "n"], "metric": "mase", "value": [0.5, 0.7], "group": ["a", "b"]}
    )
    scores = pd.DataFrame(
        {
            "unique_id": ["a", "b"],
            "model": ["m", "n"],
            "mase": [0.5, None],
            "reference_mase": [0.6, 0.7],
        }
    )
    return [
        draw_forecasts(panel, forecasts(), make_task(timezone=NEW_YORK)),
        draw_leaderboard(leaderboard),
        draw_champions(scores, {"reference": "ref"}),
        draw_costs(COSTS),
        draw_quality(QUALITY),
        draw_importances(IMPORTANCES),
        draw_explanations(explanations(), forecasts(), make_task(timezone=NEW_YORK)),
    ]


def test_figures_show_the_data_on_the_local_clock(figures: list[go.Figure]) -> None:
    actual, band, forecast = figures[0].data
    assert len(actual.x) == 48
    assert pd.Timestamp(forecast.x[0]) == pd.Timestamp("2013-01-03 19:00")
    assert list(forecast.y) == list(range(24))
    assert len(band.y) == 48
    assert list(figures[1].data[0].y) == ["n", "m"], "the best is drawn last, on top"
    assert len(figures[2].data[0].x) == 1
    assert list(figures[3].data[0].y) == ["m", "n"]
    assert list(figures[3].data[0].text) == ["90 MB", "1,234 MB"]
    assert list(figures[4].data[0].cells["values"][2])[-1] == 7

    menus = [figure.layout.updatemenus[0].buttons for figure in figures[5:]]
    assert [[button.label for button in menu] for menu in menus] == [
        ["m", "n (log)"],
        ["a: log (log)", "a: value"],
    ]
    assert list(figures[5].data[0].y) == ["hour", "lag24"], "the most important on top"
    *bars, line = figures[6].data[:4]
    assert [bar.name for bar in bars] == ["lag24", "base", "hour"]
    assert list(line.y) == [4.0 + step for step in range(24)]
    assert pd.Timestamp(line.x[0]) == pd.Timestamp("2013-01-03 19:00")


def test_figures_without_an_explanation_say_so() -> None:
    nothing = draw_explanations(explanations().tail(1), forecasts(), make_task())
    assert nothing.layout.title.text == "No forecast has parts that it is the sum of"
    assert "No champion" in draw_importances(IMPORTANCES.iloc[:0]).layout.title.text


def test_the_page_holds_every_figure_and_needs_no_network(figures: list[go.Figure]) -> None:
    page = render_page(summary(clock={"as_of": "<b>", "cutoff": CUTOFF.isoformat()}), *figures)
    assert page.count("<section>") == len(figures)
    assert page.count("Plotly.newPlot(") >= len(figures)
    assert "1 of 2 series" in page
    assert "MASE 0.500, naive 1.000: 50.0% lower" in page
    assert "&lt;b&gt;" in page
    assert '<script src="http' not in page
    assert "src='http" not in page


def test_no_figure_is_a_page_still() -> None:
    assert render_page(summary()).endswith("</html>")


# By the sum of their values, e is the largest and a the smallest.
LARGEST = ["b", "c", "d", "e"]


def shown(folder: Path, shards: list[int], explained: list[str]) -> tuple[pd.DataFrame, ...]:
    """What charts show of five series that are in these shards."""
    ids = [*"abcde"]
    panel = pd.concat(
        [
            make_series(uid, "2013-01-01", [size] * 72).sample(frac=1, random_state=0)
            for size, uid in enumerate(ids, 1)
        ]
    )
    ahead = pd.concat([forecasts().tail(24).assign(unique_id=uid) for uid in ids])
    paths = []
    for name, table in (("panel", panel), ("forecasts", ahead)):
        for number in range(max(shards) + 1):
            inside = [uid for uid, shard in zip(ids, shards, strict=True) if shard == number]
            paths.append(folder / f"{name}_{number}.parquet")
            file = ParquetDataset(filepath=str(paths[-1]), save_args={"index": False})
            file.save(table[table["unique_id"].isin(inside)])
    explanations = pd.DataFrame({"unique_id": explained}, dtype=object)
    return pick_series(make_task(), explanations, *paths, n_shards=max(shards) + 1)


@settings(max_examples=10)
@given(
    st.lists(st.integers(0, 3), min_size=5, max_size=5),
    st.lists(st.sampled_from([*"abcde", "gone"])),
)
def test_charts_show_the_largest_series_and_those_that_are_explained(
    tmp_path_factory: pytest.TempPathFactory, shards: list[int], explained: list[str]
) -> None:
    panel, ahead = shown(tmp_path_factory.mktemp("shards"), shards, explained)
    assert panel["unique_id"].value_counts().to_dict() == dict.fromkeys(LARGEST, 48)
    last = pd.date_range("2013-01-02", periods=48, freq="h")
    assert all(rows["ds"].tolist() == last.tolist() for _, rows in panel.groupby("unique_id"))
    wanted = {*LARGEST, *explained} - {"gone"}
    assert ahead["unique_id"].value_counts().to_dict() == dict.fromkeys(wanted, 24)


def test_files_of_other_than_all_shards_are_refused() -> None:
    explanations = pd.DataFrame({"unique_id": []}, dtype=object)
    for number in (0, 3, 5, 7):
        with pytest.raises(ValueError, match=f"{number} files for 3 shards: the node takes"):
            pick_series(make_task(), explanations, *[Path("a")] * number, n_shards=3)


def test_charts_of_what_was_picked_are_those_of_everything(tmp_path: Path) -> None:
    panel, ahead = shown(tmp_path, [0, 1, 2, 1, 3], [])
    everything = pd.concat(
        [make_series(uid, "2013-01-01", [size] * 72) for size, uid in enumerate("abcde", 1)]
    )
    all_ahead = pd.concat([forecasts().tail(24).assign(unique_id=uid) for uid in "abcde"])
    found = draw_forecasts(panel, ahead, make_task())
    assert found == draw_forecasts(everything, all_ahead, make_task())
    assert len(found.data) == 3 * len(LARGEST)
