"""One stage as a task: in this process, from anywhere, leaving nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]

_LIGHT = """
import sys
import clepsydra.orchestration.clock
import clepsydra.orchestration.tasks
print([name for name in ("kedro", "pandas", "numpy", "airflow") if name in sys.modules])
"""

_STAGES = """
import json, logging, multiprocessing, os
from clepsydra.errors import ConfigError
from clepsydra.orchestration.tasks import run_stage

class Handler(logging.Handler):
    names = set()
    def emit(self, record):
        self.names.add(record.name.partition(".")[0])

handler = Handler()
logging.getLogger().addHandler(handler)
found = {"results": [run_stage(stage, "2013-11-30", "run-1") for stage in ("collect", "clean")]}

errors = []  # as an orchestrator keeps them: the traceback holds the runner

def message(stage, as_of):
    try:
        run_stage(stage, as_of, "run-1")
    except Exception as error:
        errors.append(error)
        return f"{type(error).__name__}: {error}"

found["early"] = message("collect", "1999-01-01")
found["other_day"] = message("split", "2013-12-01")
found["unknown"] = message("harvest", None)
found["published_as"] = os.environ["CLEPSYDRA_RUN_ID"]
found["parent"] = os.environ.get("CLEPSYDRA_PARENT_RUN")
found["handler_kept"] = logging.getLogger().handlers[-1:] == [handler]
found["heard"] = sorted(handler.names)
found["children"] = [child.name for child in multiprocessing.active_children()]
print("FOUND", json.dumps(found))
"""


@pytest.fixture
def found(make_line: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    line = make_line()
    variables = {
        "CLEPSYDRA_CONF_SOURCE": str(line.conf),
        "KEDRO_ENV": "test",
        "CLEPSYDRA_PARENT_RUN": "before",
        "PYTHONPATH": str(PROJECT / "src"),
    }
    done = subprocess.run(
        [sys.executable, "-c", _STAGES],
        cwd=tmp_path,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (line.data / "02_intermediate/clock.json").is_file()
    line_of_json = next(row for row in done.stdout.splitlines() if row.startswith("FOUND"))
    return json.loads(line_of_json.removeprefix("FOUND"))


def test_importing_the_tasks_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_stages_run_from_anywhere_and_leave_nothing_behind(found: dict[str, Any]) -> None:
    collect, clean = found["results"]
    assert (collect["stage"], collect["as_of"]) == ("collect", "2013-11-30")
    assert (clean["stage"], clean["as_of"]) == ("clean", "2013-11-30")
    assert clean["nodes"] > collect["nodes"] > 1
    assert clean["seconds"] > 0
    assert found["published_as"] == "run-1"
    assert found["parent"] == "before"
    assert found["handler_kept"]
    assert "clepsydra" in found["heard"]
    assert found["early"].startswith("SourceError: as_of 1999-01-01 is before the first data")
    assert found["children"] == []
    assert found["other_day"].startswith(
        "ConfigError: this run is as of 2013-12-01, but the data at hand are those of 2013-11-30"
    )
    assert found["unknown"].startswith("ConfigError: no stage is called 'harvest': there are")
