"""The charts, as Plotly figures: the same ones for kedro-viz, the dashboard and the report page."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from clepsydra.config import TaskConfig
from clepsydra.timegrid import to_wall

__all__ = ["draw_champions", "draw_costs", "draw_forecasts", "draw_leaderboard", "draw_quality"]

# The colour-blind-safe palette of Okabe and Ito (2008).
_BLUE, _GREY = "#0072B2", "#6E6E6E"
_SHOWN_SERIES = 4
_SHOWN_SEASONS = 2


def _layout(figure: go.Figure, title: str, x: str, y: str) -> go.Figure:
    figure.update_layout(
        title=title, xaxis_title=x, yaxis_title=y, template="plotly_white", hovermode="x unified"
    )
    return figure


def draw_forecasts(panel: pd.DataFrame, forecasts: pd.DataFrame, task: TaskConfig) -> go.Figure:
    """The largest series: the last seasons, the newest forecast and its 80 % interval."""
    newest = forecasts[forecasts["cutoff"] == panel["ds"].max()]
    volume = panel[panel["unique_id"].isin(newest["unique_id"])].groupby("unique_id")["y"].sum()
    shown = volume.nlargest(_SHOWN_SERIES).index.tolist()
    figure = go.Figure()
    for position, unique_id in enumerate(shown):
        past = panel[panel["unique_id"] == unique_id].tail(_SHOWN_SEASONS * task.season_length)
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
    buttons = [
        {
            "label": unique_id,
            "method": "update",
            "args": [{"visible": [number // 3 == position for number in range(3 * len(shown))]}],
        }
        for position, unique_id in enumerate(shown)
    ]
    figure.update_layout(updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.15}])
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
    """Each series' champion against the reference, in MASE."""
    rows = champion_scores.dropna(subset=["mase", "reference_mase"])
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
