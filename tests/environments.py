"""The environments of `conf/` for the tests: what they say, and runs into a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from clepsydra.settings import CONFIG_LOADER_ARGS
from line_runner import PROJECT, Line

SHARED = ["fr_load", "m4_hourly", "m5_small", "uci_air_quality", "vic_electricity"]
ENVIRONMENTS = [*SHARED, "rte", "flights_hierarchy"]


def data_set(name: str) -> Path:
    """Folder of a shared data set. The test is skipped where it is absent."""
    shared = PROJECT / (os.environ.get("CLEPSYDRA_SHARED_DATA") or "../shared/data")
    folder = shared / name
    if not folder.is_dir():
        pytest.skip(f"no data set '{name}' in {shared}: set CLEPSYDRA_SHARED_DATA")
    return folder


def read_configuration(
    environment: str, part: str = "parameters", conf: Path = PROJECT / "conf"
) -> dict[str, Any]:
    """What the environment and `base` say together, resolved as in a run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="register_new_resolver")
        loader = OmegaConfigLoader(conf_source=str(conf), env=environment, **CONFIG_LOADER_ARGS)
        return loader[part]


@dataclass
class EnvironmentLine(Line):
    """A line that runs an environment of the project, into a data folder of its own.

    Attributes:
        environment: which one.
    """

    environment: str

    def run(self, *options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "kedro", "run", "--env", self.environment]
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

    def refused(self, *options: str) -> str:
        """Run, which must fail with a message and no traceback; return the message."""
        done = self.run(*options, check=False)
        assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
        assert "Traceback" not in done.stderr
        _, _, message = f"\n{done.stderr}".rpartition("\nError: ")
        return " ".join(message.split())

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Change the parameters of the copy."""
        _change(self.conf / self.environment / "parameters.yml", edit)


def copy_environment(folder: Path, environment: str, **values: str) -> EnvironmentLine:
    """Copy `conf/` to `folder`, and give the environment these `globals`."""
    conf, data = folder / "conf", folder / "data"
    shutil.copytree(PROJECT / "conf", conf, dirs_exist_ok=True)
    _change(
        conf / environment / "globals.yml", lambda known: known.update(values, data_root=str(data))
    )
    return EnvironmentLine(conf, data, environment)


def _change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
