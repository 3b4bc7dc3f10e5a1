"""Where the time and the memory of a run went, node by node."""

from __future__ import annotations

import os
import time
from typing import Any

import pandas as pd
from kedro.pipeline import Pipeline

from clepsydra.cost import highest_mb, highest_of_children_mb

__all__ = ["parallel_efficiency", "profile_table", "usage"]

_COLUMNS = ["run_id", "node", "stage", "pid", "start", "seconds", "cpu_seconds", "peak_mb"]


def usage() -> dict[str, float]:
    """Clock; CPU seconds so far, children's too; the highest memory of any of them in MB."""
    cpu = os.times()
    own, children = cpu.user + cpu.system, cpu.children_user + cpu.children_system
    peak = max(highest_mb(), highest_of_children_mb())
    return {"time": time.time(), "cpu": own + children, "peak_mb": peak}


def profile_table(events: list[dict[str, Any]], pipeline: Pipeline, run_id: str) -> pd.DataFrame:
    """One row a node.

    Returns:
        `run_id`, `node`, `stage`, `pid`, `start` (UTC), `seconds`, `cpu_seconds` and `peak_mb`, the
        highest memory of the worker up to the end of the node.
    """
    stages = {node.name: (node.namespace or "").split(".")[0] for node in pipeline.nodes}
    rows = [
        {
            "run_id": run_id,
            "node": event["node"],
            "stage": stages.get(event["node"], ""),
            "pid": event["pid"],
            "start": pd.Timestamp(event["start"]["time"], unit="s").round("ms"),
            "seconds": round(event["end"]["time"] - event["start"]["time"], 4),
            "cpu_seconds": round(event["end"]["cpu"] - event["start"]["cpu"], 4),
            "peak_mb": round(event["end"]["peak_mb"], 1),
        }
        for event in events
    ]
    return pd.DataFrame(rows, columns=_COLUMNS).sort_values("start", ignore_index=True)


def parallel_efficiency(profile: pd.DataFrame, wall: float) -> tuple[int, float]:
    """How many processes ran nodes, and which share of their time they were busy.

    Args:
        profile: from `profile_table`.
        wall: seconds the run took.

    Returns:
        Processes, and seconds in nodes over processes times wall seconds.
    """
    processes = max(int(profile["pid"].nunique()), 1)
    return processes, float(profile["seconds"].sum()) / (processes * wall) if wall else 0.0
