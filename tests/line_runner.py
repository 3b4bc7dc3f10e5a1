"""The line with a configuration and a data folder of its own, for the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

PROJECT = Path(__file__).resolve().parents[1]


@dataclass
class Line:
    """The project's code with a configuration and a data folder of its own.

    Attributes:
        conf: copy of `conf/`, with an environment `test`.
        data: root of the data layers.
    """

    conf: Path
    data: Path

    def run(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`kedro run` with these options, as a user would type it."""
        command = [sys.executable, "-m", "kedro", "run", "--env", "test"]
        done = subprocess.run(
            [*command, "--conf-source", str(self.conf), *options],
            cwd=PROJECT,
            env={**os.environ, "DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    def read(self, path: str) -> pd.DataFrame:
        """A Parquet file of the data layers."""
        return pd.read_parquet(self.data / path)

    def forecasts(self) -> pd.DataFrame:
        """The serving store."""
        url = f"sqlite:///{self.data / '07_model_output/forecasts.db'}"
        return pd.read_sql("SELECT * FROM forecasts ORDER BY unique_id, cutoff, ds, model", url)

    def empty_store(self) -> None:
        """Delete everything that runs have made."""
        shutil.rmtree(self.data, ignore_errors=True)


def build_line(folder: Path, parameters: dict[str, Any]) -> Line:
    """Copy `conf/` to `folder` and add an environment with these parameters."""
    conf, data = folder / "conf", folder / "data"
    shutil.copytree(PROJECT / "conf", conf, dirs_exist_ok=True)
    (conf / "test").mkdir(exist_ok=True)
    (conf / "test/globals.yml").write_text(yaml.safe_dump({"data_root": str(data)}))
    (conf / "test/parameters.yml").write_text(yaml.safe_dump(parameters))
    return Line(conf, data)
