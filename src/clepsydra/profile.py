"""Where the time and the memory of a run went, node by node."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Pipeline

from clepsydra.cost import MemoryWatch
from clepsydra.critical_path import critical_path, times_ready

__all__ = [
    "NodeWatch",
    "dependencies_of",
    "explained",
    "parallel_efficiency",
    "profile_table",
    "seconds_of_path",
    "usage",
]

_TYPES = {
    **dict.fromkeys(("run_id", "node", "stage"), "str"),
    "pid": "int64",
    "start": "datetime64[ns]",
    **dict.fromkeys(("seconds", "cpu_seconds", "peak_mb"), "float64"),
    **dict.fromkeys(("bytes_read", "bytes_written"), "Int64"),
}
_IO = Path("/proc/self/io")


def usage() -> dict[str, float]:
    """What this process has used so far, with its children that have ended.

    Returns:
        `time`: the clock; `cpu`: seconds; `read` and `written`: bytes that went through system
        calls, where the system counts them (Linux).
    """
    cpu = os.times()
    found = {"time": time.time(), "cpu": sum(cpu[:4])}
    with contextlib.suppress(OSError):
        counts = dict(line.split(": ") for line in _IO.read_text().splitlines())
        found |= {"read": int(counts["rchar"]), "written": int(counts["wchar"])}
    return found


class NodeWatch:
    """What a node takes in the process that runs it, from now until its `event` is asked for."""

    def __init__(self) -> None:
        self._memory = MemoryWatch()
        self._start = usage()

    def event(self, node: str) -> dict[str, Any]:
        """What `profile_table` makes a row of."""
        end = {**usage(), "peak_mb": self._memory.highest_with_children()}
        return {"node": node, "pid": os.getpid(), "start": self._start, "end": end}


def profile_table(events: list[dict[str, Any]], pipeline: Pipeline, run_id: str) -> pd.DataFrame:
    """One row a node, in order of time.

    `bytes_read` and `bytes_written` are what the process asked the system for, be it on the disk or
    in the system's cache. Of a file that is read in part they count that part. Code that a process
    imports with its first nodes is read, too, and what goes to models in processes of their own and
    back is both written and read. Files mapped into memory are not counted; pandas and Polars do
    not map the Parquet files they read.

    Args:
        events: from `NodeWatch`.
        pipeline: that ran.
        run_id: of the run.

    Returns:
        `run_id`; `node`; `stage`; `pid`; `start` (UTC); `seconds`; `cpu_seconds`; `peak_mb`, the
        most memory that the process, or a child of it, had in use during the node (where the system
        cannot tell that, up to its end); `bytes_read` and `bytes_written`, missing where the system
        does not count them; and the columns of `explained`.
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
            "bytes_read": _between(event, "read"),
            "bytes_written": _between(event, "written"),
        }
        for event in events
    ]
    table = pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES)
    return explained(table.sort_values("start", ignore_index=True), dependencies_of(pipeline))


def _between(event: dict[str, Any], name: str) -> float | None:
    start, end = event["start"].get(name), event["end"].get(name)
    return None if start is None or end is None else end - start


def dependencies_of(pipeline: Pipeline) -> dict[str, set[str]]:
    """Which nodes each node waits for, by name."""
    return {
        node.name: {other.name for other in others}
        for node, others in pipeline.node_dependencies.items()
    }


def explained(profile: pd.DataFrame, dependencies: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """The profile with two columns about what nodes waited for, new or anew.

    Args:
        profile: from `profile_table`.
        dependencies: which nodes each waits for.

    Returns:
        Also `waited_seconds`, from when all inputs of the node were there to its start: for a
        process, mostly; and `on_critical_path`, whether it is in the longest chain of nodes that
        wait for one another.
    """
    seconds = dict(zip(profile["node"], profile["seconds"], strict=True))
    first = profile["start"].min()
    starts = (profile["start"] - first).dt.total_seconds()
    spans = {
        name: (start, start + seconds[name])
        for name, start in zip(profile["node"], starts, strict=True)
    }
    ready = profile["node"].map(times_ready(spans, dependencies)).astype("float64")
    path = critical_path(seconds, dependencies)
    return profile.assign(
        waited_seconds=(starts - ready).clip(lower=0.0).round(3),
        on_critical_path=profile["node"].isin(path),
    )


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


def seconds_of_path(profile: pd.DataFrame) -> float:
    """Seconds of the critical path."""
    return float(profile.loc[profile["on_critical_path"], "seconds"].sum())
