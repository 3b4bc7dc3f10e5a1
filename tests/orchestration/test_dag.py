"""The DAG folder as Airflow sees it: it parses, cheaply, to what the manifest says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Importing Airflow here would write its configuration into the user's home.
pytestmark = pytest.mark.skipif(find_spec("airflow") is None, reason="needs the extra 'airflow'")

PROJECT = Path(__file__).resolve().parents[2]
DAGS = PROJECT / "dags"

_PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
heavy = [name for name in ("kedro", "pandas", "sklearn", "numpy") if name in sys.modules]
print("FOUND", json.dumps({
    "errors": bag.import_errors,
    "heavy": heavy,
    "dags": {
        dag.dag_id: {
            "catchup": dag.catchup,
            "paused": dag.is_paused_upon_creation,
            "max_active_runs": dag.max_active_runs,
            "docs": dag.doc_md,
            "as_of": dag.params["as_of"],
            "tasks": {
                task.task_id: {
                    "owner": task.owner,
                    "retries": task.retries,
                    "retry_delay": task.retry_delay.total_seconds(),
                    "timeout": task.execution_timeout and task.execution_timeout.total_seconds(),
                    "docs": task.doc_md,
                    "upstream": sorted(task.upstream_task_ids),
                }
                for task in dag.tasks
            },
        }
        for dag in bag.dags.values()
    },
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    variables = {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONPATH": str(PROJECT / "src"),
    }
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(DAGS)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = next(row for row in done.stdout.splitlines() if row.startswith("FOUND"))
    return json.loads(found.removeprefix("FOUND"))


def test_the_folder_parses_to_the_line_and_nothing_else(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert list(parsed["dags"]) == ["clepsydra_line"]


def test_parsing_imports_nothing_heavy(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []


def test_tasks_and_edges_are_those_of_the_manifest(parsed: dict[str, Any]) -> None:
    stages = json.loads((DAGS / "line.json").read_text(encoding="utf-8"))["stages"]
    tasks = parsed["dags"]["clepsydra_line"]["tasks"]
    assert {name: task["upstream"] for name, task in tasks.items()} == {
        stage["name"]: sorted(stage["upstream"]) for stage in stages
    }
    for stage in stages:
        assert stage["description"] in tasks[stage["name"]]["docs"]


def test_every_task_has_owner_retries_and_timeout(parsed: dict[str, Any]) -> None:
    for name, task in parsed["dags"]["clepsydra_line"]["tasks"].items():
        assert task["owner"] == "clepsydra", name
        assert task["retries"] == 1, name
        assert task["retry_delay"] > 0, name
        assert task["timeout"] and task["timeout"] > 0, name


def test_the_line_waits_to_be_switched_on_and_runs_one_day_at_a_time(
    parsed: dict[str, Any],
) -> None:
    dag = parsed["dags"]["clepsydra_line"]
    assert dag["paused"] is True
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    assert dag["as_of"] is None
    assert "as_of" in dag["docs"]
