"""What a worker leaves as it was: the environment, and temporary files."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
import small_lines
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.pipeline import Node, Pipeline
from small_lines import catalog_of, run

from clepsydra.binding import bind
from clepsydra.environment import EVENTS_VARIABLE, RUN_ID_VARIABLE
from clepsydra.runners.contents import Contents
from clepsydra.runners.worker import Job, Worker

LINE = Pipeline([Node(small_lines.tell, "start", "told", name="teller")])


def test_two_runs_in_one_process_do_not_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "start.json").write_text("1")
    catalog = catalog_of(tmp_path, ["start", "told"])
    workers = {}
    for run_id in ("one", "two"):
        monkeypatch.setenv(RUN_ID_VARIABLE, run_id)
        monkeypatch.setenv(EVENTS_VARIABLE, str(tmp_path / "events"))
        job = Job.of(LINE.nodes, catalog, False, run_id, 1, _create_hook_manager())
        (tmp_path / run_id).mkdir()
        workers[run_id] = Worker(job, str(tmp_path / run_id))
    monkeypatch.setenv(RUN_ID_VARIABLE, "none")
    monkeypatch.delenv(EVENTS_VARIABLE)
    before, folder = dict(os.environ), tempfile.gettempdir()
    for run_id in ("one", "two", "one"):
        outcome = workers[run_id].run("teller", Contents())
        assert outcome.error is None
        assert outcome.events == "told by 1\n"
        its, events, temporary, made = json.loads((tmp_path / "told.json").read_text())
        assert its == run_id
        assert temporary == str(tmp_path / run_id)
        assert {Path(events).parent, Path(made).parent} == {Path(temporary)}
        assert dict(os.environ) == before
        assert tempfile.gettempdir() == folder
        assert not Path(events).exists()


def test_what_is_noted_comes_back_and_temporary_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "start.json").write_text("1")
    (tmp_path / "events").write_text("told before\n")
    monkeypatch.setenv(RUN_ID_VARIABLE, "one")
    monkeypatch.setenv(EVENTS_VARIABLE, str(tmp_path / "events"))
    killed = bind(small_lines.kill_itself, folder=str(tmp_path), times=1)
    line = LINE + Pipeline([Node(killed, "start", "one", name="killed")])
    run(line, catalog_of(tmp_path, ["start", "told", "one"]))
    assert (tmp_path / "events").read_text() == "told before\ntold by 1\n"
    *_, temporary, _ = json.loads((tmp_path / "told.json").read_text())
    assert temporary != tempfile.gettempdir()
    assert not Path(temporary).exists()
