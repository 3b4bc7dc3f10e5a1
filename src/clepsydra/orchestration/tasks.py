"""One stage of the line as one task of an orchestrator.

Importing this module costs nothing: Kedro is imported when a stage runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clepsydra.environment import PARENT_RUN_VARIABLE
from clepsydra.errors import ConfigError

__all__ = ["CONF_SOURCE_VARIABLE", "run_stage"]

CONF_SOURCE_VARIABLE = "CLEPSYDRA_CONF_SOURCE"

# `clepsydra.structure` knows it too, but importing that imports Kedro, too early for the logging.
_PROJECT_PATH = Path(__file__).resolve().parents[3]
_LOGGING_CONFIG = _PROJECT_PATH / "conf" / "airflow_logging.yml"


def run_stage(stage: str, as_of: str | None, run_id: str) -> dict[str, Any]:
    """Run one stage from any working directory, its nodes in processes.

    Nodes of which nothing has changed do not run: a task that is tried again goes on where it
    ended.

    The environment variables `KEDRO_ENV` (which environment of the configuration) and
    `CLEPSYDRA_CONF_SOURCE` (which folder to read it from; the project's `conf` by default) are
    honoured.

    Args:
        stage: its name in `STAGES`.
        as_of: the day of the run; nothing for the configured one.
        run_id: what all stages of one run of the line have in common; forecasts carry it.

    Returns:
        `stage`, `as_of`, `nodes` and `seconds`: small, and JSON.

    Raises:
        ConfigError: no stage has that name, or the data at hand are those of another `as_of`.
    """
    # Kedro sets logging up when it is first imported, and would drop the orchestrator's handlers.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(_LOGGING_CONFIG))

    from kedro.framework.project import pipelines
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from clepsydra.pipeline_registry import STAGES
    from clepsydra.runners import ProcessRunner

    if stage not in STAGES:
        raise ConfigError(f"no stage is called {stage!r}: there are {', '.join(STAGES)}")
    started = time.monotonic()
    bootstrap_project(_PROJECT_PATH)
    session = KedroSession.create(
        project_path=_PROJECT_PATH,
        conf_source=os.environ.get(CONF_SOURCE_VARIABLE) or None,
        runtime_params={"as_of": as_of} if as_of else None,
    )
    with _environment(PARENT_RUN_VARIABLE, run_id), session:
        resolved = str(session.load_context().params["as_of"])
        session.run(pipeline_names=[stage], runner=ProcessRunner())
    return {
        "stage": stage,
        "as_of": resolved,
        "nodes": len(pipelines[stage].nodes),
        "seconds": round(time.monotonic() - started, 1),
    }


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
