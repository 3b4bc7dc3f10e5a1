"""Profiles of runs that never were."""

from __future__ import annotations

import pandas as pd

from clepsydra.profile import explained


def profile_of(
    *nodes: tuple[str, int, float, float],
    waits: dict[str, set[str]] | None = None,
    peak_mb: float = 500.0,
) -> pd.DataFrame:
    """A profile of nodes (name, process, start and end in seconds).

    Args:
        nodes: the stage is the first part of the name.
        waits: which nodes each waits for.
        peak_mb: of every node.
    """
    rows = [
        {
            "run_id": "run-1",
            "node": name,
            "stage": name.split(".")[0],
            "pid": pid,
            "start": pd.Timestamp("2024-03-01") + pd.Timedelta(start, unit="s"),
            "seconds": float(end - start),
            "cpu_seconds": float(end - start) / 2,
            "peak_mb": peak_mb,
            "bytes_read": 2_000_000,
            "bytes_written": pd.NA,
        }
        for name, pid, start, end in nodes
    ]
    table = pd.DataFrame(rows).astype({"bytes_read": "Int64", "bytes_written": "Int64"})
    return explained(table, waits or {})
