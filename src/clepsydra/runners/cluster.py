"""The runner of several machines: the same nodes, the same records, on Dask workers.

Data go by paths, so all workers see the same storage. Needs the extra `cluster`.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from kedro.pipeline import Pipeline

from clepsydra.errors import ConfigError
from clepsydra.runners.contents import Contents, is_kept
from clepsydra.runners.machine import read_machine, share
from clepsydra.runners.schedule import Crew, Died, ScheduledRunner
from clepsydra.runners.worker import Job, Outcome

__all__ = ["DaskRunner"]

_LOGGER = logging.getLogger(__name__)
_SECONDS_TO_CONNECT = 30
_SECONDS_TO_WAIT = 30
# Dask gives a worker what it cannot run yet; this is how many nodes are sent before any has ended.
_AHEAD = 10_000
# Nodes may start processes of their own: forking in Dask's worker, which has threads, can hang.
_START_METHOD = {"KEDRO_MP_CONTEXT": "forkserver"}


class DaskRunner(ScheduledRunner):
    """Runs nodes on a Dask cluster, or on one of this machine's processes.

    Workers need this project and the same packages installed, and the same paths to the data; one
    thread each (`dask worker ADDRESS --nthreads 1`), for a node may use one-thread libraries.
    A node whose worker is lost runs on another one; a node that loses too many ends the run
    (`distributed.scheduler.allowed-failures`, three by default).

    Args:
        address: of the scheduler, e.g. `tcp://10.0.0.5:8786`; nothing for one of this machine.
        processes: of the cluster of this machine, and of no other; chosen, if not given.
        threads: that a node may use.
        is_async: load and save in threads, as in Kedro.
        force: run every node, changed or not.

    Raises:
        ConfigError: the extra `cluster` is not installed, a number is not one from 1 up, or both
            `address` and `processes` are given.
    """

    def __init__(
        self,
        address: str | None = None,
        processes: int | None = None,
        threads: int | None = None,
        is_async: bool = False,
        force: bool = False,
    ):
        super().__init__(is_async=is_async, force=force)
        try:
            import distributed  # noqa: F401
        except ModuleNotFoundError:
            raise ConfigError(
                "DaskRunner needs the extra 'cluster': pip install '.[cluster]'"
            ) from None
        if address is not None and processes is not None:
            raise ConfigError(
                f"DaskRunner has the runner parameters 'address' and 'processes': a cluster has as "
                f"many as it has workers. Leave out 'processes', or start more workers: "
                f"dask worker {address} --nthreads 1"
            )
        self._address = address
        self._share = share(read_machine(), processes, threads)

    def _crew(self, pipeline: Pipeline, catalog: Any, run_id: str | None, hooks: Any) -> Crew:
        if lost := sorted(name for name in pipeline.all_outputs() if not is_kept(catalog[name])):
            raise ConfigError(
                f"dataset '{lost[0]}' is in memory, where other machines cannot read it: "
                f"give it an entry in the catalog"
            )
        job = Job.of(pipeline.nodes, catalog, self._is_async, run_id, self._share.threads)
        job.environment.update(_START_METHOD)
        return _Cluster(self._address, self._share.processes, job)


class _Cluster:
    """Workers of a Dask cluster. It is connected to when there is a node to run."""

    def __init__(self, address: str | None, processes: int, job: Job):
        self._address, self._processes, self._job = address, processes, job
        self._token = f"{job.run_id}-{os.urandom(8).hex()}"
        self._client: Any = None
        self._cluster: Any = None
        self._futures: dict[Any, str] = {}

    @property
    def free(self) -> int:
        return _AHEAD - len(self._futures)

    def submit(self, name: str, known: Contents, priority: float) -> None:
        if self._client is None:
            self._connect()
        from clepsydra.runners.dask_workers import run_node

        future = self._client.submit(
            run_node,
            *(self._token, name, known),
            key=f"{name}-{os.urandom(8).hex()}",
            pure=False,
            priority=priority,
        )
        self._futures[future] = name

    def wait(self) -> list[tuple[str, Outcome | Died]]:
        from distributed import KilledWorker

        ended: list[tuple[str, Outcome | Died]] = []
        for future in self._done():
            name = self._futures.pop(future)
            try:
                ended.append((name, future.result()))
            except KilledWorker:
                ended.append((name, Died(None, for_good=True)))
            except Exception as error:  # of Dask: what a node raises is a part of its outcome
                ended.append((name, Outcome(0.0, error=error)))
        return ended

    def _done(self) -> set[Any]:
        """Those that have ended; until there is one, somebody may have to start a worker."""
        from distributed import wait

        is_told = False
        while True:
            try:
                futures = list(self._futures)
                return wait(futures, timeout=_SECONDS_TO_WAIT, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                if not is_told and not self._client.nthreads():
                    is_told = True
                    _LOGGER.warning(
                        "The Dask cluster has no worker; the run waits for one. To start one: "
                        "dask worker %s --nthreads 1",
                        self._client.scheduler.address,
                    )

    def stop(self) -> None:
        client, self._client = self._client, None
        cluster, self._cluster = self._cluster, None
        if client is not None:
            if self._futures:
                client.cancel(list(self._futures), force=True)
            if cluster is None and client.status == "running":
                # From now on, what nodes that still run give is not saved.
                client.unregister_worker_plugin(self._token)
            client.close()
        if cluster is not None:
            cluster.close()

    def _connect(self) -> None:
        from distributed import Client

        from clepsydra.runners.dask_workers import JobPlugin

        logging.getLogger("distributed").setLevel(logging.WARNING)
        try:
            if self._address is None:
                self._cluster = _cluster_of_this_machine(self._processes)
            self._client = Client(self._cluster or self._address, timeout=_SECONDS_TO_CONNECT)
        except (OSError, ValueError, RuntimeError) as error:
            if self._address is None:
                raise ConfigError(
                    f"a Dask cluster of {self._processes} processes cannot be started on this "
                    f"machine: {type(error).__name__}: {error}. Run fewer "
                    f"(--runner-params=processes=1), or leave out --runner, which needs no cluster"
                ) from error
            raise ConfigError(f"no Dask scheduler answers at '{self._address}': {error}") from None
        try:
            self._client.register_plugin(JobPlugin(self._token, self._job))
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"the Dask workers cannot run this project; is it installed there, at the same "
                f"version? {type(error).__name__}: {error}"
            ) from error


def _cluster_of_this_machine(processes: int) -> Any:
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=processes,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        memory_limit=0,
    )
