"""The end of a run as text: what was forecast, how good it is, what it cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clepsydra.pipelines.report.lines import labelled
from clepsydra.pipelines.report.text import describe_run
from clepsydra.profile import parallel_efficiency

__all__ = ["format_summary"]

_WIDTH = 78


def format_summary(
    run_summary: dict[str, Any] | None,
    profile: pd.DataFrame,
    wall: float,
    runner: str,
    nodes: tuple[int, int] | None = None,
) -> str:
    """The lines to print when a run ends.

    Args:
        run_summary: the dataset of that name, or nothing if the run did not make it.
        profile: from `profile_table`.
        wall: seconds the run took.
        runner: name of the runner.
        nodes: how many ran and how many did not have to; nothing if the runner runs all.
    """
    lines = ["", "─" * _WIDTH]
    if run_summary:
        lines += describe_run(run_summary)
    lines += _costs(profile, wall, runner)
    if nodes is not None:
        lines.append(labelled("nodes", _ran(*nodes)))
    return "\n".join([*lines, "─" * _WIDTH])


def _ran(ran: int, skipped: int) -> str:
    if not skipped:
        return f"all {ran} ran (dataset 'run_manifest' says why)"
    unchanged = f"{skipped} unchanged (dataset 'run_manifest' says why)"
    return f"{ran} of {ran + skipped} ran, {unchanged}"


def _costs(profile: pd.DataFrame, wall: float, runner: str) -> list[str]:
    if profile.empty:
        return [labelled("time", f"{wall:.1f} s; no node was timed")]
    processes, efficiency = parallel_efficiency(profile, wall)
    stages = profile.groupby("stage", sort=False).agg(
        seconds=("seconds", "sum"), start=("start", "min")
    )
    parts = [f"{name} {row.seconds:.1f}" for name, row in stages.sort_values("start").iterrows()]
    lines = [
        labelled("time", f"{wall:.1f} s, {len(profile)} nodes, {_class_name(runner)}"),
    ]
    for start in range(0, len(parts), 5):
        text = ", ".join(parts[start : start + 5])
        lines.append(labelled("stages, s" if start == 0 else "", text))
    lines += [
        labelled("parallel", f"{processes} processes, {efficiency:.0%} of their time in nodes"),
        labelled("memory", f"{profile['peak_mb'].max():,.0f} MB in the largest process"),
    ]
    return lines


def _class_name(description: str) -> str:
    """`<kedro.runner.X object at 0x7f>`, as Kedro describes a runner to hooks, to `X`."""
    return description.split(" object at ")[0].rsplit(".", 1)[-1]
