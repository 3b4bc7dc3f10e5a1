"""One line of advice at the end of a run: what would make the next one faster, or safer."""

from __future__ import annotations

import re

import pandas as pd

from clepsydra.critical_path import seconds_at_worst
from clepsydra.profile import parallel_efficiency, seconds_of_path

__all__ = ["advise"]

# Share of the machine's memory from which a run that grows a little may be killed.
_NEARLY_ALL_MEMORY = 0.8
# Share of the run that is surely spent outside of nodes.
_MUCH_STARTING = 0.25
# Share of the time of all processes that they idle while one node runs.
_MUCH_IDLE = 0.1
# How busy processes must be for more of them to help, and how much faster a run must be able to
# become for that to be worth a word.
_BUSY, _WORTHWHILE = 0.75, 1.5
# Share of their time that nodes compute, below which something else holds them up.
_SELDOM_COMPUTING = 0.5
# Seconds; a shorter run is fast enough.
_SHORT = 10.0
_SHARD = re.compile(r"\bshard_(\d+)\b")


def advise(
    profile: pd.DataFrame,
    wall: float,
    memory_mb: float = float("inf"),
    n_shards: int | None = None,
) -> str:
    """What to change, by what matters most: memory, starting, waiting, idling, cores.

    Args:
        profile: from `profile_table`.
        wall: seconds the run took.
        memory_mb: of the machine.
        n_shards: the parameter. A shard with that number or a higher one is not of its making.

    Returns:
        A sentence that names what it is about, or nothing if there is nothing worth a change.
    """
    if profile.empty or wall <= 0:
        return ""
    urgent = _about_memory(profile, memory_mb) or _about_starting(profile, wall)
    if urgent or wall < _SHORT:
        return urgent
    return (
        _about_waiting(profile)
        or _about_idling(profile, wall, n_shards)
        or _about_cores(profile, wall)
    )


def _about_memory(profile: pd.DataFrame, memory_mb: float) -> str:
    peaks = profile.groupby("pid")["peak_mb"].max()
    if len(peaks) < 2 or peaks.sum() < _NEARLY_ALL_MEMORY * memory_mb:
        return ""
    largest = profile.loc[profile["peak_mb"].idxmax(), "node"]
    return (
        f"{len(peaks)} processes had up to {peaks.sum():,.0f} MB in use, of the machine's "
        f"{memory_mb:,.0f} (most in {largest}): use fewer processes, or raise n_shards"
    )


def _about_starting(profile: pd.DataFrame, wall: float) -> str:
    processes, _ = parallel_efficiency(profile, wall)
    work = float(profile["seconds"].sum())
    outside = wall - seconds_at_worst(work, seconds_of_path(profile), processes)
    if processes < 2 or work > wall or outside < _MUCH_STARTING * wall:
        return ""
    return (
        f"nodes work {work:.1f} s in {wall:.1f} s, the rest is starting processes: for data so "
        "small --runner=SequentialRunner is as fast"
    )


def _about_waiting(profile: pd.DataFrame) -> str:
    seconds, computing = profile["seconds"].sum(), profile["cpu_seconds"].sum()
    if computing >= _SELDOM_COMPUTING * seconds:
        return ""
    lost = (profile["seconds"] - profile["cpu_seconds"]).groupby(profile["stage"]).sum()
    return (
        f"nodes compute in {computing / seconds:.0%} of their time, and wait for other programs on "
        f"the machine, a disk or a network in the rest, most in {lost.idxmax()}"
    )


def _about_idling(profile: pd.DataFrame, wall: float, n_shards: int | None) -> str:
    processes, _ = parallel_efficiency(profile, wall)
    much = _MUCH_IDLE * processes * wall
    long = profile[(processes - 1) * profile["seconds"] >= max(much, 1e-9)]
    idle = pd.Series({place: _idle(profile, row, processes) for place, row in long.iterrows()})
    if idle.empty or idle.max() < much:
        return ""
    worst = long.loc[idle.idxmax()]
    name, seconds = str(worst["node"]), float(worst["seconds"])
    shard = _SHARD.search(name)
    if shard and (n_shards is None or int(shard[1]) < n_shards):
        like = profile["node"].str.replace(_SHARD, "", regex=True) == _SHARD.sub("", name)
        which = "longest" if seconds >= profile.loc[like, "seconds"].max() else "last"
        now = "" if n_shards is None else f" from {n_shards}"
        return (
            f"{worst['stage']} is bound by its {which} shard, {name} ({seconds:.1f} s): raise "
            f"n_shards{now}"
        )
    return (
        f"everything waits for {name} ({seconds:.1f} s), while processes idle for "
        f"{idle.max():.1f} s: make that faster first"
    )


def _idle(profile: pd.DataFrame, node: pd.Series, processes: int) -> float:
    """Seconds that the other processes did nothing while this node ran."""
    start, end = node["start"], node["start"] + pd.Timedelta(node["seconds"], unit="s")
    others = profile[profile["pid"] != node["pid"]]
    begun = others["start"].clip(lower=start)
    ended = (others["start"] + pd.to_timedelta(others["seconds"], unit="s")).clip(upper=end)
    busy = (ended - begun).dt.total_seconds().clip(lower=0.0).sum()
    return float((processes - 1) * node["seconds"] - busy)


def _about_cores(profile: pd.DataFrame, wall: float) -> str:
    path = seconds_of_path(profile)
    processes, efficiency = parallel_efficiency(profile, wall)
    if path <= 0 or efficiency < _BUSY or wall / path < _WORTHWHILE:
        return ""
    return f"on more cores than {processes} it can be up to {wall / path:.1f} times as fast"
