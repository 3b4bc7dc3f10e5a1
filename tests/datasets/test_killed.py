"""A run that is killed at any moment, and the next one: the store is as if nothing had been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLS = 50


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What became of every run that was killed, and of the one that followed it."""
    program = Path(__file__).with_name("killing.py")
    folder = tmp_path_factory.mktemp("killed")
    one_thread = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program), str(folder), "0", str(KILLS)],
        env={**os.environ, **one_thread},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_after_one_that_was_killed_leaves_the_store_as_if_it_had_not_been(
    killed: list[dict[str, Any]],
) -> None:
    """The same manifest, files and bytes, and nothing beside them."""
    assert sum("share" in trial for trial in killed) == KILLS
    assert [trial for trial in killed if not trial["same"]] == []


def test_a_kill_harms_no_snapshot_that_was_there(killed: list[dict[str, Any]]) -> None:
    assert [trial for trial in killed if not trial["kept"]] == []


def test_many_runs_were_killed_in_the_middle(killed: list[dict[str, Any]]) -> None:
    by_chance = [trial for trial in killed if "share" in trial]
    hits = [t for t in by_chance if t["killed"] and t["begun"] and not t["finished"]]
    assert len(hits) >= KILLS / 2
    at_steps = [trial for trial in killed if "step" in trial]
    assert all(trial["killed"] for trial in at_steps)
    # Some snapshots, then the manifest, then the state; the last kill is before the state.
    manifests = [trial["manifest"] for trial in at_steps]
    assert manifests == [0] * (len(manifests) - 1) + [1]
    assert len(manifests) >= 6


def test_a_killed_run_is_forgotten_if_the_next_one_finds_other_rows(
    killed: list[dict[str, Any]],
) -> None:
    assert killed[-2] == {"killed": True, "begun": True, "same": True, "kept": True}


def test_a_run_beside_another_is_refused_and_after_its_death_is_not(
    killed: list[dict[str, Any]],
) -> None:
    trial = killed[-1]
    assert "source 'load' is being collected by another run into" in trial["said"]
    assert trial["untouched"]
    assert trial["killed"]
    assert trial["same"]
