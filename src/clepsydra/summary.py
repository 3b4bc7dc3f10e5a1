"""The end of a run as text: what was forecast, how good it is, what it cost."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd

from clepsydra.advice import advise
from clepsydra.cost import machine_mb
from clepsydra.critical_path import seconds_at_best
from clepsydra.pipelines.report.lines import labelled
from clepsydra.pipelines.report.text import describe_run
from clepsydra.profile import parallel_efficiency, seconds_of_path

__all__ = ["format_summary"]

_WIDTH = 78


def format_summary(
    run_summary: dict[str, Any] | None,
    profile: pd.DataFrame,
    wall: float,
    runner: str,
    n_shards: int | None = None,
    nodes: tuple[int, int] | None = None,
) -> str:
    """The lines to print when a run ends.

    Args:
        run_summary: the dataset of that name, or nothing if the run did not make it.
        profile: from `profile_table`.
        wall: seconds the run took.
        runner: name of the runner.
        n_shards: the parameter, for advice.
        nodes: how many ran and how many did not have to; nothing if the runner runs all.
    """
    lines = ["", "─" * _WIDTH]
    if run_summary:
        lines += describe_run(run_summary)
    lines += _costs(profile, wall, runner, n_shards)
    if nodes is not None:
        lines.append(labelled("nodes", _ran(*nodes)))
    return "\n".join([*lines, "─" * _WIDTH])


def _ran(ran: int, skipped: int) -> str:
    if not skipped:
        return f"all {ran} ran (dataset 'run_manifest' says why)"
    unchanged = f"{skipped} unchanged (dataset 'run_manifest' says why)"
    return f"{ran} of {ran + skipped} ran, {unchanged}"


def _costs(profile: pd.DataFrame, wall: float, runner: str, n_shards: int | None) -> list[str]:
    if profile.empty:
        return [labelled("time", f"{wall:.1f} s; no node was timed")]
    processes, efficiency = parallel_efficiency(profile, wall)
    stages = profile.groupby("stage", sort=False).agg(
        seconds=("seconds", "sum"), start=("start", "min")
    )
    parts = [f"{name} {row.seconds:.1f}" for name, row in stages.sort_values("start").iterrows()]
    lines = [
        labelled("time", f"{wall:.1f} s, {_counted(len(profile), 'node')}, {_class_name(runner)}"),
    ]
    for start in range(0, len(parts), 5):
        text = ", ".join(parts[start : start + 5])
        lines.append(labelled("stages, s" if start == 0 else "", text))
    for name, text in {
        "parallel": f"{_counted(processes, 'process')}, {efficiency:.0%} of their time in nodes",
        "critical path": _critical_path(profile, wall),
        "bound": _bound(profile, processes),
        "memory": f"{profile['peak_mb'].max():,.0f} MB in the largest process",
        "advice": advise(profile, wall, machine_mb(), n_shards),
    }.items():
        wrapped = textwrap.wrap(text, _WIDTH - len(labelled("", "")), break_on_hyphens=False)
        lines += [labelled("" if number else name, line) for number, line in enumerate(wrapped)]
    return lines


def _critical_path(profile: pd.DataFrame, wall: float) -> str:
    path = profile[profile["on_critical_path"]]
    seconds, longest = path["seconds"].sum(), path.loc[path["seconds"].idxmax()]
    return (
        f"{seconds:.1f} s in {_counted(len(path), 'node')}, {seconds / wall:.0%} of the time; "
        f"longest {longest['node']} {longest['seconds']:.1f} s"
    )


def _bound(profile: pd.DataFrame, processes: int) -> str:
    work, path = float(profile["seconds"].sum()), seconds_of_path(profile)
    if path <= 0:
        return ""
    least = seconds_at_best(work, path, processes)
    text = f"{least:.1f} s at best on {_counted(processes, 'process')}, {path:.1f} s on any number"
    return f"{text}, {work / path:.1f} times as fast as one"


def _counted(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{plural if number != 1 else ''}"


def _class_name(description: str) -> str:
    """`<kedro.runner.X object at 0x7f>`, as Kedro describes a runner to hooks, to `X`."""
    return description.split(" object at ")[0].rsplit(".", 1)[-1]
