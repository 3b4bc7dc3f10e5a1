"""How fast work of which parts wait for others can be at best, on some processes or on any number.

The longest chain of nodes that wait for one another is the critical path. With any number of
processes a run takes no less, so that work / critical path is the most that parallelism gains: the
chain is the serial part of Amdahl, "Validity of the single processor approach to achieving large
scale computing capabilities", AFIPS 1967.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from graphlib import TopologicalSorter

__all__ = ["critical_path", "seconds_at_best", "seconds_at_worst", "times_ready"]

Dependencies = Mapping[str, Collection[str]]


def critical_path(seconds: Mapping[str, float], dependencies: Dependencies) -> list[str]:
    """The chain of nodes, each waiting for the one before, that takes the most seconds.

    Args:
        seconds: what each node took.
        dependencies: which nodes each waits for. Nodes without seconds count as taking none, and
            are not in the answer.

    Returns:
        Names, the first to run first; none of no nodes.

    Raises:
        graphlib.CycleError: nodes wait for one another in a circle.

    Examples:
        >>> seconds = {"read": 1.0, "fit": 5.0, "draw": 2.0, "publish": 1.0}
        >>> critical_path(seconds, {"fit": ["read"], "draw": ["read"], "publish": ["fit", "draw"]})
        ['read', 'fit', 'publish']
    """
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name in _in_order(seconds, dependencies):
        previous = max(sorted(dependencies.get(name, ())), key=total.__getitem__, default=None)
        before[name] = previous
        total[name] = seconds.get(name, 0.0) + (total[previous] if previous is not None else 0.0)
    path = []
    last = max(sorted(total), key=total.__getitem__, default=None)
    while last is not None:
        path.append(last)
        last = before[last]
    return [name for name in reversed(path) if name in seconds]


def times_ready(
    spans: Mapping[str, tuple[float, float]], dependencies: Dependencies
) -> dict[str, float]:
    """When each node could have begun: when the last of those it waits for had ended.

    Args:
        spans: start and end of each node, in seconds of any clock.
        dependencies: which nodes each waits for. Those without a span end when they could have
            begun.

    Returns:
        By the name of each node with a span; of one that waits for none, the first of all starts.

    Examples:
        >>> times_ready({"read": (3.0, 4.0), "fit": (6.0, 9.0)}, {"fit": ["read"]})
        {'read': 3.0, 'fit': 4.0}
    """
    begun = min((start for start, _ in spans.values()), default=0.0)
    ready: dict[str, float] = {}
    ends: dict[str, float] = {}
    for name in _in_order(spans, dependencies):
        ready[name] = max((ends[other] for other in dependencies.get(name, ())), default=begun)
        ends[name] = spans[name][1] if name in spans else ready[name]
    return {name: ready[name] for name in spans}


def seconds_at_best(work: float, path: float, processes: int) -> float:
    """The least that so many processes can take: no more than all of them work, and path by path.

    Args:
        work: seconds of all nodes.
        path: seconds of the critical path.
        processes: how many, from 1 up.

    Examples:
        >>> seconds_at_best(work=60.0, path=20.0, processes=2)
        30.0
        >>> seconds_at_best(work=60.0, path=20.0, processes=8)
        20.0
    """
    return max(work / processes, path)


def seconds_at_worst(work: float, path: float, processes: int) -> float:
    """The most that so many processes take if none is idle while a node could run.

    What a run takes beyond that is spent outside of nodes: starting, handing out, collecting. The
    bound is Graham's ("Bounds on multiprocessing timing anomalies", SIAM Journal on Applied
    Mathematics 17, 1969), in the form of Brent ("The parallel evaluation of general arithmetic
    expressions", Journal of the ACM 21, 1974).

    Args:
        work: seconds of all nodes.
        path: seconds of the critical path.
        processes: how many, from 1 up.

    Examples:
        >>> seconds_at_worst(work=60.0, path=20.0, processes=2)
        40.0
    """
    return work / processes + (1 - 1 / processes) * path


def _in_order(names: Collection[str], dependencies: Dependencies) -> list[str]:
    """All names, each after those that it waits for."""
    graph: dict[str, Collection[str]] = dict.fromkeys(names, ())
    return list(TopologicalSorter(graph | dict(dependencies)).static_order())
