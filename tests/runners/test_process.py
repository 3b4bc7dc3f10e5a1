"""Nodes in processes: which run, what an error ends, what a kill costs."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import small_lines
from kedro.io import MemoryDataset
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from small_lines import actions, catalog_of, climb, ladder, run, values

from clepsydra.binding import bind
from clepsydra.runners import ProcessRunner
from clepsydra.runners.locks import AlreadyRunningError
from clepsydra.runners.processes import Processes
from clepsydra.runners.schedule import WorkerDiedError

SCRIPT = Path(small_lines.__file__)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_the_same_as_kedros_own_runner(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    pipeline, _ = ladder(5)
    assert len(run(pipeline, climb(ours, 5))) == 10
    SequentialRunner().run(pipeline, climb(theirs, 5))
    assert values(ours) == values(theirs)
    assert multiprocessing.active_children() == []


def test_an_error_ends_what_runs_beside_it_and_the_same_command_finishes_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "start.json").write_text("1")
    names = ["start", "slow", "middle", "broken", "late"]

    def line(third: object) -> Pipeline:
        slow = small_lines.sleep_long if third is small_lines.fail else small_lines.mix
        return Pipeline(
            [
                Node(slow, "start", "slow", name="slow"),
                Node(small_lines.mix, "start", "middle", name="middle"),
                Node(third, "middle", "broken", name="broken"),
                Node(small_lines.mix, "broken", "late", name="late"),
            ]
        )

    catalog = catalog_of(tmp_path, names)
    started = time.monotonic()
    with pytest.raises(RuntimeError, match="OddError: seven is 7") as caught:
        run(line(small_lines.fail), catalog)
    assert time.monotonic() - started < 20
    assert "in fail" in str(caught.value.__cause__)
    assert multiprocessing.active_children() == []
    assert actions(catalog)["action"].to_dict() == {"middle": "ran", "broken": "failed"}
    assert "The same command again finishes it" in caplog.text
    assert run(line(small_lines.mix), catalog) == {"slow", "broken", "late"}
    assert actions(catalog)["reason"].to_dict() == {
        "middle": "nothing changed",
        "slow": "did not finish before",
        "broken": "did not finish before",
        "late": "first run",
    }


@pytest.mark.parametrize("times", [1, 3])
def test_a_killed_worker_costs_one_node_another_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    (tmp_path / "start.json").write_text("1")
    killed = bind(small_lines.kill_itself, folder=str(tmp_path), times=times)
    line = Pipeline(
        [
            Node(killed, "start", "one", name="killed"),
            Node(small_lines.mix_slowly, "start", "two", name="beside"),
        ]
    )
    assert run(line, catalog_of(tmp_path, ["start", "one", "two"])) == {"killed", "beside"}
    assert values(tmp_path)["one"] == 2
    again = [text for text in caplog.messages if "is run again" in text]
    assert len(again) == times
    assert all("node 'killed' was killed by SIGKILL" in text for text in again)


def test_a_node_that_is_always_killed_is_named(tmp_path: Path) -> None:
    (tmp_path / "start.json").write_text("1")
    killed = bind(small_lines.kill_itself, folder=str(tmp_path), times=99)
    line = Pipeline([Node(killed, "start", "one", name="greedy")])
    with pytest.raises(WorkerDiedError, match=r"node 'greedy'.*SIGKILL.*memory may not suffice"):
        run(line, catalog_of(tmp_path, ["start", "one"]))
    assert len(list(tmp_path.glob("died-*"))) == 4


def test_a_tenth_of_all_nodes_killed_at_random_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for folder in (calm, wild):
        folder.mkdir()
    pipeline, names = ladder(40)
    run(pipeline, climb(calm, 40))
    killed = {name: tmp_path / name for name in random.Random(7).sample(names[2:], 8)}
    assert len(run(ladder(40, killed)[0], climb(wild, 40))) == 80
    assert values(wild) == values(calm)
    again = [text for text in caplog.messages if "is run again" in text]
    assert len(again) == len(killed) == sum(mark.exists() for mark in killed.values())


def test_a_killed_run_leaves_no_process_and_is_finished_by_the_next(tmp_path: Path) -> None:
    calm, wild, temporary = tmp_path / "calm", tmp_path / "wild", tmp_path / "temporary"
    for folder in (calm, wild, temporary):
        folder.mkdir()
    command = [sys.executable, str(SCRIPT), str(wild), "30"]
    environment = {**ENVIRONMENT, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        parent = psutil.Process(int(process.stdout.readline()))
        while not (wild / "left_15.json").exists():
            time.sleep(0.01)
        workers = parent.children(recursive=True)
        assert len(list(temporary.glob("clepsydra-*"))) == 1
        parent.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    assert list(temporary.glob("clepsydra-*")) == []
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert 20 <= int(done.stdout.split()[-1]) <= 32
    run(ladder(30)[0], climb(calm, 30))
    assert values(wild) == values(calm)


def test_memory_datasets_are_shared_and_never_skipped(tmp_path: Path) -> None:
    (tmp_path / "start.json").write_text("1")
    line = Pipeline(
        [
            Node(small_lines.mix, "start", "passing", name="first"),
            Node(small_lines.mix, "passing", "kept", name="second"),
            Node(small_lines.mix, "kept", "last", name="third"),
        ]
    )
    for _ in range(2):
        catalog = catalog_of(tmp_path, ["start", "kept"])
        runner = ProcessRunner(processes=2)
        (last,) = runner.run(line, catalog).values()
        assert isinstance(last, MemoryDataset)
        assert last.load() == small_lines.mix(small_lines.mix(small_lines.mix(1)))
        assert multiprocessing.active_children() == []
    assert actions(catalog)["reason"].to_dict() == {
        "first": "output is not kept: passing",
        "second": "input cannot be compared: passing",
        "third": "output is not kept: last",
    }


def test_without_records_every_node_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "start.json").write_text("1")
    line = Pipeline([Node(small_lines.mix, "start", "one", name="first")])
    for _ in range(2):
        catalog = catalog_of(tmp_path, ["start", "one"])
        del catalog._datasets["node_records"]
        assert run(line, catalog) == {"first"}
    with caplog.at_level(logging.WARNING), pytest.raises(RuntimeError, match="OddError"):
        run(Pipeline([Node(small_lines.fail, "start", "one", name="first")]), catalog)
    assert "same command" not in caplog.text


class Unsaved(MemoryDataset):
    """A disk that is full."""

    def save(self, data: Any) -> None:
        raise OSError("the disk is full")


@pytest.mark.parametrize("function", [small_lines.fail, small_lines.mix])
def test_an_error_at_the_end_hides_none_and_stops_no_other(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    function: Any,
) -> None:
    (tmp_path / "start.json").write_text("1")
    catalog = catalog_of(tmp_path, ["start", "one"], run_manifest=Unsaved())
    line = Pipeline([Node(function, "start", "one", name="first")])
    stop = Processes.stop

    def stop_badly(self: Processes) -> None:
        stop(self)
        raise ValueError("no such process")

    monkeypatch.setattr(Processes, "stop", stop_badly)
    runner = ProcessRunner(processes=1)
    if function is small_lines.fail:
        with pytest.raises(RuntimeError, match="OddError: seven is 7"):
            runner.run(line, catalog)
    else:
        runner.run(line, catalog)
    assert "cannot stop the workers: ValueError: no such process" in caplog.text
    assert "cannot save 'run_manifest'" in caplog.text
    assert "the disk is full" in caplog.text


def test_the_longest_path_goes_first(tmp_path: Path) -> None:
    """One process: of two ready nodes the one with the long way to the end begins."""
    (tmp_path / "start.json").write_text("1")
    line = Pipeline(
        [
            Node(small_lines.mix, "start", "a", name="a_short"),
            Node(small_lines.mix, "start", "b", name="b_long"),
            Node(small_lines.mix, "b", "c", name="c_after_b"),
            Node(small_lines.mix, "start", "d", name="d_model", tags="models"),
        ]
    )
    catalog = catalog_of(tmp_path, ["start", *"abcd"])
    run(line, catalog, processes=1)
    assert actions(catalog).index.tolist()[:2] == ["d_model", "b_long"]


def test_a_run_of_the_same_nodes_in_the_same_folder_is_refused_while_another_has_them(
    tmp_path: Path,
) -> None:
    other = Pipeline([Node(small_lines.mix, "left_0", "other", name="other")])
    command = [sys.executable, str(SCRIPT), str(tmp_path), "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        while not (tmp_path / "left_5.json").exists():
            time.sleep(0.01)
        for _ in range(2):
            with pytest.raises(AlreadyRunningError, match=rf"node 'make_left_1'.*'{tmp_path}/rec"):
                run(ladder(3)[0], climb(tmp_path, 3))
            catalog = catalog_of(tmp_path, ["left_0", "other"])
            assert run(other, catalog, force=True) == {"other"}, "its node is another"
        assert process.poll() is None
        process.kill()
    for _ in range(2):
        assert len(run(ladder(3)[0], climb(tmp_path, 3), force=True)) == 6, "nobody holds them"
