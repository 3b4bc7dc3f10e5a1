"""The runner of one machine."""

from __future__ import annotations

from typing import Any

from kedro.io import MemoryDataset, SharedMemoryDataset
from kedro.pipeline import Pipeline
from kedro.runner import ParallelRunner
from kedro.runner.parallel_runner import ParallelRunnerManager

from clepsydra.runners.machine import Share, read_machine, share
from clepsydra.runners.processes import Processes
from clepsydra.runners.schedule import ScheduledRunner
from clepsydra.runners.worker import Job

__all__ = ["ProcessRunner"]


class ProcessRunner(ScheduledRunner, ParallelRunner):
    """Kedro's `ParallelRunner`, but that it skips what has not changed and ends at the first error.

    A worker that is killed, as for want of memory, costs its node another run, not the run.

    Args:
        processes: at most; chosen by the cores and the memory that there are, if not given.
        threads: in each process.
        is_async: load and save in threads, as in Kedro.
        force: run every node, changed or not.

    Raises:
        ConfigError: `processes` or `threads` is not a whole number from 1 up.
    """

    def __init__(
        self,
        processes: int | None = None,
        threads: int | None = None,
        is_async: bool = False,
        force: bool = False,
    ):
        # Not that of `ParallelRunner`, which starts a manager process.
        ScheduledRunner.__init__(self, is_async=is_async, force=force)
        self._share: Share = share(read_machine(), processes, threads)
        self._manager: ParallelRunnerManager | None = None  # type: ignore[assignment]

    def __del__(self) -> None:
        self._stop_manager()

    def _set_manager_datasets(self, catalog: Any) -> None:
        if any(isinstance(dataset, SharedMemoryDataset) for dataset in catalog._datasets.values()):
            self._manager = ParallelRunnerManager()
            self._manager.start()
            catalog.set_manager_datasets(self._manager)

    def _run(
        self,
        pipeline: Pipeline,
        catalog: Any,
        hook_manager: Any = None,
        run_id: str | None = None,
    ) -> None:
        try:
            super()._run(pipeline, catalog, hook_manager, run_id)
            for name in pipeline.outputs():
                if isinstance(catalog[name], SharedMemoryDataset):
                    # The caller may load it when the manager is gone.
                    catalog[name] = MemoryDataset(catalog[name].load())
        finally:
            self._stop_manager()

    def _stop_manager(self) -> None:
        manager, self._manager = getattr(self, "_manager", None), None
        if manager is not None:
            manager.shutdown()

    def _crew(self, pipeline: Pipeline, catalog: Any, run_id: str | None, hooks: Any) -> Processes:
        threads = self._share.threads
        job = Job.of(pipeline.nodes, catalog, self._is_async, run_id, threads, hooks)
        return Processes(self._share.processes, job)
