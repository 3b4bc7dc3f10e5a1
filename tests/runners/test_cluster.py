"""The same nodes on Dask: the same results, records and errors; a killed worker loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import small_lines
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from small_lines import catalog_of, ladder, ran, values

from clepsydra.binding import bind
from clepsydra.environment import EVENTS_VARIABLE, RUN_ID_VARIABLE
from clepsydra.errors import ConfigError
from clepsydra.runners import DaskRunner, ProcessRunner
from clepsydra.runners.code import Code
from clepsydra.runners.schedule import WorkerDiedError
from clepsydra.runners.worker import Job

pytest.importorskip("distributed")

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
RUNGS = 20


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[Any]]]:
    """A scheduler and three workers, as an administrator would start them."""
    contact = tmp_path / "scheduler.json"
    started = []

    def start(kind: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        started.append(subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL))

    try:
        start(
            "scheduler",
            *("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(contact)),
            *("--no-dashboard", "--no-jupyter"),
        )
        for _ in range(3):
            start(
                "worker",
                *("--scheduler-file", str(contact), "--host", "127.0.0.1", "--nthreads", "1"),
                *("--no-dashboard", "--local-directory", str(tmp_path / "space"), "--no-nanny"),
            )
        from distributed import Client

        while not contact.exists():
            time.sleep(0.1)
        with Client(scheduler_file=str(contact), timeout=60) as client:
            client.wait_for_workers(3, timeout=60)
            address = client.scheduler.address
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def catalog_in(folder: Path, names: list[str]) -> Any:
    folder.mkdir(exist_ok=True)
    for side in ("left_0", "right_0"):
        (folder / f"{side}.json").write_text("3")
    return catalog_of(folder, names, kind=DataCatalog)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_killed_in_mid_run_loses_nothing(
    tmp_path: Path, cluster: tuple[str, list[Any]]
) -> None:
    address, workers = cluster
    pipeline, names = ladder(RUNGS)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"

    def kill_one() -> None:
        while not (ours / "left_5.json").exists():
            time.sleep(0.01)
        psutil.Process(workers[0].pid).kill()

    killer = threading.Thread(target=kill_one)
    catalog = catalog_in(ours, names)
    killer.start()
    DaskRunner(address=address).run(pipeline, catalog, run_id="first")
    killer.join()
    assert workers[0].wait() != 0
    assert ran(catalog) == {node.name for node in pipeline.nodes}
    SequentialRunner().run(pipeline, catalog_in(theirs, names))
    assert values(ours) == values(theirs)

    # The records are those of the other runner.
    (ours / "left_0.json").write_text("4")
    ProcessRunner(processes=2).run(pipeline, small_lines.catalog_of(ours, names))
    assert {"make_left_1", "make_right_1"} <= ran(catalog)
    DaskRunner(address=address).run(pipeline, catalog, run_id="third")
    assert ran(catalog) == set()

    line = Pipeline([Node(small_lines.fail, "left_0", "left_1", name="broken")])
    with pytest.raises(RuntimeError, match="OddError: seven is 7") as caught:
        DaskRunner(address=address).run(line, catalog)
    assert "in fail" in str(caught.value.__cause__)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_this_machine_and_a_node_that_kills_its_workers(tmp_path: Path) -> None:
    names = ["left_0", "one", "two"]
    catalog = catalog_in(tmp_path, names)
    line = Pipeline(
        [
            Node(small_lines.mix, "left_0", "one", name="harmless"),
            Node(
                bind(small_lines.kill_itself, folder=str(tmp_path), times=99),
                *("one", "two"),
                name="greedy",
            ),
        ]
    )
    with pytest.raises(WorkerDiedError, match="node 'greedy'"):
        DaskRunner(processes=1).run(line, catalog, run_id="run")
    assert ran(catalog) == {"harmless"}


def test_data_in_memory_are_refused(tmp_path: Path) -> None:
    catalog = catalog_in(tmp_path, ["left_0"])
    line = Pipeline([Node(small_lines.mix, "left_0", "passing", name="first")])
    with pytest.raises(ConfigError, match="dataset 'passing' is in memory"):
        DaskRunner(processes=1).run(line, catalog)


@pytest.mark.filterwarnings("ignore")
def test_no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clepsydra.runners.cluster._SECONDS_TO_CONNECT", 1)
    catalog = catalog_in(tmp_path, ["left_0", "one"])
    line = Pipeline([Node(small_lines.mix, "left_0", "one", name="first")])
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        DaskRunner(address="tcp://127.0.0.1:9").run(line, catalog)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_without_a_worker_waits_for_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr("clepsydra.runners.cluster._SECONDS_TO_WAIT", 0.3)
    monkeypatch.setenv(EVENTS_VARIABLE, str(tmp_path / "events"))
    monkeypatch.setenv(RUN_ID_VARIABLE, "one")
    catalog = catalog_in(tmp_path, ["left_0", "told"])
    line = Pipeline([Node(small_lines.tell, "left_0", "told", name="teller")])
    with LocalCluster(
        n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
    ) as cluster:

        def start_one() -> None:
            while "has no worker" not in caplog.text:
                time.sleep(0.05)
            cluster.scale(1)

        starter = threading.Thread(target=start_one)
        starter.start()
        DaskRunner(address=cluster.scheduler_address).run(line, catalog, run_id="run")
        starter.join()
        assert f"dask worker {cluster.scheduler_address} --nthreads 1" in caplog.text
    assert len([text for text in caplog.messages if "has no worker" in text]) == 1
    assert (tmp_path / "events").read_text() == "told by 3\n"
    run_id, events, temporary, _ = values(tmp_path)["told"]
    assert run_id == "one"
    assert events != str(tmp_path / "events")
    assert not Path(temporary).exists()


def test_a_worker_with_other_code_or_packages_refuses_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clepsydra.runners import dask_workers

    catalog = catalog_in(tmp_path, ["left_0", "one"])
    line = Pipeline([Node(small_lines.mix, "left_0", "one", name="first")])
    job = Job.of(line.nodes, catalog, False, "run", 1)
    worker = SimpleNamespace(address="tcp://10.0.0.7:1", local_directory=str(tmp_path))
    plugin = dask_workers.JobPlugin("token", job)
    plugin.setup(worker)
    plugin.teardown(worker)
    assert list(tmp_path.glob("clepsydra-*")) == []
    there = Code.modules

    def other(self: Code, files: Any) -> dict[str, str | None]:
        return there(self, files) | {"small_lines": None}

    with monkeypatch.context() as patched:
        patched.setattr(Code, "modules", other)
        with pytest.raises(ConfigError, match=r"10\.0\.0\.7:1 has other code.*: small_lines\."):
            plugin.setup(worker)
    monkeypatch.setattr(dask_workers, "installed_packages", lambda: ("Python 2",))
    with pytest.raises(ConfigError, match=r"10\.0\.0\.7:1 has other packages.* and \d+ more"):
        plugin.setup(worker)


@pytest.mark.filterwarnings("ignore")
def test_a_refusal_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clepsydra.runners.dask_workers.installed_packages", lambda: ("Python 2",))
    catalog = catalog_in(tmp_path, ["left_0", "one"])
    line = Pipeline([Node(small_lines.mix, "left_0", "one", name="first")])
    with pytest.raises(ConfigError, match=r"^Dask worker tcp://127\.0\.0\.1:\d+ has other pack"):
        DaskRunner(processes=1).run(line, catalog, run_id="run")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match="needs the extra 'cluster'"):
        DaskRunner()
