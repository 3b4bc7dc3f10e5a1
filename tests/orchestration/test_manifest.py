"""The manifest that the DAG draws: committed fresh, complete, and true to the pipelines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
LINE = PROJECT / "dags" / "line.json"

_DATASETS = """
import json
from kedro.framework.startup import bootstrap_project
bootstrap_project(".")
from clepsydra.pipeline_registry import STAGES, register_pipelines
pipelines = register_pipelines()
def tables(names):
    return sorted({name.split("@")[0] for name in names})
print(json.dumps({
    stage: {
        "reads": tables(name for node in pipelines[stage].nodes for name in node.inputs),
        "writes": tables(name for node in pipelines[stage].nodes for name in node.outputs),
    }
    for stage in STAGES
}))
"""


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def stages() -> dict[str, dict[str, Any]]:
    found = json.loads(LINE.read_text(encoding="utf-8"))["stages"]
    names = [stage["name"] for stage in found]
    assert len(names) == len(set(names))
    return {stage["name"]: stage for stage in found}


@pytest.fixture(scope="module")
def datasets() -> dict[str, dict[str, list[str]]]:
    done = python("-c", _DATASETS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def ancestors(stages: dict[str, dict[str, Any]], name: str) -> set[str]:
    direct = stages[name]["upstream"]
    return set(direct).union(*(ancestors(stages, other) for other in direct))


def test_the_committed_file_is_fresh() -> None:
    done = python("-m", "clepsydra.orchestration.manifest", "--check")
    assert done.returncode == 0, done.stderr


def test_every_stage_is_there_once_in_the_order_of_the_line(
    stages: dict[str, dict[str, Any]], datasets: dict[str, dict[str, list[str]]]
) -> None:
    assert list(stages) == list(datasets)
    assert all(stage["nodes"] > 0 and stage["description"] for stage in stages.values())


def test_edges_point_back_so_there_is_no_cycle(stages: dict[str, dict[str, Any]]) -> None:
    order = list(stages)
    for position, name in enumerate(order):
        assert set(stages[name]["upstream"]) <= set(order[:position]), name


def test_a_stage_waits_for_all_that_make_what_it_reads_and_for_nothing_else(
    stages: dict[str, dict[str, Any]], datasets: dict[str, dict[str, list[str]]]
) -> None:
    for name, own in datasets.items():
        makers = {
            other
            for other, its in datasets.items()
            if other != name and set(own["reads"]) & set(its["writes"])
        }
        assert makers <= ancestors(stages, name), name
        assert set(stages[name]["upstream"]) <= makers, name


def test_no_edge_is_implied_by_others(stages: dict[str, dict[str, Any]]) -> None:
    for name, stage in stages.items():
        for upstream in stage["upstream"]:
            others = set(stage["upstream"]) - {upstream}
            implied = set().union(*(ancestors(stages, other) for other in others))
            assert upstream not in implied, f"{upstream} -> {name}"


def test_a_stale_file_is_reported_with_the_command_that_mends_it(tmp_path: Path) -> None:
    stale = tmp_path / "line.json"
    stale.write_text(re.sub(r'"nodes": \d+,', '"nodes": 99,', LINE.read_text("utf-8"), count=1))
    check = ("-m", "clepsydra.orchestration.manifest", "--path", str(stale))
    done = python(*check, "--check")
    assert done.returncode == 1
    assert "Run: python -m clepsydra.orchestration.manifest" in done.stderr
    assert '"nodes": 99,' in stale.read_text(encoding="utf-8")
    assert python(*check).returncode == 0
    assert stale.read_bytes() == LINE.read_bytes()


def test_a_stage_that_reads_from_a_later_one_is_refused() -> None:
    script = """
from clepsydra.orchestration.manifest import stage_graph
stage_graph({"first": ({"late"}, {"early"}), "second": ({"early"}, {"late"})})
"""
    done = python("-c", script)
    assert done.returncode == 1
    assert "stage 'first' reads 'late', which 'second' makes only later" in done.stderr
