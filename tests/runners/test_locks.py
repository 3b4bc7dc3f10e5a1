"""A node is held by one process at a time."""

from __future__ import annotations

import errno
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from clepsydra.runners import locks
from clepsydra.runners.locks import AlreadyRunningError, nodes_held


def _try_to_hold(names: list[str], folder: Path, answers: Any) -> None:
    try:
        with nodes_held(names, folder):
            answers.send("held")
    except AlreadyRunningError as error:
        answers.send(str(error))


def elsewhere(names: list[str], folder: Path) -> str:
    """What another process is told."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_try_to_hold, args=(names, folder, there))
    process.start()
    answer: str = here.recv()
    process.join()
    return answer


def test_a_node_is_held_until_the_end_and_others_are_free(tmp_path: Path) -> None:
    for _ in range(2):
        with nodes_held(["a", "b"], tmp_path / "records"):
            said = elsewhere(["c", "b"], tmp_path / "records")
            assert said.startswith("node 'b' belongs to another run")
            assert f"'{tmp_path}/records'" in said
            assert elsewhere(["c", "d"], tmp_path / "records") == "held"
            assert elsewhere(["a", "b"], tmp_path / "others") == "held"
        assert elsewhere(["a", "b"], tmp_path / "records") == "held"


def test_an_error_frees_all(tmp_path: Path) -> None:
    with pytest.raises(KeyError), nodes_held(["a"], tmp_path):
        raise KeyError
    assert elsewhere(["a"], tmp_path) == "held"


def test_where_nothing_can_be_held_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr("fcntl.lockf", refuse)
    with nodes_held(["a", "b"], tmp_path):
        assert len([text for text in caplog.messages if "no locks available" in text]) == 1
    monkeypatch.setattr(locks, "fcntl", None)
    with nodes_held(["a"], tmp_path / "new"), nodes_held(["a"], None):
        assert not (tmp_path / "new").exists()
