"""The loop that all runners of ours share: which node is next, and which need not run."""

from __future__ import annotations

import heapq
import logging
import os
import signal
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.runner.runner import AbstractRunner

from clepsydra.environment import EVENTS_VARIABLE, PARENT_RUN_VARIABLE, RUN_ID_VARIABLE
from clepsydra.errors import ClepsydraError
from clepsydra.runners.contents import Contents
from clepsydra.runners.history import History, folder_of_records
from clepsydra.runners.locks import nodes_held
from clepsydra.runners.worker import Outcome

__all__ = ["MANIFEST", "Crew", "Died", "ScheduledRunner", "WorkerDiedError", "critical_paths"]

MANIFEST = "run_manifest"
"""The dataset that says of every node whether it ran, and why."""

_LOGGER = logging.getLogger(__name__)
_COLUMNS = ["run_id", "node", "stage", "action", "reason"]
_RERUNS = 3


class WorkerDiedError(ClepsydraError):
    """A node's worker was killed, and so it was when the node was run again."""


class Died:
    """What became of a node whose worker was killed.

    Attributes:
        how: e.g. "killed by SIGKILL".
        for_good: whether it need not be tried again.
    """

    def __init__(self, exit_code: int | None, for_good: bool = False):
        if exit_code is not None and exit_code < 0:
            self.how = f"killed by {signal.Signals(-exit_code).name}"
        elif exit_code is not None:
            self.how = f"ended with exit code {exit_code}"
        else:
            self.how = "killed"
        self.for_good = for_good


class Crew(Protocol):
    """Workers that nodes are given to."""

    @property
    def free(self) -> int:
        """How many more nodes can be given out now."""

    def submit(self, name: str, known: Contents, priority: float) -> None:
        """Give a node to a worker."""

    def wait(self) -> list[tuple[str, Outcome | Died]]:
        """Nodes that have ended: one at least."""

    def stop(self) -> None:
        """End all workers, and what they are running."""


class _TracebackOfWorkerError(Exception):
    """The traceback of an error, as the worker had it."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class ScheduledRunner(AbstractRunner):
    """Runs what has to, on workers, the longest path first; ends at the first error.

    Args:
        is_async: load and save in threads, as in Kedro.
        force: run every node, changed or not.
    """

    def __init__(self, is_async: bool = False, force: bool = False):
        AbstractRunner.__init__(self, is_async=is_async)
        self._force = force

    @abstractmethod
    def _crew(self, pipeline: Pipeline, catalog: Any, run_id: str | None, hooks: Any) -> Crew:
        """The workers of a run. None is started before it is given a node."""

    def _get_executor(self, max_workers: int) -> Any:
        raise NotImplementedError("nodes are given to a crew")

    def _run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        nodes = pipeline.nodes
        self._validate_catalog(catalog)
        self._validate_nodes(nodes)
        self._set_manager_datasets(catalog)
        with nodes_held([node.name for node in nodes], folder_of_records(catalog)):
            self._run_held(pipeline, catalog, hook_manager, run_id)

    def _run_held(
        self, pipeline: Pipeline, catalog: Any, hook_manager: Any, run_id: str | None
    ) -> None:
        history = History(pipeline, catalog, self._force)
        rows: list[tuple[str, str, str, str]] = []
        crew = self._crew(pipeline, catalog, run_id, hook_manager)
        try:
            _Run(pipeline, catalog, history, crew, rows).to_the_end()
        except Exception:
            if history.keeps_records:
                _LOGGER.warning(
                    "The run has failed. The same command again finishes it: nodes that have ended "
                    "do not run again, unless they change."
                )
            raise
        finally:
            _try("stop the workers", crew.stop)
            _try("keep what was read of the code", history.close)
            _try(f"save '{MANIFEST}'", lambda: _save_manifest(rows, pipeline, catalog, run_id))


def _try(what: str, action: Callable[[], None]) -> None:
    """Beside the nodes: nothing of it is worth more than what they do, or their error."""
    try:
        action()
    except Exception as error:  # of a disk, a store, a cluster
        _LOGGER.warning("The runner cannot %s: %s: %s", what, type(error).__name__, error)


class _Run:
    """One run of a pipeline, as far as it has come."""

    def __init__(
        self,
        pipeline: Pipeline,
        catalog: Any,
        history: History,
        crew: Crew,
        rows: list[tuple[str, str, str, str]],
    ):
        self._catalog = catalog
        self._history, self._crew, self._rows = history, crew, rows
        self._nodes = {node.name: node for node in pipeline.nodes}
        self._waits_for = {
            node.name: {other.name for other in others}
            for node, others in pipeline.node_dependencies.items()
        }
        self._followers: dict[str, list[str]] = {name: [] for name in self._nodes}
        for name, others in self._waits_for.items():
            for other in others:
                self._followers[other].append(name)
        order = [node.name for node in pipeline.nodes]
        seconds = {name: history.expected_seconds(node) for name, node in self._nodes.items()}
        self._paths = critical_paths(order, self._followers, seconds)
        for node in pipeline.nodes:
            if not node.outputs and not self._waits_for[node.name]:
                # A check, before hours are spent on what it may refuse.
                self._paths[node.name] = sum(seconds.values())
        self._inputs, self._outputs = pipeline.inputs(), pipeline.outputs()
        self._uses = Counter(chain.from_iterable(node.inputs for node in pipeline.nodes))
        self._ready: list[tuple[float, str]] = []
        self._reasons: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()
        self._alone: str | None = None

    def to_the_end(self) -> None:
        """Give nodes out and take them back until there is none left."""
        for name in [name for name, others in self._waits_for.items() if not others]:
            self._take(name)
        running: set[str] = set()
        while self._ready or running:
            while self._ready and self._crew.free and self._alone is None:
                if self._deaths[self._ready[0][1]] == _RERUNS and running:
                    break  # the last time it has the machine for itself
                name = heapq.heappop(self._ready)[1]
                node = self._nodes[name]
                self._alone = name if self._deaths[name] == _RERUNS else None
                self._history.begin(node)
                self._crew.submit(name, self._history.known_of_outputs(node), self._paths[name])
                running.add(name)
            ended = self._crew.wait()
            # What went well is noted before an error ends the run.
            for name, outcome in sorted(ended, key=_is_failure):
                running.discard(name)
                self._alone = None if self._alone == name else self._alone
                self._ended(name, outcome)

    def _take(self, name: str) -> None:
        """Of a node that waits for nothing any more: it is skipped, or put where it is its turn."""
        todo = [name]
        while todo:
            node = self._nodes[todo.pop()]
            runs, reason = self._history.why(node)
            if runs:
                self._reasons[node.name] = reason
                heapq.heappush(self._ready, (-self._paths[node.name], node.name))
            else:
                self._note(node, "skipped", reason)
                todo += self._done(node)

    def _done(self, node: Node) -> list[str]:
        """Those that now wait for nothing any more."""
        self._release(node)
        free = []
        for name in self._followers[node.name]:
            self._waits_for[name].discard(node.name)
            if not self._waits_for[name]:
                free.append(name)
        return free

    def _release(self, node: Node) -> None:
        """Let go of what no other node reads, as Kedro's runners do.

        Theirs asks the whole pipeline for its ends after every node.
        """
        self._uses.subtract(node.inputs)
        for names, ends in ((node.inputs, self._inputs), (node.outputs, self._outputs)):
            for name in names:
                if self._uses[name] < 1 and name not in ends:
                    self._catalog.release(name)

    def _ended(self, name: str, outcome: Outcome | Died) -> None:
        node = self._nodes[name]
        if isinstance(outcome, Died):
            self._again(node, outcome)
            return
        if outcome.error is not None:
            self._note(node, "failed", self._reasons[name])
            raise outcome.error from _TracebackOfWorkerError(outcome.trace)
        self._history.finish(node, outcome)
        _try("keep what was noted of a node", lambda: _keep(outcome.events))
        self._note(node, "ran", self._reasons[name])
        _LOGGER.info("Completed node: %s (%d of %d)", name, len(self._rows), len(self._nodes))
        for follower in self._done(node):
            self._take(follower)

    def _again(self, node: Node, died: Died) -> None:
        self._deaths[node.name] += 1
        times = self._deaths[node.name]
        if times > _RERUNS or died.for_good:
            self._note(node, "failed", self._reasons[node.name])
            raise WorkerDiedError(
                f"node '{node.name}': its process was {died.how}, and so it was each time that it "
                f"was run again. The memory may not suffice: run fewer processes "
                f"(--runner-params=processes=1), or spread the series over more shards (n_shards)"
            )
        _LOGGER.warning(
            "The process of node '%s' was %s; the node is run again (%d of %d)",
            *(node.name, died.how, times, _RERUNS),
        )
        heapq.heappush(self._ready, (-self._paths[node.name], node.name))

    def _note(self, node: Node, action: str, reason: str) -> None:
        self._rows.append((node.name, (node.namespace or "").split(".")[0], action, reason))


def _keep(events: str) -> None:
    """Add what workers have noted to the file of this run."""
    path = os.environ.get(EVENTS_VARIABLE)
    if path and events:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(events)


def _is_failure(ended: tuple[str, Outcome | Died]) -> bool:
    return isinstance(ended[1], Died) or ended[1].error is not None


def critical_paths(
    order: list[str], followers: dict[str, list[str]], seconds: dict[str, float]
) -> dict[str, float]:
    """Seconds from the start of each node to the end of the run, at the soonest.

    Args:
        order: nodes, each after all that it waits for.
        followers: node to those that wait for it.
        seconds: that each node takes.

    Examples:
        >>> critical_paths(
        ...     ["a", "b", "c"], {"a": ["c"], "b": [], "c": []}, {"a": 1, "b": 3, "c": 5}
        ... )
        {'c': 5, 'b': 3, 'a': 6}
    """
    paths: dict[str, float] = {}
    for name in reversed(order):
        paths[name] = seconds[name] + max((paths[other] for other in followers[name]), default=0)
    return paths


def _save_manifest(
    rows: list[tuple[str, str, str, str]], pipeline: Pipeline, catalog: Any, run_id: str | None
) -> None:
    """One row a node, with those of other sessions of the same orchestrated run."""
    if MANIFEST not in catalog:
        return
    own = os.environ.get(RUN_ID_VARIABLE) or run_id or ""
    manifest = pd.DataFrame([(own, *row) for row in rows], columns=_COLUMNS, dtype=str)
    if PARENT_RUN_VARIABLE in os.environ and catalog.exists(MANIFEST):
        earlier = catalog.load(MANIFEST)
        others = ~earlier["node"].isin({node.name for node in pipeline.nodes})
        earlier = earlier[(earlier["run_id"] == own) & others]
        if len(earlier):
            manifest = pd.concat([earlier, manifest], ignore_index=True)
    catalog.save(MANIFEST, manifest)
