from kedro.pipeline import Node, Pipeline

from clepsydra.binding import bind
from clepsydra.models.intervals import pool_shapes
from clepsydra.pipelines.deploy.nodes import (
    build_bundle,
    calibrate_champions,
    collect_errors,
    decide_promotion,
    promote_champions,
    sample_errors,
)
from clepsydra.sharding import gather_parts, per_shard, sharded


def create_pipeline(n_shards: int, has_hierarchy: bool = False) -> Pipeline:
    """Champions to a promoted bundle."""
    shard = Pipeline(
        [
            Node(
                bind(promote_champions, n_shards=n_shards),
                inputs=["renewed_champions@pandas", "promotion", "params:explain"],
                outputs=["promoted_champions@pandas", "assigned"],
                name="promote_champions",
            ),
            Node(
                sample_errors,
                inputs=["backtests@pandas", "series", "windows", "params:task"],
                outputs="error_sample",
                name="sample_errors",
            ),
        ]
    )
    shapes = Node(
        pool_shapes,
        inputs=sharded("error_sample", n_shards),
        outputs="error_shapes",
        name="pool_shapes",
    )
    calibrated = [
        Node(
            calibrate_champions,
            inputs=[
                f"shard_{number}.assigned",
                f"shard_{number}.backtests@pandas",
                f"shard_{number}.panel@pandas",
                "error_shapes",
            ],
            outputs=[f"shard_{number}.calibration", f"shard_{number}.fingerprints"],
            name=f"calibrate_champions_{number}",
            namespace="calibrate",
        )
        for number in range(n_shards)
    ]
    errors = Node(
        collect_errors,
        inputs=["promoted_champions", "backtests", "windows"],
        outputs="champion_errors",
        name="collect_errors",
    )
    return Pipeline(
        [
            Node(
                decide_promotion,
                inputs=["verdict", "canary", "params:deploy"],
                outputs="promotion",
                name="decide_promotion",
            ),
            *per_shard(shard, n_shards, {"promotion", "series", "windows"}).nodes,
            shapes,
            *calibrated,
            Node(
                gather_parts,
                inputs=sharded("promoted_champions@file", n_shards),
                outputs="promoted_champions",
                name="gather_promoted_champions",
            ),
            Node(
                bind(build_bundle, n_shards=n_shards),
                inputs=[
                    "promotion",
                    "params:task",
                    "planned_models",
                    "weights",
                    "clock",
                    *sharded("assigned", n_shards),
                    *sharded("fingerprints", n_shards),
                ],
                outputs="bundle",
                name="build_bundle",
            ),
            *([errors] if has_hierarchy else []),
        ]
    )
