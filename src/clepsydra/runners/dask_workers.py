"""What happens in a Dask worker: it is handed the job of a run once, then the names of nodes."""

from __future__ import annotations

import shutil
import tempfile
import threading
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import Any

from distributed import WorkerPlugin, get_worker

from clepsydra.errors import ConfigError
from clepsydra.runners.code import Code, installed_packages
from clepsydra.runners.contents import Contents
from clepsydra.runners.history import classes_of_validators, files_of_node, texts_of_parameters
from clepsydra.runners.worker import Job, Outcome, Worker

__all__ = ["JobPlugin", "run_node"]

_workers: dict[str, tuple[str, Worker]] = {}
_running: set[str] = set()
_one_at_a_time = threading.Lock()
_NAMED = 5


class JobPlugin(WorkerPlugin):
    """Hands the job to every worker of the cluster, also to one that joins later.

    A worker that has other code or packages than this process refuses it: its results would not be
    those of the records.

    Args:
        token: of the run: a cluster may have several at a time.
        job: its nodes and its catalog.
    """

    def __init__(self, token: str, job: Job):
        self.name, self._job = token, job
        self._texts = [*texts_of_parameters(job.catalog), *_classes(job)]
        code = Code(package=job.package)
        self._modules = code.modules(_files(job), self._texts)
        self._scans = code.scans
        self._packages = installed_packages()

    def setup(self, worker: Any) -> None:
        """Called by Dask, in the worker.

        Raises:
            ConfigError: its code or its packages are others.
        """
        if others := sorted(set(installed_packages()) ^ set(self._packages)):
            raise ConfigError(
                f"Dask worker {worker.address} has other packages than the process that started "
                f"the run: {_some(others)}. Install the same in both"
            )
        code = Code(scans=self._scans, package=self._job.package)
        here = code.modules(_files(self._job), self._texts)
        others = [name for name, its in self._modules.items() if its and here.get(name, its) != its]
        if others:
            raise ConfigError(
                f"Dask worker {worker.address} has other code than the process that started the "
                f"run: {_some(others)}. Install the same in both, and start the worker again"
            )
        # What starts processes for models is there after the run, and so has to be its socket.
        get_temp_dir()
        folder = tempfile.mkdtemp(prefix="clepsydra-", dir=worker.local_directory)
        token = self.name
        _workers[token] = folder, Worker(self._job, folder, is_wanted=lambda: token in _workers)

    def teardown(self, worker: Any) -> None:
        """Called by Dask, in the worker, when the run has ended; a node of it may still run."""
        folder, _ = _workers.pop(self.name, ("", None))
        if folder and self.name not in _running:
            shutil.rmtree(folder, ignore_errors=True)


def run_node(token: str, name: str, known: Contents) -> Outcome:
    """Run a node of the run with that token, and no other beside it: it may be of another run.

    Raises:
        ConfigError: this worker's code or packages are others, or it has not heard of the run.
    """
    with _one_at_a_time:
        if token not in _workers:
            # Of a worker that joins during a run Dask only logs that it has refused.
            worker = get_worker()
            plugin = worker.plugins.get(token)
            if plugin is None:
                raise ConfigError(
                    f"Dask worker {worker.address} was given node '{name}' of a run that it does "
                    f"not know: the run has ended, or the worker could not read its nodes. Start "
                    f"the worker again; its log says what it could not read"
                )
            plugin.setup(worker)
        folder, its = _workers[token]
        _running.add(token)
        try:
            return its.run(name, known)
        finally:
            _running.discard(token)
            if token not in _workers:
                shutil.rmtree(folder, ignore_errors=True)


def _files(job: Job) -> set[Path]:
    found: set[Path] = set()
    for node in job.nodes.values():
        found |= files_of_node(node, [job.catalog[name] for name in (*node.inputs, *node.outputs)])
    return found


def _classes(job: Job) -> list[str]:
    names = {name for node in job.nodes.values() for name in (*node.inputs, *node.outputs)}
    return classes_of_validators(job.catalog, sorted(names))


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
