"""The same nodes on Dask: the same results, records and errors; a killed worker loses nothing."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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
from clepsydra.runners.schedule import WorkerDiedError
from clepsydra.runners.worker import Job

pytest.importorskip("distributed")

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
RUNGS = 20


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """A function that starts a scheduler or a worker, as an administrator would."""
    contact = tmp_path / "scheduler.json"
    started: list[subprocess.Popen[bytes]] = []

    def begin(kind: str, *options: str, path: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        environment = {**ENVIRONMENT}
        environment["PYTHONPATH"] = os.pathsep.join([*path, ENVIRONMENT["PYTHONPATH"]])
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        command += ["--scheduler-file", str(contact), "--host", "127.0.0.1", "--no-dashboard"]
        if kind == "scheduler":
            command += ["--port", "0", "--no-jupyter"]
        else:
            command += ["--nthreads", "1", "--local-directory", str(tmp_path / "space")]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def address_of(folder: Path, n_workers: int) -> str:
    """Of the scheduler, when it has so many workers."""
    from distributed import Client

    contact = folder / "scheduler.json"
    while not contact.exists():
        time.sleep(0.1)
    with Client(scheduler_file=str(contact), timeout=60) as client:
        if n_workers:
            client.wait_for_workers(n_workers, timeout=60)
        return client.scheduler.address


@pytest.fixture
def cluster(tmp_path: Path, start: Callable[..., Any]) -> tuple[str, list[Any]]:
    """A scheduler and three workers, one of which has a nanny."""
    start("scheduler")
    workers = [start("worker", *options) for options in (["--no-nanny"], ["--no-nanny"], [])]
    return address_of(tmp_path, 3), workers


def catalog_in(folder: Path, names: list[str], parameters: dict[str, Any] | None = None) -> Any:
    folder.mkdir(exist_ok=True)
    for side in ("left_0", "right_0"):
        (folder / f"{side}.json").write_text("3")
    return catalog_of(folder, names, parameters, kind=DataCatalog)


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


def test_a_worker_with_other_packages_refuses_the_run(
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
    monkeypatch.setattr(dask_workers, "installed_packages", lambda: ("Python 2",))
    with pytest.raises(ConfigError, match=r"10\.0\.0\.7:1 has other packages.* and \d+ more"):
        plugin.setup(worker)


@pytest.fixture
def other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Pipeline, str]]:
    """A line of a module that is here, and the folder of another one of the same name."""
    for place, plus in (("here", 1), ("there", 2)):
        (tmp_path / place).mkdir()
        text = f"def step(value):\n    return value + {plus}\n"
        (tmp_path / place / "own_step.py").write_text(text)
        text = "class Model:\n    pass\n" + ("# another\n" if place == "there" else "")
        (tmp_path / place / "own_model.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "here"))
    step = importlib.import_module("own_step").step
    # As if the module had been there before this process.
    monkeypatch.setattr("clepsydra.runners.code._started", time.time() + 1)
    yield Pipeline([Node(step, "left_0", "one", name="first")]), str(tmp_path / "there")
    sys.modules.pop("own_step")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("named", ["own_step", "own_model"])
def test_a_worker_with_other_code_refuses_the_run(
    tmp_path: Path, start: Callable[..., Any], other_code: tuple[Pipeline, str], named: str
) -> None:
    line, there = other_code
    if named == "own_model":
        (Path(there) / "own_step.py").write_text((tmp_path / "here/own_step.py").read_text())
    start("scheduler")
    start("worker", path=(there,))
    parameters = {"models": {"mine": {"engine": "own_model.Model"}}}
    catalog = catalog_in(tmp_path / "data", ["left_0", "one"], parameters)
    runner = DaskRunner(address=address_of(tmp_path, 1))
    with pytest.raises(ConfigError, match=rf"^Dask worker tcp://127.* has other code.*: .*{named}"):
        runner.run(line, catalog, run_id="run")
    assert not (tmp_path / "data/one.json").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_joins_late_refuses_the_run_too(
    tmp_path: Path,
    start: Callable[..., Any],
    other_code: tuple[Pipeline, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    line, there = other_code
    monkeypatch.setattr("clepsydra.runners.cluster._SECONDS_TO_WAIT", 0.3)
    start("scheduler")
    address = address_of(tmp_path, 0)

    def join() -> None:
        while "has no worker" not in caplog.text:
            time.sleep(0.05)
        start("worker", path=(there,))

    joining = threading.Thread(target=join)
    joining.start()
    catalog = catalog_in(tmp_path / "data", ["left_0", "one"])
    with pytest.raises(ConfigError, match=r"^Dask worker tcp://127.* has other code.*own_step"):
        DaskRunner(address=address).run(line, catalog, run_id="run")
    joining.join()
    assert not (tmp_path / "data/one.json").exists()


@pytest.mark.filterwarnings("ignore")
def test_a_node_that_ends_after_its_run_has_failed_saves_nothing(
    tmp_path: Path, start: Callable[..., Any]
) -> None:
    begun, go_on = str(tmp_path / "begun"), tmp_path / "go_on"
    line = Pipeline(
        [
            Node(
                bind(small_lines.wait_until, begun=begun, go_on=str(go_on)),
                *("left_0", "slow"),
                name="slow",
            ),
            Node(bind(small_lines.fail_beside, begun=begun), "left_0", "broken", name="broken"),
        ]
    )
    start("scheduler")
    for _ in range(2):
        start("worker")
    address = address_of(tmp_path, 2)
    catalog = catalog_in(tmp_path / "data", ["left_0", "slow", "broken"])
    with pytest.raises(RuntimeError, match="OddError"):
        DaskRunner(address=address).run(line, catalog, run_id="run")
    assert len(temporary_folders(tmp_path)) == 1, "of the node that still runs"
    again = Pipeline([Node(small_lines.mix, "left_0", "slow", name="slow")])
    DaskRunner(address=address).run(again, catalog, run_id="again")
    written = (tmp_path / "data/slow.json").read_text()
    assert small_lines.mix(3) == int(written) != 3, "what the next run gives is another"
    go_on.touch()
    for _ in range(300):
        if not temporary_folders(tmp_path):
            break
        time.sleep(0.1)
    assert temporary_folders(tmp_path) == []
    assert (tmp_path / "data/slow.json").read_text() == written


def temporary_folders(folder: Path) -> list[Path]:
    return list((folder / "space").rglob("clepsydra-*"))


@pytest.mark.filterwarnings("ignore")
def test_a_series_that_hangs_or_dies_is_no_others_matter_in_a_worker_with_a_nanny(
    tmp_path: Path,
) -> None:
    catalog = catalog_in(tmp_path, ["left_0", "one"])
    line = Pipeline([Node(small_lines.do_in_isolation, "left_0", "one", name="first")])
    DaskRunner(processes=1).run(line, catalog, run_id="run")
    done, reasons = values(tmp_path)["one"]
    assert done == ["fine", "also fine"]
    assert reasons == {
        "hangs": "timed out after 2 s",
        "dies": "its process ended with exit code -9",
    }


@pytest.mark.filterwarnings("ignore")
def test_workers_keep_apart_what_hangs_or_dies_in_every_run_that_they_are_given(
    tmp_path: Path, cluster: tuple[str, list[Any]]
) -> None:
    for run_id in ("one", "two", "three"):
        catalog = catalog_in(tmp_path / run_id, ["left_0", "right_0", "one", "two", "three"])
        names = {"one": "left_0", "two": "right_0", "three": "left_0"}
        line = Pipeline(
            [Node(small_lines.do_in_isolation, its, name, name=name) for name, its in names.items()]
        )
        DaskRunner(address=cluster[0]).run(line, catalog, run_id=run_id)
        assert values(tmp_path / run_id)["three"][0] == ["fine", "also fine"]


def test_a_number_of_processes_is_not_that_of_another_cluster() -> None:
    with pytest.raises(ConfigError, match=r"'address' and 'processes'.*tcp://10\.0\.0\.5:8786 "):
        DaskRunner(address="tcp://10.0.0.5:8786", processes=2)


def test_a_cluster_of_this_machine_that_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**options: Any) -> None:
        raise RuntimeError("no process to be had")

    monkeypatch.setattr("distributed.LocalCluster", fail)
    catalog = catalog_in(tmp_path, ["left_0", "one"])
    line = Pipeline([Node(small_lines.mix, "left_0", "one", name="first")])
    with pytest.raises(ConfigError, match=r"2 processes cannot be started.*no process to be had"):
        DaskRunner(processes=2).run(line, catalog)


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
