"""The line under a real Airflow, on the real flights, in a home and a data folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find_spec("airflow") is None, reason="needs the extra 'airflow'"),
]

PROJECT = Path(__file__).resolve().parents[2]
ONLY_THE_FIRST_STAGES = ("--mark-success-pattern", "(?!collect|clean).*")


@pytest.fixture
def line(make_line: Callable[..., Any]) -> Any:
    return make_line()


@pytest.fixture
def airflow(line: Any, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    variables = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
        "CLEPSYDRA_CONF_SOURCE": str(line.conf),
        "KEDRO_ENV": "test",
        "PYTHONPATH": str(PROJECT / "src"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            cwd=tmp_path,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    migrated = run("db", "migrate")
    assert migrated.returncode == 0, migrated.stderr[-3000:]
    return run


def test_the_line_is_green_and_publishes_every_series(line: Any, airflow: Any) -> None:
    done = airflow("dags", "test", "clepsydra_line")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    clock = json.loads((line.data / "02_intermediate/clock.json").read_text(encoding="utf-8"))
    assert clock["as_of"] == "2013-12-15"
    forecasts = line.forecasts()
    assert forecasts["unique_id"].nunique() == 35
    assert set(pd.to_datetime(forecasts["cutoff"])) == {pd.Timestamp(clock["cutoff"])}
    (run_id,) = forecasts["run_id"].unique()
    assert run_id.startswith("manual__")
    assert (line.data / "08_reporting/report.html").is_file()


def test_a_logical_date_is_the_day_of_the_run(line: Any, airflow: Any) -> None:
    done = airflow("dags", "test", "clepsydra_line", "2013-11-30", *ONLY_THE_FIRST_STAGES)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    clock = json.loads((line.data / "02_intermediate/clock.json").read_text(encoding="utf-8"))
    assert clock["as_of"] == "2013-11-30"


def test_the_parameter_is_the_day_of_the_run(line: Any, airflow: Any) -> None:
    conf = json.dumps({"as_of": "2013-12-01"})
    test = ("dags", "test", "clepsydra_line", "--conf")
    done = airflow(*test, conf, *ONLY_THE_FIRST_STAGES)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    clock = json.loads((line.data / "02_intermediate/clock.json").read_text(encoding="utf-8"))
    assert clock["as_of"] == "2013-12-01"
    refused = airflow(*test, json.dumps({"as_of": "yesterday"}))
    assert refused.returncode != 0
    assert "as_of" in refused.stdout + refused.stderr
