"""The charts, as Plotly figures: the same ones for kedro-viz, the dashboard and the report page."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from clepsydra.config import TaskConfig
from clepsydra.timegrid import to_wall

__all__ = [
    "SHOWN_SEASONS",
    "SHOWN_SERIES",
    "draw_champions",
    "draw_costs",
    "draw_explanations",
    "draw_forecasts",
    "draw_importances",
    "draw_leaderboard",
    "draw_quality",
]

# The colour-blind-safe palette of Okabe and Ito (2008).
_BLUE, _GREY = "#0072B2", "#6E6E6E"
_PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
SHOWN_SERIES = 4
SHOWN_SEASONS = 2
_SHOWN_POINTS = 2000
_SHOWN_FEATURES = 15


def _layout(figure: go.Figure, title: str, x: str, y: str) -> go.Figure:
    figure.update_layout(
        title=title, xaxis_title=x, yaxis_title=y, template="plotly_white", hovermode="x unified"
    )
    return figure


def _choose(figure: go.Figure, names: list[str], of: list[int]) -> None:
    """A menu of names, each of which shows its own traces: those with its place in `of`."""
    buttons = [
        {
            "label": name,
            "method": "update",
            "args": [{"visible": [place == position for place in of]}],
        }
        for position, name in enumerate(names)
    ]
    figure.update_layout(updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.15}])


def draw_forecasts(panel: pd.DataFrame, forecasts: pd.DataFrame, task: TaskConfig) -> go.Figure:
    """The largest series: the last seasons, the newest forecast and its 80 % interval."""
    newest = forecasts[forecasts["cutoff"] == panel["ds"].max()]
    volume = panel[panel["unique_id"].isin(newest["unique_id"])].groupby("unique_id")["y"].sum()
    shown = volume.nlargest(SHOWN_SERIES).index.tolist()
    figure = go.Figure()
    for position, unique_id in enumerate(shown):
        past = panel[panel["unique_id"] == unique_id].tail(SHOWN_SEASONS * task.season_length)
        ahead = newest[newest["unique_id"] == unique_id]
        past_time, ahead_time = (to_wall(frame["ds"], task.timezone) for frame in (past, ahead))
        band_x = pd.concat([ahead_time, ahead_time[::-1]])
        band_y = pd.concat([ahead["q0.9"], ahead["q0.1"][::-1]])
        model = ahead["model"].iloc[0]
        for trace in (
            go.Scatter(x=past_time, y=past["y"], name="actual", line_color=_GREY),
            go.Scatter(
                x=band_x,
                y=band_y,
                name="80 % interval",
                fill="toself",
                line_width=0,
                fillcolor="rgba(0,114,178,0.2)",
            ),
            go.Scatter(
                x=ahead_time, y=ahead["y_hat"], name=f"forecast ({model})", line_color=_BLUE
            ),
        ):
            figure.add_trace(trace.update(visible=position == 0))
    _choose(figure, shown, [number // 3 for number in range(3 * len(shown))])
    title = "Forecasts of the largest series; the gap before them was not known yet"
    return _layout(figure, title, f"time ({task.timezone})", "value")


def draw_leaderboard(leaderboard: pd.DataFrame) -> go.Figure:
    """Mean MASE of every model on the report windows, best first; its confidence set in blue."""
    rows = leaderboard[leaderboard["metric"] == "mase"].sort_values("value", ascending=False)
    colours = rows["group"].map({"a": _BLUE}).fillna(_GREY)
    figure = go.Figure(
        go.Bar(x=rows["value"], y=rows["model"], orientation="h", marker_color=colours)
    )
    title = "Models on report windows: any of the blue ones may be the best"
    return _layout(figure, title, "mean MASE on report windows", "").update_layout(
        hovermode="closest"
    )


def draw_champions(champion_scores: pd.DataFrame, verdict: dict[str, Any]) -> go.Figure:
    """Each series' champion against the reference, in MASE; of many series, some evenly spread."""
    rows = champion_scores.dropna(subset=["mase", "reference_mase"])
    rows = rows.iloc[:: max(1, len(rows) // _SHOWN_POINTS)]
    top = max([1.0, *rows["mase"], *rows["reference_mase"]])
    figure = go.Figure(
        [
            go.Scatter(
                x=rows["reference_mase"],
                y=rows["mase"],
                mode="markers",
                text=rows["unique_id"] + ", " + rows["model"],
                name="series",
                marker_color=_BLUE,
            ),
            go.Scatter(x=[0, top], y=[0, top], mode="lines", name="equal", line_color=_GREY),
        ]
    )
    title = "Champions on report windows: below the line they beat the reference"
    return _layout(
        figure, title, f"MASE of {verdict['reference']}", "MASE of the champion"
    ).update_layout(hovermode="closest")


def draw_costs(costs: pd.DataFrame) -> go.Figure:
    """Seconds that a fit and a forecast of one series take, by model, and the memory of all."""
    rows = costs.sort_values("seconds_per_series", ascending=False)
    figure = go.Figure(
        go.Bar(
            x=rows["seconds_per_series"],
            y=rows["model"],
            orientation="h",
            marker_color=_BLUE,
            text=rows["memory_mb"].map("{:,.0f} MB".format),
        )
    )
    title = "What models cost: a fit and a forecast of one series, and memory"
    return _layout(figure, title, "seconds a series (logarithmic)", "").update_layout(
        hovermode="closest", xaxis_type="log"
    )


def draw_quality(quality_report: pd.DataFrame) -> go.Figure:
    """What became of every raw row and every grid step, by source."""
    totals = quality_report.groupby(["source", "measure"], sort=True)["value"].sum().reset_index()
    figure = go.Figure(
        go.Table(
            header={"values": ["source", "measure", "count"], "align": "left"},
            cells={
                "values": [totals["source"], totals["measure"], totals["value"]],
                "align": ["left", "left", "right"],
                "format": [None, None, ","],
            },
        )
    )
    return figure.update_layout(title="The account of every row")


def draw_importances(importances: pd.DataFrame) -> go.Figure:
    """What matters to each model: the mean size of its strongest features' contributions."""
    figure, names = go.Figure(), []
    for position, (key, rows) in enumerate(importances.groupby(["model", "scale"], sort=True)):
        model, scale = key
        names.append(str(model) if scale == "value" else f"{model} ({scale})")
        rows = rows.head(_SHOWN_FEATURES)[::-1]
        figure.add_trace(
            go.Bar(
                x=rows["importance"],
                y=rows["feature"],
                orientation="h",
                name=names[-1],
                marker_color=_BLUE,
                text=rows["share"].map("{:.0%}".format),
                visible=position == 0,
            )
        )
    _choose(figure, names, list(range(len(names))))
    title = "What forecasts depend on: by so much does a feature move them"
    if not names:
        title = "No champion has features whose importance could be told"
    return _layout(figure, title, "mean size of the contribution", "").update_layout(
        hovermode="closest"
    )


def draw_explanations(
    explanations: pd.DataFrame, forecasts: pd.DataFrame, task: TaskConfig
) -> go.Figure:
    """The largest explained series: the parts that each model's forecast is the sum of."""
    parts = explanations[explanations["ds"].notna()]
    newest = forecasts[forecasts["cutoff"].isin(explanations["cutoff"])]
    volume = newest.groupby("unique_id")["y_hat"].sum()
    shown = volume[volume.index.isin(parts["unique_id"])].nlargest(SHOWN_SERIES).index
    figure, names, of = go.Figure(), [], []
    for unique_id in shown:
        its = parts[parts["unique_id"] == unique_id]
        for model, rows in its.groupby("model", sort=True):
            scale = rows["scale"].iloc[0]
            label = f"{unique_id}: {model}"
            names.append(label if scale == "value" else f"{label} ({scale})")
            traces = _stacked(rows, task)
            figure.add_traces([its.update(visible=len(names) == 1) for its in traces])
            of += [len(names) - 1] * len(traces)
    _choose(figure, names, of)
    title = "What forecasts of the largest series are the sum of"
    if not names:
        title = "No forecast has parts that it is the sum of"
    return _layout(figure, title, f"time ({task.timezone})", "contribution").update_layout(
        barmode="relative"
    )


def _stacked(rows: pd.DataFrame, task: TaskConfig) -> list[go.Bar | go.Scatter]:
    """A bar a part, the largest first, and their sum as a line."""
    size = rows["contribution"].abs().groupby(rows["feature"]).sum()
    bars = []
    for number, name in enumerate(size.sort_values(ascending=False, kind="stable").index):
        part = rows[rows["feature"] == name]
        colour = _GREY if part["kind"].iloc[0] == "base" else _PALETTE[number % len(_PALETTE)]
        time = to_wall(part["ds"], task.timezone)
        bars.append(go.Bar(x=time, y=part["contribution"], name=name, marker_color=colour))
    total = rows.groupby("ds", sort=True)["contribution"].sum().reset_index()
    time = to_wall(total["ds"], task.timezone)
    return [*bars, go.Scatter(x=time, y=total["contribution"], name="forecast", line_color="black")]
