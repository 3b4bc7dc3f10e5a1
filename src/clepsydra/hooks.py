"""Hooks: give the pipelines their shape, time every node, and print the summary of a run.

Node hooks run in the worker that runs the node. Each appends one JSON line to the file that the
environment names, which the parent reads when the run ends: all workers of Kedro's runners share
it, and those of ours have one each, the lines of which come back with the node. Workers that are
spawned rather than forked get the hooks too, because Kedro sets each of them up anew.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from clepsydra.config import ModelsConfig, TaskConfig, meant_for_other_data, parse_as_of
from clepsydra.environment import EVENTS_VARIABLE, PARENT_RUN_VARIABLE, RUN_ID_VARIABLE
from clepsydra.errors import ConfigError
from clepsydra.models.planning import only
from clepsydra.pipelines.report.gantt import draw_run
from clepsydra.profile import NodeWatch, dependencies_of, explained, profile_table
from clepsydra.runners.history import folder_of_records
from clepsydra.runners.locks import nodes_held
from clepsydra.runners.schedule import MANIFEST
from clepsydra.structure import current_structure, follow
from clepsydra.summary import format_summary

__all__ = ["LineHooks"]

_LOGGER = logging.getLogger(__name__)


@dataclass
class _Begun:
    """A node that has begun: the file that what it takes is noted in, and outputs saved so far."""

    events: str
    watch: NodeWatch
    saved: int = 0


class LineHooks:
    """What the line adds to a Kedro run."""

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}
        self._run_started = 0.0
        self._threads: int | None = None
        self._held = ExitStack()

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        parameters = context.config_loader["parameters"]
        follow(parameters)
        _compare_list(parameters)

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        _check_sources_of(conf_catalog)

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        _check_clock(pipeline, catalog)
        _check_plan(pipeline, catalog)
        if not _is_own(run_params):
            names = [node.name for node in pipeline.nodes]
            self._held.enter_context(nodes_held(names, folder_of_records(catalog)))
        os.environ[RUN_ID_VARIABLE] = os.environ.get(PARENT_RUN_VARIABLE) or run_params["run_id"]
        handle, path = tempfile.mkstemp(prefix="clepsydra-events-", suffix=".jsonl")
        os.close(handle)
        os.environ[EVENTS_VARIABLE] = path
        self._begun.clear()
        self._run_started = time.time()

    @hook_impl
    def before_dataset_loaded(self, node: Node) -> None:
        self._begin(node)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        self._begin(node)  # one that loads nothing

    def _begin(self, node: Node) -> None:
        # One that failed, in a worker that is now another run's, has begun with another file.
        events, begun = os.environ.get(EVENTS_VARIABLE, ""), self._begun.get(node.name)
        if begun is None or begun.events != events:
            self._begun[node.name] = _Begun(events, NodeWatch())
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        if threads != self._threads:
            threadpool_limits(threads)
            self._threads = threads

    @hook_impl
    def after_node_run(self, node: Node) -> None:
        if not node.outputs:
            self._write_event(node)

    @hook_impl
    def after_dataset_saved(self, node: Node) -> None:
        if begun := self._begun.get(node.name):
            begun.saved += 1
            if begun.saved == len(node.outputs):
                self._write_event(node)

    def _write_event(self, node: Node) -> None:
        begun = self._begun.pop(node.name, None)
        if begun is None or not begun.events:
            return
        try:
            with Path(begun.events).open("a", encoding="utf-8") as file:
                file.write(json.dumps(begun.watch.event(node.name)) + "\n")
        except OSError as error:
            _LOGGER.warning("What node '%s' took cannot be noted: %s", node.name, error)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        self._held.close()
        wall = time.time() - self._run_started
        profile = profile_table(self._take_events(), pipeline, os.environ[RUN_ID_VARIABLE])
        _save_profile(profile, catalog)
        run_summary = None
        if "run_summary" in pipeline.all_outputs():
            try:
                run_summary = catalog.load("run_summary")
            except DatasetError as error:
                _LOGGER.warning("The summary of the run cannot be read: %s", error)
        nodes = _ran_and_skipped(pipeline, catalog) if _is_own(run_params) else None
        n_shards = current_structure().n_shards
        runner = run_params.get("runner", "")
        lines = format_summary(run_summary, profile, wall, runner, n_shards, nodes)
        print(lines, flush=True)
        if run_summary:
            print(_where_to_look(catalog), flush=True)

    @hook_impl
    def on_pipeline_error(self, pipeline: Pipeline, catalog: Any) -> None:
        self._held.close()
        profile = profile_table(self._take_events(), pipeline, os.environ[RUN_ID_VARIABLE])
        if len(profile):
            _save_profile(profile, catalog)

    def _take_events(self) -> list[dict[str, Any]]:
        path = Path(os.environ.pop(EVENTS_VARIABLE, ""))
        if not path.is_file():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        path.unlink()
        # A node whose worker was killed has run twice.
        events = [json.loads(line) for line in lines]
        return list({event["node"]: event for event in events}.values())


def _is_own(run_params: dict[str, Any]) -> bool:
    """Whether the runner is this project's: they hold their nodes, and say which of them ran."""
    return "clepsydra.runners" in run_params.get("runner", "")


def _ran_and_skipped(pipeline: Pipeline, catalog: Any) -> tuple[int, int] | None:
    """How many nodes of the pipeline ran, and how many did not have to, if that was kept."""
    if MANIFEST not in catalog:
        return None
    try:
        manifest = catalog.load(MANIFEST)
    except DatasetError as error:
        _LOGGER.warning("What the run did cannot be read: %s", error)
        return None
    own = manifest["node"].isin({node.name for node in pipeline.nodes})
    actions = manifest.loc[own, "action"]
    return int((actions == "ran").sum()), int((actions == "skipped").sum())


def _check_sources_of(conf_catalog: dict[str, Any]) -> None:
    """Refuse an entry for raw rows of a source that there is not: its contract would be idle."""
    sources = current_structure().sources
    for name in conf_catalog:
        source, _, part = name.rpartition(".")
        if part == "raw" and "{" not in name and source not in sources:
            raise ConfigError(
                f"catalog entry '{name}': there is no source '{source}'; "
                f"there are: {', '.join(sources)}"
            )


def _save_profile(profile: pd.DataFrame, catalog: Any) -> None:
    """Keep what the nodes took, as a table and as a chart; no run fails for it.

    A run in which no node ran leaves those of the last one.
    """
    try:
        profile = _with_earlier_stages(profile, catalog)
        if profile.empty and catalog.exists("run_profile"):
            return
        catalog.save("run_profile", profile)
        catalog.save("figure_profile", draw_run(profile))
    except Exception as error:  # of a disk, a store, an entry of the catalog
        _LOGGER.warning("The profile of the run cannot be saved: %s", error)


def _with_earlier_stages(profile: pd.DataFrame, catalog: Any) -> pd.DataFrame:
    """Add the nodes that other sessions of the same orchestrated run have run."""
    run = os.environ.get(PARENT_RUN_VARIABLE)
    if not run or not catalog.exists("run_profile"):
        return profile
    earlier = catalog.load("run_profile")
    earlier = earlier[(earlier["run_id"] == run) & ~earlier["node"].isin(profile["node"])]
    if profile.empty or earlier.empty:
        return profile if earlier.empty else earlier
    whole = pd.concat([earlier, profile], ignore_index=True)
    return explained(whole, dependencies_of(pipelines["__default__"]))


def _check_clock(pipeline: Pipeline, catalog: Any) -> None:
    """Refuse to run later stages on the data of another day.

    `as_of` enters the data in the first stages only. A later one run by itself would publish one
    day's forecasts under another's name.
    """
    tables = {name.partition("@")[0].rpartition(".")[2] for name in pipeline.inputs()}
    if not {"clock", "panel", "windows"} & tables or not catalog.exists("clock"):
        return
    as_of, known = parse_as_of(catalog.load("params:as_of")), catalog.load("clock")["as_of"]
    if as_of is not None and as_of.isoformat() != known:
        raise ConfigError(
            f"this run is as of {as_of}, but the data at hand are those of {known}: run the first "
            f"stages again ('collect' and 'clean'), or add --params as_of={known}"
        )


def _compare_list(parameters: dict[str, Any]) -> None:
    """Say if the list of models is one for data of another frequency."""
    try:
        task = TaskConfig.model_validate(parameters.get("task"))
    except ValidationError:
        return  # which Kedro tells before the first node
    if odd := meant_for_other_data(parameters["models"], task.freq):
        _LOGGER.warning(odd)


def _check_plan(pipeline: Pipeline, catalog: Any) -> None:
    """Refuse to run later stages with other models than those that `train` planned."""
    if "planned_models" not in pipeline.inputs() or not catalog.exists("planned_models"):
        return
    models = ModelsConfig.model_validate(catalog.load("params:models"))
    if not _is_of(catalog.load("planned_models"), catalog.load("plan"), models):
        raise ConfigError(
            "'models' has changed since it was planned which of them run: run 'train' and the "
            "stages after it again, or first 'kedro run --nodes=train.plan_models'"
        )


def _is_of(planned: ModelsConfig, plan: pd.DataFrame, models: ModelsConfig) -> bool:
    """Whether the planned models, options that were tuned aside, are those of the parameters."""
    names = set(planned.root)
    if plan["model"].tolist() != list(models.root) or not names <= set(models.root):
        return False
    if not all(names & set(models.members(name)) for name in names):
        return False
    expected = only(models, names).root
    return planned.root == {
        name: spec.as_tuned(planned.root[name]) for name, spec in expected.items()
    }


def _where_to_look(catalog: Any) -> str:
    lines = ["Where to look:"]
    for name, what in {
        "report_page": "the run on one page; open it in a browser",
        "figure_profile": "which node ran when, and the critical path (Plotly)",
        "forecasts": "the published forecasts, table 'forecasts' (SQLite)",
        "quarantine": "rejected rows, with file, line and reason",
    }.items():
        path = getattr(catalog[name], "_filepath", None) if name in catalog else None
        if path:
            path = os.path.relpath(str(path)) if Path(str(path)).exists() else path
            lines.append(f"  {path}  {what}")
    return "\n".join(lines)
