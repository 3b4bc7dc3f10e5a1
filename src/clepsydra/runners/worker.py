"""What happens in a worker: nodes are run, and what they wrote is hashed."""

from __future__ import annotations

import os
import pickle
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset
from kedro.pipeline.node import Node
from kedro.runner.task import Task

from clepsydra.environment import ONE_THREAD
from clepsydra.runners.contents import Contents, is_kept

__all__ = ["Job", "Outcome", "Worker"]

_PREFIX = "CLEPSYDRA_"


@dataclass
class Job:
    """What all workers of a run have in common: it reaches each once, and not with every node.

    Attributes:
        hooks: of the session, for processes that are forked; those that are not set up their own.
    """

    nodes: Mapping[str, Node]
    catalog: Any
    is_async: bool
    run_id: str | None
    package: str | None
    logging: Any
    hooks: Any
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        nodes: list[Node],
        catalog: Any,
        is_async: bool,
        run_id: str | None,
        threads: int,
        hooks: Any = None,
    ) -> Job:
        """With this process's project, and those of its environment variables that are ours."""
        from kedro.framework.project import LOGGING, PACKAGE_NAME

        own = {name: its for name, its in os.environ.items() if name.startswith(_PREFIX)}
        own |= dict.fromkeys(ONE_THREAD, str(threads))
        by_name = {node.name: node for node in nodes}
        return cls(by_name, catalog, is_async, run_id, PACKAGE_NAME, LOGGING, hooks, own)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "hooks": None}


@dataclass(frozen=True)
class Outcome:
    """What became of a node.

    Attributes:
        seconds: that it took.
        outputs: dataset to the hash of what it wrote; nothing if there is none.
        files: signature and hash of each file, by path.
        error: why it failed, if it did.
        trace: the traceback of the error, which does not reach another process by itself.
    """

    seconds: float
    outputs: dict[str, str | None] = field(default_factory=dict)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    error: Exception | None = None
    trace: str = ""


class Worker:
    """Runs nodes of a job, one after the other, in this process.

    Kedro's hooks are set up once, and not at every node.
    """

    def __init__(self, job: Job):
        from kedro.framework import project

        os.environ.update(job.environment)
        if job.package and job.package != project.PACKAGE_NAME:
            Task._bootstrap_subprocess(job.package, job.logging)
        self._job = job
        self._hooks = Task._run_node_synchronization() if job.hooks is None else job.hooks

    def run(self, name: str, known: Contents) -> Outcome:
        """Run a node; an error is a part of the outcome.

        Args:
            name: of the node.
            known: what is known of files that its outputs hold already.
        """
        job = self._job
        node = job.nodes[name]
        started = time.perf_counter()
        try:
            for each in {*node.inputs, *node.outputs}:
                if isinstance(job.catalog[each], AbstractVersionedDataset):
                    job.catalog.release(each)  # another process may have saved a newer version
            Task(node, job.catalog, job.is_async, self._hooks, job.run_id).execute()
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            return Outcome(time.perf_counter() - started, error=_sendable(error), trace=trace)
        seconds = time.perf_counter() - started
        outputs: dict[str, str | None] = {}
        files: dict[str, tuple[str, str]] = {}
        for output in node.outputs:
            dataset: AbstractDataset = job.catalog[output]
            if is_kept(dataset):
                outputs[output], own = known.of(dataset)
                files |= own
        return Outcome(seconds, outputs, files)


def _sendable(error: Exception) -> Exception:
    """The error, or a plain one in its place if it would not reach another process."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # pickling runs code of the error's own
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
