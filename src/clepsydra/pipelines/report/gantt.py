"""The run as a chart: which node ran when, and where."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

__all__ = ["draw_run"]

# Paul Tol's colour-blind-safe scheme "muted", for as many as ten stages.
_PALETTE = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#BBBBBB"),
)
# Of the time of the run: bars that are shorter are drawn without an edge, which would hide them.
_EDGED = 0.005
_ROW_HEIGHT, _MARGINS, _TALLEST = 60, 240, 1200
_HOVER = (
    "<b>%{customdata[0]}</b><br>"
    "%{x:.2f} s, %{customdata[1]:.2f} s of CPU, from second %{base:.2f}<br>"
    "waited %{customdata[2]:.2f} s for a process<br>"
    "%{customdata[3]:,.0f} MB at most<br>"
    "%{customdata[4]} MB read, %{customdata[5]} MB written"
    "<extra>process %{customdata[6]}</extra>"
)


def draw_run(profile: pd.DataFrame) -> go.Figure:
    """A bar a node, a row a process; the critical path is outlined.

    Args:
        profile: the dataset `run_profile`.
    """
    rows = profile.sort_values("start", kind="stable")
    begun = rows["start"].min()
    rows = rows.assign(
        begin=(rows["start"] - begun).dt.total_seconds().round(3),
        process=rows["pid"].map({pid: number for number, pid in enumerate(rows["pid"].unique())}),
        mb_read=_in_mb(rows["bytes_read"]),
        mb_written=_in_mb(rows["bytes_written"]),
    )
    figure = go.Figure()
    span = (rows["begin"] + rows["seconds"]).max()
    edges = (rows["seconds"] > _EDGED * span).astype(float)
    shown = ["node", "cpu_seconds", "waited_seconds", "peak_mb", "mb_read", "mb_written", "pid"]
    for number, (stage, its) in enumerate(rows.groupby("stage", sort=False)):
        bars = _bars(its).update(
            name=str(stage),
            customdata=its[shown].to_numpy(dtype=object),
            hovertemplate=_HOVER,
            marker_color=_PALETTE[number % len(_PALETTE)],
            marker_line={"color": "white", "width": edges[its.index]},
        )
        figure.add_trace(bars)
    if len(rows):
        outlines = _bars(rows[rows["on_critical_path"]]).update(
            name="critical path",
            hoverinfo="skip",
            marker_color="rgba(0,0,0,0)",
            marker_line={"color": "black", "width": 2},
        )
        figure.add_trace(outlines)
    n_processes = int(rows["pid"].nunique())
    figure.update_layout(
        title=_title(rows),
        xaxis_title="seconds since the first node began",
        yaxis={"title": "process", "autorange": "reversed", "dtick": 1, "showgrid": False},
        template="plotly_white",
        barmode="overlay",
        bargap=0.25,
        height=min(_MARGINS + _ROW_HEIGHT * max(n_processes, 1), _TALLEST),
        legend={"title": "stage", "orientation": "h", "yanchor": "bottom", "y": 1.0},
        showlegend=True,
    )
    return figure


def _bars(rows: pd.DataFrame) -> go.Bar:
    return go.Bar(base=rows["begin"], x=rows["seconds"], y=rows["process"] + 1, orientation="h")


def _in_mb(count: pd.Series) -> pd.Series:
    return (count.astype("Float64") / 1e6).map("{:,.1f}".format, na_action="ignore").fillna("?")


def _title(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "No node of this run was timed"
    path = rows[rows["on_critical_path"]]
    ends = rows["begin"] + rows["seconds"]
    return (
        f"Nodes of the run; outlined: the critical path, {path['seconds'].sum():.1f} s in "
        f"{len(path)} nodes, of {ends.max():.1f} s"
    )
