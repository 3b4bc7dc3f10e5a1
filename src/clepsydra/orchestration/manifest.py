"""The stages of the line and what each waits for, as a small JSON file beside the DAG.

Airflow parses a DAG file again and again, and importing Kedro takes seconds each time. So the
graph is worked out here, once, and committed as `dags/line.json`. It is that of `conf/base` alone:
the file is the same on every machine.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clepsydra.structure import PROJECT_PATH

__all__ = ["MANIFEST_PATH", "build_manifest", "main", "render", "stage_graph"]

MANIFEST_PATH = PROJECT_PATH / "dags" / "line.json"
_COMMAND = "python -m clepsydra.orchestration.manifest"


def build_manifest() -> dict[str, Any]:
    """The manifest of the registered pipelines.

    Returns:
        `{"stages": [...]}`, in the order of the line. Each stage has `name`, `description` (the
        first line of its `create_pipeline`), `nodes` (how many) and `upstream` (the stages to
        wait for; those that another upstream waits for already are left out).

    Raises:
        ValueError: a stage reads what only it and later stages produce.
    """
    from kedro.framework.project import settings
    from kedro.framework.startup import bootstrap_project

    from clepsydra.pipeline_registry import STAGES, register_pipelines
    from clepsydra.structure import follow

    bootstrap_project(PROJECT_PATH)
    base = settings.CONFIG_LOADER_ARGS["base_env"]
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(PROJECT_PATH / settings.CONF_SOURCE),
        env=base,
        **settings.CONFIG_LOADER_ARGS,
    )
    follow(loader["parameters"])
    pipelines = register_pipelines()
    upstream = stage_graph(
        {stage: (pipelines[stage].inputs(), pipelines[stage].all_outputs()) for stage in STAGES}
    )
    return {
        "stages": [
            {
                "name": stage,
                "description": _description(stage),
                "nodes": len(pipelines[stage].nodes),
                "upstream": upstream[stage],
            }
            for stage in STAGES
        ]
    }


def stage_graph(datasets: dict[str, tuple[set[str], set[str]]]) -> dict[str, list[str]]:
    """Which stages each stage waits for: the transitive reduction of who reads whose datasets.

    Args:
        datasets: stage to the names it reads and the names it writes, in the order of the line. A
            table is the same one however it is read: `panel@values` is `panel`.

    Raises:
        ValueError: a stage reads what only later stages produce.

    Examples:
        >>> stage_graph({"a": (set(), {"x"}), "b": ({"x"}, {"y"}), "c": ({"x", "y"}, set())})
        {'a': [], 'b': ['a'], 'c': ['b']}
        >>> stage_graph({"a": (set(), {"x@pandas"}), "b": ({"x@file"}, set())})
        {'a': [], 'b': ['a']}
    """
    order = list(datasets)
    datasets = {stage: (_tables(its[0]), _tables(its[1])) for stage, its in datasets.items()}
    reduced: dict[str, list[str]] = {}
    ancestors: dict[str, set[str]] = {}
    for position, stage in enumerate(order):
        reads = datasets[stage][0]
        earlier = [other for other in order[:position] if reads & datasets[other][1]]
        made = set().union(*(datasets[other][1] for other in order[: position + 1]))
        late = {
            name: other
            for other in order[position + 1 :]
            for name in sorted((reads & datasets[other][1]) - made)
        }
        if late:
            name, other = next(iter(late.items()))
            raise ValueError(
                f"stage '{stage}' reads '{name}', which '{other}' makes only later: "
                f"change the order of STAGES"
            )
        implied = set().union(*(ancestors[other] for other in earlier))
        reduced[stage] = [other for other in earlier if other not in implied]
        ancestors[stage] = implied | set(earlier)
    return reduced


def render(manifest: dict[str, Any]) -> str:
    """The manifest as the text of its file."""
    return json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the manifest, or with `--check` only say whether the file is still true.

    Returns:
        The exit code: 1 if `--check` finds the file stale or missing.
    """
    parser = argparse.ArgumentParser(prog=_COMMAND, description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--path", type=Path, default=MANIFEST_PATH, help="the file to write")
    options = parser.parse_args(arguments)
    path: Path = options.path
    text = render(build_manifest())
    if not options.check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return 0
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{path} does not match the registered pipelines. Run: {_COMMAND}\n")
    return 1


def _tables(names: set[str]) -> set[str]:
    return {name.partition("@")[0] for name in names}


def _description(stage: str) -> str:
    module = importlib.import_module(f"clepsydra.pipelines.{stage}")
    return (inspect.getdoc(module.create_pipeline) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
