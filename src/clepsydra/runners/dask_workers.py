"""What happens in a Dask worker: it is handed the job of a run once, then the names of nodes."""

from __future__ import annotations

from typing import Any

from distributed import WorkerPlugin

from clepsydra.runners.contents import Contents
from clepsydra.runners.worker import Job, Outcome, Worker

__all__ = ["JobPlugin", "run_node"]

_workers: dict[str, Worker] = {}


class JobPlugin(WorkerPlugin):
    """Hands the job to every worker of the cluster, also to one that joins later.

    Args:
        token: of the run: a cluster may have several at a time.
        job: its nodes and its catalog.
    """

    def __init__(self, token: str, job: Job):
        self.name, self._job = token, job

    def setup(self, worker: Any) -> None:
        _workers[self.name] = Worker(self._job)

    def teardown(self, worker: Any) -> None:
        _workers.pop(self.name, None)


def run_node(token: str, name: str, known: Contents) -> Outcome:
    """Run a node of the run with that token."""
    return _workers[token].run(name, known)
