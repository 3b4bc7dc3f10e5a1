"""Every stage of the line under its own name, and the whole line as `__default__`."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from clepsydra.pipelines import (
    clean,
    collect,
    deploy,
    evaluate,
    explore,
    forecast,
    monitor,
    report,
    split,
    train,
)
from clepsydra.structure import current_structure

__all__ = ["STAGES", "register_pipelines"]

STAGES = (
    "collect",
    "clean",
    "explore",
    "split",
    "train",
    "evaluate",
    "deploy",
    "forecast",
    "monitor",
    "report",
)


def register_pipelines() -> dict[str, Pipeline]:
    """Stage name to pipeline, in the order of the line.

    Nodes are namespaced by stage, and within it by shard: `train.shard_0.backtest_local_models`.
    """
    structure = current_structure()
    n_shards, models = structure.n_shards, list(structure.global_models)
    # The sums of a hierarchy are one more shard.
    sums = structure.has_hierarchy
    n_parts = n_shards + sums
    stages = {
        "collect": collect.create_pipeline(structure.target, list(structure.sources)),
        "clean": clean.create_pipeline(
            n_shards, structure.target, list(structure.covariates), list(structure.attributes), sums
        ),
        "explore": explore.create_pipeline(n_parts),
        "split": split.create_pipeline(n_parts),
        "train": train.create_pipeline(n_parts, models, structure.has_tuning),
        "evaluate": evaluate.create_pipeline(n_parts, sums),
        "deploy": deploy.create_pipeline(n_parts, sums),
        "forecast": forecast.create_pipeline(n_parts, models, sums),
        "monitor": monitor.create_pipeline(n_parts),
        "report": report.create_pipeline(n_parts, sums),
    }
    named = {
        stage: Pipeline(pipeline, namespace=stage, prefix_datasets_with_namespace=False, tags=stage)
        for stage, pipeline in stages.items()
    }
    return {**named, "__default__": sum(named.values(), Pipeline([]))}
