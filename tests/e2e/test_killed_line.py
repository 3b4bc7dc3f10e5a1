"""A real line of which a tenth of all nodes lose their process: the same results to the bit."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from line_runner import PROJECT, Line
from shop_lines import line_of_shops

pytestmark = pytest.mark.e2e

# Seconds that were measured are not the same twice.
MEASURED = {"costs", "plan", "run_profile", "run_manifest"}


def run_and_kill(line: Line, kills: int, chance: random.Random) -> tuple[int, int]:
    """`kedro run`, whose workers get SIGKILL at random times; exit code, and how many did."""
    command = [sys.executable, "-m", "kedro", "run", "--env", "test"]
    done = 0
    with subprocess.Popen(
        [*command, "--conf-source", str(line.conf)],
        cwd=PROJECT,
        env={**os.environ, "DO_NOT_TRACK": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        parent = psutil.Process(process.pid)
        while process.poll() is None:
            time.sleep(chance.uniform(0.05, 0.5))
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                workers = parent.children()
                if workers and done < kills:
                    os.kill(chance.choice(workers).pid, signal.SIGKILL)
                    done += 1
    return process.returncode, done


def tables(line: Line) -> dict[str, pd.DataFrame]:
    """Everything that the line wrote as Parquet, and the store, but for what was measured."""
    found = {
        str(path.relative_to(line.data)): pd.read_parquet(path)
        for path in sorted(line.data.rglob("*.parquet"))
        if path.is_file() and path.stem not in MEASURED and "01_raw" not in path.parts
    }
    return {**found, "forecasts": line.forecasts().drop(columns=["run_id", "published_at"])}


def test_a_tenth_of_all_nodes_killed_gives_the_same_results(tmp_path: Path) -> None:
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    for folder in (calm, wild):
        folder.mkdir()
    undisturbed = line_of_shops(calm, n_shards=4)
    undisturbed.run()
    nodes = len(undisturbed.read("08_reporting/run_manifest.parquet"))
    line, chance, kills = line_of_shops(wild, n_shards=4), random.Random(0), -(-nodes // 10)
    killed = 0
    for _ in range(10):
        code, done = run_and_kill(line, kills - killed, chance)
        killed += done
        if code == 0:
            break
    assert (code, killed) == (0, kills)
    expected, found = tables(undisturbed), tables(line)
    assert found.keys() == expected.keys()
    for name, table in found.items():
        pd.testing.assert_frame_equal(table, expected[name], check_exact=True, obj=name)
