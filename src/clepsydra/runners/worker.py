"""What happens in a worker: nodes are run, and what they wrote is hashed."""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import AbstractDataset, AbstractVersionedDataset
from kedro.pipeline.node import Node
from kedro.runner.task import Task

from clepsydra.environment import EVENTS_VARIABLE, ONE_THREAD
from clepsydra.runners.contents import Contents, is_kept

__all__ = ["Job", "Outcome", "Worker"]

_LOGGER = logging.getLogger(__name__)
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
        events: lines that hooks have noted of the node.
        error: why it failed, if it did.
        trace: the traceback of the error, which does not reach another process by itself.
    """

    seconds: float
    outputs: dict[str, str | None] = field(default_factory=dict)
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    events: str = ""
    error: Exception | None = None
    trace: str = ""


class Worker:
    """Runs nodes of a job, one after the other, in this process.

    The process may be there for others too: what a node finds in the environment is put back when
    it has ended. Kedro's hooks are set up once, and not at every node.

    Args:
        job: that the nodes are of.
        folder: for their temporary files; whoever made it removes it.
        is_wanted: whether the run still goes on: a node that ends when it does not saves nothing.
    """

    def __init__(self, job: Job, folder: str, is_wanted: Callable[[], bool] | None = None):
        self._job, self._folder, self._is_wanted = job, folder, is_wanted
        self._hooks = job.hooks

    def run(self, name: str, known: Contents) -> Outcome:
        """Run a node; an error is a part of the outcome.

        Args:
            name: of the node.
            known: what is known of files that its outputs hold already.
        """
        job = self._job
        started = time.perf_counter()
        with _temporary_files_in(self._folder), ExitStack() as stack:
            try:
                events = Path(self._folder, f"events-{os.urandom(8).hex()}")
                own = {EVENTS_VARIABLE: str(events)} if EVENTS_VARIABLE in job.environment else {}
                stack.enter_context(_environment({**job.environment, **own}))
                if self._hooks is None:
                    self._hooks = _new_hooks(job)
                    if self._is_wanted is not None:
                        self._hooks.register(_Fence(self._is_wanted))
                node = job.nodes[name]
                for each in {*node.inputs, *node.outputs}:
                    if isinstance(job.catalog[each], AbstractVersionedDataset):
                        job.catalog.release(each)  # another process may have saved a newer version
                started = time.perf_counter()
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
                    outputs[output], own_files = known.of(dataset)
                    files |= own_files
            return Outcome(seconds, outputs, files, _taken(events))


class _Fence:
    """Keeps a node whose run has ended from writing over what the next one has written."""

    def __init__(self, is_wanted: Callable[[], bool]):
        self._is_wanted = is_wanted

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, node: Node) -> None:
        if not self._is_wanted():
            _LOGGER.warning(
                "The run of node '%s' has ended before the node: '%s' is not saved",
                *(node.name, dataset_name),
            )
            raise RuntimeError(f"the run of node '{node.name}' has ended")


def _new_hooks(job: Job) -> Any:
    from kedro.framework import project

    if job.package and job.package != project.PACKAGE_NAME:
        Task._bootstrap_subprocess(job.package, job.logging)
    return Task._run_node_synchronization()


def _taken(file: Path) -> str:
    """What is in the file, which is deleted; nothing if there is none."""
    try:
        text = file.read_text(encoding="utf-8")
        file.unlink()
    except OSError:
        return ""
    return text


@contextmanager
def _environment(own: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, its in before.items():
            if its is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = its


@contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Also of processes that are started."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        with _environment({"TMPDIR": folder}):
            yield
    finally:
        tempfile.tempdir = before


def _sendable(error: Exception) -> Exception:
    """The error, or a plain one in its place if it would not reach another process."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # pickling runs code of the error's own
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
