from kedro.pipeline import Node, Pipeline

from clepsydra.pipelines.monitor.nodes import (
    compare_seasons,
    decide_retraining,
    detect_drift,
    measure_accuracy,
    measure_freshness,
)
from clepsydra.sharding import gather_parts, per_shard, sharded

SHARD = Pipeline(
    [
        Node(
            measure_accuracy,
            inputs=["forecasts@store", "panel@values", "scales@pandas", "clock"],
            outputs="accuracy@pandas",
            name="measure_accuracy",
        ),
        Node(
            compare_seasons,
            inputs=["panel@values", "params:task"],
            outputs="season_tests",
            name="compare_seasons",
        ),
    ]
)


def create_pipeline(n_shards: int) -> Pipeline:
    """Published forecasts and actuals to accuracy, drift, freshness and a decision."""
    return Pipeline(
        [
            *per_shard(SHARD, n_shards, {"forecasts@store", "clock"}).nodes,
            Node(
                gather_parts,
                inputs=sharded("accuracy@file", n_shards),
                outputs="accuracy",
                name="gather_accuracy",
            ),
            Node(
                detect_drift,
                inputs=["params:monitor", *sharded("season_tests", n_shards)],
                outputs="drift",
                name="detect_drift",
            ),
            Node(
                measure_freshness,
                inputs=["series", "clock", "params:task", "params:monitor"],
                outputs="freshness",
                name="measure_freshness",
            ),
            Node(
                decide_retraining,
                inputs=["accuracy", "drift", "freshness", "verdict", "promotion", "params:monitor"],
                outputs="retraining",
                name="decide_retraining",
            ),
        ]
    )
