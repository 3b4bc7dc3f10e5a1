from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.clean.nodes import (
    build_panel,
    build_series,
    clean_covariates,
    clean_target,
    report_quality,
    split_observations,
)
from clepsydra.sharding import gather, per_shard, sharded

SHARD = Pipeline(
    [
        Node(
            build_panel,
            inputs=[
                "observations",
                "covariates",
                "series",
                "params:sources",
                "params:task",
                "params:calendar",
                "clock",
            ],
            outputs=["panel", "future", "panel_account"],
            name="build_panel",
        )
    ]
)


def create_pipeline(n_shards: int) -> Pipeline:
    """Raw snapshots to the panel, the series table and the account of every row."""
    before = [
        Node(
            clean_target,
            inputs=["raw", "params:sources", "params:task", "params:as_of"],
            outputs=["observations", "series_ids", "target_account", "target_quarantine", "clock"],
            name="clean_target",
        ),
        Node(
            clean_covariates,
            inputs=["raw", "params:sources", "params:task", "params:as_of"],
            outputs=["covariates", "covariate_account", "covariate_quarantine"],
            name="clean_covariates",
        ),
        Node(
            build_series,
            inputs=[
                "observations",
                "series_ids",
                "raw",
                "params:sources",
                "params:task",
                "clock",
                "params:n_shards",
            ],
            outputs="series",
            name="build_series",
        ),
        Node(
            split_observations,
            inputs=["observations", "series", "params:n_shards"],
            outputs=sharded("observations", n_shards),
            name="split_observations",
        ),
    ]
    after = [
        Node(gather, inputs=sharded("panel", n_shards), outputs="panel", name="gather_panel"),
        Node(gather, inputs=sharded("future", n_shards), outputs="future", name="gather_future"),
        Node(
            report_quality,
            inputs=[
                "target_account",
                "covariate_account",
                "target_quarantine",
                "covariate_quarantine",
                "series",
                *sharded("panel_account", n_shards),
            ],
            outputs=["quality_report", "quarantine"],
            name="report_quality",
        ),
    ]
    shards = per_shard(SHARD, n_shards, shared={"covariates", "series", "clock"})
    return Pipeline([*before, *shards.nodes, *after])
