"""The critical path and the bounds, against slower ways to find them, on random graphs."""

from __future__ import annotations

from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clepsydra.critical_path import critical_path, seconds_at_best, seconds_at_worst, times_ready

Graph = tuple[dict[str, float], dict[str, set[str]]]


@st.composite
def graphs(draw: st.DrawFn, all_run: bool = False) -> Graph:
    """Seconds of up to eight nodes, some of which did not run, and what each waits for."""
    size = draw(st.integers(1, 8))
    names = draw(st.permutations([f"n{number}" for number in range(size)]))
    dependencies = {
        name: draw(st.sets(st.sampled_from(names[:place]))) if place else set()
        for place, name in enumerate(names)
    }
    ran = names if all_run else draw(st.lists(st.sampled_from(names), unique=True))
    seconds = {name: draw(st.integers(0, 50)) / 4 for name in ran}
    return seconds, dependencies


def chains(name: str, dependencies: dict[str, set[str]]) -> list[list[str]]:
    """Every chain of nodes that wait for one another and ends with this one."""
    before = [chain for other in dependencies[name] for chain in chains(other, dependencies)]
    return [[name]] + [[*chain, name] for chain in before]


@given(graphs())
def test_no_chain_takes_longer(graph: Graph) -> None:
    seconds, dependencies = graph
    every = [chain for name in dependencies for chain in chains(name, dependencies)]
    ran = [[name for name in chain if name in seconds] for chain in every]
    path = critical_path(seconds, dependencies)
    assert path in [*ran, []]
    assert sum(seconds[name] for name in path) == max(
        sum(seconds[name] for name in chain) for chain in ran
    )


def simulate(graph: Graph, processes: int, order: list[str]) -> dict[str, tuple[float, float]]:
    """Let every process that is free take the first node of the order that can begin."""
    seconds, dependencies = graph
    spans: dict[str, tuple[float, float]] = {}
    running: dict[str, float] = {}
    left, now = list(order), 0.0
    while left or running:
        done = {name for name in spans if name not in running}
        for name in [name for name in left if dependencies[name] <= done]:
            if len(running) < processes:
                spans[name] = (now, now + seconds[name])
                running[name] = now + seconds[name]
                left.remove(name)
        now = min(running.values())
        running = {name: end for name, end in running.items() if end > now}
    return spans


@given(graphs(all_run=True), st.integers(1, 4), st.randoms())
def test_no_schedule_is_better_than_the_best_or_worse_than_the_worst(
    graph: Graph, processes: int, random: object
) -> None:
    order = list(graph[0])
    random.shuffle(order)  # type: ignore[attr-defined]
    spans = simulate(graph, processes, order)
    took = max(end for _, end in spans.values())
    work = sum(graph[0].values())
    path = sum(graph[0][name] for name in critical_path(*graph))
    assert seconds_at_best(work, path, processes) <= took + 1e-9
    assert took <= seconds_at_worst(work, path, processes) + 1e-9
    assert took <= (2 - 1 / processes) * seconds_at_best(work, path, processes) + 1e-9


@given(graphs(all_run=True))
def test_with_a_process_for_each_nodes_take_the_critical_path_and_nothing_waits(
    graph: Graph,
) -> None:
    spans = simulate(graph, len(graph[0]), list(graph[0]))
    path = sum(graph[0][name] for name in critical_path(*graph))
    assert max(end for _, end in spans.values()) == path
    assert times_ready(spans, graph[1]) == {name: start for name, (start, _) in spans.items()}


@given(graphs(), st.data())
def test_a_node_is_ready_when_all_that_ran_before_it_have_ended(
    graph: Graph, data: st.DataObject
) -> None:
    seconds, dependencies = graph
    spans = {}
    for name, its in seconds.items():
        start = float(data.draw(st.integers(0, 100)))
        spans[name] = (start, start + its)
    begun = min((start for start, _ in spans.values()), default=0.0)
    found = times_ready(spans, dependencies)
    assert set(found) == set(spans)
    for name in spans:
        # Nodes that did not run are passed through, up to those that did.
        waits, before = [*dependencies[name]], []
        while waits:
            other = waits.pop()
            if other in spans:
                before.append(spans[other][1])
            else:
                waits += dependencies[other]
                if not dependencies[other]:
                    before.append(begun)
        assert found[name] == max(before, default=begun)


def test_no_nodes_have_no_path() -> None:
    assert critical_path({}, {}) == []
    assert times_ready({}, {"a": ["b"]}) == {}


def test_a_circle_is_refused() -> None:
    with pytest.raises(CycleError):
        critical_path({"a": 1.0, "b": 1.0}, {"a": ["b"], "b": ["a"]})
